#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "io/file.h"
#include "jinja/template.h"

namespace stepstone::jinja {
namespace {

using OrderedJson = nlohmann::ordered_json;
using ::testing::HasSubstr;

// tests/golden/make_jinja.py writes what the reference engine says.
const OrderedJson& golden() {
  static const OrderedJson json = OrderedJson::parse(
      read_file(std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/jinja.json"));
  return json;
}

constexpr Origin kUser = 1;

OrderedJson outcome(const std::string& source, const OrderedJson& values) {
  try {
    return {{"text", Template(source, "t").render(from_json(values, kUser)).bytes}};
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("line ")) << source;
    return {{"error", "template"}};
  } catch (const UsageError&) {
    return {{"error", "refused"}};
  }
}

void expect_chats(const std::string& name, const std::string& source, const OrderedJson& expected) {
  for (std::size_t i = 0; i < golden()["chats"].size(); ++i) {
    OrderedJson values = golden()["common"];
    values.update(golden()["chats"][i]);
    EXPECT_EQ(outcome(source, values), expected[i]) << name << ", chat " << i;
  }
}

TEST(JinjaGolden, Snippets) {
  for (const auto& snippet : golden()["snippets"]) {
    OrderedJson expected = snippet;
    expected.erase("template");
    EXPECT_EQ(outcome(snippet["template"], golden()["values"]), expected) << snippet["template"];
  }
}

TEST(JinjaGolden, TemplatesWithTheConstructsOfWellKnownModels) {
  for (const auto& [name, one] : golden()["templates"].items()) {
    expect_chats(name, one["template"], one["results"]);
  }
}

TEST(JinjaGolden, TemplatesOfTheTestData) {
  const char* variable = std::getenv("STEPSTONE_DATA");
  const std::filesystem::path data =
      variable != nullptr ? variable : STEPSTONE_SOURCE_DIR "/../shared/data";
  if (!std::filesystem::exists(data / "tokenizers")) {
    GTEST_SKIP() << "no test data at " << data << "; set STEPSTONE_DATA";
  }
  for (const auto& [name, results] : golden()["data"].items()) {
    const auto config =
        OrderedJson::parse(read_file(data / "tokenizers" / name / "tokenizer_config.json"));
    expect_chats(name, config["chat_template"], results);
  }
}

std::string problem_of(const std::string& source, const RenderOptions& options = {}) {
  try {
    Template(source, "chat.jinja").render(Value::dict({}), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(Jinja, ErrorsNameTemplateLineAndColumn) {
  EXPECT_EQ(problem_of("a\n  {{ 1 + }}"),
            "chat.jinja: line 2, column 10: expected an expression, found the end of the output");
  EXPECT_EQ(problem_of("\n\n{{ a.b }}"), "chat.jinja: line 3, column 5: 'a' is undefined");
  EXPECT_EQ(problem_of("{{ raise_exception('no') }}"), "chat.jinja: line 1, column 19: no");
  EXPECT_EQ(problem_of("{% foo %}"), "chat.jinja: line 1, column 4: unknown tag 'foo'");
}

TEST(Jinja, WorkIsBounded) {
  const RenderOptions small{.max_steps = 100'000, .max_output = 100'000};
  for (const char* source : {
           "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
           "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% "
           "endfor %}",
           "{% set ns = namespace(l=[1]) %}{% for a in range(99) %}{% set ns.l = ns.l + ns.l %}{% "
           "endfor %}",
           "{% set ns = namespace(l=[1]) %}{% for a in range(999) %}{% set ns.l = [ns.l, ns.l] "
           "%}{% endfor %}",
           "{% set ns = namespace(l=[1]) %}{% for a in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% "
           "endfor %}{{ ns.l }}",
           "{{ 'x' * 1000000000000 }}",
           "{{ [1] * 1000000000000 }}",
           "{{ 'abc'.rjust(1000000000000) }}",
           "{{ 'ab' | indent(1000000000000) }}",
           "{{ ('x' * 9000).replace('x', 'y' * 9000) }}",
           "{{ '%999999999d' % 1 }}",
           "{{ 2 ** 99999999 }}",
           "{{ range(10 ** 9) }}",
           "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
           "{% macro f(a) %}{{ a(a) }}{% endmacro %}{{ f(f) }}",
           "{% for a in [[]] recursive %}{{ loop([[]]) }}{% endfor %}",
           "{% set ns = namespace() %}{% set ns.a = ns %}",
           "{{ [1] | batch(100000000000, 0) | list }}",
       }) {
    EXPECT_NE(problem_of(source, small), "none") << source;
  }
}

TEST(Jinja, NestingIsBounded) {
  std::string text(20'000, '(');
  EXPECT_NE(problem_of("{{ " + text), "none");
  EXPECT_THAT(problem_of("{{ " + text + std::string(text.size(), ')') + " }}"),
              HasSubstr("too deep"));
  for (const std::string part : {"[", "{1:", "-", "not ", "a[", "f(", "x if y else "}) {
    std::string deep = "{{ ";
    for (int i = 0; i < 20'000; ++i) deep += part;
    EXPECT_NE(problem_of(deep), "none") << part;
  }
  for (const std::string part : {"+1", "|e", ".a", " is none", "~1", " and 1", "(1)", "[0]"}) {
    std::string deep = "{{ 1";
    for (int i = 0; i < 20'000; ++i) deep += part;
    deep += " }}";
    if (part != "~1") {
      EXPECT_NE(problem_of(deep), "none") << part;
    } else {
      EXPECT_EQ(problem_of(deep), "none");
    }
  }
  std::string tags;
  for (int i = 0; i < 20'000; ++i) tags += "{% if 1 %}";
  EXPECT_THAT(problem_of(tags), HasSubstr("too deep"));
}

// '.' for the template's bytes, 'u' for the user's, upper case inside {% generation %}.
std::string origins(const std::string& source, const OrderedJson& values) {
  const Text out = Template(source, "t").render(from_json(values, kUser));
  EXPECT_EQ(out.bytes.size(), out.origin.size());
  std::string marks;
  for (const Origin origin : out.origin) {
    const bool user = (origin & 0x7F) == kUser;
    marks += origin & kGenerated ? (user ? 'U' : '!') : (user ? 'u' : '.');
  }
  return marks;
}

TEST(Jinja, BytesKeepTheirOrigin) {
  const OrderedJson values = {{"a", "ab"}, {"d", {{"key", "v"}}}, {"l", {"x", "y"}}};
  for (const auto& [source, marks] : std::vector<std::pair<std::string, std::string>>{
           {"<{{ a }}>", ".uu."},
           {"{{ '<' + a ~ '>' }}", ".uu."},
           {"{{ a | upper | trim }}{{ a[1:] }}{{ a[::-1] }}{{ a.replace('b', 'xyz') }}",
            "uuuuuu..."},
           {"{{ l | join(', ') }}{{ 'z' | replace('z', a) }}", "u..uuu"},
           {"{{ d | tojson }}", "..uuu....u.."},
           {"{{ [a] }}", "..uu.."},
           {"{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", "uuu.u"},
           {"{{ '%s!' | format(a) }}{{ '{}'.format(a) }}{{ a.split('b')[0] }}", "uu.uuu"},
           {"{% set x %}[{{ a }}]{% endset %}{{ x }}{% macro m(q) %}{{ q }}.{% endmacro %}{{ m(a) "
            "}}",
            ".uu.uu."},
           {"{{ a | title }}{{ a.center(4) }}{{ a | indent(1, true) }}{{ a | list | last }}",
            "uu.uu..uuu"},
           {"{{ 'a' if a == 'ab' }}{{ a * 2 }}{{ a | e }}", ".uuuuuu"},
           {"{% generation %}{{ a }}.{% endgeneration %}{{ a }}", "UU!uu"},
       }) {
    EXPECT_EQ(origins(source, values), marks) << source;
  }
}

}  // namespace
}  // namespace stepstone::jinja
