#pragma once

#include <string>
#include <string_view>

#include "jinja/ast.h"

namespace stepstone::jinja {

inline constexpr int kMaxNesting = 100;  // of tags, brackets and expressions in a template

// Throws FormatError(name, "line L, column C", problem) for what is no template of this engine.
Block parse(std::string_view source, const std::string& name);

}  // namespace stepstone::jinja
