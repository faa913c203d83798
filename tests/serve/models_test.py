"""Several models in one server; keys, quotas and the count of usage; which routes want a key."""

import json
import re
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path

from api_test import CHAT, TEXT, hello
from harness import Server, check, finish

SERVE = Path(__file__).parents[2] / "src" / "serve"


def status_of(server, name):
    return {m["id"]: m["status"]["value"] for m in server.get("/v1/models")[1]["data"]}[name]


def wait_for(server, name, status):
    deadline = time.monotonic() + 30
    while (now := status_of(server, name)) != status:
        if time.monotonic() > deadline:
            return check(False, f"{name} is {now}, not {status}")
        time.sleep(0.02)


def test_tokenizer_that_explodes():
    """A model's rules make gigabytes of a few bytes: the request is refused, and the server lives."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        shutil.copytree(sys.argv[2], model)
        (model / "stepstone.json").unlink()
        file = model / "tokenizer.json"
        replace = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
        tokenizer = json.loads(file.read_text())
        tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [replace] * 10}
        file.write_text(json.dumps(tokenizer))
        with Server(model=str(model)) as server:
            for path, body in (("/tokenize", {"content": "a"}), (TEXT, {"prompt": "a"})):
                status, answer = server.post(path, body)
                check(status == 400 and answer["error"]["message"].startswith(
                    "tokenizer: normalizer Replace: makes a text of more than"), f"{path}: {status} {answer}")
            check(server.post("/tokenize", {"content": "b"})[0] == 200, "a text that does not grow")


def test_models():
    model = sys.argv[2]
    with Server("-m", f"second={model}") as server:
        names = [m["id"] for m in server.get("/models")[1]["data"]]
        check(names == ["tiny", "second"], f"{names}")
        answers = [server.post(CHAT, hello(**more))[1] for more in ({}, {"model": "tiny"}, {"model": "second"})]
        check([a["model"] for a in answers] == ["tiny", "tiny", "second"], "the model that was asked for")
        check(len({a["choices"][0]["message"]["content"] for a in answers}) == 1, "the same weights")
        metrics = server.get("/metrics")[1]
        for name in ("tiny", "second"):
            check(f'vllm:num_requests_running{{model_name="{name}"}}' in metrics, f"metrics of {name}")
        check(metrics.count("# TYPE vllm:num_requests_running gauge") == 1, "one head for all models")

        check(server.post("/models/unload", {"model": "second"})[1] == {"success": True}, "unload")
        wait_for(server, "second", "unloaded")
        status, answer = server.post(CHAT, hello(model="second"))
        check(status == 400 and answer["error"]["code"] == "model_not_loaded", f"{answer}")
        check(server.post(CHAT, hello())[0] == 200, "the other one answers")
        for path, name, expected in (("load", "tiny", 400), ("unload", "second", 400), ("load", "x", 404),
                                     ("unload", "/etc", 404), ("load", 7, 400)):
            check(server.post(f"/models/{path}", {"model": name})[0] == expected, f"{path} {name}")
        check(server.post("/models/load", {"model": "second"})[0] == 200, "load")
        wait_for(server, "second", "loaded")
        check(server.post(CHAT, hello(model="second"))[1]["choices"] == answers[2]["choices"], "loaded again")
        # A stream of a model that is taken away ends with an error; the server lives.
        import threading
        texts = []
        body = {"prompt": "x", "max_tokens": 3900, "ignore_eos": True, "stream": True, "model": "second"}
        thread = threading.Thread(target=lambda: texts.append(server.ask("POST", TEXT, body)[2].decode()))
        thread.start()
        while f'vllm:num_requests_running{{model_name="second"}} 1' not in server.get("/metrics")[1]:
            time.sleep(0.005)
        server.post("/models/unload", {"model": "second"})
        thread.join(30)
        check(texts and '"error"' in texts[0] and "[DONE]" not in texts[0], f"{texts[0][-200:] if texts else None}")
        check(server.get("/health")[0] == 200, "the server lives")


def test_shared_memory():
    """Each of three tiny models gets a MiB, which is what a text of 2048 tokens needs."""
    model = sys.argv[2]
    more = ["-m", f"second={model}", "-m", f"third={model}"]
    pages = 'stepstone:kv_pages{model_name="%s"} %d\n'
    with Server(*more, "--kv-memory", "3") as server:
        for name in ("tiny", "second", "third"):
            wait_for(server, name, "loaded")
            check(pages % (name, 32) in server.get("/metrics")[1], f"pages of {name}")
        for name in ("second", "third"):
            server.post("/models/unload", {"model": name})
            wait_for(server, name, "unloaded")
        server.post("/models/load", {"model": "third"})
        wait_for(server, "third", "loaded")
        check(pages % ("third", 64) in server.get("/metrics")[1], "all that the first leaves")
        server.post("/models/load", {"model": "second"})
        wait_for(server, "second", "failed")
        status = [m["status"] for m in server.get("/v1/models")[1]["data"] if m["id"] == "second"][0]
        check("2048 tokens need 1.0 MiB, and 0.0 MiB are free" in status["error"], f"{status}")
        check(server.post(CHAT, hello(model="third"))[0] == 200, "the others answer")


def test_every_route():
    """All that the program's own table of routes holds, as its source lists them, and its files."""
    source = (SERVE / "service.cpp").read_text()
    routes = re.findall(r'\{"(GET|POST|DELETE)", "([^"]+)", Route::\w+,\s*&Service::', source)
    check(len(routes) == source.count("Route::open,") + source.count("Route::with_key,") +
          source.count("Route::metered,") + source.count("Route::admin,") - 1 > 18, f"only {len(routes)} routes found")
    pages = {"/" + f.name.removesuffix(".html") for f in (SERVE / "web").iterdir()}
    pages = {"/" if path == "/chat" else path for path in pages}
    with Server("--api-key", "k") as server:
        for path in pages:
            check(server.ask("GET", path)[0] == 200, f"{path} without a key")
            check(server.ask("POST", path, "{}")[0] == 405, f"POST {path}")
        for method, path in routes:
            path = path.replace("*", "1")
            status = server.ask(method, path, "{}" if method == "POST" else None)[0]
            check((status == 200) if path == "/health" else (status == 401), f"{method} {path}: {status}")
            status = server.ask(method, path, "{}" if method == "POST" else None, {"x-api-key": "k"})[0]
            expected = (403,) if path in ("/models/load", "/models/unload") else (200, 400, 404)
            check(status in expected, f"{method} {path} with the key: {status}")
    return len(routes)


def test_quotas():
    with tempfile.TemporaryDirectory() as folder:
        keys, usage = Path(folder, "keys"), Path(folder, "usage.sqlite")
        keys.write_text("# who may\nsecret-a name=ann tokens-per-day=120\n\nsecret-b name=bob\nsecret-c\n")
        flags = ("--api-key-file", str(keys), "--usage-file", str(usage))
        ann, bob = {"x-api-key": "secret-a"}, {"Authorization": "Bearer secret-b"}
        with Server(*flags) as server:
            spent = 0
            for _ in range(20):
                status, answer = server.post(CHAT, hello(ignore_eos=True), headers=ann)
                if status != 200:
                    break
                spent += answer["usage"]["total_tokens"]
            check(status == 429 and answer["error"]["code"] == answer["error"]["type"] == "insufficient_quota",
                  f"{answer}")
            headers = server.ask("POST", CHAT, hello(), headers=ann)[1]
            check(0 < int(headers["Retry-After"]) <= 86400, f"{headers}")
            check(120 <= spent < 240, f"{spent} tokens of 120")
            # Embeddings and many choices count too.
            before = server.get("/usage", headers=bob)[1]["tokens_today"]
            made = server.post(CHAT, hello(n=3, temperature=1), headers=bob)[1]["usage"]["total_tokens"]
            made += server.post("/v1/embeddings", {"input": ["abc", "de"]}, headers=bob)[1]["usage"]["total_tokens"]
            after = server.get("/usage", headers=bob)[1]
            check(before == 0 and after["tokens_today"] == made, f"{after} {made}")
            check(after["days"][0]["requests"] == 2 and after["tokens_per_day"] is None, f"{after}")
            check(server.get("/usage", headers={"x-api-key": "secret-c"})[1]["name"].startswith("key-"), "a name")
        with Server(*flags) as server:  # counted on after a restart
            check(server.post(CHAT, hello(), headers=ann)[0] == 429, "the quota after a restart")
            check(server.get("/usage", headers=ann)[1]["tokens_today"] == spent, "usage after a restart")
            check(server.get("/usage", headers=bob)[1] == after, "usage after a restart")


def test_admin():
    """Models are loaded and unloaded with a key that may, where there are keys."""
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder, "keys")
        keys.write_text("secret-a name=ann admin\nsecret-b name=bob\n")
        with Server("--api-key-file", str(keys), "--api-key", "secret-c") as server:
            for key in ("secret-b", "secret-c"):
                status, answer = server.post("/models/unload", {"model": "tiny"}, headers={"x-api-key": key})
                check(status == 403 and answer["error"]["code"] == "admin_key_needed", f"{key}: {answer}")
            ann = {"x-api-key": "secret-a"}
            check(server.post("/models/unload", {"model": "tiny"}, headers=ann)[0] == 200, "unload by an admin")
            check(server.post("/models/load", {"model": "tiny"}, headers=ann)[0] == 200, "load by an admin")


def test_unknown_fields():
    """Ignored, as OpenAI's clients expect, but said once by name."""
    with Server() as server:
        for _ in range(3):
            check(server.post(CHAT, hello(max_token=3, user="u", store=False, reasoning_effort="low"))[0] == 200, "chat")
        check(server.post(TEXT, {"prompt": "x", "max_tokens": 1, "max_completion_tokens": 1})[0] == 200, "text")
        check(server.post(CHAT, hello(**{"\x1b[2J": 1}))[0] == 200, "control characters")
    said = [line for line in server.errors.splitlines() if "is not known here" in line]
    check(len(said) == 3 and '"max_token"' in said[0] and "/v1/chat/completions" in said[0], f"{said}")
    check('"max_completion_tokens"' in said[1] and "\x1b" not in said[2], f"{said}")


def test_numbers_that_are_none():
    """A model whose arithmetic overflows: an error, never null."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "huge")
        shutil.copytree(sys.argv[2], model)
        (model / "stepstone.json").unlink()
        data = bytearray((model / "model.safetensors").read_bytes())
        size = int.from_bytes(data[:8], "little")
        begin, end = json.loads(data[8:8 + size])["model.norm.weight"]["data_offsets"]
        data[8 + size + begin:8 + size + end] = struct.pack("<f", 3e38) * ((end - begin) // 4)
        (model / "model.safetensors").write_bytes(data)
        with Server(model=str(model)) as server:
            for more in ({}, {"encoding_format": "base64"}):
                status, answer = server.post("/v1/embeddings", {"input": "abc", **more})
                check(status == 500 and "numbers that are none" in answer["error"]["message"], f"{answer}")
            check(server.post(CHAT, hello())[0] == 500, "a chat with such a model")
            check(server.get("/health")[0] == 200, "the server lives")


def main():
    test_models()
    test_tokenizer_that_explodes()
    test_shared_memory()
    test_admin()
    test_unknown_fields()
    test_numbers_that_are_none()
    routes = test_every_route()
    test_quotas()
    finish(f"several models; {routes} routes with and without a key; quotas and usage")


main()
