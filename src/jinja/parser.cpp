#include "jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "jinja/builtins.h"
#include "jinja/lexer.h"

namespace stepstone::jinja {
namespace {

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& name)
      : tokens_(std::move(tokens)), name_(name) {}

  Block run() {
    Block body = block({});
    if (now().kind != Token::Kind::end) fail("unexpected tag");
    return body;
  }

 private:
  using Kind = Expr::Kind;

  // One more level of nesting while it lives.
  struct Level {
    explicit Level(Parser& parser) : parser_(parser) {
      if (++parser_.level_ > kMaxNesting) parser_.fail("nests too deep");
    }
    ~Level() { --parser_.level_; }
    Parser& parser_;
  };

  const Token& now() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() {
    Token token = now();
    if (token.kind != Token::Kind::end) ++at_;
    return token;
  }
  [[noreturn]] void fail(std::string_view problem) const {
    syntax_error(name_, now().place, problem);
  }
  [[noreturn]] void unexpected(std::string_view wanted) const {
    const char* const what = now().kind == Token::Kind::end          ? "the end of the template"
                             : now().kind == Token::Kind::block_end  ? "the end of the tag"
                             : now().kind == Token::Kind::output_end ? "the end of the output"
                                                                     : now().text.c_str();
    fail(fmt::format("expected {}, found {}", wanted, what));
  }
  bool is_op(std::string_view text) const {
    return now().kind == Token::Kind::op && now().text == text;
  }
  bool is_name(std::string_view text) const {
    return now().kind == Token::Kind::name && now().text == text;
  }
  bool skip_op(std::string_view text) { return is_op(text) && (++at_, true); }
  bool skip_name(std::string_view text) { return is_name(text) && (++at_, true); }
  void expect_op(std::string_view text) {
    if (!skip_op(text)) unexpected(fmt::format("'{}'", text));
  }
  std::string expect_name(std::string_view what) {
    if (now().kind != Token::Kind::name) unexpected(what);
    return take().text;
  }
  void expect(Token::Kind kind, std::string_view what) {
    if (now().kind != kind) unexpected(what);
    ++at_;
  }

  // A node over `parts`, none of which may make the tree too deep.
  template <typename... Parts>
  ExprPtr make(Kind kind, Place place, std::string text, Parts... parts) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->place = place;
    expr->text = std::move(text);
    (add(*expr, std::move(parts)), ...);
    return expr;
  }
  void deepen(Expr& expr, const ExprPtr& part) const {
    if (part == nullptr) return;
    expr.depth = std::max(expr.depth, part->depth + 1);
    if (expr.depth > 2 * kMaxNesting) syntax_error(name_, expr.place, "an expression is too deep");
  }
  void add(Expr& expr, ExprPtr part) const {
    deepen(expr, part);
    expr.parts.push_back(std::move(part));
  }

  static Node node_at(Node::Kind kind, Place place) {
    Node node;
    node.kind = kind;
    node.place = place;
    return node;
  }

  // Statements up to a tag that begins with one of `ends`, which is left to be read; its
  // block_begin is not.
  Block block(std::initializer_list<std::string_view> ends) {
    const Level level(*this);
    Block body;
    while (now().kind != Token::Kind::end) {
      const Place place = now().place;
      if (now().kind == Token::Kind::data) {
        Node node = node_at(Node::Kind::text, place);
        node.text = Text(take().text);
        body.push_back(std::move(node));
      } else if (now().kind == Token::Kind::output_begin) {
        ++at_;
        Node node = node_at(Node::Kind::output, place);
        node.expr = tuple_or_one();
        body.push_back(std::move(node));
        expect(Token::Kind::output_end, "the end of the output");
      } else {
        ++at_;
        if (now().kind == Token::Kind::name &&
            std::find(ends.begin(), ends.end(), now().text) != ends.end()) {
          return body;
        }
        body.push_back(statement());
        expect(Token::Kind::block_end, "the end of the tag");
      }
    }
    if (ends.size() > 0) unexpected(fmt::format("{{% {} %}}", *(ends.end() - 1)));
    return body;
  }
  // The statements of a tag that ends with `end`.
  Block body_until(std::string_view end) {
    expect(Token::Kind::block_end, "the end of the tag");
    Block body = block({end});
    ++at_;
    return body;
  }

  Node statement() {
    Node node;
    node.place = now().place;
    const std::string tag = expect_name("the name of a tag");
    if (tag == "if") {
      branch(node);
    } else if (tag == "for") {
      loop(node);
    } else if (tag == "set") {
      set(node);
    } else if (tag == "macro") {
      node.kind = Node::Kind::macro;
      node.macro = std::make_shared<MacroNode>();
      node.macro->name = expect_name("the name of the macro");
      macro(*node.macro, "endmacro");
    } else if (tag == "call") {
      call(node);
    } else if (tag == "with") {
      with(node);
    } else if (tag == "filter") {
      node.kind = Node::Kind::filter;
      node.expr = filters(nullptr, true);
      node.body = body_until("endfilter");
    } else if (tag == "generation") {
      node.kind = Node::Kind::generation;
      node.body = body_until("endgeneration");
    } else if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail(fmt::format("'{}' outside a loop", tag));
      node.kind = tag == "break" ? Node::Kind::break_loop : Node::Kind::continue_loop;
    } else {
      --at_;
      fail(fmt::format("unknown tag '{}'", tag));
    }
    return node;
  }

  void branch(Node& node) {
    node.kind = Node::Kind::branch;
    while (true) {
      ExprPtr condition = tuple_or_one();
      expect(Token::Kind::block_end, "the end of the tag");
      node.arms.emplace_back(std::move(condition), block({"elif", "else", "endif"}));
      const std::string tag = take().text;
      if (tag == "elif") continue;
      if (tag == "else") node.arms.emplace_back(nullptr, body_until("endif"));
      return;
    }
  }

  void loop(Node& node) {
    node.kind = Node::Kind::loop;
    node.target = target(false);
    if (!skip_name("in")) unexpected("'in'");
    node.expr = tuple_or_one(false, "recursive");
    if (skip_name("if")) node.condition = expression();
    node.recursive = skip_name("recursive");
    expect(Token::Kind::block_end, "the end of the tag");
    ++loops_;
    node.body = block({"else", "endfor"});
    --loops_;
    if (take().text == "else") node.otherwise = body_until("endfor");
  }

  void set(Node& node) {
    node.target = target(true);
    if (skip_op("=")) {
      node.kind = Node::Kind::set;
      node.expr = tuple_or_one();
      return;
    }
    node.kind = Node::Kind::set_block;
    node.expr = filters(nullptr, false);
    node.body = body_until("endset");
  }

  void macro(MacroNode& macro, std::string_view end) {
    expect_op("(");
    while (!is_op(")")) {
      if (!macro.parameters.empty()) expect_op(",");
      Parameter parameter{.name = expect_name("a parameter"), .fallback = nullptr};
      if (skip_op("=")) {
        parameter.fallback = expression();
      } else if (!macro.parameters.empty() && macro.parameters.back().fallback) {
        fail("a parameter without a default follows one with a default");
      }
      macro.parameters.push_back(std::move(parameter));
    }
    ++at_;
    macro_body(macro, end);
  }
  // Which of the special names its body uses decides what a macro takes.
  void macro_body(MacroNode& macro, std::string_view end) {
    const std::size_t begin = at_;
    const int loops = std::exchange(loops_, 0);
    macro.body = body_until(end);
    loops_ = loops;
    for (std::size_t i = begin; i < at_; ++i) {
      if (tokens_[i].kind != Token::Kind::name) continue;
      macro.takes_varargs |= tokens_[i].text == "varargs";
      macro.takes_kwargs |= tokens_[i].text == "kwargs";
      macro.takes_caller |= tokens_[i].text == "caller";
    }
  }

  void call(Node& node) {
    node.kind = Node::Kind::call;
    node.macro = std::make_shared<MacroNode>();
    node.macro->name = "caller";
    if (is_op("(")) {
      // The parameters come before the expression, the body after it.
      ++at_;
      while (!is_op(")")) {
        if (!node.macro->parameters.empty()) expect_op(",");
        Parameter parameter{.name = expect_name("a parameter"), .fallback = nullptr};
        if (skip_op("=")) parameter.fallback = expression();
        node.macro->parameters.push_back(std::move(parameter));
      }
      ++at_;
    }
    node.expr = expression();
    if (node.expr->kind != Kind::call) fail("expected a call");
    macro_body(*node.macro, "endcall");
  }

  void with(Node& node) {
    node.kind = Node::Kind::with;
    while (now().kind != Token::Kind::block_end) {
      if (!node.assignments.empty()) expect_op(",");
      Target name = target(false);
      expect_op("=");
      node.assignments.emplace_back(std::move(name), expression());
    }
    node.body = body_until("endwith");
  }

  Target target(bool with_attribute) {
    const Level level(*this);
    const auto one = [&] {
      Target part;
      if (skip_op("(")) {
        part = target(false);
        expect_op(")");
        return part;
      }
      part.name = expect_name("a name to assign to");
      if (with_attribute && skip_op(".")) part.attribute = expect_name("an attribute");
      return part;
    };
    Target first = one();
    if (!is_op(",")) return first;
    Target all;
    all.parts.push_back(std::move(first));
    while (skip_op(",")) {
      if (now().kind != Token::Kind::name && !is_op("(")) break;
      if (is_name("in")) break;
      all.parts.push_back(one());
    }
    return all;
  }

  ExprPtr tuple_or_one(bool with_condition = true, std::string_view end = {}) {
    const Place place = now().place;
    const auto at_tuple_end = [&] {
      return now().kind == Token::Kind::output_end || now().kind == Token::Kind::block_end ||
             is_op(")") || (!end.empty() && is_name(end));
    };
    ExprPtr first = with_condition ? expression() : logical_or();
    if (!is_op(",")) return first;
    ExprPtr tuple = make(Kind::tuple, place, "", std::move(first));
    while (skip_op(",") && !at_tuple_end()) {
      add(*tuple, with_condition ? expression() : logical_or());
    }
    return tuple;
  }

  ExprPtr expression() {
    const Level level(*this);
    ExprPtr left = logical_or();
    while (is_name("if")) {
      const Place place = take().place;
      ExprPtr condition = logical_or();
      ExprPtr otherwise = skip_name("else") ? expression() : nullptr;
      left = make(Kind::condition, place, "", std::move(left), std::move(condition),
                  std::move(otherwise));
    }
    return left;
  }
  ExprPtr logical_or() {
    ExprPtr left = logical_and();
    while (is_name("or")) {
      const Place place = take().place;
      left = make(Kind::logical_or, place, "", std::move(left), logical_and());
    }
    return left;
  }
  ExprPtr logical_and() {
    ExprPtr left = logical_not();
    while (is_name("and")) {
      const Place place = take().place;
      left = make(Kind::logical_and, place, "", std::move(left), logical_not());
    }
    return left;
  }
  ExprPtr logical_not() {
    if (!is_name("not")) return compare();
    const Level level(*this);
    const Place place = take().place;
    return make(Kind::logical_not, place, "", logical_not());
  }
  // The comparison that stands here, or nothing.
  std::string comparison() {
    if (now().kind == Token::Kind::op) {
      for (const char* op : {"==", "!=", "<", "<=", ">", ">="}) {
        if (skip_op(op)) return op;
      }
    }
    if (skip_name("in")) return "in";
    if (is_name("not") && next().kind == Token::Kind::name && next().text == "in") {
      at_ += 2;
      return "not in";
    }
    return {};
  }
  ExprPtr compare() {
    const Place place = now().place;
    ExprPtr first = sum();
    std::string op = comparison();
    if (op.empty()) return first;
    ExprPtr expr = make(Kind::compare, place, "", std::move(first));
    for (; !op.empty(); op = comparison()) {
      expr->operators.push_back(op);
      add(*expr, sum());
    }
    return expr;
  }
  ExprPtr sum() {
    ExprPtr left = concat();
    while (is_op("+") || is_op("-")) {
      Token op = take();
      left = make(Kind::binary, op.place, op.text, std::move(left), concat());
    }
    return left;
  }
  ExprPtr concat() {
    ExprPtr first = product();
    if (!is_op("~")) return first;
    ExprPtr expr = make(Kind::concat, now().place, "", std::move(first));
    while (skip_op("~")) add(*expr, product());
    return expr;
  }
  ExprPtr product() {
    ExprPtr left = power();
    while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
      Token op = take();
      left = make(Kind::binary, op.place, op.text, std::move(left), power());
    }
    return left;
  }
  ExprPtr power() {
    ExprPtr left = unary(true);
    while (is_op("**")) {
      Token op = take();
      left = make(Kind::binary, op.place, op.text, std::move(left), unary(true));
    }
    return left;
  }
  ExprPtr unary(bool with_filters) {
    const Level level(*this);
    ExprPtr expr;
    if (is_op("-") || is_op("+")) {
      const Token op = take();
      expr = make(op.text == "-" ? Kind::negate : Kind::plus, op.place, "", unary(false));
    } else {
      expr = primary();
    }
    expr = postfix(std::move(expr));
    return with_filters ? filters_and_tests(std::move(expr)) : std::move(expr);
  }

  ExprPtr constant(Place place, Value value) const {
    ExprPtr expr = make(Kind::constant, place, "");
    expr->value = std::move(value);
    return expr;
  }
  ExprPtr number(const Token& token) const {
    const char* const end = token.text.data() + token.text.size();
    if (token.kind == Token::Kind::integer) {
      std::int64_t value = 0;
      if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
        syntax_error(name_, token.place, "a number beyond 64 bits");
      }
      return constant(token.place, value);
    }
    double value = 0;
    if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
      syntax_error(name_, token.place, "a number out of range");
    }
    return constant(token.place, value);
  }
  ExprPtr primary() {
    const Token token = take();
    switch (token.kind) {
      case Token::Kind::name:
        if (token.text == "true" || token.text == "True") return constant(token.place, true);
        if (token.text == "false" || token.text == "False") return constant(token.place, false);
        if (token.text == "none" || token.text == "None") return constant(token.place, Value());
        return make(Kind::name, token.place, token.text);
      case Token::Kind::string: {
        std::string text = token.text;
        while (now().kind == Token::Kind::string) text += take().text;
        return constant(token.place, Text(text));
      }
      case Token::Kind::integer:
      case Token::Kind::real:
        return number(token);
      default:
        break;
    }
    if (token.kind == Token::Kind::op) {
      if (token.text == "(") {
        if (skip_op(")")) return make(Kind::tuple, token.place, "");
        ExprPtr expr = tuple_or_one();
        expect_op(")");
        return expr;
      }
      if (token.text == "[") return items(Kind::list, token.place, "]");
      if (token.text == "{") return items(Kind::dict, token.place, "}");
    }
    if (token.kind != Token::Kind::end) --at_;
    unexpected("an expression");
  }
  ExprPtr items(Kind kind, Place place, std::string_view end) {
    ExprPtr expr = make(kind, place, "");
    while (!is_op(end)) {
      if (!expr->parts.empty()) expect_op(",");
      if (is_op(end)) break;
      add(*expr, expression());
      if (kind == Kind::dict) {
        expect_op(":");
        add(*expr, expression());
      }
    }
    ++at_;
    return expr;
  }

  ExprPtr postfix(ExprPtr expr) {
    while (true) {
      const Place place = now().place;
      if (skip_op(".")) {
        if (now().kind == Token::Kind::integer) {
          expr = make(Kind::item, place, "", std::move(expr), number(take()));
        } else {
          expr = make(Kind::attribute, place, expect_name("an attribute"), std::move(expr));
        }
      } else if (skip_op("[")) {
        expr = subscript(std::move(expr), place);
        expect_op("]");
      } else if (is_op("(")) {
        expr = call_of(std::move(expr));
      } else {
        return expr;
      }
    }
  }
  ExprPtr subscript(ExprPtr expr, Place place) {
    ExprPtr first = is_op(":") ? nullptr : expression();
    if (!is_op(":")) return make(Kind::item, place, "", std::move(expr), std::move(first));
    ++at_;
    ExprPtr last = is_op(":") || is_op("]") ? nullptr : expression();
    ExprPtr step = skip_op(":") && !is_op("]") ? expression() : nullptr;
    return make(Kind::slice, place, "", std::move(expr), std::move(first), std::move(last),
                std::move(step));
  }
  ExprPtr call_of(ExprPtr callee) {
    ExprPtr expr = make(Kind::call, now().place, "", std::move(callee));
    arguments(*expr);
    return expr;
  }
  void arguments(Expr& expr) {
    CallArguments& list = expr.arguments;
    expect_op("(");
    for (bool first = true; !is_op(")"); first = false) {
      if (!first) expect_op(",");
      if (is_op(")")) break;
      ExprPtr* slot = nullptr;
      if (skip_op("**")) {
        slot = &list.more_named;
      } else if (skip_op("*")) {
        slot = &list.more_positional;
      } else if (now().kind == Token::Kind::name && next().kind == Token::Kind::op &&
                 next().text == "=") {
        std::string name = take().text;
        ++at_;
        list.named.emplace_back(std::move(name), nullptr);
        slot = &list.named.back().second;
      } else {
        if (!list.named.empty() || list.more_positional || list.more_named) {
          fail("a positional argument after a named one");
        }
        slot = &list.positional.emplace_back();
      }
      if (*slot != nullptr) fail("an argument list twice");
      ExprPtr value = expression();
      deepen(expr, value);
      *slot = std::move(value);
    }
    ++at_;
  }

  ExprPtr filters_and_tests(ExprPtr expr) {
    while (true) {
      if (is_op("|")) {
        expr = filters(std::move(expr), false);
      } else if (is_name("is")) {
        expr = test(std::move(expr));
      } else if (is_op("(")) {
        expr = call_of(std::move(expr));
      } else {
        return expr;
      }
    }
  }
  // `inline_start`: the first filter stands without its '|'.
  ExprPtr filters(ExprPtr expr, bool inline_start) {
    while (inline_start || is_op("|")) {
      if (!inline_start) ++at_;
      inline_start = false;
      const Place place = now().place;
      std::string name = expect_name("a filter");
      if (find_filter(name) == nullptr) {
        syntax_error(name_, place, fmt::format("no filter named '{}'", name));
      }
      expr = make(Kind::filter, place, std::move(name), std::move(expr));
      if (is_op("(")) arguments(*expr);
    }
    return expr;
  }
  ExprPtr test(ExprPtr subject) {
    const Place place = take().place;
    const bool negated = skip_name("not");
    std::string name = expect_name("a test");
    if (find_test(name) == nullptr) {
      syntax_error(name_, place, fmt::format("no test named '{}'", name));
    }
    ExprPtr expr = make(Kind::test, place, std::move(name), std::move(subject));
    const bool bare_argument =
        now().kind == Token::Kind::string || now().kind == Token::Kind::integer ||
        now().kind == Token::Kind::real || is_op("[") || is_op("{") ||
        (now().kind == Token::Kind::name && !is_name("else") && !is_name("or") && !is_name("and"));
    if (is_op("(")) {
      arguments(*expr);
    } else if (is_name("is")) {
      fail("tests with 'is' cannot be chained");
    } else if (bare_argument && !is_name("if") && !is_name("in") && !is_name("not") &&
               !is_name("recursive")) {
      ExprPtr argument = postfix(primary());
      deepen(*expr, argument);
      expr->arguments.positional.push_back(std::move(argument));
    }
    return negated ? make(Kind::logical_not, place, "", std::move(expr)) : std::move(expr);
  }

  std::vector<Token> tokens_;
  const std::string& name_;
  std::size_t at_ = 0;
  int level_ = 0, loops_ = 0;
};

}  // namespace

Block parse(std::string_view source, const std::string& name) {
  return Parser(tokenize(source, name), name).run();
}

}  // namespace stepstone::jinja
