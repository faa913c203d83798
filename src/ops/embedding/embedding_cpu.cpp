#include "ops/embedding/embedding_cpu.h"

#include <cstring>

#include "core/threads.h"

namespace stepstone::cpu {
namespace {
constexpr std::int64_t kGrain = 1 << 15;  // elements
// Columns per task of the backward pass. Each task walks all tokens in order, so the sums do not
// depend on threads however often an id comes; 512 bytes keep the walk over rows efficient.
constexpr std::int64_t kColumns = 128;

std::int64_t row_grain(std::int64_t n) { return std::max<std::int64_t>(1, kGrain / (n + 1)); }
}  // namespace

void embedding_forward(const Tensor& table, std::span<const std::int32_t> ids, const Tensor& y) {
  const std::int64_t n = table.cols();
  const float* from = table.data<float>();
  float* to = y.data<float>();
  parallel_for(y.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(to + i * n, from + ids[static_cast<std::size_t>(i)] * n,
                  static_cast<std::size_t>(n) * sizeof(float));
    }
  });
}

void embedding_backward(std::span<const std::int32_t> ids, const Tensor& dy, const Tensor& dtable,
                        bool accumulate) {
  const std::int64_t n = dtable.cols();
  const float* from = dy.data<float>();
  float* to = dtable.data<float>();
  if (!accumulate) {
    parallel_for(dtable.rows(), row_grain(n), [=](std::int64_t begin, std::int64_t end) {
      std::memset(to + begin * n, 0, static_cast<std::size_t>((end - begin) * n) * sizeof(float));
    });
  }
  parallel_for(n, kColumns, [=](std::int64_t begin, std::int64_t end) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const float* source = from + static_cast<std::int64_t>(i) * n;
      float* target = to + ids[i] * n;
      for (std::int64_t j = begin; j < end; ++j) target[j] += source[j];
    }
  });
}

}  // namespace stepstone::cpu
