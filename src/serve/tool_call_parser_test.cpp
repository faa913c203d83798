#include "serve/tool_call_parser.h"

#include <gtest/gtest.h>

namespace stepstone {
namespace {

// Text and calls that a parser makes of `answer`, given in pieces of `size` bytes, as
// "text|name(arguments)|…".
std::string parse(ToolStyle style, const std::string& answer, std::size_t size,
                  bool in_call = false, std::size_t max_calls = 128) {
  ToolCallParser parser(style, {"f", "g"}, in_call, max_calls);
  std::string text;
  std::vector<std::pair<std::string, std::string>> calls;
  const auto take = [&](const AnswerPiece& piece) {
    text += piece.text;
    for (const ToolCallPiece& c : piece.calls) {
      if (c.call == calls.size()) calls.emplace_back(c.name, "");
      calls.at(c.call).second += c.arguments;
    }
  };
  for (std::size_t i = 0; i < answer.size(); i += size) take(parser.push(answer.substr(i, size)));
  take(parser.finish());
  for (const auto& [name, arguments] : calls) text += "|" + name + "(" + arguments + ")";
  return text;
}

struct Case {
  ToolStyle style;
  std::string answer, expected;
  bool in_call = false;
  std::size_t max_calls = 128;
};

TEST(ToolCallParser, TellsTextFromCallsHoweverTheAnswerIsCut) {
  using enum ToolStyle;
  const Case cases[] = {
      {hermes, "plain text, a < b", "plain text, a < b"},
      {hermes, "", ""},
      {hermes, "ends with \n <tool_ca", "ends with \n <tool_ca"},
      {hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>",
       "|f({\"a\": [1, \"}\"]})"},
      {hermes, "Well.\n\n<tool_call>{\"arguments\":{\"x\":\"\\\"{\"},\"name\":\"h\"}</tool_call>",
       "Well.|h({\"x\":\"\\\"{\"})"},
      {hermes,
       "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>\n{\"name\":\"g\"}\n"
       "</tool_call> bye",
       "bye|f({})|g({})"},
      {hermes,
       "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call><tool_call>{\"name\":\"g\"}",
       "|f({})", false, 1},
      {hermes, "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}</tool_call>",
       "|f({\"a\": 1})"},
      {hermes, "{\"name\": \"f\", \"arguments\": {\"a\": 1}}", "|f({\"a\": 1})", true},
      {hermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1", "|f({\"a\": 1)"},
      {hermes, "<tool_call>no JSON</tool_call>", "<tool_call>no JSON</tool_call>"},
      {hermes, "<tool_call>{\"name\": 7}", "<tool_call>{\"name\": 7}"},
      {hermes, "<tool_call>{\"arguments\": {}}", "<tool_call>{\"arguments\": {}}"},
      {hermes, "<tool_call>{\"arguments\": {\"a\"", "<tool_call>{\"arguments\": {\"a\""},
      {llama3, "Hello {", "Hello {"},
      {llama3, "{\"name\": \"f\", \"parameters\": {\"a\": 1}}", "|f({\"a\": 1})"},
      {llama3,
       " <|python_tag|>{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\",\"parameters\":{}}",
       "|f({})|g({})"},
      {llama3, "{\"name\": \"Bob\", \"age\": 3}", "{\"name\": \"Bob\", \"age\": 3}"},
      {llama3, "{\"answer\": 42} is it", "{\"answer\": 42} is it"},
      {mistral,
       "ok [TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", "
       "\"arguments\": {}}]",
       "ok|f({\"a\": 1})|g({})"},
      {mistral, "[TOOL_CALLS]f[ARGS]{\"a\": {\"b\": 2}}[TOOL_CALLS]g{}",
       "|f({\"a\": {\"b\": 2}})|g({})"},
      {mistral, "[{\"name\": \"f\", \"arguments\": {}}]", "|f({})", true},
      {mistral, "[TOOL", "[TOOL"},
  };
  for (const Case& c : cases) {
    for (const std::size_t size : {1, 2, 3, 7, 1000}) {
      EXPECT_EQ(parse(c.style, c.answer, size, c.in_call, c.max_calls), c.expected)
          << c.answer << " in pieces of " << size;
    }
  }
}

TEST(ToolCallParser, PassesArgumentsOnAsTheyCome) {
  ToolCallParser parser(ToolStyle::hermes, {"f"}, false, 128);
  EXPECT_EQ(
      parser.push("<tool_call>{\"name\": \"f\", \"arguments\": {\"long\": \"abc").calls.size(), 1u);
  const AnswerPiece next = parser.push("def");
  ASSERT_EQ(next.calls.size(), 1u);
  EXPECT_EQ(next.calls[0].arguments, "def");
}

TEST(ToolCallParser, KnowsTheStyleOfATemplate) {
  EXPECT_EQ(tool_style_of("{{ '<tool_call>' }}"), ToolStyle::hermes);
  EXPECT_EQ(tool_style_of("[TOOL_CALLS]"), ToolStyle::mistral);
  EXPECT_EQ(tool_style_of("{\"name\": function name, \"parameters\": dictionary"),
            ToolStyle::llama3);
  EXPECT_EQ(tool_style_of(""), ToolStyle::hermes);
}

}  // namespace
}  // namespace stepstone
