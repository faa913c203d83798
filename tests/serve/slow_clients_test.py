"""Slow clients, 300 at once or three times STEPSTONE_SLOW_CLIENTS (at most 680): trickling heads, silence,
and answers that are not taken. Each is closed at its deadline, and others are served meanwhile."""

import asyncio
import os
import resource
import socket
import sys
import time

from api_test import TEXT
from harness import HealthPoll, Server, check, finish, open_files

EACH = int(os.environ.get("STEPSTONE_SLOW_CLIENTS", "100"))
HEAD_TIME, WRITE_TIME = 10, 30  # the server's
LATE = 3  # seconds that are allowed beyond
PAGE = b"GET /maths.js HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def trickle(port):
    """Sends a byte of a head now and then; seconds until the end, and what came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = time.monotonic()
    answer = asyncio.create_task(reader.read(4096))
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1000
    try:
        for i in range(len(head)):
            writer.write(head[i:i + 1])
            await writer.drain()
            if (await asyncio.wait([answer], timeout=0.5))[0]:
                break
    except OSError:
        pass
    data = await answer
    took = time.monotonic() - start
    writer.close()
    return took, data


async def silence(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = time.monotonic()
    data = await asyncio.wait_for(reader.read(4096), HEAD_TIME + 30)
    writer.close()
    return time.monotonic() - start, data


def reader_of(port):
    """Asks for the same page often at once."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    s.setblocking(False)
    s.send(PAGE * 400)
    return s


async def take_slowly(sockets, seconds):
    """Half of the readers take a byte now and then, the others none."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for s in sockets[::2]:
            try:
                s.recv(1)
            except OSError:  # nothing there, or closed
                pass
        await asyncio.sleep(0.5)


async def attack(server, before):
    port = server.port
    trickling = [asyncio.create_task(trickle(port)) for _ in range(EACH)]
    silent = [asyncio.create_task(silence(port)) for _ in range(EACH)]
    await asyncio.sleep(1)
    start = time.monotonic()
    readers = [reader_of(port) for _ in range(EACH)]
    taking = asyncio.create_task(take_slowly(readers, WRITE_TIME + LATE))
    for _ in range(50):
        held = open_files(server.process)
        if held >= before + 3 * EACH:
            break
        await asyncio.sleep(0.1)
    check(held >= before + 3 * EACH, f"{held} descriptors: not all are connected")
    status, answer = await asyncio.to_thread(server.post, TEXT, {"prompt": "x", "max_tokens": 50})
    check(status == 200 and answer["choices"][0]["text"], "a request among slow ones")
    for took, data in await asyncio.gather(*trickling):
        check(HEAD_TIME - 1 < took < HEAD_TIME + LATE, f"a trickling head ended after {took:.1f} s")
        check(data.startswith(b"HTTP/1.1 408 ") and b"took too long" in data, f"a trickling head: {data[:80]}")
    for took, data in await asyncio.gather(*silent):
        check(HEAD_TIME - 1 < took < HEAD_TIME + LATE and not data, f"silence: {took:.1f} s, {data[:80]}")
    check(open_files(server.process) >= before + EACH, "readers were closed before their time")
    await taking
    return readers, time.monotonic() - start


def fewest_files(process):
    """Open when no request is under way: one that has ended closes a moment later."""
    counts = []
    for _ in range(20):
        counts.append(open_files(process))
        time.sleep(0.05)
    return min(counts)


def main():
    # With few descriptors, as shells have by default, the server raises its own limit.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    with Server() as server:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        server.get("/maths.js")
        before = fewest_files(server.process)
        with HealthPoll(server.port) as poll:
            readers, took = asyncio.run(attack(server, before))
        left = fewest_files(server.process) - before
        check(left == 0, f"{left} connections are left {took:.1f} s after the readers began")
        for s in readers:
            s.close()
        check(len(poll.times) >= 1000 and poll.times[-1] <= 1000, f"among slow clients: {poll}")
    finish(f"{EACH} trickling, {EACH} silent, {EACH} slow readers: each closed in time; {poll}")


if len(sys.argv) != 3:
    sys.exit("usage: slow_clients_test.py PROGRAM MODEL")
main()
