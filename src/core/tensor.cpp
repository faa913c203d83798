#include "core/tensor.h"

#include "core/threads.h"

namespace stepstone {
namespace {

constexpr std::int64_t kConvertGrain = 1 << 16;

template <typename From, typename To>
void convert(const From* from, To* to, std::int64_t n) {
  parallel_for(n, kConvertGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) to[i] = To(static_cast<float>(from[i]));
  });
}

}  // namespace

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  std::int64_t bytes = 0;
  require(!__builtin_mul_overflow(shape.numel(), static_cast<std::int64_t>(size_of(dtype)), &bytes),
          "tensor: shape {} of {} is too large", to_string(shape), name_of(dtype));
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.storage_ = allocate(static_cast<std::size_t>(bytes), device);
  return t;
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  t.zero();
  return t;
}

Tensor Tensor::external(const void* data, Shape shape, DType dtype,
                        std::shared_ptr<const void> keep_alive) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.storage_ = std::make_shared<Storage>(const_cast<void*>(data), t.bytes(), Device{},
                                         [keep = std::move(keep_alive)](void*, std::size_t) {});
  return t;
}

Tensor Tensor::reshape(Shape shape) const {
  require<UsageError>(shape.numel() == numel(), "reshape: {} does not hold the elements of {}",
                      to_string(shape), to_string(shape_));
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  require<UsageError>(rank() >= 1 && 0 <= begin && begin <= end && end <= dim(0),
                      "slice: [{}, {}) is outside of {}", begin, end, to_string(shape_));
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  std::copy(shape_.dims().begin(), shape_.dims().end(), dims.begin());
  const std::int64_t stride = dim(0) == 0 ? 0 : numel() / dim(0);
  dims[0] = end - begin;
  Tensor t = *this;
  t.shape_ = Shape(std::span(dims.data(), static_cast<std::size_t>(rank())));
  t.offset_ += static_cast<std::size_t>(begin * stride) * size_of(dtype_);
  return t;
}

Tensor Tensor::clone() const {
  Tensor t = empty(shape_, dtype_, device());
  std::memcpy(t.raw(), raw(), bytes());
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return clone();
  Tensor t = empty(shape_, dtype, device());
  if (dtype_ == DType::f32 && dtype == DType::bf16) {
    convert(data<float>(), t.data<bf16>(), numel());
  } else if (dtype_ == DType::bf16 && dtype == DType::f32) {
    convert(data<bf16>(), t.data<float>(), numel());
  } else if (dtype_ == DType::f16 && dtype == DType::f32) {
    convert(data<f16>(), t.data<float>(), numel());
  } else {
    throw UsageError(
        fmt::format("tensor: no conversion from {} to {}", name_of(dtype_), name_of(dtype)));
  }
  return t;
}

void Tensor::copy_from(const Tensor& other) const {
  require<UsageError>(shape_ == other.shape_ && dtype_ == other.dtype_,
                      "copy: {} of {} does not fit {} of {}", to_string(other.shape_),
                      name_of(other.dtype_), to_string(shape_), name_of(dtype_));
  std::memcpy(raw(), other.raw(), bytes());
}

Tensor gather_rows(const Tensor& x, std::span<const std::int64_t> rows) {
  const Tensor y = Tensor::empty({std::ssize(rows), x.cols()}, x.dtype());
  for (std::int64_t i = 0; i < std::ssize(rows); ++i) {
    const std::int64_t row = rows[static_cast<std::size_t>(i)];
    y.slice(i, i + 1).copy_from(x.slice(row, row + 1));
  }
  return y;
}

}  // namespace stepstone
