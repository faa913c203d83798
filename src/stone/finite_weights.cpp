#include "stone/finite_weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/threads.h"

namespace stepstone {
namespace {

constexpr std::int64_t kPiece = std::int64_t{1} << 16;

// Without branches, so that it vectorises. Zero times NaN or infinity is NaN, and so is the sum.
template <typename T>
bool all_finite(std::span<const T> values) {
  float sums[16] = {};
  std::size_t i = 0;
  for (; i + 16 <= values.size(); i += 16) {
    for (std::size_t lane = 0; lane < 16; ++lane)
      sums[lane] += static_cast<float>(values[i + lane]) * 0.0f;
  }
  for (; i < values.size(); ++i) sums[0] += static_cast<float>(values[i]) * 0.0f;
  return std::ranges::all_of(sums, [](float sum) { return sum == 0; });
}

std::string place_of(std::int64_t index, const Shape& shape) {
  std::vector<std::int64_t> place(shape.dims().size());
  for (std::size_t i = place.size(); i-- > 0;) {
    place[i] = index % shape.dims()[i];
    index /= shape.dims()[i];
  }
  return fmt::format("[{}]", fmt::join(place, ", "));
}

}  // namespace

void require_finite(const Tensor& weights, const std::string& file, const std::string& name) {
  const auto check = [&](const auto* data) {
    const std::span values(data, static_cast<std::size_t>(weights.numel()));
    std::atomic<bool> good = true;
    parallel_for(weights.numel(), kPiece, [&](std::int64_t begin, std::int64_t end) {
      if (!all_finite(values.subspan(static_cast<std::size_t>(begin),
                                     static_cast<std::size_t>(end - begin)))) {
        good = false;
      }
    });
    if (good) return;
    const auto found =
        std::ranges::find_if(values, [](auto v) { return !std::isfinite(static_cast<float>(v)); });
    throw FormatError(
        file, name,
        fmt::format("the value at {} is {}: the weights are damaged",
                    place_of(found - values.begin(), weights.shape()), static_cast<float>(*found)));
  };
  weights.dtype() == DType::f16 ? check(weights.data<f16>()) : dispatch(weights, check);
}

}  // namespace stepstone
