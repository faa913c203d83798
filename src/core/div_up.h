#pragma once

#include <cstdint>

namespace stepstone {

// ⌈a / b⌉ for a >= 0, b > 0.
constexpr std::int64_t div_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace stepstone
