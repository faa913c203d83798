#include "jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "io/utf8.h"
#include "jinja/builtins.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"

namespace stepstone::jinja {

Interpreter::Deeper::Deeper(Interpreter& interpreter) : interpreter_(interpreter) {
  if (interpreter_.depth_ >= interpreter_.options_.max_depth) {
    throw EvalError(fmt::format("nests more than {} deep while running (endless recursion?)",
                                interpreter_.options_.max_depth));
  }
  ++interpreter_.depth_;
}

struct Interpreter::Loop {
  std::vector<Value> items;
  std::size_t index = 0;
  int depth = 0;
  std::optional<Value> changed = std::nullopt;
};

const Value* Interpreter::Scope::find(const std::string& name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent) {
    for (const auto& [known, value] : scope->variables) {
      if (known == name) return &value;
    }
  }
  return nullptr;
}

void Interpreter::Scope::set(const std::string& name, Value value) {
  for (auto& [known, old] : variables) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

Text Interpreter::render(const Block& body, const Value& variables) {
  Text out;
  out_ = &out;
  Scope scope;
  for (const auto& [name, value] : variables.get_if<Dict>()->items) {
    scope.variables.emplace_back(to_text(name).bytes, value);
  }
  Scope inner{.parent = &scope};
  try {
    run(body, inner);
  } catch (const EvalError& error) {
    syntax_error(name_, place_, error.what());
  }
  return out;
}

void Interpreter::work(std::uint64_t units) {
  steps_ += units;
  if (steps_ > options_.max_steps) {
    throw EvalError(fmt::format("takes more than {} steps", options_.max_steps));
  }
}

void Interpreter::work_on(const Value& value) {
  std::uint64_t units = 1;
  if (const auto* text = value.get_if<Text>()) {
    units += text->size() / 16;
  } else if (const auto* list = value.get_if<List>()) {
    for (const Value& item : list->items) {
      ++units;
      if (list->depth > 1 || item.is<Text>()) work_on(item);
    }
  } else if (const auto* dict = value.get_if<Dict>()) {
    for (const auto& [key, item] : dict->items) {
      ++units;
      work_on(key);
      work_on(item);
    }
  }
  work(units);
}

void Interpreter::work_of_lookup(const Value& object) {
  if (const auto* dict = object.get_if<Dict>()) work(dict->items.size() / 8);
  if (const auto* text = object.get_if<Text>()) work(text->size() / 16);
}

void Interpreter::check_size(std::uint64_t bytes) const {
  if (bytes > options_.max_output) {
    throw EvalError(fmt::format("makes a text of more than {} bytes", options_.max_output));
  }
}

std::time_t Interpreter::now() const { return options_.now.value_or(std::time(nullptr)); }

void Interpreter::refuse(const std::string& message) const {
  throw UsageError(
      fmt::format("{}: line {}, column {}: {}", name_, place_.line, place_.column, message));
}

void Interpreter::write(const Text& text) {
  work(text.size() / 16);
  check_size(out_->size() + text.size());
  const std::size_t before = out_->size();
  out_->append(text);
  for (std::size_t i = before; generation_ > 0 && i < out_->size(); ++i) {
    out_->origin[i] = static_cast<Origin>(out_->origin[i] | kGenerated);
  }
}

Text Interpreter::captured(const Block& block, Scope& scope) {
  Text text;
  Text* const outer = std::exchange(out_, &text);
  run(block, scope);
  out_ = outer;
  return text;
}

Interpreter::Flow Interpreter::run(const Block& block, Scope& scope) {
  const Deeper deeper(*this);
  for (const Node& node : block) {
    if (const Flow flow = run_node(node, scope); flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::run_node(const Node& node, Scope& scope) {
  place_ = node.place;
  work(1);
  switch (node.kind) {
    case Node::Kind::text:
      write(node.text);
      break;
    case Node::Kind::output: {
      const Value value = eval(*node.expr, scope);
      work_on(value);
      write(to_text(value));
      break;
    }
    case Node::Kind::branch:
      return branch(node, scope);
    case Node::Kind::loop:
      return loop(node, scope);
    case Node::Kind::set:
      assign(node.target, eval(*node.expr, scope), scope);
      break;
    case Node::Kind::set_block: {
      Scope inner{.parent = &scope};
      Value value = captured(node.body, inner);
      assign(node.target, filtered(node.expr.get(), std::move(value), scope), scope);
      break;
    }
    case Node::Kind::macro:
      scope.set(node.macro->name, macro_value(*node.macro, scope));
      break;
    case Node::Kind::call:
      write(to_text(call_block(node, scope)));
      break;
    case Node::Kind::with: {
      Scope inner{.parent = &scope};
      for (const auto& [target, expr] : node.assignments) {
        assign(target, eval(*expr, scope), inner);
      }
      return run(node.body, inner);
    }
    case Node::Kind::filter: {
      Scope inner{.parent = &scope};
      Value value = captured(node.body, inner);
      write(to_text(filtered(node.expr.get(), std::move(value), scope)));
      break;
    }
    case Node::Kind::generation: {
      Scope inner{.parent = &scope};
      ++generation_;
      run(node.body, inner);
      --generation_;
      break;
    }
    case Node::Kind::break_loop:
      return Flow::leave;
    case Node::Kind::continue_loop:
      return Flow::next;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::branch(const Node& node, Scope& scope) {
  for (const auto& [condition, block] : node.arms) {
    if (condition == nullptr || truth(eval(*condition, scope))) return run(block, scope);
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::loop(const Node& node, Scope& scope) {
  run_loop(node, eval(*node.expr, scope), scope, 0);
  return Flow::normal;
}

void Interpreter::run_loop(const Node& node, const Value& over, Scope& scope, int depth) {
  place_ = node.place;
  work_on(over);
  Loop state{.items = iterate(over), .depth = depth};
  if (node.condition) {
    std::vector<Value> kept;
    for (Value& item : state.items) {
      Scope inner{.parent = &scope};
      work(1);
      assign(node.target, item, inner);
      if (truth(eval(*node.condition, inner))) kept.push_back(std::move(item));
    }
    state.items = std::move(kept);
  }
  if (state.items.empty()) {
    Scope inner{.parent = &scope};
    run(node.otherwise, inner);
    return;
  }
  for (; state.index < state.items.size(); ++state.index) {
    Scope inner{.parent = &scope};
    work(1);
    assign(node.target, state.items[state.index], inner);
    inner.set("loop", loop_value(node, state, scope));
    if (run(node.body, inner) == Flow::leave) break;
  }
}

// `loop`: its attributes are looked up when asked for, by calling it with their name.
Value Interpreter::loop_value(const Node& node, Loop& state, Scope& scope) {
  const auto attribute = [&state](const std::string& name) -> Value {
    const auto count = static_cast<std::int64_t>(state.items.size());
    const auto index = static_cast<std::int64_t>(state.index);
    if (name == "index") return index + 1;
    if (name == "index0") return index;
    if (name == "revindex") return count - index;
    if (name == "revindex0") return count - index - 1;
    if (name == "first") return index == 0;
    if (name == "last") return index + 1 == count;
    if (name == "length") return count;
    if (name == "depth") return static_cast<std::int64_t>(state.depth) + 1;
    if (name == "depth0") return static_cast<std::int64_t>(state.depth);
    if (name == "previtem" && index > 0) return state.items[state.index - 1];
    if (name == "nextitem" && index + 1 < count) return state.items[state.index + 1];
    if (name == "cycle") {
      return std::make_shared<const Function>(
          Function{"cycle", [&state](Interpreter&, const Arguments& arguments) {
                     if (arguments.positional.empty())
                       throw EvalError("no items for cycling given");
                     return arguments.positional[state.index % arguments.positional.size()];
                   }});
    }
    if (name == "changed") {
      return std::make_shared<const Function>(
          Function{"changed", [&state](Interpreter&, const Arguments& arguments) {
                     Value now = Value::list(arguments.positional, List::Kind::tuple);
                     const bool same = state.changed && equal(*state.changed, now);
                     state.changed = std::move(now);
                     return Value(!same);
                   }});
    }
    return Value::undefined(fmt::format("'loop' has no attribute '{}'", name));
  };
  return std::make_shared<const Function>(
      Function{"loop",
               [&node, &state, &scope](Interpreter& self, const Arguments& arguments) -> Value {
                 if (!node.recursive) throw EvalError("the loop is not marked 'recursive'");
                 if (arguments.positional.size() != 1) throw EvalError("loop() takes one argument");
                 Text text;
                 Text* const outer = std::exchange(self.out_, &text);
                 self.run_loop(node, arguments.positional[0], scope, state.depth + 1);
                 self.out_ = outer;
                 return text;
               },
               attribute});
}

Value Interpreter::macro_value(const MacroNode& macro, Scope& scope) {
  return std::make_shared<const Function>(
      Function{macro.name, [&macro, &scope](Interpreter& self, const Arguments& arguments) {
                 return self.call_macro(macro, arguments, scope);
               }});
}

Value Interpreter::call_macro(const MacroNode& macro, const Arguments& arguments, Scope& scope) {
  const Deeper deeper(*this);
  Scope inner{.parent = &scope};
  std::vector<Value> rest;
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < macro.parameters.size()) {
      inner.set(macro.parameters[i].name, arguments.positional[i]);
    } else {
      rest.push_back(arguments.positional[i]);
    }
  }
  std::vector<std::pair<Value, Value>> others;
  const Value* caller = nullptr;
  const std::size_t given = inner.variables.size();
  for (const auto& [name, value] : arguments.named) {
    const auto at = std::find_if(macro.parameters.begin(), macro.parameters.end(),
                                 [&name = name](const Parameter& one) { return one.name == name; });
    if (at != macro.parameters.end()) {
      if (static_cast<std::size_t>(at - macro.parameters.begin()) < given) {
        throw EvalError(fmt::format("macro '{}' got '{}' twice", macro.name, name));
      }
      inner.set(name, value);
    } else if (name == "caller" && macro.takes_caller) {
      caller = &value;
    } else if (macro.takes_kwargs) {
      others.emplace_back(Text(name), value);
    } else {
      throw EvalError(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name, name));
    }
  }
  if (!rest.empty() && !macro.takes_varargs) {
    throw EvalError(fmt::format("macro '{}' takes not more than {} argument(s)", macro.name,
                                macro.parameters.size()));
  }
  const auto has = [&](const std::string& name) {
    return std::any_of(inner.variables.begin(), inner.variables.end(),
                       [&](const auto& variable) { return variable.first == name; });
  };
  for (const Parameter& parameter : macro.parameters) {
    if (has(parameter.name)) continue;
    inner.set(parameter.name, parameter.fallback
                                  ? eval(*parameter.fallback, inner)
                                  : Value::undefined(fmt::format("parameter '{}' was not provided",
                                                                 parameter.name)));
  }
  if (macro.takes_varargs) inner.set("varargs", Value::list(std::move(rest), List::Kind::tuple));
  if (macro.takes_kwargs) inner.set("kwargs", Value::dict(std::move(others)));
  if (macro.takes_caller) {
    inner.set("caller", caller ? *caller : Value::undefined("No caller defined"));
  }
  return captured(macro.body, inner);
}

Value Interpreter::call_block(const Node& node, Scope& scope) {
  const Value function = eval_part(*node.expr, 0, scope);
  Arguments arguments = evaluate(node.expr->arguments, scope);
  arguments.named.emplace_back("caller", macro_value(*node.macro, scope));
  place_ = node.place;
  return call(function, arguments);
}

Value Interpreter::call(const Value& function, const Arguments& arguments) {
  if (const auto* undefined = function.get_if<Undefined>()) use_undefined(*undefined);
  const auto* callee = function.get_if<Function>();
  if (callee == nullptr) {
    throw EvalError(fmt::format("'{}' object is not callable", type_name(function)));
  }
  const Deeper deeper(*this);
  work(1);
  return callee->call(*this, arguments);
}

void Interpreter::assign(const Target& target, Value value, Scope& scope) {
  if (!target.attribute.empty()) {
    const Value object = lookup(target.name, scope);
    Namespace* const space = object.space();
    if (space == nullptr) throw EvalError("cannot assign attribute on non-namespace object");
    if (target.attribute[0] == '_') {
      throw EvalError("a namespace cannot hold names that begin with an underscore");
    }
    value = Value::list({std::move(value)}).get_if<List>()->items[0];  // refuses functions
    for (auto& [name, old] : space->items) {
      if (name == target.attribute) {
        old = std::move(value);
        return;
      }
    }
    space->items.emplace_back(target.attribute, std::move(value));
  } else if (target.parts.empty()) {
    scope.set(target.name, std::move(value));
  } else {
    const std::vector<Value> items = iterate(value);
    if (items.size() != target.parts.size()) {
      throw EvalError(
          fmt::format("cannot unpack {} values into {} names", items.size(), target.parts.size()));
    }
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i], scope);
  }
}

Value Interpreter::lookup(const std::string& name, const Scope& scope) const {
  if (const Value* value = scope.find(name)) return *value;
  if (const Value* global = find_global(name)) return *global;
  return Value::undefined(fmt::format("'{}' is undefined", name));
}

Template::Template(std::string_view source, std::string name) : name_(std::move(name)) {
  if (!is_utf8(source)) throw FormatError(name_, "template", "is not UTF-8");
  body_ = std::make_shared<const std::vector<Node>>(parse(source, name_));
}

Text Template::render(const Value& variables, const RenderOptions& options) const {
  return Interpreter(name_, options).render(*body_, variables);
}

}  // namespace stepstone::jinja
