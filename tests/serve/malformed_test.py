"""Bytes that are no request: each gets its 4xx or a closed connection, and the server lives."""

import json
import random
import re
import socket
import time

from harness import PROMPT_ANSWER, Server, check, finish

LIMIT = 16 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def whole(answer):
    head, _, body = answer.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return length and len(body) >= int(length[1])


def send(port, data, patience=20):
    """Status and error of what came back; 0 when nothing did: closed, or still waiting for more."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as s:
        try:
            s.sendall(data)
        except OSError:
            pass  # refused before the end
        answer = b""
        try:
            while not whole(answer) and (piece := s.recv(65536)):
                answer += piece
        except OSError:
            pass
    head, _, body = answer.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return 0, {}
    try:
        return int(head.split()[1]), json.loads(body)["error"]
    except (ValueError, KeyError):  # an answer that is no error
        return int(head.split()[1]), {}


def post(body, path="/v1/completions", extra=b""):
    return (b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n" + extra +
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)


def head(*lines):
    return "\r\n".join(("GET /health HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


CHUNKED = head("Transfer-Encoding: chunked")
HTTP = [  # bytes, status, what the message says
    (b"\r\n\r\n", 400, "bad method"),
    (b"hello\r\n\r\n", 400, "bad method"),
    (b"GET\r\n\r\n", 400, "bad method"),
    (b"GET /\r\n\r\n", 400, "bad target"),
    (b"GET / HTTP/9.9\r\n\r\n", 400, "bad version"),
    (b"GET / HTTQ/1.1\r\n\r\n", 400, "bad version"),
    (b"G\x00T / HTTP/1.1\r\n\r\n", 400, "bad method"),
    (b"GET /\x01 HTTP/1.1\r\n\r\n", 400, "bad target"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, 400, "bad method"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad version"),
    (head("NoColon"), 400, "bad field"),
    (head("Bad Name: x"), 400, "bad field"),
    (head(": x"), 400, "bad field"),
    (head("X: a\x00b"), 400, "bad value"),
    (head("X: a\rb"), 400, "bad"),
    (head("X: " + "a" * 20000), 431, "header limit"),
    (head(*(f"X{i}: a" for i in range(200))), 431, "too many header fields"),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", 431, "header limit"),
    (head("Content-Length: -1"), 400, "bad Content-Length"),
    (head("Content-Length: +1"), 400, "bad Content-Length"),
    (head("Content-Length: 0x1"), 400, "bad Content-Length"),
    (head("Content-Length: 99999999999999999999999"), 400, "bad Content-Length"),
    (head("Content-Length: 1x"), 400, "bad Content-Length"),
    (head("Content-Length: 5", "Content-Length: 6"), 400, "multiple Content-Length"),
    (head("Content-Length: 5", "Transfer-Encoding: chunked"), 400, "bad Transfer-Encoding"),
    (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400, "bad chunk"),
    (CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", 400, "bad chunk"),
    (CHUNKED + b"fffffffffffffffff\r\nhello", 400, "bad chunk"),
    (CHUNKED + b"5\r\nhelloXX0\r\n\r\n", 400, "bad chunk"),
    (head(f"Content-Length: {LIMIT + 1}"), 413, "larger than"),
    (head(f"Content-Length: {(1 << 63) - 1}"), 413, "larger than"),
    (post(b"{}", extra=b"Expect: 100-continue\r\n"), 400, "prompt: missing"),
    (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
     (b"100000\r\n" + b" " * (1 << 20) + b"\r\n") * 17 + b"0\r\n\r\n", 413, "larger than"),
    (b"GET /health HTTP/1.1\r\n\r\n", 403, "answers to localhost"),  # no Host
    (b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 403, "answers to localhost"),
    (b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "there is nothing at"),
]

JSON = [  # what the message says, for all routes: then for completions alone
    (b"", "the text ends"), (b" ", "the text ends"), (b"{", "expected a key"), (b"}", "expected a value"),
    (b"[]", "must be a JSON object"), (b"null", "must be a JSON object"), (b"1", "must be a JSON object"),
    (b'"x"', "must be a JSON object"), (b"{]", "expected a key"), (b'{"prompt"}', "expected ':'"),
    (b'{"prompt":}', "expected a value"), (b'{"prompt": "x",}', "expected a key"),
    (b'{"prompt": "x"} x', "expected the end"), (b"{'prompt': 'x'}", "expected a key"),
    (b'{"prompt": "\x00"}', "NUL byte"), (b'{"prompt": "\xff"}', "not UTF-8"),
    (b'{"prompt": "\\ud800"}', "surrogate"), (b'{"prompt": "\\u12"}', "four digits"),
    (b'{"prompt": "x', "closing quote"), (b'{"prompt": "x", "prompt": "y"}', "duplicate key"),
    (b'{"prompt": "x", "temperature": NaN}', "expected a value"),
    (b'{"prompt": "x", "temperature": Infinity}', "expected a value"),
    (b'{"prompt": "x", "temperature": 1e999}', "beyond the range"),
    (b'{"prompt": "x", "n": 01}', "expected a value"), (b'{"prompt": /* */ "x"}', "expected a value"),
    (b"\xef\xbb\xbf{", "expected a key"), (b"\xff\xfe{\x00}\x00", "NUL byte"),
    (b"[" * 100000, "deeper than 64"), (b'{"a":' * 100000, "deeper than 64"),
    (b"[" * 65 + b"]" * 65, "deeper than 64"), (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "deeper than 64"),
    (b'{"prompt": [' + b"1," * 5000000 + b"1]}", "more than"),
]
COMPLETIONS = [
    (b'{"prompt": "x", "max_tokens": 1e3}', "expected an integer"),
    (b'{"prompt": ' + b"[" * 63 + b"]" * 63 + b"}", "expected an integer"),
    (b'{"prompt": "' + b"x" * (1 << 20) + b'"}', "the context has room"),
]
ROUTES = ("/v1/completions", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/tokenize",
          "/detokenize", "/apply-template", "/conversations/a")


def mutated(count):
    """Good requests with some bytes changed: any answer but none or a 5xx will do."""
    rng = random.Random(1)
    good = post(b'{"prompt": "Once", "max_tokens": 2, "temperature": 0.5, "stop": ["x"], "n": 2}')
    for _ in range(count):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data)


def refused(server, name, data, status, says):
    start = time.monotonic()
    got, error = send(server.port, data)
    took = time.monotonic() - start
    check(got == status and says in error.get("message", ""), f"{name}: {got} {error}, not {status} {says}")
    check(took <= PROMPT_ANSWER, f"{name}: {took:.1f} s")


def main():
    count = 0
    with Server("--parallel", "4") as server:
        for data, status, says in HTTP:
            refused(server, repr(data[:60]), data, status, says)
            count += 1
        for path in ROUTES:
            for body, says in JSON + (COMPLETIONS if path == "/v1/completions" else []):
                refused(server, f"{path} {body[:40]!r}", post(body, path), 400, says)
                count += 1
        for data in mutated(150):
            status, _ = send(server.port, data, 0.3)
            check(status < 500, f"{data!r}: {status}")
        check(server.get("/health")[0] == 200, "the server lives")
    finish(f"{count} malformed requests refused within a second for their reason; 150 mutated ones harmed nothing")


main()
