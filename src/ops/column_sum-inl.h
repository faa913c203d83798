// Sums over rows (gradients of weights that all rows share), in a fixed tree: chunks of 64 rows
// are summed in order, then the chunks' sums in order. The result does not depend on threads.
#if defined(STEPSTONE_COLUMN_SUM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef STEPSTONE_COLUMN_SUM_INL_H
#undef STEPSTONE_COLUMN_SUM_INL_H
#else
#define STEPSTONE_COLUMN_SUM_INL_H
#endif

#include "backend/cpu/simd-inl.h"
#include "core/tensor.h"
#include "core/threads.h"

HWY_BEFORE_NAMESPACE();
namespace stepstone::HWY_NAMESPACE {

// out[n] (+)= the sum over rows; add_row(i, sum) adds row i's contribution to sum[n].
template <typename AddRow>
void column_sum(std::int64_t rows, std::int64_t n, float* out, bool accumulate, AddRow&& add_row) {
  constexpr std::int64_t kChunk = 64;
  const std::int64_t chunks = (rows + kChunk - 1) / kChunk;
  const Tensor partial = Tensor::zeros({chunks, n}, DType::f32);
  float* sums = partial.data<float>();
  parallel_for(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * kChunk; i < std::min(rows, end * kChunk); ++i) {
      add_row(i, sums + i / kChunk * n);
    }
  });
  if (!accumulate) std::memset(out, 0, static_cast<std::size_t>(n) * sizeof(float));
  for (std::int64_t c = 0; c < chunks; ++c) {
    map(
        n, [](VecF32 a, VecF32 b) HWY_ATTR { return hn::Add(a, b); }, out, out, sums + c * n);
  }
}

}  // namespace stepstone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
