"""Conversations on the server: kept, branched, searched, exported, and nobody else's."""

import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

from harness import Server, check, finish

TEXTS = {"a1": "How do I bake Sourdough bread?", "a2": "With flour and patience.",
         "a3": "With 100% rye_flour.", "b1": "什么是素数?", "b2": "素数只能被一和自身整除。"}


def message(name, parent="", role=None, **more):
    role = role or ("user" if name.endswith("1") else "assistant")
    return {"id": name, "parent": parent, "role": role, "content": TEXTS.get(name, name), **more}


def ids(server, **query):
    status, answer = server.get("/conversations?" + urllib.parse.urlencode(query))
    check(status == 200, f"{query}: {answer}")
    return [c["id"] for c in answer["conversations"]]


def fill(server):
    details = {"model": "tiny", "tokens": 5}
    first = {"title": "Bread", "leaf": "a2", "messages": [message("a1"), message("a2", "a1", details=details)]}
    check(server.post("/conversations/bread", first) == (200, {"id": "bread"}), "write")
    check(server.post("/conversations/bread", {"leaf": "a3", "messages": [message("a3", "a1")]})[0] == 200, "branch")
    check(server.post("/conversations/primes", {"title": "素数", "leaf": "b2", "messages": [
        message("b1"), message("b2", "b1")]})[0] == 200, "Chinese")


def test_tree(server):
    fill(server)
    status, bread = server.get("/conversations/bread")
    check(status == 200 and bread["title"] == "Bread" and bread["leaf"] == "a3", f"{bread}")
    check([(m["id"], m["parent"]) for m in bread["messages"]] == [("a1", ""), ("a2", "a1"), ("a3", "a1")], "tree")
    check(bread["messages"][1]["details"] == {"model": "tiny", "tokens": 5}, "details")
    check(bread["messages"][0]["content"] == TEXTS["a1"] and bread["created_ms"] > 1.7e12, "content")
    # A message that is known is replaced: an answer that was cut off and then finished.
    longer = {**message("a3", "a1"), "content": "Longer now."}
    check(server.post("/conversations/bread", {"messages": [longer]})[0] == 200, "replace")
    check(server.get("/conversations/bread")[1]["messages"][2]["content"] == "Longer now.", "replaced")
    check(ids(server, search="Longer") == ["bread"] and ids(server, search="rye") == [], "index of what was replaced")
    server.post("/conversations/bread", {"messages": [message("a3", "a1")]})


def test_list(server):
    check(ids(server) == ["bread", "primes"], "the latest first")
    check(server.post("/conversations/primes", {"title": "Primes 素数"})[0] == 200, "rename")
    check(ids(server) == ["bread", "primes"], "a new name does not make it the latest")
    check(ids(server, limit=1) == ["bread"] and ids(server, limit=1, offset=1) == ["primes"], "pages")
    status, page = server.get("/conversations?limit=1")
    check(page["more"] is True and page["problem"] is None and page["conversations"][0]["messages"] == 3, f"{page}")
    check(server.get("/conversations?limit=2")[1]["more"] is False, "more")
    for search, expected in (("sourDOUGH", ["bread"]), ("dough bak", ["bread"]), ("素数", ["primes"]),
                             ("整除", ["primes"]), ("自身整除", ["primes"]), ("Primes", ["primes"]), ("zebra", []),
                             ("100%", ["bread"]), ("1%0", []), ("e_f", ["bread"]), ("w_th", []), ("%", ["bread"]),
                             ('"', []), ('pat" OR "x', []), ("flour*", []), ("NEAR(flour)", []), ("  ", ["bread", "primes"]),
                             ("patience bread", []), ("'; DROP TABLE messages", [])):
        check(ids(server, search=search) == expected, f"search {search!r}: {ids(server, search=search)}")
    excerpt = server.get("/conversations?search=patience")[1]["conversations"][0]["excerpt"]
    check(excerpt == TEXTS["a2"], f"excerpt {excerpt!r}")
    long = "word " * 400 + "needle素" + " word" * 400
    server.post("/conversations/long", {"messages": [{**message("c1"), "content": long}]})
    excerpt = server.get("/conversations?search=NEEDLE")[1]["conversations"][0]["excerpt"]
    check("needle素" in excerpt and excerpt[0] == excerpt[-1] == "…" and len(excerpt) < 130, f"excerpt {excerpt!r}")
    check(server.ask("DELETE", "/conversations/long")[0] == 200, "delete")
    check(server.get("/conversations/long")[0] == 404 and ids(server, search="needle") == [], "deleted")
    check(server.ask("DELETE", "/conversations/long")[0] == 404, "deleted twice")


def test_export(server):
    _, headers, text = server.ask("GET", "/conversations/bread?format=markdown")
    check(headers["Content-Type"].startswith("text/markdown"), f"{headers}")
    check(text.decode() == f"# Bread\n\n## User\n\n{TEXTS['a1']}\n\n## Assistant\n\n{TEXTS['a3']}\n", text.decode())
    _, _, text = server.ask("GET", "/conversations/bread?format=jsonl")
    check(json.loads(text) == {"messages": [{"role": "user", "content": TEXTS["a1"]},
                                            {"role": "assistant", "content": TEXTS["a3"]}]}, f"{text}")
    check(server.get("/conversations/bread?format=json") == server.get("/conversations/bread"), "JSON")


def test_refusals(server):
    good = message("a4", "a1")
    for body in ({"messages": [{**good, "id": ""}]}, {"messages": [{**good, "id": "x y"}]},
                 {"messages": [{**good, "id": "x" * 65}]}, {"messages": [{**good, "parent": "nobody"}]},
                 {"messages": [{**good, "parent": "a4"}]}, {"messages": [{**good, "parent": 3}]},
                 {"messages": [{**good, "role": "king"}]}, {"messages": [{**good, "content": None}]},
                 {"messages": [{**good, "details": [1]}]}, {"messages": [{**good, "details": {"x": "y" * 9000}}]},
                 {"messages": [good, {}]}, {"messages": good}, {"leaf": "nobody"}, {"title": 7},
                 {"title": "x" * 401}, [], "x"):
        body = body if isinstance(body, str) else json.dumps(body)
        status, _, text = server.ask("POST", "/conversations/bread", body)
        error = json.loads(text)["error"]
        check(status == 400 and error["type"] == "invalid_request_error" and error["message"], f"{body}: {text}")
    check(len(server.get("/conversations/bread")[1]["messages"]) == 3, "a refused change changes nothing")
    for path in ("/conversations/a%20b", "/conversations/" + "x" * 65, "/conversations?limit=0",
                 "/conversations?limit=x", "/conversations?offset=-1", "/conversations?search=%zz",
                 "/conversations?search=%ff", "/conversations?search=a%00b", "/conversations?search=%f", "/conversations?search=" + "x" * 401,
                 "/conversations/bread?format=xml"):
        status, answer = server.get(path)
        check(status == 400 and answer["error"]["param"], f"{path}: {status} {answer}")
    for method, path, expected in (("GET", "/conversations/", 404), ("GET", "/conversations/bread/x", 404),
                                   ("POST", "/conversations", 405), ("PUT", "/conversations/bread", 405)):
        check(server.ask(method, path, "{}")[0] == expected, f"{method} {path}")


def test_holders(home):
    """A key sees its own, and cannot tell that others are there."""
    ann, bob = {"x-api-key": "a"}, {"x-api-key": "b"}
    with Server("--api-key", "a", "--api-key", "b", home=home) as server:
        body = {"title": "mine", "leaf": "a1", "messages": [message("a1")]}
        check(server.post("/conversations/same", body, headers=ann)[0] == 200, "ann writes")
        check(server.get("/conversations/same", headers=bob)[0] == 404, "bob reads what is ann's")
        check(server.ask("DELETE", "/conversations/same", headers=bob)[0] == 404, "bob deletes what is ann's")
        check(server.post("/conversations/same", {**body, "title": "bob's"}, headers=bob)[0] == 200, "bob's own")
        check(server.get("/conversations/same", headers=ann)[1]["title"] == "mine", "ann's stays")
        for holder in (ann, bob):
            check(len(server.get("/conversations", headers=holder)[1]["conversations"]) == 1, "lists")
            check(len(server.get("/conversations?search=bread", headers=holder)[1]["conversations"]) == 1, "search")
        for method, path in (("GET", "/conversations"), ("GET", "/conversations/same"),
                             ("POST", "/conversations/same"), ("DELETE", "/conversations/same")):
            check(server.ask(method, path, "{}")[0] == 401, f"{method} {path} without a key")


def test_storage(folder):
    """What cannot be kept: told, and nothing else fails."""
    with Server("--no-conversations") as server:
        for method, path in (("GET", "/conversations"), ("POST", "/conversations/x")):
            status, _, text = server.ask(method, path, "{}")
            check(status == 404 and json.loads(text)["error"]["code"] == "conversations_off", f"{text}")
    home = os.environ.pop("HOME", None)  # as in many a container
    with Server(home="") as server:
        check(server.get("/conversations")[0] == server.get("/runs/all")[0] == 404, "without a home")
    check("conversations.db is left out" in server.errors, server.errors)
    if home is not None:
        os.environ["HOME"] = home
    damaged = folder / "damaged.db"
    damaged.write_bytes(b"no database" * 1000)
    foreign = []
    for version in (0, 1):  # databases of other programs
        foreign.append(folder / f"foreign{version}.db")
        with sqlite3.connect(foreign[-1]) as other:
            other.executescript(f"CREATE TABLE theirs (x); PRAGMA user_version = {version};")
        other.close()
    for file in (damaged, folder / "file" / "x.db", *foreign):
        (folder / "file").touch()
        with Server("--conversations-file", str(file)) as server:
            fill(server)  # in memory
            check(server.get("/conversations")[1]["problem"], "the page is told")
            check(ids(server) == ["primes", "bread"], "kept in memory")
        check("conversations are lost at the end" in server.errors, server.errors)
    check(damaged.read_bytes() == b"no database" * 1000, "a damaged file is left as it is")
    for file in foreign:
        with sqlite3.connect(file) as other:
            tables = other.execute("SELECT name FROM sqlite_master").fetchall()
        check(tables == [("theirs",)], f"{file}: {tables}")
    with Server("--conversations-file", str(folder / "long.db")) as server:
        half = {"messages": [{**message("h1"), "content": "x " * (9 << 19)}]}
        check(server.post("/conversations/long", half)[0] == 200, "9 MiB")
        half["messages"][0]["id"] = "h2"
        status, answer = server.post("/conversations/long", half)
        check(status == 400 and "together" in answer["error"]["message"], f"18 MiB: {status}")
    busy = folder / "busy.db"
    with Server("--conversations-file", str(busy)) as server:
        fill(server)
        check(stat.S_IMODE(os.stat(busy).st_mode) == 0o600, "for its owner's eyes only")
        with sqlite3.connect(busy) as other:  # another program that writes and does not end
            other.execute("BEGIN EXCLUSIVE")
            status, answer = server.post("/conversations/bread", {"title": "x"})
            check(status == 507 and answer["error"]["code"] == "not_stored", f"{status} {answer}")
            check(server.get("/health")[0] == 200 and len(ids(server)) == 2, "it can be read")
        check(server.post("/conversations/bread", {"title": "x"})[0] == 200, "and written again")


def test_full_disk(folder):
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True).returncode:
        print("skipped: a full disk and a read-only one (no right to mount)")
        return
    try:
        flags = ("--conversations-file", str(disk / "x.db"))
        with Server(*flags) as server:
            fill(server)
            for i in range(40):
                big = {"messages": [{**message(f"d{i}1"), "content": random.Random(i).randbytes(25000).hex()}]}
                status, answer = server.post("/conversations/big", big)
                if status != 200:
                    break
            check(status == 507 and answer["error"]["code"] == "not_stored", f"{status} {str(answer)[:300]}")
            check(server.get("/conversations/primes")[0] == 200, "what is there can be read")
            chat = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
            check(server.post("/v1/chat/completions", chat)[0] == 200, "chatting goes on")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with Server(*flags) as server:
            problem = server.get("/conversations")[1]["problem"]
            status = server.post("/conversations/new", {"title": "x"})[0]
            check(status == 507 or (status == 200 and problem), f"read-only: {status} {problem}")
    finally:
        subprocess.run(["umount", disk], check=True)


def main():
    folder = Path(tempfile.mkdtemp())
    with Server(home=folder) as server:
        test_tree(server)
    with Server(home=folder) as server:  # all of it outlives the server
        test_list(server)
        test_export(server)
        test_refusals(server)
    test_holders(folder)
    test_storage(folder)
    test_full_disk(folder)
    shutil.rmtree(folder)
    finish("conversations: trees, lists, searches, exports, refusals, holders, storage")


if len(sys.argv) != 3:
    sys.exit("usage: conversations_test.py PROGRAM MODEL")
main()
