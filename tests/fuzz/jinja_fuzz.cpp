// A chat template, rendered with a conversation under small budgets.
#include "core/error.h"
#include "fuzz.h"
#include "jinja/template.h"

using namespace stepstone;

std::vector<std::string> fuzz::seeds() {
  return {
      "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content | trim }}{% endfor %}",
      "{%- macro f(a, b=1) -%}{{ a ~ b }}{%- endmacro -%}{{ f('x') }}{{ f(2, b=[1, 2, {'k': 3}]) "
      "}}",
      "{% set ns = namespace(i=0) %}{% for x in range(5) %}{% set ns.i = ns.i + loop.index0 %}{% "
      "endfor %}{{ ns.i }}",
      "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | "
      "tojson(indent=2) }}",
      "{% if tools is defined and tools is not none and tools | length > 0 %}{{ tools[0] }}{% elif "
      "not x %}{{ messages[-1]['content'][::-1].split(' ')[1:] | join(', ') }}{% else %}no{% endif "
      "%}",
      "{{ '%s-%05.2f' | format('a', 3) }}{{ 'a,b'.replace(',', ';').upper() }}{{ {'b': 1, 'a': 2} "
      "| "
      "dictsort | first }}",
      "{% filter upper %}x{{ 1 // 2 ** 3 % 4 }}{% endfilter %}{% raw %}{{ }}{% endraw %}{# c #}",
      "{{ raise_exception('no') if messages[0].role == 'x' else strftime_now('%Y') }}",
  };
}

std::vector<std::string> fuzz::words() {
  return {"{{",
          "}}",
          "{%",
          "%}",
          "{%-",
          "-%}",
          "{#",
          "#}",
          " for ",
          " in ",
          " if ",
          " else ",
          " endif ",
          " endfor ",
          " set ",
          " macro ",
          " endmacro ",
          " is ",
          " not ",
          " and ",
          " recursive ",
          "loop(",
          "loop.cycle(1)",
          "namespace()",
          "range(10**9)",
          "|",
          "~",
          "**",
          "//",
          "[::-1]",
          "(((((((((",
          "[[[[[[[[",
          "{% call f() %}",
          "{% endcall %}",
          "self",
          "caller()",
          "| tojson",
          "| indent(99999999)",
          " * 999999999",
          "'\\x00'",
          "1e400",
          "\"",
          "{% break %}",
          "{% generation %}",
          "{% endgeneration %}"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const jinja::Value variables = jinja::from_json(
      nlohmann::ordered_json::parse(
          R"({"messages": [{"role": "user", "content": "Hi there you"}, {"role": "assistant", "content": ""}],
              "tools": null, "x": 3, "add_generation_prompt": true, "bos_token": "<s>"})"),
      1);
  try {
    const jinja::Template parsed(fuzz::view(data, size), "fuzz");
    (void)parsed.render(variables, {.max_steps = 50'000, .max_output = 1 << 20});
  } catch (const Error&) {
  }
  return 0;
}
