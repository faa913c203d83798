"""What the tests of the server share: starts it on a free port, asks it things, ends it.

Only Python's own library is used; arguments of every test: PROGRAM MODEL-FOLDER."""

import http.client
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time

failures = []

# The most that an answer to a bad request may take, in seconds. The sanitizers take theirs.
PROMPT_ANSWER = 1 if "STEPSTONE_SANITIZED" not in os.environ else 10


def check(condition, what):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what}", file=sys.stderr)


def finish(summary):
    print(summary if not failures else f"{len(failures)} checks failed")
    sys.exit(1 if failures else 0)


class Server:
    """`home` is the $STEPSTONE_HOME of this server; None: an empty one of its own."""

    def __init__(self, *flags, model=None, home=None):
        self.own_home = tempfile.TemporaryDirectory() if home is None else None
        home = self.own_home.name if home is None else home
        command = [sys.argv[1], "serve", "-m", model or sys.argv[2], "--port", "0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env={**os.environ, "STEPSTONE_HOME": str(home)})
        line = self.process.stdout.readline()
        if not line.startswith("listening on http"):
            sys.exit(f"no address: {line}{self.process.stderr.read()}")
        self.url = line.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])
        self.headers = {}

    def __enter__(self):
        self.wait_until_ready()
        return self

    stopping = False  # set by a test that sent SIGTERM itself

    def __exit__(self, *_):
        if self.process.poll() is None and not self.stopping:  # a second signal would end it at once
            self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(60) == 0, f"exit status {self.process.returncode}")
        self.errors = self.process.stderr.read()
        if "ERROR" in self.errors:
            check(False, self.errors[:2000])

    def wait_until_ready(self):
        deadline = time.monotonic() + 60
        while True:
            status, body = self.get("/health")
            if status == 200:
                return
            assert status == 503 and body["error"]["code"] == "loading", (status, body)
            assert time.monotonic() < deadline, "the model is not loaded after 60 s"
            time.sleep(0.02)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and text of the answer."""
        connection = self.connect()
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, {**self.headers, **(headers or {})})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), text

    def get(self, path, **more):
        status, headers, text = self.ask("GET", path, **more)
        is_json = "json" in headers.get("Content-Type", "")
        return status, json.loads(text) if is_json else text.decode()

    def post(self, path, body, **more):
        status, _, text = self.ask("POST", path, body, **more)
        return status, json.loads(text)

    def stream(self, path, body):
        """The events of a stream that ends as it should."""
        status, headers, text = self.ask("POST", path, {**body, "stream": True})
        assert status == 200 and headers["Content-Type"].startswith("text/event-stream"), text
        events = text.decode().split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""], events[-3:]
        return [json.loads(e.removeprefix("data: ")) for e in events[:-2]]

    def metric(self, name):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + "{") and "finished_reason" not in line:
                return float(line.split()[-1])
        raise KeyError(name)


class HealthPoll:
    """Asks /health without a pause longer than 3 ms from a process of its own, so that the test's
    own work does not count. Afterwards `times` are the milliseconds of each answer, sorted."""

    def __init__(self, port):
        self.count = multiprocessing.Value("i", 0)
        self.ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(port, theirs))

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.ours.send("stop")
        self.times, others = self.ours.recv()
        self.times.sort()
        self.process.join()
        check(not others, f"/health answered otherwise: {others[:5]}")

    def run(self, port, pipe):
        times, others = [], []
        while not pipe.poll(0.003):
            start = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("GET", "/health")
                status = connection.getresponse().status
                if status != 200:
                    others.append(status)
            except (OSError, http.client.HTTPException) as problem:
                others.append(repr(problem))
            connection.close()
            times.append(1000 * (time.monotonic() - start))
            with self.count.get_lock():
                self.count.value += 1
        pipe.send((times, others))

    def percentile(self, share):
        return self.times[min(int(len(self.times) * share), len(self.times) - 1)]

    def __str__(self):
        return (f"{len(self.times)} times /health: median {self.percentile(0.5):.0f} ms, "
                f"p99 {self.percentile(0.99):.0f} ms, at most {self.times[-1]:.0f} ms")


def open_files(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def resident_kib(process):
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
