#include "grammar/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "grammar/integer_range.h"
#include "grammar/matcher.h"
#include "io/json.h"
#include "tokenizer/train_bpe.h"

namespace stepstone {
namespace {

std::shared_ptr<const TokenTree> byte_tree() {
  static const auto tree = std::make_shared<const TokenTree>(Tokenizer::bytes());
  return tree;
}

GrammarMatcher matcher_of(Grammar grammar) {
  return {std::make_shared<const Grammar>(std::move(grammar)), byte_tree()};
}

bool matches(GrammarMatcher& matcher, std::string_view text) {
  matcher.reset();
  return matcher.accept_bytes(text) && matcher.may_end();
}

void expect(Grammar grammar, const std::vector<std::string>& right,
            const std::vector<std::string>& wrong) {
  GrammarMatcher matcher = matcher_of(std::move(grammar));
  for (const std::string& text : right) EXPECT_TRUE(matches(matcher, text)) << text;
  for (const std::string& text : wrong) EXPECT_FALSE(matches(matcher, text)) << text;
}

std::string problem_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const UsageError& e) {
    return e.what();
  }
  return "";
}

TEST(Gbnf, FollowsItsNotation) {
  const auto sums = Grammar::from_gbnf(R"gbnf(# sums
root ::= (expr "=" ws num "\n")+
expr ::= term ([-+*/] term)*   # a comment
term ::= num | "(" ws expr ")" ws
num  ::= [0-9]+ ws
ws   ::= [ \t]*
)gbnf");
  expect(sums, {"1=1\n", "(1+2)*30 = 90\n1=1\n", "((7)) =7\n"}, {"", "1=1", "1+=1\n", "(1=1\n"});
  expect(Grammar::from_gbnf("root ::= \"a\"{2,3} (\"b\" |\n \"c\"){2} \"d\"{1,} .?"),
         {"aabbd", "aaacbdd", "aabcd界"}, {"abbd", "aaaabbd", "aabd", "aabbde1"});
  expect(Grammar::from_gbnf("root ::= [^a-c\\]\\u4e00] \"\\x41\\\"\""), {"dA\"", "界A\""},
         {"aA\"", "]A\"", "一A\""});
}

TEST(Gbnf, NamesThePlaceOfAMistake) {
  const auto problem = [](std::string_view text) {
    return problem_of([&] { Grammar::from_gbnf(text); });
  };
  EXPECT_THAT(problem("root ::= \"a"), testing::HasSubstr("line 1, column 12"));
  EXPECT_THAT(problem("root ::= a\n"), testing::HasSubstr("\"a\" is used but not defined"));
  EXPECT_THAT(problem("a ::= \"x\""), testing::HasSubstr("no rule \"root\""));
  EXPECT_THAT(problem("root ::= \"x\"\nroot ::= \"y\""), testing::HasSubstr("line 2"));
  EXPECT_THAT(problem("root ::= [z-a]"), testing::HasSubstr("ends before it begins"));
  EXPECT_THAT(problem("root ::= root \"a\" | \"b\""), testing::HasSubstr("begin with itself"));
  EXPECT_THAT(problem("root ::= (\"a\"?)*"), testing::HasSubstr("begin with itself"));
  EXPECT_THAT(problem("root ::= a\na ::= \"x\"? b\nb ::= a"), testing::HasSubstr("itself"));
  EXPECT_THAT(problem("root ::= \"a\"{3,2}"), testing::HasSubstr("repetition"));
  EXPECT_THAT(problem("root ::= \"a\"{99999}"), testing::HasSubstr("more than"));
  EXPECT_THAT(problem("root ::= ((\"a\"{9999}){9999})"), testing::HasSubstr("larger than"));
  EXPECT_THAT(problem(std::string("root ::= ") + std::string(5000, '(')),
              testing::HasSubstr("nested"));
  EXPECT_THAT(problem("root ::= \"\xFF\""), testing::HasSubstr("UTF-8"));
}

// Characters at every border of UTF-8's lengths and of the ranges, against the ranges themselves.
TEST(Grammar, ClassesMatchWholeCharacters) {
  const std::vector<std::vector<Expression::Range>> classes = {
      {{0x61, 0x7A}},
      {{0x7F, 0x80}},
      {{0x400, 0x8FF}},
      {{0xFFF, 0x1000}},
      {{0xE000, 0x1F600}},
      {{0x3042, 0x3042}},
      {{0, 0xD7FF}, {0xE000, 0x10FFFF}},
      {{0x7C0, 0x7FF}, {0x10000, 0x10FFFF}},
      {{0x12345, 0x6789A}}};
  Random random(5);
  for (const auto& ranges : classes) {
    Rules rules;
    rules.add("root", Expression::characters(ranges));
    GrammarMatcher matcher = matcher_of(Grammar(rules));
    std::vector<char32_t> tried = {0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF};
    for (const auto& [low, high] : ranges) {
      for (const char32_t c : {low, high}) {
        for (int d = -65; d <= 65; ++d) tried.push_back(c + static_cast<char32_t>(d));
      }
    }
    for (int i = 0; i < 2000; ++i) tried.push_back(static_cast<char32_t>(random.below(0x110000)));
    for (const char32_t c : tried) {
      if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) continue;
      std::string text;
      for (const auto& [bits, lead] : {std::pair{7, 0}, {11, 0xC0}, {16, 0xE0}, {21, 0xF0}}) {
        if (c >> bits != 0) continue;
        const int more = (bits - 6) / 5;
        text += static_cast<char>(static_cast<char32_t>(lead) | c >> (6 * more));
        for (int k = more - 1; k >= 0; --k)
          text += static_cast<char>(0x80 | ((c >> (6 * k)) & 0x3F));
        break;
      }
      const bool inside = std::any_of(ranges.begin(), ranges.end(),
                                      [c](const auto& r) { return r.first <= c && c <= r.second; });
      EXPECT_EQ(matches(matcher, text), inside) << std::hex << static_cast<unsigned>(c);
    }
  }
}

TEST(Grammar, IntegerRangesAreExact) {
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    std::int64_t low = static_cast<std::int64_t>(random.below(2400)) - 1200;
    std::int64_t high = static_cast<std::int64_t>(random.below(2400)) - 1200;
    if (low > high) std::swap(low, high);
    const bool no_low = round % 5 == 0, no_high = round % 7 == 0;
    Rules rules;
    rules.add("root", integer_range(no_low ? std::nullopt : std::optional(low),
                                    no_high ? std::nullopt : std::optional(high)));
    GrammarMatcher matcher = matcher_of(Grammar(rules));
    for (std::int64_t n = -1300; n <= 1300; ++n) {
      EXPECT_EQ(matches(matcher, std::to_string(n)), (no_low || n >= low) && (no_high || n <= high))
          << n << " in " << low << ".." << high;
    }
    for (const char* bad : {"007", "-0", "+1", "", "-", "1.0"}) EXPECT_FALSE(matches(matcher, bad));
  }
}

TEST(Regex, KnowsTheUsualConstructs) {
  expect(Grammar::from_regex(R"(^\d{3}-[A-Z_]+(?:x|yy)?$)"), {"123-A", "000-_Byy", "999-Zx"},
         {"12-A", "123-a", "123-Ay", "x123-A"});
  expect(Grammar::from_regex(R"([^\s\d]+\.\w*?)"), {"界.", "ab.c9_"}, {"a b.c", "1.x", "ab"});
  expect(Grammar::from_regex("a|b*|"), {"", "a", "bbb"}, {"ab"});
  for (const char* bad :
       {"(?=a)", "a\\b", "(a", "a)", "[a", "*a", "a{2", "a{3,1}", "\\1", "[b-a]"}) {
    EXPECT_NE(problem_of([&] { Grammar::from_regex(bad); }), "") << bad;
  }
}

Grammar schema(std::string_view text) { return Grammar::from_json_schema(text); }

TEST(JsonSchema, ObjectsHaveTheirMembersInOrder) {
  const char* person = R"({"type": "object", "title": "Person",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
                   "email": {"type": ["string", "null"]}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2}},
    "required": ["name", "email"]})";
  expect(schema(person),
         {R"({"name": "Al","email": null})",
          R"({"name":"\u00e9\n","age":130,"email":"x","tags":["a","b"]})",
          "{\n  \"name\":\"\",\n  \"email\":null,\n  \"tags\":[]\n}"},
         {"{}", R"({"name": "Al"})", R"({"email": null,"name": "Al"})",
          R"({"name":"Al","age":131,"email":null})", R"({"name":"Al","email":null,"tags":["c"]})",
          R"({"name":"Al","email":null,"tags":["a","a","a"]})",
          R"({"name":"Al","email":null,"more":1})", R"({"name":"Al","email":null,})", "[]"});
  expect(
      schema(
          R"({"properties": {"a": {}}, "required": ["a"], "additionalProperties": {"type": "null"}})"),
      {R"({"a":[1,{"x":-2.5e3}]})", R"({"a":1,"z":null})"},
      {R"({"z":null,"a":1})", R"({"a":1,"z":2})"});
}

TEST(JsonSchema, ReferencesMayRecurse) {
  expect(schema(R"({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object",
      "properties": {"leaf": {"const": {"x": 1}}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "minItems": 1}}}}})"),
         {"{}", R"({"children":[{},{"leaf":{"x":1}}]})"},
         {R"({"children":[]})", R"({"children":[1]})"});
  expect(
      schema(
          R"({"allOf": [{"$ref": "#/definitions/a"}, {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}],
      "definitions": {"a": {"properties": {"a": {"type": "null"}}, "required": ["a"]}}})"),
      {R"({"a":null,"b":true})"}, {R"({"a":null})"});
  // As pydantic wrote a field of the class itself.
  expect(schema(R"({"properties": {"next": {"title": "Next", "allOf": [{"$ref": "#"}]}}})"),
         {"{}", R"({"next":{"next":{}}})"}, {R"({"next":1})"});
}

TEST(JsonSchema, StringsNumbersAndArrays) {
  expect(schema(R"({"type": "string", "pattern": "^[a-z\"]+\\d$"})"), {R"("abc1")"},
         {R"("abc")", R"("a"1")"});
  expect(schema(R"({"type": "string", "minLength": 2, "maxLength": 3})"), {R"("界\n")", R"("abc")"},
         {R"("a")", R"("abcd")"});
  expect(schema(R"({"type": "string", "format": "date-time"})"), {R"("2024-12-31T23:59:00Z")"},
         {R"("2024-02-30T00:00:00Z")"});
  expect(schema(R"({"type": "number"})"), {"0", "-1.5", "12e+3"}, {"01", "1.", ".5", "+1", "--1"});
  expect(schema(R"({"prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": false})"),
         {"[1,true]", "[ -7, false]"}, {"[1]", "[1,true,2]"});
  expect(schema(R"({"oneOf": [{"const": "x y"}, {"type": "null"}]})"), {R"("x y")", "null"},
         {"x y"});
  expect(schema("true"), {"{}", "[[]]", R"({"a":{"b":[1,"x",null]}})"},
         {"", "{a:1}", R"(["\ud800"])"});
}

TEST(JsonSchema, RefusesWhatItCannotPromise) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"type": "objekt"})", "objekt"},
      {R"({"properties": {"a": {"not": {}}}})", "#/properties/a: \"not\""},
      {R"({"$ref": "http://x"})", "outside"},
      {R"({"$ref": "#/nowhere"})", "nowhere"},
      {R"({"$ref": "#"})", "schema: #: its $ref leads back to itself"},
      {R"({"properties": {"a": {"$ref": "#/properties/a"}}})",
       "schema: #/properties/a: its $ref leads back to itself"},
      {R"({"allOf": [{"$ref": "#"}]})", "schema: #: its $ref leads back to itself"},
      {R"({"allOf": [{"$ref": "#"}, {"type": "object"}]})", "without end"},
      {R"({"allOf": [{"$ref": "#/$defs/x"}, {}], "$defs": {"x": {"allOf": [{"$ref": "#/$defs/x"}, {}]}}})",
       "without end"},
      {R"({"$ref": "#/$defs/x", "$defs": {"x": {"allOf": [{"type": "object"}, {"properties": {
           "a": {"allOf": [{"$ref": "#/$defs/x"}, {"required": []}]},
           "b": {"allOf": [{"$ref": "#/$defs/x"}, {"required": []}]}}}]}}})",
       "without end"},
      {R"({"type": "string", "pattern": "(a*)*"})", "schema: a pattern repeats"},
      {R"({"required": ["x"]})", "not among"},
      {R"({"type": "integer", "minimum": 5, "maximum": 4})", "no integer"},
      {R"({"type": "number", "maximum": 4})", "maximum"},
      {R"({"enum": []})", "enum"},
      {"false", "allows nothing"},
      {R"({"type": "array", "minItems": 3, "maxItems": 2})", "below"},
      {R"({"type": "string", "maxLength": 1000000})", "maxLength"}};
  for (const auto& [text, part] : cases) {
    EXPECT_THAT(problem_of([&] { schema(text); }), testing::HasSubstr(part)) << text;
  }
  EXPECT_THROW(schema("{"), FormatError);
}

// Whatever a model chooses among the allowed bytes, the text stays valid and can be finished.
TEST(GrammarMatcher, RandomTextsAreValid) {
  const char* text =
      R"({"type": "object", "properties": {"s": {"type": "string"}, "n": {"type": "number"},
      "list": {"type": "array", "items": {"type": "object"}}, "any": {}}, "required": ["s", "any"]})";
  GrammarMatcher matcher = matcher_of(schema(text));
  Random random(11);
  int finished = 0;
  for (int round = 0; round < 300; ++round) {
    matcher.reset();
    std::string written;
    for (int i = 0; i < 400; ++i) {
      const auto allowed = matcher.allowed();
      if (allowed.empty()) break;
      const std::int32_t id = allowed[random.below(allowed.size())];
      ASSERT_TRUE(matcher.accept(id));
      written += static_cast<char>(id);
    }
    if (!matcher.may_end()) continue;
    ++finished;
    const Json value = parse_json(written, "written");
    EXPECT_TRUE(value.contains("s") && value.contains("any")) << written;
  }
  EXPECT_GT(finished, 5);
}

// The tree over the vocabulary finds what trying every token finds.
TEST(GrammarMatcher, AllowsTheTokensThatFit) {
  int texts = 0;
  const Tokenizer tokenizer = train_bpe(
      [&texts](std::string& text) {
        text = "the cat and the dog ate 12 and 123 apples!! 世界，世界! the and 12! ";
        return texts++ < 3;
      },
      {.vocab_size = 320, .special_tokens = {"<|im_end|>"}});
  const auto tree = std::make_shared<const TokenTree>(tokenizer);
  const auto grammar = std::make_shared<const Grammar>(Grammar::from_gbnf(
      "root ::= (word \" \")* [0-9]+ \"!\"?\nword ::= [a-zA-Z]+ | [^a-zA-Z0-9 ]{2}"));
  for (const char* before : {"", "the ", "a", "12", "12!", "the a1", "界"}) {
    GrammarMatcher matcher(grammar, tree);
    if (!matcher.accept_bytes(before)) continue;
    std::vector<std::int32_t> fit;
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      GrammarMatcher trial(grammar, tree);
      trial.accept_bytes(before);
      if (!tokenizer.token_bytes(id).empty() && trial.accept(id)) fit.push_back(id);
    }
    EXPECT_THAT(matcher.allowed(), testing::ElementsAreArray(fit)) << before;
  }
}

// How many of `text`'s bytes are taken, each after a look at what may come.
int taken(GrammarMatcher& matcher, std::string_view text) {
  int count = 0;
  for (const char c : text) {
    matcher.allowed();
    if (!matcher.accept(static_cast<unsigned char>(c))) break;
    ++count;
  }
  return count;
}

TEST(GrammarMatcher, TimeIsCapped) {
  // Its states hold every pair of an outer and an inner count.
  const auto pairs =
      std::make_shared<const Grammar>(Grammar::from_gbnf("root ::= (x{1,90}){1,90}\nx ::= [ -~]"));
  const std::string text(400, 'a');
  GrammarMatcher costly(pairs, byte_tree(), {.token = 100'000});
  EXPECT_THAT(problem_of([&] { taken(costly, text); }), testing::HasSubstr("for a token"));
  GrammarMatcher generous(pairs, byte_tree(), {.token = 1'000'000'000, .text = 1'000'000});
  EXPECT_THAT(problem_of([&] { taken(generous, text); }), testing::HasSubstr("for a text"));
  EXPECT_GT(generous.spent(), 1'000'000);
  generous.reset();  // gives the budget back
  EXPECT_EQ(taken(generous, "aa"), 2);
  // What people ask for takes little of it.
  GrammarMatcher usual(std::make_shared<const Grammar>(
                           schema(R"({"type": "string", "minLength": 300, "maxLength": 400})")),
                       byte_tree());
  EXPECT_EQ(taken(usual, "\"" + text + "\""), 402);
  EXPECT_LT(usual.spent(), GrammarBudget{}.text / 20);
}

TEST(GrammarMatcher, MemoryStaysBoundedOnLongTexts) {
  // Every depth of the nesting is another state.
  GrammarMatcher matcher = matcher_of(Grammar::from_gbnf("root ::= \"(\" root \")\" | \"x\""));
  for (int i = 0; i < 50'000; ++i) ASSERT_TRUE(matcher.accept_bytes("("));
  ASSERT_TRUE(matcher.accept_bytes("x"));
  for (int i = 0; i < 50'000; ++i) ASSERT_TRUE(matcher.accept_bytes(")"));
  EXPECT_TRUE(matcher.may_end());
  EXPECT_FALSE(matcher.accept_bytes(")"));
}

}  // namespace
}  // namespace stepstone
