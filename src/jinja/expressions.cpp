#include <fmt/format.h>

#include "jinja/builtins.h"
#include "jinja/interpreter.h"

namespace stepstone::jinja {

Value Interpreter::eval_part(const Expr& expr, std::size_t part, Scope& scope) {
  return expr.parts[part] ? eval(*expr.parts[part], scope) : Value();
}

Value Interpreter::eval(const Expr& expr, Scope& scope) {
  using Kind = Expr::Kind;
  const Deeper deeper(*this);
  work(1);
  // Every operation names itself as the place of an error only once its parts are there.
  const auto at_this = [&] { place_ = expr.place; };
  switch (expr.kind) {
    case Kind::constant:
      return expr.value;
    case Kind::name:
      at_this();
      return lookup(expr.text, scope);
    case Kind::attribute: {
      const Value object = eval_part(expr, 0, scope);
      at_this();
      work_of_lookup(object);
      return get_attribute(object, expr.text);
    }
    case Kind::item: {
      const Value object = eval_part(expr, 0, scope);
      const Value key = eval_part(expr, 1, scope);
      at_this();
      work_of_lookup(object);
      return get_item(object, key);
    }
    case Kind::slice: {
      const Value object = eval_part(expr, 0, scope), first = eval_part(expr, 1, scope);
      const Value last = eval_part(expr, 2, scope), step = eval_part(expr, 3, scope);
      at_this();
      work_on(object);
      return get_slice(object, first, last, step);
    }
    case Kind::call:
      return call_expr(expr, scope);
    case Kind::filter:
      return filtered(&expr, {}, scope);
    case Kind::test: {
      const Value value = eval_part(expr, 0, scope);
      const Arguments arguments = evaluate(expr.arguments, scope);
      at_this();
      work_on(value);
      return find_test(expr.text)(*this, value, arguments);
    }
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
      return collect(expr, scope);
    case Kind::negate:
    case Kind::plus: {
      const Value value = eval_part(expr, 0, scope);
      at_this();
      return arithmetic(*this, expr.kind == Kind::negate ? "-" : "+", std::int64_t{0}, value);
    }
    case Kind::logical_not:
      return !truth(eval_part(expr, 0, scope));
    case Kind::logical_and:
    case Kind::logical_or: {
      Value left = eval_part(expr, 0, scope);
      return truth(left) == (expr.kind == Kind::logical_or) ? left : eval_part(expr, 1, scope);
    }
    case Kind::binary: {
      const Value left = eval_part(expr, 0, scope), right = eval_part(expr, 1, scope);
      at_this();
      return arithmetic(*this, expr.text, left, right);
    }
    case Kind::concat:
      return concat(expr, scope);
    case Kind::compare:
      return compare(expr, scope);
    case Kind::condition:
      if (truth(eval_part(expr, 1, scope))) return eval_part(expr, 0, scope);
      if (expr.parts[2]) return eval_part(expr, 2, scope);
      return Value::undefined(
          "the inline if-expression evaluated to false and no else section was defined");
  }
  return {};
}

Value Interpreter::call_expr(const Expr& expr, Scope& scope) {
  const Value function = eval_part(expr, 0, scope);
  const Arguments arguments = evaluate(expr.arguments, scope);
  place_ = expr.place;
  return call(function, arguments);
}

// `value` through a chain of filters; the innermost one's subject, where it has none, is `value`.
Value Interpreter::filtered(const Expr* expr, Value value, Scope& scope) {
  if (expr == nullptr) return value;
  if (expr->parts[0] && expr->parts[0]->kind != Expr::Kind::filter) {
    value = eval(*expr->parts[0], scope);
  } else {
    value = filtered(expr->parts[0].get(), std::move(value), scope);
  }
  const Arguments arguments = evaluate(expr->arguments, scope);
  place_ = expr->place;
  work_on(value);
  return find_filter(expr->text)(*this, value, arguments);
}

Value Interpreter::compare(const Expr& expr, Scope& scope) {
  Value left = eval_part(expr, 0, scope);
  for (std::size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = eval_part(expr, i + 1, scope);
    place_ = expr.place;
    const std::string& op = expr.operators[i];
    work_on(right);
    const bool holds = op == "=="   ? equal(left, right)
                       : op == "!=" ? !equal(left, right)
                       : op == "<"  ? less(left, right, "<")
                       : op == ">"  ? less(right, left, ">")
                       : op == "<=" ? less(left, right, "<=") || equal(left, right)
                       : op == ">=" ? less(right, left, ">=") || equal(left, right)
                       : op == "in" ? contains(right, left)
                                    : !contains(right, left);
    if (!holds) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::collect(const Expr& expr, Scope& scope) {
  std::vector<Value> items;
  for (std::size_t i = 0; i < expr.parts.size(); ++i) items.push_back(eval_part(expr, i, scope));
  place_ = expr.place;
  if (expr.kind == Expr::Kind::list) return Value::list(std::move(items));
  if (expr.kind == Expr::Kind::tuple) return Value::list(std::move(items), List::Kind::tuple);
  std::vector<std::pair<Value, Value>> pairs;
  for (std::size_t i = 0; i < items.size(); i += 2) {
    bool known = false;
    for (auto& [key, value] : pairs) {
      if (!equal(key, items[i])) continue;
      value = items[i + 1];
      known = true;
    }
    if (!known) pairs.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  }
  return Value::dict(std::move(pairs));
}

Value Interpreter::concat(const Expr& expr, Scope& scope) {
  Text out;
  for (std::size_t i = 0; i < expr.parts.size(); ++i) {
    const Value part = eval_part(expr, i, scope);
    place_ = expr.place;
    work_on(part);
    const Text text = to_text(part);
    check_size(out.size() + text.size());
    out.append(text);
  }
  work(out.size() / 16);
  return out;
}

Arguments Interpreter::evaluate(const CallArguments& arguments, Scope& scope) {
  Arguments out;
  for (const ExprPtr& expr : arguments.positional) out.positional.push_back(eval(*expr, scope));
  for (const auto& [name, expr] : arguments.named) out.named.emplace_back(name, eval(*expr, scope));
  if (arguments.more_positional) {
    for (Value& item : iterate(eval(*arguments.more_positional, scope))) {
      out.positional.push_back(std::move(item));
    }
  }
  if (arguments.more_named) {
    const Value more = eval(*arguments.more_named, scope);
    const auto* dict = more.get_if<Dict>();
    if (dict == nullptr) throw EvalError("the argument after ** must be a mapping");
    for (const auto& [key, value] : dict->items) {
      out.named.emplace_back(to_text(key).bytes, value);
    }
  }
  return out;
}

}  // namespace stepstone::jinja
