"""Bytes that are no request: each gets its 4xx or a closed connection, and the server lives."""

import random
import socket
import time

from harness import Server, check, finish

LIMIT = 16 << 20


def send(port, data, patience=20):
    """The status that came back; 0 when none did: closed, or still waiting for more."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as s:
        try:
            s.sendall(data)
        except OSError:
            pass  # refused before the end
        answer = b""
        try:
            while b"}" not in answer and (piece := s.recv(65536)):
                answer += piece
        except OSError:
            pass
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    lines = [line for line in lines if b" 100 " not in line]
    return int(lines[0].split()[1]) if lines else 0


def post(body, path="/v1/completions", extra=b""):
    return (b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n" + extra +
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)


def head(*lines):
    return "\r\n".join(("GET /health HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


HTTP = [
    (b"\r\n\r\n", {400, 0}),
    (b"hello\r\n\r\n", {400}),
    (b"GET\r\n\r\n", {400}),
    (b"GET /\r\n\r\n", {400}),
    (b"GET / HTTP/9.9\r\n\r\n", {400}),
    (b"GET / HTTQ/1.1\r\n\r\n", {400}),
    (b"G\x00T / HTTP/1.1\r\n\r\n", {400}),
    (b"GET /\x01 HTTP/1.1\r\n\r\n", {400}),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, {400}),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    (head("NoColon"), {400}),
    (head("Bad Name: x"), {400}),
    (head("X: a\x00b"), {400}),
    (head("X: " + "a" * 20000), {431, 400}),
    (head(*(f"X{i}: a" for i in range(200))), {431}),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", {431, 400}),
    (head("Content-Length: -1"), {400}),
    (head("Content-Length: 99999999999999999999999"), {400}),
    (head("Content-Length: 1x"), {400}),
    (head("Content-Length: 5", "Content-Length: 6"), {400}),
    (head("Content-Length: 5", "Transfer-Encoding: chunked"), {400}),
    (head("Transfer-Encoding: chunked") + b"-5\r\nhello\r\n0\r\n\r\n", {400}),
    (head("Transfer-Encoding: chunked") + b"zz\r\nhello\r\n0\r\n\r\n", {400}),
    (head("Transfer-Encoding: chunked") + b"fffffffffffffffff\r\nhello", {400}),
    (head("Transfer-Encoding: chunked") + b"5\r\nhelloXX0\r\n\r\n", {400}),
    (head(f"Content-Length: {LIMIT + 1}"), {413}),
    (post(b"{}", extra=b"Expect: 100-continue\r\n"), {400}),
    (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
     (b"100000\r\n" + b" " * (1 << 20) + b"\r\n") * 17 + b"0\r\n\r\n", {413}),
    (b"GET /health HTTP/1.1\r\n\r\n", {403}),  # no Host
]

JSON = [
    b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"x"', b"{]", b'{"prompt"}', b'{"prompt":}',
    b'{"prompt": "x",}', b'{"prompt": "x"} x', b"{'prompt': 'x'}", b'{"prompt": "\x00"}',
    b'{"prompt": "\xff"}', b'{"prompt": "\\ud800"}', b'{"prompt": "\\u12"}', b'{"prompt": "x',
    b'{"prompt": "x", "prompt": "y"}', b'{"prompt": "x", "temperature": NaN}',
    b'{"prompt": "x", "temperature": Infinity}', b'{"prompt": "x", "temperature": 1e999}',
    b'{"prompt": "x", "max_tokens": 1e3}', b'{"prompt": "x", "n": 01}', b'{"prompt": /* */ "x"}',
    b"\xef\xbb\xbf{", b"\xff\xfe{\x00}\x00", b"[" * 100000, b'{"a":' * 100000, b"[" * 65 + b"]" * 65,
    b'{"prompt": ' + b"[" * 63 + b"]" * 63 + b"}",
    b'{"prompt": [' + b"1," * 5000000 + b"1]}",
    b'{"prompt": "' + b"x" * (1 << 20) + b'"}',
]


def mutated(count):
    """Good requests with some bytes changed: any answer but none or a 5xx will do."""
    rng = random.Random(1)
    good = post(b'{"prompt": "Once", "max_tokens": 2, "temperature": 0.5, "stop": ["x"], "n": 2}')
    for _ in range(count):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data)


def main():
    count = 0
    with Server("--parallel", "4") as server:
        for data, expected in HTTP:
            status = send(server.port, data)
            check(status in expected, f"{data[:60]!r}: {status}, not {expected}")
            count += 1
        for path in ("/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize",
                     "/detokenize", "/apply-template"):
            for body in JSON if path == "/v1/completions" else JSON[:31]:
                start = time.monotonic()
                status = send(server.port, post(body, path))
                check(status == 400, f"{path} {body[:40]!r}: {status}")
                check(time.monotonic() - start < 10, f"{path} {body[:40]!r}: slow")
                count += 1
        for data in mutated(150):
            status = send(server.port, data, 0.3)
            check(status < 500, f"{data!r}: {status}")
            count += 1
        check(server.get("/health")[0] == 200, "the server lives")
    finish(f"{count} malformed requests, all refused")


main()
