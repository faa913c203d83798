// Runs a parsed template under its budgets.
#pragma once

#include <ctime>
#include <optional>
#include <string>

#include "jinja/ast.h"
#include "jinja/template.h"

namespace stepstone::jinja {

class Interpreter {
 public:
  Interpreter(const std::string& name, const RenderOptions& options)
      : name_(name), options_(options) {}

  // Throws what Template::render() throws.
  Text render(const Block& body, const Value& variables);

  // For built-in functions.
  void work(std::uint64_t units);              // counts against the steps
  void work_on(const Value& value);            // the same, by size
  void check_size(std::uint64_t bytes) const;  // of a string about to be made
  Value call(const Value& function, const Arguments& arguments);
  std::time_t now() const;
  // What raise_exception() throws: the template refuses the input.
  [[noreturn]] void refuse(const std::string& message) const;

 private:
  enum class Flow : std::uint8_t { normal, leave, next };
  struct Scope {
    Scope* parent = nullptr;
    std::vector<std::pair<std::string, Value>> variables = {};
    const Value* find(const std::string& name) const;
    void set(const std::string& name, Value value);
  };
  struct Loop;
  // One more level of evaluation while it lives.
  class Deeper {
   public:
    explicit Deeper(Interpreter& interpreter);
    ~Deeper() { --interpreter_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Interpreter& interpreter_;
  };

  Flow run(const Block& block, Scope& scope);
  Flow run_node(const Node& node, Scope& scope);
  Flow branch(const Node& node, Scope& scope);
  Flow loop(const Node& node, Scope& scope);
  void run_loop(const Node& node, const Value& over, Scope& scope, int depth);
  Value loop_value(const Node& node, Loop& state, Scope& scope);
  Value call_macro(const MacroNode& macro, const Arguments& arguments, Scope& scope);
  Value macro_value(const MacroNode& macro, Scope& scope);
  Value call_block(const Node& node, Scope& scope);
  Text captured(const Block& block, Scope& scope);
  void assign(const Target& target, Value value, Scope& scope);
  void write(const Text& text);

  Value eval(const Expr& expr, Scope& scope);
  Value eval_part(const Expr& expr, std::size_t part, Scope& scope);
  Value call_expr(const Expr& expr, Scope& scope);
  Value filtered(const Expr* expr, Value value, Scope& scope);
  Value compare(const Expr& expr, Scope& scope);
  Value collect(const Expr& expr, Scope& scope);
  Value concat(const Expr& expr, Scope& scope);
  Value lookup(const std::string& name, const Scope& scope) const;
  void work_of_lookup(const Value& object);
  Arguments evaluate(const CallArguments& arguments, Scope& scope);

  const std::string& name_;
  const RenderOptions& options_;
  Text* out_ = nullptr;
  Place place_;
  std::uint64_t steps_ = 0;
  int depth_ = 0, generation_ = 0;
};

// range, dict, namespace, joiner, raise_exception, strftime_now; null for another name.
const Value* find_global(const std::string& name);

}  // namespace stepstone::jinja
