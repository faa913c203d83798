// A dense, contiguous, row-major array. Copies share the memory.
#pragma once

#include <cstring>
#include <memory>
#include <span>

#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/storage.h"

namespace stepstone {

class Tensor {
 public:
  Tensor() = default;  // undefined: holds nothing

  // Uninitialised.
  static Tensor empty(Shape shape, DType dtype, Device device = {});
  static Tensor zeros(Shape shape, DType dtype, Device device = {});
  // Copies `values`, whose count must be that of `shape`.
  template <typename T>
  static Tensor from(std::span<const T> values, Shape shape) {
    require<UsageError>(static_cast<std::int64_t>(values.size()) == shape.numel(),
                        "tensor: {} values for shape {}", values.size(), to_string(shape));
    Tensor t = empty(shape, dtype_of<T>);
    if (!values.empty()) std::memcpy(t.raw(), values.data(), values.size_bytes());
    return t;
  }
  // A view of foreign memory (a mapped file); `keep_alive` lives as long as the tensor does.
  // `data` must hold the shape's bytes and be aligned to the element size.
  static Tensor external(const void* data, Shape shape, DType dtype,
                         std::shared_ptr<const void> keep_alive);

  bool defined() const { return storage_ != nullptr; }
  // True when no other tensor shares the memory.
  bool unique() const { return storage_.use_count() == 1; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device{}; }
  int rank() const { return shape_.rank(); }
  std::int64_t dim(int i) const { return shape_.dim(i); }
  std::int64_t numel() const { return shape_.numel(); }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype_); }
  // As a matrix: cols() is the last extent, rows() the product of the others.
  std::int64_t cols() const { return rank() == 0 ? 1 : dim(-1); }
  std::int64_t rows() const { return cols() == 0 ? 0 : numel() / cols(); }

  void* raw() const { return static_cast<std::byte*>(storage_->data()) + offset_; }
  std::span<const std::byte> raw_bytes() const {
    return {static_cast<const std::byte*>(raw()), bytes()};
  }
  // The elements; throws UsageError when T is not the dtype.
  template <typename T>
  T* data() const {
    require<UsageError>(dtype_of<T> == dtype_, "tensor: it holds {}, not {}", name_of(dtype_),
                        name_of(dtype_of<T>));
    return static_cast<T*>(raw());
  }
  template <typename T>
  std::span<T> span() const {
    return {data<T>(), static_cast<std::size_t>(numel())};
  }

  // Views that share memory.
  Tensor reshape(Shape shape) const;
  // Entries [begin, end) of the first dimension.
  Tensor slice(std::int64_t begin, std::int64_t end) const;

  Tensor clone() const;
  // A copy in another dtype (f32 <-> bf16, f16 -> f32, or the same).
  Tensor to(DType dtype) const;
  void zero() const { std::memset(raw(), 0, bytes()); }
  void copy_from(const Tensor& other) const;  // same shape and dtype

 private:
  Shape shape_{0};
  DType dtype_ = DType::f32;
  std::shared_ptr<Storage> storage_;
  std::size_t offset_ = 0;
};

// Some rows of x, as a matrix, copied.
Tensor gather_rows(const Tensor& x, std::span<const std::int64_t> rows);

// Calls fn with the elements as float* or bf16*: one switch at the op's border, typed code inside.
template <typename F>
decltype(auto) dispatch(const Tensor& t, F&& fn) {
  if (t.dtype() == DType::bf16) return fn(t.data<bf16>());
  return fn(t.data<float>());
}

}  // namespace stepstone
