"""The page Runs and its routes: lists, curves that grow, damage, huge logs, families, comparison."""

import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from browser import Browser, skip_without_browser
from harness import Server, check, finish


class Registry:
    """A $STEPSTONE_HOME with runs in it, as training leaves them."""

    def __init__(self, folder):
        self.home = Path(folder)
        subprocess.run([sys.argv[1], "runs", "ls"], env={**os.environ, "STEPSTONE_HOME": str(self.home)}, check=True,
                       capture_output=True)
        self.database = self.home / "runs.db"

    def insert(self, name, kind="train", status="done", parents=(), recipe=None, metrics=None, scores=None):
        database = sqlite3.connect(self.database)
        with database:
            started = 1795000000000 + 1000 * random.randint(0, 9)
            cursor = database.execute(
                "INSERT INTO runs (name, kind, status, started_ms, ended_ms, out_dir, recipe, data_hashes, code_version, seed, "
                "metrics, scores, host, pid) VALUES (?, ?, ?, ?, ?, ?, ?, '{}', '0.1.0', 1, ?, ?, 'elsewhere', 1)",
                (name, kind, status, started, 0 if status == "running" else started + 95000, "", json.dumps(recipe or {}),
                 json.dumps(metrics or {}), json.dumps(scores or {})))
            number = cursor.lastrowid
            folder = self.home / f"run{number}"
            folder.mkdir()
            database.execute("UPDATE runs SET out_dir = ? WHERE id = ?", (str(folder), number))
            database.executemany("INSERT INTO run_parents VALUES (?, ?)", [(number, p) for p in parents])
        database.close()
        return number

    def log(self, number, text):
        with open(self.home / f"run{number}" / "log.jsonl", "a") as file:
            file.write(text)


def lines(first, last, best=2.0, seed=1):
    rng = random.Random(seed)
    text = ""
    for step in range(first, last + 1):
        entry = {"step": step, "loss": best + 6 / math.sqrt(step) + rng.gauss(0, 0.08), "grad_norm": 0.5 + 2 / step,
                 "lr_scale": min(1, step / 20) * (1 - step / 1000), "tok_per_sec": 15000 + rng.gauss(0, 300), "mfu": 0.31}
        text += json.dumps(entry) + "\n"
        if step % 25 == 0:
            text += json.dumps({"step": step, "val_loss": best + 0.1 + 6 / math.sqrt(step), "val_bpb": 1 + 3 / math.sqrt(step)}) + "\n"
        if step % 100 == 0:
            text += json.dumps({"step": step, "sample": f"At step {step} <b>the</b> model wrote this, and\nthen some."}) + "\n"
    return text


def fill(registry):
    """A family: base → two chats → a quantised one; and a run that goes on."""
    recipe = {"model": {"layers": 4, "hidden_size": 256}, "optim": {"lr": 0.02}, "train": {"steps": 400}}
    base = registry.insert("base", recipe=recipe, metrics={"loss": 2.31, "steps": 400}, scores={"val_bpb": 1.1512})
    registry.log(base, lines(1, 400))
    chat = registry.insert("chat", "tune", parents=[base], recipe={**recipe, "optim": {"lr": 0.005}}, scores={"accuracy": 0.731})
    registry.log(chat, lines(1, 200, 1.4, 2))
    other = registry.insert("chat-with-a-rather-long-name-that-does-not-fit", "tune", "failed", parents=[base])
    registry.log(other, "nonsense\n" + lines(1, 30, 1.6, 3) + '{"step": 31, "lo')
    registry.insert("chat-Q4_K_M", "quantize", parents=[chat])
    growing = registry.insert("growing", status="running", recipe={**recipe, "train": {"steps": 1000}})
    registry.log(growing, lines(1, 60, 2.2, 4))
    return base, chat, other, growing


def test_routes(registry, numbers):
    base, chat, other, growing = numbers
    with Server(home=registry.home) as server:
        runs = server.get("/runs/all")[1]["runs"]
        check([r["id"] for r in runs] == [5, 4, 3, 2, 1] and runs[3]["parents"] == [base], f"{runs}")
        check("recipe" not in runs[0] and runs[0]["status"] == "running", "the list is short")
        check(len(server.get("/runs/all?limit=2")[1]["runs"]) == 2, "limit")
        check(server.get(f"/runs/{base}")[1]["recipe"]["optim"]["lr"] == 0.02, "one run")
        answer = server.get(f"/runs/{base}/curves")[1]
        check(len(answer["curves"]["loss"]) == 400 and answer["complete"] and answer["status"] == "done", "curves")
        check(answer["curves"]["val_bpb"][0] == [25, 1.6] and len(answer["samples"]) == 4, f"{answer['curves']['val_bpb']}")
        again = server.get(f"/runs/{base}/curves?version={answer['version']}")[1]
        check("curves" not in again and again["version"] == answer["version"], "nothing new")
        answer = server.get(f"/runs/{other}/curves")[1]
        check(answer["damaged_lines"] == 1 and len(answer["curves"]["loss"]) == 30, "damage")
        first = server.get(f"/runs/{growing}/curves")[1]
        registry.log(growing, lines(61, 70))
        more = server.get(f"/runs/{growing}/curves?version={first['version']}")[1]
        check(len(more["curves"]["loss"]) == 70, "it grew")
        for path, expected in (("/runs/77", 404), ("/runs/77/curves", 404), ("/runs/x", 400), ("/runs/1/curves?version=x", 400),
                               ("/runs/all?limit=0", 400), ("/runs/1/weights", 404), ("/runs/99999999999999999999", 400)):
            check(server.get(path)[0] == expected, f"{path}: {server.get(path)}")
        # A log of half a million lines comes in pieces and few points.
        huge = registry.insert("huge")
        registry.log(huge, "".join(f'{{"step": {i}, "loss": {3 + 1 / i}, "grad_norm": 0.5, "tok_per_sec": 1000.5}}\n' for i in range(1, 300001)))
        start = time.monotonic()
        pieces = 1
        while not (answer := server.get(f"/runs/{huge}/curves")[1])["complete"]:
            check(server.get("/health")[0] == 200, "health")
            pieces += 1
        check(pieces > 1 and len(answer["curves"]["loss"]) <= 800, f"{pieces} pieces")
        check(abs(answer["curves"]["loss"][0][3] - 4) < 1e-6, "the highest value is kept")
        seconds = time.monotonic() - start
        with sqlite3.connect(registry.database) as database:  # folders may have any name
            database.execute("UPDATE runs SET out_dir = CAST(x'2f72756e73ff' AS TEXT) WHERE id = ?", (huge,))
        database.close()
        status, answer = server.get("/runs/all")
        check(status == 200 and answer["runs"][0]["out_dir"] == "/runs\ufffd", f"{status} {str(answer)[:300]}")
    with Server("--no-runs", home=registry.home) as server:
        check(server.get("/runs/all")[1]["error"]["code"] == "runs_off", "off")
    with tempfile.TemporaryDirectory() as folder:
        damaged = Path(folder, "runs.db")
        damaged.write_bytes(b"no database" * 500)
        with Server("--runs-file", str(damaged)) as server:
            check(server.get("/runs/all")[0] == 500 and server.get("/health")[0] == 200, "a damaged registry")
    return seconds


def test_page(registry, numbers):
    base, chat, _, growing = numbers
    with Server() as server, Browser() as browser:
        browser.open(server.url + "/runs")
        browser.until("!document.querySelector('#empty').hidden")
        check(not (Path(server.own_home.name) / "runs.db").exists(), "looking does not make a registry")
        check(browser.js("document.querySelector('#content').hidden"), "no runs")
        check(not browser.errors, f"{browser.errors}")
    with Server(home=registry.home) as server, Browser() as browser:
        browser.open(f"{server.url}/runs#{growing}")
        browser.until("document.querySelectorAll('.plot .line').length >= 4")
        check(browser.js("document.querySelector('#title').textContent") == f"{growing} growing", "title")
        check(browser.js("document.querySelectorAll('#run-list li').length") == 6, "list")
        path = browser.js("document.querySelector('.plot .line').getAttribute('d')")
        registry.log(growing, lines(71, 100))
        browser.until(f"document.querySelector('.plot .line').getAttribute('d') !== {json.dumps(path)}", 10)
        browser.until("document.querySelectorAll('.sample').length === 1")
        check(browser.js("document.querySelector('.sample p').children.length") == 0, "a sample is text")
        # Values under the pointer, and by keys.
        browser.js("document.querySelector('.plot').focus()")
        browser.press("ArrowLeft")
        check(browser.js("document.querySelector('.chart .tip b').textContent") == "99", "hover by keys")
        browser.click(".plot")
        check(int(browser.js("document.querySelector('.chart .tip b').textContent")) in range(40, 70), "hover")
        browser.click("#log-y")
        check(browser.js("localStorage.getItem('log-y')") == "true", "log")
        # Compare: settings that differ stand out, the legend names the runs.
        browser.open(f"{server.url}/runs#{base},{chat}")
        browser.until("document.querySelectorAll('.chart:first-child .line').length === 4")
        check(browser.js("[...document.querySelectorAll('.differs th')].map((e) => e.textContent).join()").startswith("optim.lr"), "differs")
        check("2 chat" in browser.js("document.querySelector('.legend').textContent"), "legend")
        check(browser.js("document.querySelectorAll('#family .node').length") == 4, "family")
        check(browser.js("document.querySelectorAll('#family .edge').length") == 3, "edges")
        browser.click("#family .node:last-child")
        browser.until("document.querySelectorAll('#family .selected').length === 1")
        check("#" in browser.js("location.hash"), "address")
        check(not browser.errors, f"{browser.errors}")


def main():
    skip_without_browser()
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(folder)
        numbers = fill(registry)
        seconds = test_routes(registry, numbers)
        test_page(registry, numbers)
    finish(f"runs: routes, page, family; a log of 300,000 lines in {seconds:.1f} s")


if __name__ == "__main__":
    main()
