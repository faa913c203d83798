// What the parser makes of a template and the interpreter runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace stepstone::jinja {

struct Place {
  std::uint32_t line = 1, column = 1;  // from 1; columns are bytes
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional, more_named;  // *args, **kwargs
};

struct Expr {
  enum class Kind : std::uint8_t {
    constant,
    name,       // text
    attribute,  // parts[0].text
    item,       // parts[0][parts[1]]
    slice,      // of parts[0]: parts[1] to parts[2] by parts[3], each may be null
    call,       // parts[0](arguments)
    filter,     // parts[0] | text(arguments); parts[0] may be null in a filter block
    test,       // parts[0] is text(arguments)
    list,
    tuple,
    dict,  // key, value, key, value, …
    negate,
    plus,
    logical_not,
    logical_and,
    logical_or,
    binary,     // parts[0] text parts[1]
    concat,     // parts joined
    compare,    // parts[0] operators[0] parts[1] operators[1] …
    condition,  // parts[0] if parts[1] else parts[2], which may be null
  };
  Kind kind = Kind::constant;
  Place place;
  int depth = 1;  // of the tree below, bounded by the parser
  Value value;
  std::string text;
  std::vector<ExprPtr> parts;
  std::vector<std::string> operators;
  CallArguments arguments;
};

struct Node;
using Block = std::vector<Node>;

// What is assigned to: names, or one attribute of a namespace.
struct Target {
  std::vector<Target> parts;  // of a tuple
  std::string name, attribute;
};

struct Parameter {
  std::string name;
  ExprPtr fallback;
};

// A macro, or the body of a {% call %}.
struct MacroNode {
  std::string name;
  std::vector<Parameter> parameters;
  std::vector<Node> body;
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;
};

struct Node {
  enum class Kind : std::uint8_t {
    text,    // text
    output,  // expr
    branch,  // each of arms; the last may have no condition
    loop,
    set,        // target = expr
    set_block,  // target = body, through the filter expr where there is one
    macro,
    call,        // expr with `macro` as its caller
    with,        // assignments, then body
    filter,      // body through expr
    generation,  // body, marked
    break_loop,
    continue_loop,
  };
  Kind kind = Kind::text;
  Place place;
  Text text;
  ExprPtr expr;
  Target target;
  std::vector<std::pair<ExprPtr, Block>> arms;
  std::vector<std::pair<Target, ExprPtr>> assignments;
  Block body, otherwise;
  ExprPtr condition;  // of a loop
  bool recursive = false;
  std::shared_ptr<MacroNode> macro;
};

}  // namespace stepstone::jinja
