#include "io/json.h"

#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::message_of;

std::string mismatch(const std::string& text, const std::string& field) {
  return format_error_mismatch([&] { parse_json(text, "f.json"); }, field);
}

TEST(Json, SameAsNlohmann) {
  for (
      const char* text :
      {"{}", "[]", "null", "17", "-3", "1.5e3", "\"x\"", "[[],[[]],{}]",
       R"({"a": [1, {"b": null, "c": [true, false]}, "x"], "d": {"e": {}}, "f": 18446744073709551615})",
       R"(["\u00e9\ud83d\ude00\n", "中文"])", " \n [1 , 2]\t "}) {
    EXPECT_EQ(parse_json(text, "f"), Json::parse(text)) << text;
  }
}

TEST(Json, RefusesWithFieldAndOffset) {
  EXPECT_EQ(mismatch("", "JSON"), "");
  EXPECT_EQ(mismatch("{", "JSON"), "");
  EXPECT_EQ(mismatch("{}x", "JSON"), "");
  EXPECT_EQ(mismatch("{} {}", "JSON"), "");
  EXPECT_EQ(mismatch("// no\n{}", "JSON"), "");
  EXPECT_EQ(mismatch(std::string("{}\0junk", 7), "JSON"), "");
  EXPECT_EQ(mismatch("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "JSON"),
            "");
  EXPECT_EQ(mismatch(R"({"a": 1, "a": 2})", "a"), "");
  EXPECT_EQ(mismatch(R"({"a": {"b": [0, {"c": 1, "c": 1}]}})", "a.b[1].c"), "");
  EXPECT_EQ(mismatch(R"({"a": NaN})", "a"), "");
  EXPECT_EQ(mismatch(R"({"a": Infinity})", "a"), "");
  EXPECT_EQ(mismatch(R"({"a": 1e999})", "a"), "");
  EXPECT_EQ(mismatch(R"({"a": {"b": "\ud800"}})", "a.b"), "");
  EXPECT_EQ(mismatch("{\"a\": \"\xff\"}", "a"), "");
  EXPECT_EQ(mismatch("{\"a\": \"\xc0\x80\"}", "a"), "");
  EXPECT_EQ(mismatch("{\"a\": \"\xed\xa0\x80\"}", "a"), "");
  const std::string message =
      message_of<FormatError>([&] { parse_json(R"({"a": ?})", "some.json"); });
  EXPECT_TRUE(message.starts_with("some.json: a (byte 6): ")) << message;
}

// In our words: what was expected, what was there, where.
TEST(Json, SaysWhatWasExpected) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "f: JSON (byte 0): expected a value, but the text ends"},
      {"{\"a\": tru }", "f: a (byte 6): expected a value, found 'tru'"},
      {"{\"a\": 1,}", "f: a (byte 8): expected a key in quotes, found '}'"},
      {"{\n\"a\" 1}", "f: a (byte 6): line 2: expected ':', found '1'"},
      {"{a: 1}", "f: JSON (byte 1): expected a key in quotes or '}', found 'a'"},
      {"[1 2]", "f: [0] (byte 3): expected ',' or ']', found '2'"},
      {"[1,\n\n", "f: [0] (byte 5): line 3: expected a value, but the text ends"},
      {"[1] x", "f: JSON (byte 4): expected the end of the text, found 'x'"},
      {"{\"a\": \"b", "f: a (byte 6): a string without its closing quote"},
      {"[\"\x01\"]", "f: [0] (byte 1): a control character in a string, which must be escaped"},
      {"[\"\\q\"]", "f: [0] (byte 1): an unknown escape in a string"},
      {"[\"\\u12x\"]", "f: [0] (byte 1): an escape \\u without its four digits"},
      {"[\"\\udc00\"]", "f: [0] (byte 1): half of a surrogate pair"},
      {"[\"\xff\"]", "f: [0] (byte 1): a string that is not UTF-8"},
      {"[-]", "f: [0] (byte 1): a malformed number"},
      {"[1e999]", "f: [0] (byte 1): a number beyond the range of a double"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(message_of<FormatError>([&] { parse_json(text, "f"); }), message) << text;
  }
}

TEST(Json, TruncatedAtEveryByte) {
  const std::string text =
      R"({"model": {"vocab": {"a": 1, "\u00e9": [1.5, -2, null]}}, "z": true})";
  parse_json(text, "f");
  for (std::size_t i = 0; i < text.size(); ++i) {
    EXPECT_THROW(parse_json(text.substr(0, i), "f"), FormatError) << i;
  }
}

TEST(Json, Limits) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_EQ(dump_json(parse_json(nested(64), "f")), nested(64));
  EXPECT_THROW(parse_json(nested(65), "f"), FormatError);
  EXPECT_THROW(parse_json(std::string(10'000'000, '['), "f"), FormatError);
  EXPECT_THROW(parse_json("[1,2,3]", "f", {.max_bytes = 6}), FormatError);
  EXPECT_THROW(parse_json("[1,2,3]", "f", {.max_values = 3}), FormatError);
  parse_json("[1,2,3]", "f", {.max_bytes = 7, .max_values = 4});
}

TEST(Json, Dump) {
  EXPECT_EQ(dump_json({{"b", 1}, {"a", {1, 2}}}), R"({"a":[1,2],"b":1})");
  Json deep;
  for (int i = 0; i < 100'000; ++i) deep = Json::array({std::move(deep)});
  EXPECT_THROW(dump_json(deep), UsageError);
  EXPECT_THROW(dump_json("\xff"), UsageError);
}

TEST(Json, TypedGetters) {
  const Json json = parse_json(
      R"({"i": 7, "big": 18446744073709551615, "neg": -1, "f": 1.5, "one": 1.0, "huge": 1e300,
          "s": "x", "b": true, "n": null, "v": [1, 2], "mixed": [1, "x"],
          "o": {"p": {"q/r": [10, 20]}}})",
      "f");
  EXPECT_EQ(get<std::int64_t>(json, "i", "f"), 7);
  EXPECT_EQ(get<std::uint64_t>(json, "big", "f"), 18446744073709551615u);
  EXPECT_EQ(get<int>(json, "neg", "f"), -1);
  EXPECT_EQ(get<double>(json, "i", "f"), 7.0);
  EXPECT_EQ(get<float>(json, "f", "f"), 1.5f);
  EXPECT_EQ(get<std::string>(json, "s", "f"), "x");
  EXPECT_TRUE(get<bool>(json, "b", "f"));
  EXPECT_EQ(get<std::vector<int>>(json, "v", "f"), (std::vector<int>{1, 2}));
  EXPECT_EQ(get<int>(json, "/o/p/q~1r/1", "f"), 20);
  EXPECT_EQ(get<Json>(json, "o", "f").size(), 1u);
  EXPECT_EQ(get_or<int>(json, "absent", "f", 3), 3);
  EXPECT_EQ(get_or<int>(json, "n", "f", 3), 3);
  EXPECT_EQ(get_or<int>(json, "i", "f", 3), 7);
  const auto wrong = [&]<typename T>(T, const std::string& field, const std::string& named) {
    EXPECT_EQ(format_error_mismatch([&] { get<T>(json, field, "f"); }, named), "");
  };
  wrong(int{}, "absent", "absent");
  wrong(int{}, "/o/p/x", "/o/p/x");
  wrong(int{}, "/o/p/q~1r/x", "/o/p/q~1r/x");
  wrong(int{}, "/o/p/q~1r/9", "/o/p/q~1r/9");
  wrong(int{}, "n", "n");
  wrong(int{}, "one", "one");
  wrong(int{}, "b", "b");
  wrong(int{}, "big", "big");
  wrong(std::int64_t{}, "big", "big");
  wrong(std::uint64_t{}, "neg", "neg");
  wrong(float{}, "huge", "huge");
  wrong(double{}, "s", "s");
  wrong(bool{}, "i", "i");
  wrong(std::string{}, "i", "i");
  wrong(std::vector<int>{}, "o", "o");
  wrong(std::vector<int>{}, "mixed", "mixed[1]");
  EXPECT_THROW(get_or<int>(json, "s", "f", 3), FormatError);
  EXPECT_THROW(get<int>(Json::array(), "s", "f"), FormatError);
}

}  // namespace
}  // namespace stepstone
