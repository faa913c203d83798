"""Every route: what it answers, whole and streamed, and what it refuses."""

import base64
import math
import struct
import sys

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
    for path in ("/chat.js", "/markdown.js", "/words.js", "/style.css"):
        check(server.ask("GET", path)[0] == 200, path)
    status, headers, body = server.ask("HEAD", "/health")
    check(status == 200 and body == b"", "HEAD")


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
        (CHAT, {"temperature": -1}, 400, None),
        (CHAT, {"temperature": 1e999}, 400, "temperature"),
        (CHAT, {"top_p": 0}, 400, None),
        (CHAT, {"top_k": -2}, 400, None),
        (CHAT, {"top_k": 1.5}, 400, "top_k"),
        (CHAT, {"min_p": 2}, 400, None),
        (CHAT, {"presence_penalty": 3}, 400, None),
        (CHAT, {"repeat_penalty": 0}, 400, None),
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
        (CHAT, {"tools": [{"type": "function"}]}, 400, "tools"),
        (CHAT, {"response_format": {"type": "json_object"}}, 400, "response_format"),
        (CHAT, {"response_format": "json"}, 400, "response_format"),
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


def test_keys():
    routes = [("GET", "/metrics"), ("GET", "/v1/models"), ("POST", CHAT), ("POST", TEXT),
              ("POST", "/v1/embeddings"), ("POST", "/tokenize"), ("POST", "/detokenize"),
              ("POST", "/apply-template"), ("GET", "/nothing"), ("POST", "//v1/models"),
              ("GET", "/health/../v1/models")]
    with Server("--api-key", "secret", "--api-key", "other") as server:
        for method, path in routes:
            for headers in ({}, {"Authorization": "Bearer secre"}, {"Authorization": "Bearer secrets"},
                            {"Authorization": "Bearer "}, {"Authorization": "secret"}, {"x-api-key": "x"},
                            {"Host": "localhost/v1/health"}):
                check(server.ask(method, path, "{}", headers)[0] == 401, f"{method} {path} {headers}")
        for path in ("/health", "/"):
            check(server.ask("GET", path)[0] == 200, path)
        for headers in ({"Authorization": "Bearer secret"}, {"x-api-key": "other"}):
            check(server.ask("GET", "/v1/models", headers=headers)[0] == 200, f"{headers}")


def main():
    with Server() as server:
        test_chat(server)
        test_completions(server)
        test_embeddings(server)
        test_others(server)
        refused = test_refusals(server)
        check(server.get("/health")[0] == 200, "the server lives")
    test_keys()
    finish(f"all routes answered; {refused} bad requests refused")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: api_test.py PROGRAM MODEL")
    main()
