// Filters, tests, methods and global functions, by name.
#pragma once

#include <string>
#include <string_view>

#include "jinja/value.h"

namespace stepstone::jinja {

// What a filter or test is called with: the value, then the arguments.
using Filter = Value (*)(Interpreter&, const Value&, const Arguments&);
using Test = bool (*)(Interpreter&, const Value&, const Arguments&);

// Null where there is none of the name.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);

// The method `name` of a string, list or dict, bound to it; undefined where it has none. What
// would change a value is refused, as by Jinja's immutable sandbox.
Value find_method(const Value& self, const std::string& name);
// object.name
Value get_attribute(const Value& object, const std::string& name);
// object[key]
Value get_item(const Value& object, const Value& key);
Value get_slice(const Value& object, const Value& first, const Value& last, const Value& step);

// a op b for + - * / // % **
Value arithmetic(Interpreter& interpreter, std::string_view op, const Value& a, const Value& b);
// Python's "…" % arguments.
Text format_percent(const Text& format, const Value& arguments);

}  // namespace stepstone::jinja
