#!/usr/bin/env python3
"""`stepstone pull` against a hub of our own: pull_test.py PROGRAM MODEL_FOLDER

The hub serves the files of MODEL_FOLDER under several repositories, cuts connections, lies, redirects to
another host that must never see the token, and counts what it was asked."""
import hashlib
import http.server
import json
import os
import pathlib
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

PROGRAM, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
WORK = pathlib.Path(tempfile.mkdtemp())
TOKEN = "hf_secret_of_the_test"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
failures = []


def check(condition, text):
    if not condition:
        failures.append(text)
        print("FAILED:", text, file=sys.stderr)


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """What the servers serve, and how they misbehave."""

    def __init__(self):
        self.files = {p.name: p.read_bytes() for p in sorted(MODEL.iterdir()) if p.is_file()}
        self.extra = {}         # rfilename -> content, not part of the model
        self.requests = []      # (server, method, path, headers)
        self.busy = 0           # so many answers are 429
        self.cut_after = None   # bytes of a body after which the connection is cut
        self.cuts = 0
        self.corrupt = 0        # so many bodies of large files have a wrong byte
        self.ignore_range = False
        self.elsewhere = None   # large files are redirected there
        self.api = None         # replaces the listing
        self.loop = False
        self.private = False
        self.plain_api = False  # a listing without checksums

    def all(self):
        return {**self.files, **self.extra}

    def listing(self):
        siblings = []
        for name, content in self.all().items():
            entry = {"rfilename": name}
            if not self.plain_api:
                entry.update(size=len(content), blobId=git_sha1(content))
                if name.endswith(".safetensors"):
                    entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            siblings.append(entry)
        return {"sha": COMMIT, "siblings": siblings}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, server = self.server.hub, self.server.name
        hub.requests.append((server, self.command, self.path, dict(self.headers)))
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if hub.busy > 0:
            hub.busy -= 1
            return self.answer(429, b"slow down", Retry_After="0")
        if hub.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, b"who are you?")
        if hub.loop:
            return self.answer(302, Location=self.path)
        if path.startswith("/api/models/"):
            repository, _, revision = path[len("/api/models/"):].partition("/revision/")
            if repository != "owner/name" or revision not in ("main", "v1/x", COMMIT):
                return self.answer(404, b"{}")
            return self.answer(200, json.dumps(hub.api or hub.listing()).encode())
        if path.startswith("/moved/"):
            return self.file(path[len("/moved/"):])
        prefix = f"/owner/name/resolve/{COMMIT}/"
        if not path.startswith(prefix) or path[len(prefix):] not in hub.all():
            return self.answer(404)
        name = path[len(prefix):]
        if hub.elsewhere and name.endswith(".safetensors"):
            digest = hashlib.sha256(hub.all()[name]).hexdigest()
            return self.answer(302, Location=f"{hub.elsewhere}/moved/{name}", X_Linked_Etag=f'"{digest}"')
        return self.file(name)

    def file(self, name):
        hub = self.server.hub
        body = hub.all()[name]
        etag = hashlib.sha256(body).hexdigest() if name.endswith(".safetensors") else git_sha1(body)
        if hub.corrupt > 0 and name.endswith(".safetensors"):
            hub.corrupt -= 1
            body = bytes([body[0] ^ 1]) + body[1:]
        begin = 0
        if "Range" in self.headers and not hub.ignore_range:
            begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - begin))
        self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if self.command == "HEAD":
            return
        if hub.cut_after is not None and len(body) - begin > hub.cut_after:
            hub.cuts += 1
            self.wfile.write(body[begin:begin + hub.cut_after])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body[begin:])


def serve(name, hub, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.name, server.hub = name, hub
    server.handle_error = lambda *a: None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"


hub = Hub()
ADDRESS, OTHER = serve("hub", hub), serve("other", hub)
count = 0


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k != "XDG_CACHE_HOME"}
    return {**clean, "STEPSTONE_HOME": str(WORK / "home"), **more}


def run(*arguments, status=0, says=None, cache=None, timeout=60, **more):
    """Runs the program with a fresh cache (or `cache`); returns the finished process and the cache."""
    global count
    count += 1
    home = cache or WORK / f"cache{count}"
    more.setdefault("HF_ENDPOINT", ADDRESS)
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=timeout,
                          env=environment(HF_HOME=str(home), **{k: v for k, v in more.items() if v is not None}))
    what = " ".join(arguments)
    check(done.returncode == status, f"{what}: exit status {done.returncode}, not {status}: {done.stderr[-400:]}")
    if says:
        check(says in done.stderr, f"{what}: does not say {says!r}: {done.stderr[-400:]}")
    check(TOKEN not in done.stderr + done.stdout, f"{what}: prints the token")
    return done, home


def pulled(home):
    return home / "hub" / "models--owner--name"


def same_model(home, text):
    snapshot = pulled(home) / "snapshots" / COMMIT
    for name, content in hub.files.items():
        good = (snapshot / name).is_file() and (snapshot / name).read_bytes() == content
        check(good or name == "README.md", f"{text}: {name} is not as served")
    check(not list(pulled(home).glob("blobs/*.incomplete")), f"{text}: left an unfinished file")


def fetch():
    done, home = run("pull", "owner/name")
    same_model(home, "pull")
    snapshot = done.stdout.strip()
    check(snapshot == str(pulled(home) / "snapshots" / COMMIT), "pull: prints another folder")
    check((pulled(home) / "refs/main").read_text() == COMMIT, "pull: refs/main")
    weights = pulled(home) / "snapshots" / COMMIT / "model.safetensors"
    digest = hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    check(weights.is_symlink() and os.readlink(weights) == f"../../blobs/{digest}", "pull: not a link to the blob")
    # A second time nothing is fetched, and the model is found by its name.
    asked = len(hub.requests)
    done, _ = run("pull", "owner/name", "--json", cache=home)
    check(json.loads(done.stdout)["fetched_bytes"] == 0, "pull again: fetched something")
    check(len(hub.requests) == asked + 1, "pull again: asked for more than the listing")
    for model in ("owner/name", f"owner/name@{COMMIT}", snapshot):
        done, _ = run("generate", "-m", model, "-p", "x", "-n", "3", "--temp", "0", cache=home)
    run("generate", "-m", "owner/other", "-p", "x", cache=home, status=2, says="stepstone pull owner/other")
    # Offline: what is there, and nothing else.
    asked = len(hub.requests)
    done, _ = run("pull", "owner/name", cache=home, HF_HUB_OFFLINE="1", HF_ENDPOINT=None)
    check(done.stdout.strip() == snapshot, "offline: another folder")
    run("pull", "owner/name", HF_HUB_OFFLINE="1", status=2, says="not in the cache")
    check(len(hub.requests) == asked, "offline: asked the hub")
    # Another revision, by a name with a slash; another place for the cache.
    run("pull", "owner/name@v1/x", cache=home)
    check((pulled(home) / "refs/v1/x").read_text() == COMMIT, "refs/v1/x")
    run("pull", "owner/name", HF_HUB_CACHE=str(WORK / "elsewhere"))
    check((WORK / "elsewhere/models--owner--name/refs/main").is_file(), "HF_HUB_CACHE is not used")
    # Python's library finds it, where it is installed.
    python = "from huggingface_hub import snapshot_download as s; print(s('owner/name', local_files_only=True))"
    done = subprocess.run([os.environ.get("STEPSTONE_PYTHON", sys.executable), "-c", python], capture_output=True,
                          text=True, env=environment(HF_HOME=str(home)))
    if "No module named" in done.stderr:
        print("huggingface_hub is not installed: not compared")
    else:
        check(done.stdout.strip() == snapshot, f"huggingface_hub: {done.stdout} {done.stderr[-300:]}")


def choose():
    hub.extra = {"pytorch_model.bin": b"x" * 100, "onnx/model.onnx": b"y", "data/a b#?%.json": b"{}"}
    done, home = run("pull", "owner/name", "--json")
    check(sorted(json.loads(done.stdout)["left_out"]) == sorted(hub.extra), "left out")
    same_model(home, "default choice")
    done, home = run("pull", "owner/name", "--include", "data/*", "--include", "*.onnx")
    found = sorted(str(p.relative_to(done.stdout.strip())) for p in pathlib.Path(done.stdout.strip()).rglob("*")
                   if p.is_file())
    check(found == ["data/a b#?%.json", "onnx/model.onnx"], f"--include: {found}")
    run("pull", "owner/name", "--include", "*.xyz", status=2, says="--include")
    hub.extra = {}
    # A listing without checksums: they come with the files.
    hub.plain_api = True
    _, home = run("pull", "owner/name")
    same_model(home, "checksums from headers")
    hub.plain_api = False


def interrupted():
    size = len(hub.files["model.safetensors"])
    hub.cut_after = size // 3
    _, home = run("pull", "owner/name", says="trying again")
    hub.cut_after = None
    same_model(home, "cut connections")
    check(hub.cuts >= 2, "nothing was cut")
    ranges = [h.get("Range") for _, _, p, h in hub.requests if p.endswith("model.safetensors")]
    check(f"bytes={size // 3}-" in ranges, f"no resume: {ranges}")
    # Killed between two pieces, then again.
    _, home = run("pull", "owner/name", "--include", "config.json")
    digest = hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    partial = pulled(home) / "blobs" / f"{digest}.incomplete"
    partial.write_bytes(hub.files["model.safetensors"][: size // 2])
    done, _ = run("pull", "owner/name", "--json", cache=home)
    same_model(home, "after a kill")
    whole = sum(len(c) for n, c in hub.files.items() if n != "config.json")
    fetched = json.loads(done.stdout)["fetched_bytes"]
    check(fetched <= whole - size // 2, f"after a kill: {fetched} of {whole} bytes fetched again")
    # A server that knows no ranges, and left-overs of other bytes.
    for ignore, junk in ((True, hub.files["model.safetensors"][: size // 2]), (False, b"z" * 100),
                         (False, b"z" * (size + 5)), (False, b"z" * size)):
        hub.ignore_range = ignore
        _, home = run("pull", "owner/name", "--include", "config.json")
        (pulled(home) / "blobs" / f"{digest}.incomplete").write_bytes(junk)
        run("pull", "owner/name", cache=home)
        same_model(home, f"left-over of {len(junk)} bytes")
    hub.ignore_range = False
    # Two at a time.
    home = WORK / "together"
    two = [threading.Thread(target=run, args=("pull", "owner/name"), kwargs={"cache": home}) for _ in range(2)]
    for thread in two:
        thread.start()
    for thread in two:
        thread.join()
    same_model(home, "two at a time")


def lies():
    hub.corrupt = 1
    _, home = run("pull", "owner/name", says="wrong checksum")
    same_model(home, "one wrong byte, once")
    hub.corrupt = 100
    _, home = run("pull", "owner/name", status=1, says="checksum")
    hub.corrupt = 0
    check(not (pulled(home) / "refs/main").exists(), "a wrong checksum was taken")
    check(not list(pulled(home).glob("snapshots/*/model.safetensors")), "a wrong file has its name")
    good = hub.listing()
    for name in ("../evil", "a/../../evil", "/etc/evil", "a//b", "..", "", "a\\b", "a\nb", "c:evil"):
        hub.api = json.loads(json.dumps(good))
        hub.api["siblings"][0]["rfilename"] = name
        run("pull", "owner/name", "--include", "*", status=1, says="is no name for a file")
    for sha in ("../../evil", "main", "", COMMIT.upper()):
        hub.api = {**good, "sha": sha}
        run("pull", "owner/name", status=1, says="sha")
    hub.api = json.loads(json.dumps(good))
    for sibling in hub.api["siblings"]:
        sibling["blobId"] = "../../../evil"
        sibling.pop("lfs", None)
    run("pull", "owner/name", status=1, says="no checksum")
    hub.api = json.loads(json.dumps(good))
    for sibling in hub.api["siblings"]:
        sibling["size"] = 5
        if "lfs" in sibling:
            sibling["lfs"]["size"] = 5
    run("pull", "owner/name", status=1, says="more than the 5 bytes")
    for text in ({"sha": COMMIT}, {"sha": COMMIT, "siblings": 3}, [1]):
        hub.api = text
        run("pull", "owner/name", status=1)
    hub.api = None
    check(not list(WORK.rglob("evil*")), "a file left its folder")
    hub.loop = True
    run("pull", "owner/name", status=1, says="redirects")
    hub.loop = False


def refusals():
    hub.busy = 2
    _, home = run("pull", "owner/name", says="429")
    same_model(home, "after 429")
    run("pull", "owner/none", status=1, says="no such model")
    run("pull", "owner/name@nope", status=1, says="owner/name@nope")
    for name in ("name", "a/b/c", "../x", "a/..", "a b/c", "owner/name@", "owner/name@../x"):
        run("pull", name, status=2, says="OWNER/NAME")
    run("pull", "owner/name", HF_ENDPOINT=None, status=2, says="--endpoint")
    run("pull", "owner/name", HF_ENDPOINT="ftp://x", status=2, says="https://")
    run("pull", "owner/name", "--endpoint", ADDRESS + "/", HF_ENDPOINT="http://127.0.0.1:1")
    hub.private = True
    run("pull", "owner/name", status=1, says="HF_TOKEN")
    run("pull", "owner/name", status=1, says="may not read", HF_TOKEN="wrong")
    hub.requests.clear()
    _, home = run("pull", "owner/name", HF_TOKEN=TOKEN)
    same_model(home, "with a token")
    (WORK / "hometoken").mkdir()
    (WORK / "hometoken/token").write_text(TOKEN + "\n")
    run("pull", "owner/name", cache=WORK / "hometoken")
    # Redirected to another port, the token stays at home.
    hub.private = False
    hub.elsewhere = OTHER
    hub.requests.clear()
    _, home = run("pull", "owner/name", HF_TOKEN=TOKEN)
    same_model(home, "redirected")
    there = [h for s, _, _, h in hub.requests if s == "other"]
    check(there and not any("Authorization" in h for h in there), "the token went to another host")
    check(any("Authorization" in h for s, _, _, h in hub.requests if s == "hub"), "the token was never sent")
    hub.elsewhere = None


def encrypted():
    key = WORK / "key.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                           WORK / "cert.pem", "-days", "2", "-subj", "/CN=nobody", "-addext",
                           "subjectAltName=IP:127.0.0.1"], capture_output=True)
    if made.returncode != 0:
        print("no openssl here: https is not tested")
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(WORK / "cert.pem", key)
    address = serve("tls", hub, context)
    _, home = run("pull", "owner/name", HF_ENDPOINT=address, SSL_CERT_FILE=str(WORK / "cert.pem"), HF_TOKEN=TOKEN)
    same_model(home, "https")
    run("pull", "owner/name", HF_ENDPOINT=address, status=1, says="certificate", HF_TOKEN=TOKEN)
    wrong = address.replace("127.0.0.1", "localhost")
    run("pull", "owner/name", HF_ENDPOINT=wrong, SSL_CERT_FILE=str(WORK / "cert.pem"), status=1, says="certificate")


def full_disk():
    # A write that fails: what came before it is kept.
    size = len(hub.files["model.safetensors"])
    home = WORK / "limited"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    done = subprocess.run([PROGRAM, "pull", "owner/name"], capture_output=True, text=True, preexec_fn=limit,
                          env=environment(HF_HOME=str(home), HF_ENDPOINT=ADDRESS))
    check(done.returncode == 1 and ".incomplete: File too large" in done.stderr, f"failing write: {done.stderr}")
    done, _ = run("pull", "owner/name", "--json", cache=home)
    check(json.loads(done.stdout)["fetched_bytes"] < size, "after a failing write: fetched anew")
    same_model(home, "after a failing write")
    disk = WORK / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size // 2 // 4096 * 4}k", "tmpfs", disk],
                      capture_output=True).returncode != 0:
        print("cannot mount a small disk here: not tested")
        return
    try:
        run("pull", "owner/name", cache=disk, status=1, says="the disk has room for")
        check(not list(disk.rglob("*.incomplete")), "full disk: began all the same")
    finally:
        subprocess.run(["umount", "-l", disk])


try:
    for part in (fetch, choose, interrupted, lies, refusals, encrypted, full_disk):
        begin = time.time()
        part()
        print(f"{part.__name__}: {time.time() - begin:.1f} s")
finally:
    shutil.rmtree(WORK, ignore_errors=True)
sys.exit(1 if failures else 0)
