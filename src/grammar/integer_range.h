// Decimal integers between two bounds, as JSON writes them: no leading zeros, no plus, no "-0".
#pragma once

#include <optional>

#include "grammar/expression.h"

namespace stepstone {

// A missing bound allows up to 18 digits. Both ends belong to the range.
Expression integer_range(std::optional<std::int64_t> low, std::optional<std::int64_t> high);

}  // namespace stepstone
