// From template text to tokens, with Jinja's whitespace rules as `transformers` sets them:
// trim_blocks (the newline after a block tag goes), lstrip_blocks (blanks before a block tag at the
// start of a line go), one newline at the end of the template goes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja/ast.h"

namespace stepstone::jinja {

struct Token {
  enum class Kind : std::uint8_t {
    data,
    output_begin,
    output_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    real,
    op,
    end
  };
  Kind kind = Kind::end;
  Place place;
  std::string text;  // a string's value, a name, an operator
};

// Throws FormatError(name, "line L, column C", problem).
std::vector<Token> tokenize(std::string_view source, const std::string& name);

[[noreturn]] void syntax_error(const std::string& name, Place place, std::string_view problem);

}  // namespace stepstone::jinja
