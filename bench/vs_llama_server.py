#!/usr/bin/env python3
"""`stepstone serve` beside llama-server: /v1/completions streamed to 1, 4 and 16 clients at a time.

    bench/vs_llama_server.py --llama DIR --model MODEL.gguf [--clients 1,4,16] [--json FILE]

Each client sends --requests prompts of its own (about --prompt words, none with another's beginning) and
reads --tokens tokens of each. Prints tokens/s of all clients together and the time to the first token
(median and 99th percentile); the ratio is Stepstone / llama.cpp. Both servers get 16 slots.
"""

import argparse
import contextlib
import http.client
import json
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

import side_by_side

WORDS = "the a cat dog river moon stone bird tree house old small blue quiet walks sees finds sings and then".split()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def serving(command, environment, port):
    command = [str(word) for word in command]
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"{command[0]}: exit status {process.returncode}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def complete(port, prompt, tokens):
    """(seconds to the first token, tokens received) of one streamed answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = {"model": "m", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True,
            "stream_options": {"include_usage": True}, "cache_prompt": False}  # fmt: skip
    start = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        sys.exit(f"HTTP {response.status}: {response.read()[:300]}")
    first, count = None, 0
    for line in response:
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        if first is None:
            first = time.perf_counter() - start
        usage = json.loads(line[6:]).get("usage")
        if usage:
            count = usage["completion_tokens"]
    connection.close()
    return first, count


def load_test(port, clients, options, seed):
    firsts, counts, lock = [], [], threading.Lock()

    def client(number):
        rng = random.Random(seed * 1000 + number)
        for _ in range(options.requests):
            prompt = " ".join(rng.choice(WORDS) for _ in range(options.prompt))
            first, count = complete(port, prompt, options.tokens)
            with lock:
                firsts.append(first)
                counts.append(count)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if len(counts) != clients * options.requests or min(counts) != options.tokens:
        sys.exit(f"answers of {sorted(set(counts))} tokens, {len(counts)} of {clients * options.requests}")
    firsts.sort()
    p99 = firsts[min(len(firsts) - 1, int(0.99 * len(firsts)))]
    return {"tokens/s": sum(counts) / seconds, "first token, median s": statistics.median(firsts),
            "first token, p99 s": p99}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--llama", required=True, type=pathlib.Path, metavar="DIR")
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--clients", default="1,4,16")
    parser.add_argument("--requests", type=int, default=2, help="of each client")
    parser.add_argument("--prompt", type=int, default=100, help="words")
    parser.add_argument("--tokens", type=int, default=48)
    side_by_side.add_options(parser)
    options = parser.parse_args()
    server = options.llama / "llama-server"
    side_by_side.require_files(parser, options.stepstone, server, options.model)
    report = {"load": side_by_side.load_before(), "clients": {}}
    environment = side_by_side.stepstone_environment(options.threads)
    environment["LD_LIBRARY_PATH"] = f"{options.llama}:{environment.get('LD_LIBRARY_PATH', '')}"
    commands = {
        "stepstone": lambda port: [options.stepstone, "serve", "-m", options.model, "--port", port, "--parallel", 16,
                                        "--alias", "m"],
        "llama.cpp": lambda port: [server, "-m", options.model, "--port", port, "-np", 16, "-c", 16 * 1024,
                                   "-t", options.threads, "--alias", "m"],
    }  # fmt: skip
    for clients in (int(n) for n in options.clients.split(",")):
        measured = {}
        for name, command in commands.items():
            port = free_port()
            with serving(command(port), environment, port):
                complete(port, "one two three", 4)  # warm
                measured[name] = load_test(port, clients, options, clients)
        report["clients"][clients] = measured
        print(f"{clients:3} clients {'':12} {'stepstone':>10} {'llama.cpp':>10}   ratio")
        for what, ours in measured["stepstone"].items():
            theirs = measured["llama.cpp"][what]
            print(f"  {what:22} {ours:10.2f} {theirs:10.2f}   {ours / theirs:.2f}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
