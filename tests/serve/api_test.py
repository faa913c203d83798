"""Every route: what it answers, whole and streamed, and what it refuses."""

import base64
import json
import math
import re
import socket
import struct
import sys
from pathlib import Path

from harness import Server, check, finish

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


def hello(**more):
    return {"messages": [{"role": "user", "content": "hello"}], "temperature": 0,
            "max_tokens": 24, **more}


def test_chat(server):
    status, whole = server.post(CHAT, hello())
    check(status == 200 and whole["object"] == "chat.completion", f"chat: {whole}")
    text = whole["choices"][0]["message"]["content"]
    usage = whole["usage"]
    check(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], "usage")
    check(whole["choices"][0]["finish_reason"] in ("stop", "length"), "finish_reason")

    events = server.stream(CHAT, hello(stream_options={"include_usage": True}))
    deltas = [e["choices"][0]["delta"] for e in events[:-1]]
    check("".join(d.get("content", "") for d in deltas) == text, "streamed text differs")
    check(deltas[0]["role"] == "assistant", "the first delta names the role")
    check(events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] ==
          usage["completion_tokens"], "streamed usage")
    check(all(e["usage"] is None for e in events[:-1]), "usage before the end")

    _, drawn = server.post(CHAT, hello(n=3, temperature=1.5, seed=4))
    texts = [c["message"]["content"] for c in drawn["choices"]]
    check([c["index"] for c in drawn["choices"]] == [0, 1, 2] and len(set(texts)) == 3, "n")
    _, again = server.post(CHAT, hello(n=3, temperature=1.5, seed=4))
    check(texts == [c["message"]["content"] for c in again["choices"]], "seed")
    by_index = {}
    for event in server.stream(CHAT, hello(n=3, temperature=1.5, seed=4)):
        c = event["choices"][0]
        by_index[c["index"]] = by_index.get(c["index"], "") + c["delta"].get("content", "")
    check([by_index[i] for i in range(3)] == texts, "streamed choices")

    for wrong in ([1], {"messages": "x"}):
        status, answer = server.post(CHAT, hello(chat_template_kwargs=wrong))
        check(status == 400 and answer["error"]["param"] == "chat_template_kwargs", f"{wrong}: {status} {answer}")

    part = text[3:6]
    _, stopped = server.post(CHAT, hello(stop=[part]))
    check(stopped["choices"][0]["message"]["content"] == text[:text.index(part)], "stop")
    check(stopped["choices"][0]["finish_reason"] == "stop", "finish_reason of stop")

    _, scored = server.post(CHAT, hello(logprobs=True, top_logprobs=3))
    content = scored["choices"][0]["logprobs"]["content"]
    for token in content:
        top = [t["logprob"] for t in token["top_logprobs"]]
        check(len(top) == 3 and top == sorted(top, reverse=True), "top_logprobs")
        check(token["logprob"] == top[0] <= 0, "the greedy token is the most probable")
    _, biased = server.post(CHAT, hello(logit_bias={"65": 100}))
    check(biased["choices"][0]["message"]["content"] == "A" * 24, "logit_bias")
    _, parts = server.post(CHAT, hello(messages=[
        {"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}]))
    check(parts["choices"][0]["message"]["content"] == text, "content in parts")
    # Control strings in a message stay text.
    _, odd = server.post("/apply-template", {"messages": [{"role": "user", "content": "<|im_end|>"}]})
    check(odd["prompt"] == "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n", f"{odd}")
    _, long = server.post(CHAT, hello(messages=[{"role": "user", "content": "<|im_end|>"}]))
    _, short = server.post(CHAT, hello(messages=[{"role": "user", "content": ""}]))
    check(long["usage"]["prompt_tokens"] - short["usage"]["prompt_tokens"] == 10, "control string")


def test_completions(server):
    _, base = server.post(TEXT, {"prompt": "Once upon", "temperature": 0})
    text = base["choices"][0]["text"]
    check(base["object"] == "text_completion" and base["usage"]["completion_tokens"] <= 16, "text")
    events = server.stream(TEXT, {"prompt": "Once upon", "temperature": 0, "echo": True})
    check("".join(e["choices"][0]["text"] for e in events) == "Once upon" + text, "echo, streamed")
    ids = server.post("/tokenize", {"content": "Once upon"})[1]["tokens"]
    for prompt in (ids, ["Once upon", "x"], [ids, [65]]):
        _, same = server.post(TEXT, {"prompt": prompt, "temperature": 0})
        check(same["choices"][0]["text"] == text, f"prompt {prompt}")
        check(len(same["choices"]) == (1 if prompt is ids else 2), "choices of a list")

    # As lm-eval scores a continuation: the prompt's own log-probabilities.
    _, scored = server.post(TEXT, {"prompt": "Once upon", "max_tokens": 0, "echo": True,
                                   "logprobs": 2, "temperature": 0})
    choice = scored["choices"][0]
    logprobs = choice["logprobs"]
    check(choice["text"] == "Once upon" and logprobs["tokens"] == list("Once upon"), f"{choice}")
    check(logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None, "first")
    check(all(x <= 0 for x in logprobs["token_logprobs"][1:]), "log-probabilities above 0")
    check(logprobs["text_offset"] == list(range(9)), "text_offset")
    # The probability of a text is that of writing it.
    _, drawn = server.post(TEXT, {"prompt": "Once", "max_tokens": 5, "temperature": 1, "seed": 1,
                                  "logprobs": 0})
    written = drawn["choices"][0]
    _, read = server.post(TEXT, {"prompt": ids[:4] + server.post(
        "/tokenize", {"content": written["text"]})[1]["tokens"], "max_tokens": 0, "echo": True,
        "logprobs": 0})
    if all(ord(c) < 128 for c in written["text"]):
        check(read["choices"][0]["logprobs"]["token_logprobs"][4:] ==
              written["logprobs"]["token_logprobs"], "reading and writing give other numbers")


def test_embeddings(server):
    _, floats = server.post("/v1/embeddings", {"input": ["one", "two", "one"]})
    vectors = [d["embedding"] for d in floats["data"]]
    check(vectors[0] == vectors[2] != vectors[1], "embeddings")
    check(abs(math.fsum(x * x for x in vectors[0]) - 1) < 1e-5, "length 1")
    _, packed = server.post("/v1/embeddings", {"input": "two", "encoding_format": "base64"})
    data = base64.b64decode(packed["data"][0]["embedding"])
    check(list(struct.unpack(f"<{len(data) // 4}f", data)) == vectors[1], "base64")
    check(packed["usage"]["prompt_tokens"] == 3, "usage")


def test_others(server):
    models = server.get("/v1/models")[1]["data"]
    check(models[0]["id"] == "tiny" and models[0]["meta"]["n_ctx"] == 4096, f"{models}")
    for text in ("", "h\u00e9llo \u4f60\u597d <|im_end|>\n"):
        ids = server.post("/tokenize", {"content": text})[1]["tokens"]
        check(server.post("/detokenize", {"tokens": ids})[1]["content"] == text, "round trip")
        check(all(i < 256 for i in ids), "a control token from text")
    special = server.post("/tokenize", {"content": "<|im_end|>", "parse_special": True})[1]
    check(len(special["tokens"]) == 1, "parse_special")
    _, metrics = server.get("/metrics")
    for name in ("vllm:num_requests_running", "vllm:generation_tokens_total",
                 "vllm:time_to_first_token_seconds_bucket", "llamacpp:prompt_tokens_total",
                 "llamacpp:requests_processing"):
        check(name + "{" in metrics, f"no {name}")
    check(server.metric("vllm:prefix_cache_hits_total") > 0, "nothing was reused")
    status, headers, page = server.ask("GET", "/")
    check(status == 200 and b"<title>Stepstone" in page, "page")
    check("script-src 'self'" in headers["Content-Security-Policy"], "page: policy")
    status, headers, body = server.ask("HEAD", "/health")
    check(status == 200 and body == b"", "HEAD")


def tool(name, **more):
    """A function that takes a town and a number of days."""
    return {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": {"town": {"enum": ["Rome", "Oslo"]}, "days": {"$ref": "#/$defs/days"}},
        "required": ["town", "days"], "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 9}}},
        **more}}


def test_forms(server):
    """Structured output: every notation, with choices, log-probabilities and streams."""
    schema = {"type": "object", "properties": {"z": {"enum": ["p", "q"]}, "a": {"type": "boolean"}},
              "required": ["z", "a"]}
    drawn = {"temperature": 1.5, "max_tokens": 200}
    for form in ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
                 {"response_format": {"type": "json_object", "schema": schema}},
                 {"json_schema": schema}, {"guided_json": schema}, {"guided_json": json.dumps(schema)},
                 {"structured_outputs": {"json": schema}}):
        _, made = server.post(CHAT, hello(**drawn, **form, n=3, seed=3, logprobs=True, top_logprobs=1))
        for choice in made["choices"]:
            got = json.loads(choice["message"]["content"])
            check(list(got) == ["z", "a"] and got["z"] in "pq" and choice["finish_reason"] == "stop", f"{got}")
            check(len(choice["logprobs"]["content"]) > 10, "logprobs")
        events = server.stream(CHAT, hello(**drawn, **form, seed=3))
        text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
        check(text == made["choices"][0]["message"]["content"], f"streamed: {text}")
    for path, body in ((CHAT, hello()), (TEXT, {"prompt": "x"})):
        for form, expected in (({"grammar": 'root ::= "a" [0-9]{2} "!"'}, r"a\d\d!"),
                               ({"guided_grammar": 'root ::= "yes" | "no"'}, "yes|no"),
                               ({"guided_regex": "[a-c]{5}"}, "[a-c]{5}"),
                               ({"structured_outputs": {"regex": "[a-c]{5}"}}, "[a-c]{5}"),
                               ({"guided_choice": ["red", "blue"]}, "red|blue"),
                               ({"structured_outputs": {"choice": ["red", "blue"]}}, "red|blue")):
            choice = server.post(path, {**body, **drawn, **form})[1]["choices"][0]
            text = choice["text"] if path == TEXT else choice["message"]["content"]
            check(re.fullmatch(expected, text) and choice["finish_reason"] == "stop", f"{form}: {text}")
    _, any_json = server.post(CHAT, hello(temperature=0, max_tokens=300, response_format={"type": "json_object"},
                                          logit_bias={"125": 8}))
    content = any_json["choices"][0]
    if content["finish_reason"] == "stop":
        check(isinstance(json.loads(content["message"]["content"]), dict), "json_object")
    check(content["message"]["content"].startswith("{"), "json_object")
    _, cut = server.post(CHAT, hello(max_tokens=2, json_schema=schema))
    check(cut["choices"][0]["finish_reason"] == "length", "a form cut short")


def call_of(deltas):
    """Name and arguments of the calls that a stream's deltas put together."""
    calls = []
    for delta in deltas:
        for piece in delta.get("tool_calls", []):
            if piece["index"] == len(calls):
                check(piece["id"] and piece["type"] == "function", "a call begins with id and type")
                calls.append([piece["function"]["name"], ""])
            calls[piece["index"]][1] += piece["function"]["arguments"]
    return calls


def test_tools(server):
    tools = [tool("weather"), tool("trains"), {"type": "function", "function": {"name": "now"}}]
    for choice, names in (("required", {"weather", "trains", "now"}),
                          ({"type": "function", "function": {"name": "trains"}}, {"trains"})):
        for seed in range(4):
            body = hello(tools=tools, tool_choice=choice, temperature=2, seed=seed, max_tokens=400)
            _, made = server.post(CHAT, body)
            got = made["choices"][0]
            check(got["finish_reason"] == "tool_calls" and got["message"]["content"] is None, f"{got}")
            call = got["message"]["tool_calls"][0]
            arguments = json.loads(call["function"]["arguments"])
            check(call["function"]["name"] in names and call["type"] == "function", f"{call}")
            if call["function"]["name"] != "now":
                check(arguments["town"] in ("Rome", "Oslo") and 1 <= arguments["days"] <= 9, f"{arguments}")
            events = server.stream(CHAT, body)
            streamed = call_of([e["choices"][0]["delta"] for e in events])
            check(streamed == [[call["function"]["name"], call["function"]["arguments"]]], f"{streamed}")
            check(events[-1]["choices"][0]["finish_reason"] == "tool_calls", "finish_reason of a stream")
            check(len(events) > 5, "arguments come in one piece")
            # As OpenAI's: every chunk but the last has something in it, the last has nothing.
            deltas = [e["choices"][0]["delta"] for e in events]
            check(all(deltas[:-1]) and deltas[-1] == {}, f"{deltas[-3:]}")
    # What the model writes of itself, here led by a grammar: text, then two calls.
    led = hello(tools=tools, max_tokens=300, grammar=(
        'root ::= "Let me see. \\n" call call\n'
        'call ::= "<tool_call>\\n{\\"name\\": \\"now\\", \\"arguments\\": {}}\\n</tool_call>\\n"'))
    message = server.post(CHAT, led)[1]["choices"][0]["message"]
    check(message["content"] == "Let me see.", f"{message}")
    check([c["function"] for c in message["tool_calls"]] == [{"name": "now", "arguments": "{}"}] * 2, f"{message}")
    check(len({c["id"] for c in message["tool_calls"]}) == 2, "ids")
    events = server.stream(CHAT, led)
    check(call_of([e["choices"][0]["delta"] for e in events]) == [["now", "{}"]] * 2, "streamed calls")
    alone = server.post(CHAT, {**led, "parallel_tool_calls": False})[1]["choices"][0]["message"]
    check(len(alone["tool_calls"]) == 1, "parallel_tool_calls")
    none = server.post(CHAT, {**led, "tool_choice": "none"})[1]["choices"][0]
    check("tool_calls" not in none["message"] and "<tool_call>" in none["message"]["content"], "tool_choice none")
    # The way of a call and its result back into the prompt of a model whose template knows neither.
    history = [{"role": "user", "content": "time?"},
               {"role": "assistant", "content": None, "tool_calls": [
                   {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}]},
               {"role": "tool", "tool_call_id": "c1", "content": "noon"}]
    prompt = server.post("/apply-template", {"messages": history, "tools": tools})[1]["prompt"]
    check(prompt.startswith("<|im_start|>system\nYou can call") and "\"trains\"" in prompt, prompt)
    check('<tool_call>\n{"name":"now","arguments":{}}\n</tool_call>' in prompt, prompt)
    check("<|im_start|>user\n<tool_response>\nnoon\n</tool_response>" in prompt, prompt)


def test_refusals(server):
    bad = [  # route, change, status, param
        (CHAT, {"messages": []}, 400, "messages"),
        (CHAT, {"messages": "x"}, 400, "messages"),
        (CHAT, {"messages": [1]}, 400, "messages[0]"),
        (CHAT, {"messages": [{"content": "x"}]}, 400, "role"),
        (CHAT, {"messages": [{"role": "user"}]}, 400, "messages[0]"),
        (CHAT, {"messages": [{"role": "king", "content": "x"}]}, 400, "messages[0]"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages[0]"),
        (CHAT, {"model": "other"}, 404, "model"),
        (CHAT, {"model": 7}, 400, "model"),
        (CHAT, {"temperature": "hot"}, 400, "temperature"),
        (CHAT, {"temperature": -1}, 400, "temperature"),
        (CHAT, {"temperature": 1e999}, 400, "temperature"),
        (CHAT, {"top_p": 0}, 400, "top_p"),
        (CHAT, {"top_k": -2}, 400, "top_k"),
        (CHAT, {"top_k": 1.5}, 400, "top_k"),
        (CHAT, {"min_p": 2}, 400, "min_p"),
        (CHAT, {"presence_penalty": 3}, 400, "presence_penalty"),
        (CHAT, {"repeat_penalty": 0}, 400, "repeat_penalty"),
        (CHAT, {"n": 0}, 400, "n"),
        (CHAT, {"n": 129}, 400, "n"),
        (CHAT, {"n": 1 << 70}, 400, "n"),
        (CHAT, {"max_tokens": -2}, 400, "max_tokens"),
        (CHAT, {"max_tokens": 5000}, 400, "max_tokens"),
        (CHAT, {"max_tokens": 1 << 62}, 400, "max_tokens"),
        (CHAT, {"messages": [{"role": "user", "content": "x" * 5000}], "max_tokens": None}, 400, "prompt"),
        (CHAT, {"stop": [""]}, 400, "stop"),
        (CHAT, {"stop": 3}, 400, "stop"),
        (CHAT, {"stop": ["x"] * 17}, 400, "stop"),
        (CHAT, {"seed": "x"}, 400, "seed"),
        (CHAT, {"logit_bias": {"x": 1}}, 400, "logit_bias"),
        (CHAT, {"logit_bias": {"-1": 1}}, 400, "logit_bias"),
        (CHAT, {"logit_bias": {"99999": 1}}, 400, "logit_bias"),
        (CHAT, {"logit_bias": {"1": 101}}, 400, "logit_bias"),
        (CHAT, {"logit_bias": [1]}, 400, "logit_bias"),
        (CHAT, {"top_logprobs": 2}, 400, "top_logprobs"),
        (CHAT, {"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs"),
        (CHAT, {"logprobs": 3}, 400, "logprobs"),
        (CHAT, {"stream": "yes"}, 400, "stream"),
        (CHAT, {"stream_options": 1}, 400, "stream_options"),
        (CHAT, {"typical_p": 0}, 400, "typical_p"),
        (CHAT, {"dry_multiplier": -1}, 400, "dry_multiplier"),
        (CHAT, {"dry_allowed_length": 0}, 400, "dry_allowed_length"),
        (CHAT, {"dry_base": "x"}, 400, "dry_base"),
        (CHAT, {"dry_sequence_breakers": []}, 400, "dry_sequence_breakers"),
        (CHAT, {"dry_sequence_breakers": [""]}, 400, "dry_sequence_breakers"),
        (CHAT, {"dry_sequence_breakers": ["x" * 41]}, 400, "dry_sequence_breakers"),
        (CHAT, {"dry_sequence_breakers": "x"}, 400, "dry_sequence_breakers"),
        (CHAT, {"speculative.n_max": -1}, 400, "speculative.n_max"),
        (CHAT, {"speculative.n_min": "x"}, 400, "speculative.n_min"),
        (CHAT, {"speculative.n_min": 5, "speculative.n_max": 2}, 400, "speculative.n_min"),
        (CHAT, {"speculative.p_min": 1.5}, 400, "speculative.p_min"),
        (CHAT, {"mirostat": 1}, 400, "mirostat"),
        (CHAT, {"mirostat": 3}, 400, "mirostat"),
        (CHAT, {"mirostat_tau": -1}, 400, "mirostat_tau"),
        (CHAT, {"functions": [{"name": "x"}]}, 400, "functions"),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [1]}]}, 400, "messages[0]"),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [
            {"function": {"name": "f", "arguments": "[1]"}}]}]}, 400, "messages[0]"),
        (CHAT, {"tools": [{"type": "function"}]}, 400, "tools"),
        (CHAT, {"tools": "x"}, 400, "tools"),
        (CHAT, {"tools": [tool("a b")]}, 400, "tools"),
        (CHAT, {"tools": [tool("f"), tool("f")]}, 400, "tools"),
        (CHAT, {"tools": [tool("f", parameters=7)]}, 400, "tools"),
        (CHAT, {"tools": [tool("f", strict=True, parameters={"type": "object", "minProperties": 3})],
                "tool_choice": "required"}, 400, "tools"),
        (CHAT, {"tool_choice": "required"}, 400, "tool_choice"),
        (CHAT, {"tools": [tool("f")], "tool_choice": "always"}, 400, "tool_choice"),
        (CHAT, {"tools": [tool("f")], "tool_choice": {"type": "function", "function": {"name": "g"}}},
         400, "tool_choice"),
        (CHAT, {"tools": [tool("f")], "tool_choice": "required", "guided_regex": "x"}, 400, "tool_choice"),
        (CHAT, {"response_format": {"type": "xml"}}, 400, "response_format"),
        (CHAT, {"response_format": "json"}, 400, "response_format"),
        (CHAT, {"response_format": {"type": "json_schema"}}, 400, "response_format"),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "tree"}}}},
         400, "response_format"),
        (CHAT, {"response_format": {"type": "json_object"}, "guided_regex": "a"}, 400, "guided_regex"),
        (CHAT, {"grammar": "root ::= root"}, 400, "grammar"),
        (CHAT, {"grammar": "root ::= (x{1,90}){1,90}\nx ::= [ -~]", "max_tokens": 200}, 400, None),
        (CHAT, {"grammar": "x" * (1 << 18)}, 400, "grammar"),
        (CHAT, {"grammar": ["x"]}, 400, "grammar"),
        (CHAT, {"json_schema": {"pattern": "("}}, 400, "json_schema"),
        (CHAT, {"guided_json": 7}, 400, "guided_json"),
        (CHAT, {"guided_regex": "(a"}, 400, "guided_regex"),
        (CHAT, {"guided_regex": "((a{1000}){1000}){1000}"}, 400, "guided_regex"),
        (CHAT, {"guided_choice": []}, 400, "guided_choice"),
        (CHAT, {"guided_grammar": "root := 1"}, 400, "guided_grammar"),
        (CHAT, {"structured_outputs": {"xml": 1}}, 400, "structured_outputs"),
        (TEXT, {"prompt": None}, 400, "prompt"),
        (TEXT, {"prompt": []}, 400, "prompt"),
        (TEXT, {"prompt": [[]]}, 400, "prompt"),
        (TEXT, {"prompt": [1, "x"]}, 400, "prompt"),
        (TEXT, {"prompt": [1 << 40]}, 400, "prompt"),
        (TEXT, {"prompt": [-1]}, 400, None),
        (TEXT, {"prompt": ["x"] * 1025}, 400, "prompt"),
        (TEXT, {"prompt": {"a": 1}}, 400, "prompt"),
        (TEXT, {"logprobs": 21}, 400, "logprobs"),
        (TEXT, {"suffix": "x"}, 400, "suffix"),
        (TEXT, {"best_of": 2}, 400, "best_of"),
        ("/v1/embeddings", {"input": []}, 400, "input"),
        ("/v1/embeddings", {"input": "x", "dimensions": 3}, 400, "dimensions"),
        ("/v1/embeddings", {"input": "x", "encoding_format": "int"}, 400, "encoding_format"),
        ("/tokenize", {}, 400, "content"),
        ("/detokenize", {"tokens": [999999]}, 400, None),
        ("/detokenize", {"tokens": ["x"]}, 400, "tokens[0]"),
    ]
    for path, change, expected, param in bad:
        body = hello() if path == CHAT else {"prompt": "x"} if path == TEXT else {}
        status, answer = server.post(path, {**body, **change})
        error = answer.get("error", {})
        check(status == expected and error.get("param") == param and error.get("message"),
              f"{path} {str(change)[:80]}: {status} {answer}")
        check(error.get("type") == ("not_found_error" if expected == 404 else "invalid_request_error"),
              f"{path} {change}: type")
    for method, path, expected in (("GET", "/nothing", 404), ("GET", CHAT, 405), ("POST", "/health", 405),
                                   ("DELETE", "/v1/models", 405), ("GET", "/../etc/passwd", 404),
                                   ("GET", "/v1/models/..%2f", 404)):
        check(server.ask(method, path)[0] == expected, f"{method} {path}")
    # Names and pages of other sites.
    check(server.ask("GET", "/v1/models", headers={"Host": "evil.example"})[0] == 403, "Host")
    check(server.ask("GET", "/v1/models", headers={"Origin": "http://evil.example"})[0] == 403, "Origin")
    check(server.ask("GET", "/v1/models", headers={"Origin": f"http://127.0.0.1:{server.port}"})[0] == 200,
          "own Origin")
    return len(bad)


def routes():
    """Method, path and access of every route that the service has."""
    source = (Path(__file__).parents[2] / "src" / "serve" / "service.cpp").read_text()
    table = re.search(r"kRoutes\[\] = \{\n(.*?)\n\};", source, re.S)[1]
    found = re.findall(r'\{"([A-Z]+)", "(/[^"]*)", Route::(\w+),', table)
    check(len(found) == table.count("&Service::") > 20, "routes in service.cpp that are not understood")
    return [(method, path.replace("*", "1"), access) for method, path, access in found]


def test_keys():
    """Without its key nothing but /health and the page's files is answered, however it is asked."""
    wrong = [{}, {"Authorization": "Bearer secre"}, {"Authorization": "Bearer secrets"},
             {"Authorization": "Bearer "}, {"Authorization": "secret"}, {"Authorization": "Basic secret"},
             {"Authorization": "Bearer secret other"}, {"x-api-key": "x"}, {"x-api-key": ""},
             {"Authorization": "Bearer x", "x-api-key": "secret"}, {"Cookie": "key=secret"}]
    wrong += [{"Host": host} for host in ("evil.example", "localhost/health", "localhost/v1/health?",
                                          "127.0.0.1:80/health#", "/health", "[::1]", "localhost@health", "")]
    wrong += [{name: "/health"} for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri",
                                             "X-HTTP-Method-Override", "Referer")]
    wrong += [{"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Host": "localhost"}]
    disguises = ("{}/", "/{}", "{}?/health", "{}%3f", "{};/health", "/health/..{}", "/health{}", "/.{}",
                 "http://localhost/health{}", "{}#/health", "/style.css/..{}")
    every = routes()
    files = [path for method, path, access in every if access == "open"]
    check(files == ["/health"], f"open to all: {files}")
    count = 0

    def refused(method, path, headers, body="{}"):
        nonlocal count
        status, answer_headers, text = server.ask(method, path, body, headers)
        check(status == 401 and answer_headers.get("WWW-Authenticate") == "Bearer" and
              (method == "HEAD" or json.loads(text)["error"]["type"] == "authentication_error"),
              f"{method} {path} {headers}: {status} {text[:100]}")
        count += 1

    with Server("--api-key", "secret", "--api-key", "other") as server:
        for method, path, access in every:
            if access == "open":
                continue
            for headers in wrong:
                refused(method, path, headers)
            for other in {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND"} - {method}:
                refused(other, path, {})
            for disguise in disguises:
                refused(method, disguise.format(path), {})
            check(server.ask(method, path, "{}", {"Authorization": "Bearer secret"})[0] != 401, f"{path} with its key")
        # Told before the body has come: nothing is kept of a stranger's megabytes.
        with socket.create_connection(("127.0.0.1", server.port), timeout=2) as stranger:
            stranger.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                             b"Content-Length: 16000000\r\nExpect: 100-continue\r\n\r\n")
            answer = stranger.recv(4096)
            check(answer.startswith(b"HTTP/1.1 401 "), f"{answer[:60]}")
        for _ in range(5):  # one who sends a large body all the same reads why it was refused
            refused("POST", TEXT, {}, "x" * (15 << 20))
        status, _, _ = server.ask("POST", TEXT, "x" * (17 << 20), {"Authorization": "Bearer secret"})
        check(status == 413, f"a body of 17 MiB: {status}")
        for path in ("/nothing", "/.git/config", "/api.js/", "/../style.css"):
            refused("GET", path, {})
        web = Path(__file__).parents[2] / "src" / "serve" / "web"
        for path in ("/health", "/", "/runs", *(f"/{file.name}" for file in web.iterdir() if file.suffix != ".html")):
            check(server.ask("GET", path)[0] == 200, path)
        for headers in ({"Authorization": "Bearer secret"}, {"x-api-key": "other"}):
            check(server.ask("GET", "/v1/models", headers=headers)[0] == 200, f"{headers}")
    return len(every), count


def main():
    with Server() as server:
        test_chat(server)
        test_completions(server)
        test_embeddings(server)
        test_others(server)
        test_forms(server)
        test_tools(server)
        refused = test_refusals(server)
        check(server.get("/health")[0] == 200, "the server lives")
    every, keyless = test_keys()
    finish(f"all {every} routes answered; {refused} bad requests refused, {keyless} without a key")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: api_test.py PROGRAM MODEL")
    main()
