// A JSON schema, a GBNF grammar or a regular expression (by the first byte), matched against text.
#include "core/error.h"
#include "fuzz.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"

using namespace stepstone;

std::vector<std::string> fuzz::seeds() {
  return {
      R"(s{"type":"object","properties":{"a":{"type":"integer","minimum":-5,"maximum":120},"b":{"enum":["x",1,null]}},"required":["a"],"additionalProperties":false})",
      R"(s{"$defs":{"t":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/t"},{"type":"string","pattern":"^[a-z]{2,5}$"}]},"maxItems":3}},"$ref":"#/$defs/t"})",
      R"(s{"type":["string","number","boolean"],"minLength":1,"maxLength":9,"format":"date-time"})",
      "groot ::= a | \"x\" [^a-z\\n] (b)* # c\na ::= \"[\" (a (\",\" a)*)? \"]\"\nb ::= [0-9]{2,4}",
      "groot ::= \"\\u00e9\" . root?\n",
      R"(r^(a|b)+[^\d\s]{1,3}(?:x|y*?)$)",
      R"(r\d{4}-\d{2}|\p{L}+\.\w)",
  };
}

std::vector<std::string> fuzz::words() {
  return {"\"oneOf\":[",
          "\"allOf\":[",
          "\"$ref\":\"#\"",
          "\"const\":",
          "\"minItems\":9999999,",
          "\"multipleOf\":3",
          "\"exclusiveMinimum\":",
          "\"prefixItems\":[",
          "\"minimum\":-9e18,",
          "root ::= ",
          "{0,99999}",
          "{9999}",
          "((((((((((",
          "[[:alpha:]]",
          "(?=",
          "\\b",
          "*",
          "+",
          "?",
          "::=",
          "[^]",
          "\\uD800",
          "(a*)*",
          "null",
          "true",
          "{}",
          "[]"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const auto tree = std::make_shared<const TokenTree>(Tokenizer::bytes());
  const std::string_view text = fuzz::view(data, size).substr(1);
  try {
    const Grammar grammar = data[0] == 's'   ? Grammar::from_json_schema(text)
                            : data[0] == 'g' ? Grammar::from_gbnf(text)
                                             : Grammar::from_regex(text);
    GrammarMatcher matcher(std::make_shared<const Grammar>(grammar), tree);
    for (int i = 0; i < 24; ++i) {
      const auto allowed = matcher.allowed();
      if (allowed.empty()) break;
      matcher.accept(allowed[static_cast<std::size_t>(i) * 7 % allowed.size()]);
    }
    (void)matcher.may_end();
  } catch (const Error&) {
  }
  return 0;
}
