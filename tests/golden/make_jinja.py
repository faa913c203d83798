#!/usr/bin/env python3
"""Writes jinja.json: what Jinja, set up as `transformers` does, makes of templates and snippets.

  tests/golden/make_jinja.py        needs transformers (bench/venv.sh); STEPSTONE_DATA adds the
                                    templates of the test data, of which only the results are kept

The templates are written for this test with the constructs that those of well-known models use.
"""
import json
import os
import sys
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template as compile_template

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("STEPSTONE_DATA", HERE.parents[2] / "shared/data")) / "tokenizers"

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place, now. \"Quoted\" & <b>marked</b>.",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "Name, e.g. Zürich"},
        "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "days": {"type": "array", "items": {"type": "integer"}}},
        "required": ["city"]}}}
ADD = {"type": "function", "function": {
    "name": "add", "description": "", "parameters": {"type": "object", "properties": {
        "x": {"type": ["number", "null"]}, "y": {"type": "number"}}, "required": ["x", "y"]},
    "return": {"type": "number"}}}


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def calls(*items, id0="abcdef123"):
    return [{"type": "function", "id": f"{id0[:-1]}{i}", "function": {"name": n, "arguments": a}}
            for i, (n, a) in enumerate(items)]


CHATS = [
    {"messages": [say("user", "Hello")]},
    {"messages": [say("system", "  Be kind.  "), say("user", "Hi\n"), say("assistant", " Yes? "),
                  say("user", "你好 🙂 \"q\" 'p' \\ <|im_end|>")], "add_generation_prompt": True},
    {"messages": [say("user", ""), say("assistant", ""), say("user", "x")],
     "add_generation_prompt": True},
    {"messages": [say("user", "a"), say("user", "b")], "add_generation_prompt": True},
    {"messages": [say("assistant", "first"), say("user", "second")]},
    {"messages": [say("system", "S"), say("user", "What is it like in Zürich?"),
                  say("assistant", None, tool_calls=calls(("get_weather", {"city": "Zürich", "days": [1, 2]}))),
                  say("tool", '{"t": 21.5}', name="get_weather", tool_call_id="abcdef120"),
                  say("assistant", "21.5 degrees."), say("user", "Thanks")],
     "tools": [WEATHER, ADD], "add_generation_prompt": True},
    {"messages": [say("user", "1+2 and 3+4"),
                  say("assistant", "Let me see.", tool_calls=calls(("add", {"x": 1, "y": 2.0}), ("add", '{"x": 3}'))),
                  say("tool", "3", tool_call_id="abcdef120"), say("tool", {"sum": 7.0, "ok": True, "none": None}, tool_call_id="abcdef121")],
     "tools": [ADD], "add_generation_prompt": True, "enable_thinking": False},
    {"messages": [say("user", "Think"),
                  say("assistant", "<think>\nhm\n\nso\n</think>\n\nAnswer"), say("user", "Again"),
                  say("assistant", "Done", reasoning_content="because"), say("user", "More")],
     "add_generation_prompt": True, "enable_thinking": True},
    {"messages": [say("user", [{"type": "text", "text": "Look: "}, {"type": "image"},
                               {"type": "text", "text": " what?"}])], "add_generation_prompt": True},
    {"messages": [say("developer", "D"), say("user", "U"), say("tool", "T")], "tools": []},
    {"messages": []},
]
COMMON = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": False}

TEMPLATES = {
    # Llama 3.x: tools, dates, set with strip, nested loops over properties
    "llama": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if not date_string is defined %}{%- set date_string = strftime_now("%Y") | int > 2000 and "today" or "then" %}{%- endif %}
{#- The system message comes out first #}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- 'Use {"name": function, "parameters": dictionary}. ' }}
    {{- "No variables.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("Only single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    # Qwen3: namespace, reversed slice, thinking cut out by split, runs of tool messages
    "qwen": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages and messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages and messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last or (loop.last and reasoning) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' ~ tool_call.name ~ '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<r>\\n' ~ content ~ '\\n</r>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    # Mistral v3: alternation checked, tools before the last user message, ids of length 9
    "mistral": """{%- if messages and messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
""",
    # Gemma: parts of content, roles renamed, system folded into the first user turn
    "gemma": """{{ bos_token }}
{%- if messages and messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
""",
    "phi": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "phi-small": "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message.get('content', '') ~ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "internlm": "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    # DeepSeek: one namespace for everything, tool outputs gathered
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' ~ message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<｜Assistant｜><｜tool▁calls▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|tojson + '\\n' + '```'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + tool['function']['name']}}{%- endif %}{%- endfor %}{{'<｜tool▁calls▁end｜>'}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<｜tool▁outputs▁end｜>' + message['content'] + eos_token}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + eos_token}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<｜tool▁outputs▁begin｜>'}}{%- set ns.is_output_first = false %}{%- else %}{{'\\n'}}{%- endif %}{{'<｜tool▁output▁begin｜>' ~ message['content'] ~ '<｜tool▁output▁end｜>'}}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<｜tool▁outputs▁end｜>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜>'}}{% endif %}""",
    # Hermes and Command-R: macros that turn JSON schemas to types, recursion, joins
    "hermes": """{%- macro json_to_python_type(json_spec) %}
    {%- set basic = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"} %}
    {%- if basic[json_spec.type] is defined %}
        {{- basic[json_spec.type] }}
    {%- elif json_spec.type == "array" %}
        {{- "list[" + json_to_python_type(json_spec|items) + "]" if json_spec['items'] is not defined else "list[" + json_to_python_type(json_spec['items']) + "]" }}
    {%- elif json_spec.type is iterable and json_spec.type is not string %}
        {{- "Union[" }}
        {%- for t in json_spec.type %}
            {{- json_to_python_type({"type": t}) }}
            {%- if not loop.last %}{{- "," }}{%- endif %}
        {%- endfor %}
        {{- "]" }}
    {%- else %}
        {{- "Any" }}
    {%- endif %}
{%- endmacro %}
{%- macro render_tool(tool, style='short', indent=2) -%}
{{ tool.name }}({% for name, spec in tool.parameters.properties|dictsort %}{{ name }}: {{ json_to_python_type(spec) }}{{ '' if name in tool.parameters.required else ' = ' ~ (spec.default | default('None') | tojson) }}{{ ", " if not loop.last }}{% endfor %})
{%- if style == 'long' %}{{ (': ' ~ tool.description)|indent(indent) }}{% endif -%}
{%- endmacro %}
{{- bos_token }}{{ '<|im_start|>system\\n' }}
{%- for tool in tools or [] %}
    {{- render_tool(tool.function, style='long') ~ '\\n' }}
{%- else %}
    {{- 'No tools.\\n' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.previtem and loop.previtem.role != "tool" %}{{- '<|im_start|>tool\\n' }}{%- endif %}
        {{- '<tool_response>\\n' ~ message.content }}
        {%- if not loop.last %}{{- '\\n</tool_response>\\n' }}{%- else %}{{- '\\n</tool_response>' }}{%- endif %}
        {%- if not loop.last and loop.nextitem.role != "tool" %}{{- '<|im_end|>' }}{%- elif loop.last %}{{- '<|im_end|>' }}{%- endif %}
    {%- elif message.tool_calls %}
        {{- '<|im_start|>' + message.role }}
        {%- for tool_call in message.tool_calls %}
            {{- '\\n<tool_call>\\n' }}
            {%- set tool_call = tool_call.function %}
            {{- '{"name": "' + tool_call.name + '", "arguments": ' }}
            {{- tool_call.arguments|tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' ~ message.role ~ '\\n' ~ (message.content if message.content is string else message.content | map(attribute='text', default='[image]') | join) ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
""",
    # Block set, call blocks, filters as blocks, generation, break and continue
    "blocks": """{% macro turn(role) %}
<{{ role }}>
{{ caller(role | upper) }}
</{{ role }}>
{% endmacro %}
{% set intro | trim %}

  {{ messages | length }} messages
{% endset %}
{{ intro }}
{% for m in messages if m.content is string %}
    {% if loop.index > 3 %}{% break %}{% endif %}
    {% if not m.content %}{% continue %}{% endif %}
    {% call(title) turn(m.role) %}{{ title }}: {% filter indent(2) %}{{ m.content }}
line{% endfilter %}{% endcall %}
    {% generation %}{{ m.content | length }}{% endgeneration %}
    {%- with a = loop.index, b = m.role %} {{ a }}{{ b }} {% endwith %}
{% else %}
nothing
{% endfor %}
{% raw %}{{ raw }}{% endraw %}

end
""",
}

SNIPPETS = [s for s in (HERE / "jinja_snippets.txt").read_text().split("\n%%\n") if s]
VALUES = {"m": {"c": 1, "items": 2, "b": [1, {"z": None}]}, "s": "Grüße, it's 'me'\n\"x\"",
          "l": [3, 1, 2], "d": [{"a": 1, "n": "B"}, {"a": 0, "n": "a"}, {"n": "b"}], "t": True,
          "f": 0.1, "big": 12345678901234567890.0, "e": "", "u": "x < y & 'z'"}


def outcome(template, values):
    try:
        return {"text": compile_template(template).render(**values)}
    except jinja2.exceptions.TemplateError as error:
        refused = type(error) is jinja2.exceptions.TemplateError
        return {"error": "refused" if refused else "template"}
    except Exception:  # noqa: BLE001: Python's own errors in a template
        return {"error": "template"}


def main():
    golden = {"chats": CHATS, "common": COMMON, "values": VALUES, "templates": {}, "data": {}}
    for name, template in TEMPLATES.items():
        results = [outcome(template, {**COMMON, **chat}) for chat in CHATS]
        golden["templates"][name] = {"template": template, "results": results}
    for path in sorted(DATA.glob("*/tokenizer_config.json")):
        template = json.loads(path.read_text()).get("chat_template")
        if template:
            golden["data"][path.parent.name] = [outcome(template, {**COMMON, **c}) for c in CHATS]
    golden["snippets"] = [{"template": s, **outcome(s, VALUES)} for s in SNIPPETS]
    (HERE / "jinja.json").write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n")
    if "-v" in sys.argv:
        for one in golden["snippets"]:
            print(one)


main()
