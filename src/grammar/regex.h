// Regular expressions as grammars: literals, ., classes with ranges and negation, \d \w \s \D \W
// \S, escapes (\n \t \r \f \v \xHH \uHHHH), groups ( ) and (?: ), |, * + ? {m} {m,} {m,n} (a "?"
// after them, laziness, changes no match), ^ at the beginning and $ at the end. Everything else
// (look-around, back-references, \b) is a UsageError with its place.
#pragma once

#include <string_view>

#include "grammar/expression.h"

namespace stepstone {

struct Regex {
  Expression body;
  bool from_start = false, to_end = false;  // anchored by ^ and $
};

// In `json_string` the text matched stands inside a JSON string: quotes, backslashes and control
// characters of literals are escaped, and classes leave them out.
Regex parse_regex(std::string_view pattern, bool json_string = false);

}  // namespace stepstone
