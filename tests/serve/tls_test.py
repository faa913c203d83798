"""https: chats and streams through TLS, and what is refused."""

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from api_test import CHAT, TEXT, hello
from harness import Server, check, finish

if not shutil.which("openssl"):
    print("skipped: there is no openssl to make a certificate with")
    sys.exit(77)


class SecureServer(Server):
    """Trusts the server's certificate and no other."""

    def __init__(self, certificate, key):
        self.context = ssl.create_default_context(cafile=certificate)
        super().__init__("--ssl-cert-file", certificate, "--ssl-key-file", key)

    def connect(self):
        return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=self.context)


def make_certificate(folder):
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
                    certificate], check=True, capture_output=True)
    return certificate, key


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate, key = make_certificate(folder)
        with SecureServer(certificate, key) as server:
            check(server.url.startswith("https://"), server.url)
            whole = server.post(CHAT, hello())[1]["choices"][0]["message"]["content"]
            events = server.stream(CHAT, hello())
            check("".join(e["choices"][0]["delta"].get("content", "") for e in events) == whole, "stream")
            keep = server.connect()  # several requests on one connection, a large body among them
            for body in ({"content": "x" * 300000}, {"content": "y"}):
                keep.request("POST", "/tokenize", json.dumps(body))
                check(len(json.loads(keep.getresponse().read())["tokens"]) == len(body["content"]), "keep-alive")
            keep.close()
            for _ in range(10):  # refused by its head, while a large body is on its way
                status, _, _ = server.ask("POST", "/nothing", "x" * 1000000)
                check(status == 404, f"a large body to no route: {status}")
            # Speaking plainly, an old TLS, and silence.
            with socket.create_connection(("127.0.0.1", server.port)) as plain:
                plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                check(b"200" not in plain.recv(1000), "plain HTTP was answered")
            silent = socket.create_connection(("127.0.0.1", server.port))
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.load_verify_locations(certificate)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            try:
                old.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost")
                check(False, "TLS 1.1 was accepted")
            except (ssl.SSLError, OSError):
                pass
            # A client that goes away frees its place.
            leaving = server.connect()
            leaving.request("POST", TEXT, json.dumps({"prompt": "x", "max_tokens": 3900, "ignore_eos": True}))
            while server.metric("vllm:num_requests_running") == 0:
                time.sleep(0.01)
            leaving.close()
            start = time.monotonic()
            while server.metric("vllm:num_requests_running") > 0 and time.monotonic() - start < 10:
                time.sleep(0.02)
            check(time.monotonic() - start < 2, "a client that left keeps its place")
            check(server.get("/health")[0] == 200, "the server lives")
            silent.close()
        (folder / "bad.pem").write_text("no certificate")
        for flags in (("--ssl-cert-file", certificate), ("--ssl-key-file", key),
                      ("--ssl-cert-file", str(folder / "bad.pem"), "--ssl-key-file", key),
                      ("--ssl-cert-file", certificate, "--ssl-key-file", str(folder / "none"))):
            done = subprocess.run([sys.argv[1], "serve", "-m", sys.argv[2], "--port", "0", *flags], check=False,
                                  capture_output=True, text=True, timeout=30)
            check(done.returncode == 2 and "TLS" in done.stderr, f"{flags}: {done.returncode} {done.stderr}")
    finish("TLS: chats, streams, keep-alive, clients that leave, wrong certificates")


main()
