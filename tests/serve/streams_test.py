"""Many streams at once (240, or STEPSTONE_STREAMS), a full queue, 500 clients that leave, and the
end of the server with 100 answers in flight."""

import asyncio
import collections
import itertools
import json
import os
import signal
import socket
import struct
import sys
import time

from harness import HealthPoll, Server, check, finish, open_files, resident_kib

STREAMS = int(os.environ.get("STEPSTONE_STREAMS", "240"))
PROMPTS = 24
SAMPLES = 300  # of /health, for its 99th percentile
LEAVING, ROUNDS = 100, 5
IN_FLIGHT = 100

Answer = collections.namedtuple("Answer", "status head text done error")


def request(prompt, max_tokens, stream=True):
    body = json.dumps({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "stream": stream,
                       "ignore_eos": True}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)


async def read_stream(port, prompt, max_tokens):
    """An Answer; status 0: the connection ended without one. `done`: the stream ended with [DONE]."""
    data = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(prompt, max_tokens))
        while piece := await reader.read(1 << 16):
            data += piece
        writer.close()
    except OSError:
        pass
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, "", "", False, {})
    status = int(head.split()[1])
    if b"chunked" not in head:
        return Answer(status, head.decode(), "", False, json.loads(body or b"{}").get("error", {}))
    chunks, text = b"", ""
    while body:  # undo the encoding
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        chunks += body[:length]
        body = body[length + 2:]
    for event in chunks.decode(errors="replace").split("\n\n"):
        if event.startswith("data: {"):
            try:
                text += "".join(c["text"] for c in json.loads(event[6:]).get("choices", []))
            except ValueError:  # cut off
                pass
    return Answer(status, head.decode(), text, b"data: [DONE]" in chunks, {})


async def requests_in(server):
    return sum([await asyncio.to_thread(server.metric, f"vllm:num_requests_{what}")
                for what in ("running", "waiting")])


async def many_streams(server):
    prompts = [f"Prompt number {i * i}: " + "la " * (i % 7) for i in range(PROMPTS)]
    expected = {}
    for prompt in prompts:  # alone
        expected[prompt] = (await read_stream(server.port, prompt, 40)).text
    check(len(set(expected.values())) > PROMPTS / 2, "the prompts give the same texts")
    asked = 0
    with HealthPoll(server.port) as poll:
        while poll.count.value < SAMPLES and asked < 20 * STREAMS:
            answers = await asyncio.gather(*(read_stream(server.port, prompts[i % PROMPTS], 40)
                                             for i in range(STREAMS)))
            for i, answer in enumerate(answers):
                check(answer.status == 200 and answer.done,
                      f"stream {i}: {answer.status}, {len(answer.text)} characters")
                check(answer.text == expected[prompts[i % PROMPTS]], f"stream {i} has another text")
            asked += STREAMS
    check(len(poll.times) >= SAMPLES, f"only {len(poll.times)} samples of /health")
    check(poll.percentile(0.99) <= 100, f"among {STREAMS} streams: {poll}")
    return asked, poll


async def overflow():
    """Of as many streams as before, those beyond the queue are refused at once, the others whole."""
    parallel, queue = 2, STREAMS // 4
    with Server("--parallel", str(parallel), "--max-queue", str(queue)) as server:
        answers = await asyncio.gather(*(read_stream(server.port, "x", 100) for _ in range(STREAMS)))
        served = [a for a in answers if a.status == 200]
        refused = [a for a in answers if a.status != 200]
        check(len(served) >= parallel + queue, f"only {len(served)} were served")
        check(len(refused) >= STREAMS // 4, f"only {len(refused)} were refused")
        check(all(a.done and a.text == served[0].text for a in served), "overflow cut a stream")
        for a in refused:
            check(a.status == 429 and a.error.get("code") == "queue_full" and "Retry-After: " in a.head,
                  f"beyond the queue: {a}")
        check(server.metric("stepstone:requests_refused_total") == len(refused), "refused_total")
    return len(refused)


async def leave_once(server, round_number):
    """LEAVING clients go away: at once, while they wait, or while they are answered, with FIN or
    RST; seconds until all is free."""
    sockets = []
    for i in range(LEAVING):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(request(f"leaving {round_number} {i} " + "la " * (i % 300), 3000, stream=i % 3 > 0))
        if i % 2:  # closing sends RST
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if i % 10 == 0:
            s.close()
        else:
            sockets.append(s)
    for _ in range(1000):
        arrived = await requests_in(server)
        if arrived >= len(sockets):
            break
        await asyncio.sleep(0.005)
    check(arrived >= len(sockets), f"only {arrived} of {len(sockets)} requests were running or waiting")
    for s in sockets:
        s.close()
    start = time.monotonic()
    while time.monotonic() - start < 10:
        used = await asyncio.to_thread(server.metric, "vllm:kv_cache_usage_perc")
        if used == 0 and await requests_in(server) == 0:
            break
    return time.monotonic() - start


async def leave(server):
    """The longest time until places and pages were free again."""
    before = open_files(server.process)
    worst, memory = 0, []
    for number in range(ROUNDS):
        worst = max(worst, await leave_once(server, number))
        memory.append(resident_kib(server.process))
    check(worst <= 1, f"places and pages were free after {worst:.2f} s")
    # A connection's descriptor is closed a moment after its request has given back its place.
    start = time.monotonic()
    while open_files(server.process) > before and time.monotonic() - start < 1:
        await asyncio.sleep(0.01)
    check(open_files(server.process) <= before, "descriptors leak")
    # Pages of the cache are filled in the first rounds, and stay for reuse.
    check(memory[-1] - memory[1] < 16 << 10, f"memory grows: {memory} KiB")
    return worst


async def drain(server):
    """SIGTERM: what runs and waits ends whole, what is new is refused, and the server ends."""
    tasks = [asyncio.create_task(read_stream(server.port, f"last words {i}", 300)) for i in range(IN_FLIGHT)]
    for _ in range(2000):
        if await requests_in(server) == IN_FLIGHT or any(t.done() for t in tasks):
            break
        await asyncio.sleep(0.005)
    in_flight = await requests_in(server)
    check(in_flight >= IN_FLIGHT * 0.9, f"only {in_flight} in flight")
    server.stopping = True
    server.process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    await asyncio.sleep(0.05)
    refused = 0
    for i in itertools.count():
        method, path = (("GET", "/health"), ("POST", "/v1/completions"), ("GET", "/v1/models"))[i % 3]
        if all(task.done() for task in tasks):
            break
        try:
            status, headers, body = await asyncio.to_thread(server.ask, method, path, "{}")
        except OSError:
            break  # it is over
        check(status == 503 and b"shutting down" in body and "Retry-After" in headers,
              f"{path} while draining: {status}")
        refused += 1
    check(refused > 10, f"asked only {refused} times while draining")
    for answer in await asyncio.gather(*tasks):
        check(answer.status == 200 and answer.done and len(answer.text) > 0,
              f"a stream was cut by SIGTERM: {answer.status} {len(answer.text)}")
    took = time.monotonic() - start
    check(took <= 30, f"drained in {took:.1f} s")
    await asyncio.to_thread(server.process.wait, 10)
    try:
        await asyncio.open_connection("127.0.0.1", server.port)
        check(False, "a new connection after the end")
    except OSError:
        pass
    return took, refused


async def abort(signals, *flags):
    """Seconds from the last signal until the server has ended, with long answers in flight."""
    with Server("--max-queue", "1000", *flags) as server:
        tasks = [asyncio.create_task(read_stream(server.port, f"cut {i}", 3900)) for i in range(IN_FLIGHT)]
        while await requests_in(server) < IN_FLIGHT:
            await asyncio.sleep(0.005)
        server.stopping = True
        for _ in range(signals):
            await asyncio.sleep(0.2)  # two signals at once would be one
            server.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        await asyncio.to_thread(server.process.wait, 30)
        took = time.monotonic() - start
        answers = await asyncio.gather(*tasks)
        check(not any(a.done for a in answers), "a long answer was done: nothing was aborted")
    return took


async def main():
    with Server("--max-queue", str(2 * STREAMS)) as server:
        asked, poll = await many_streams(server)
        left = await leave(server)
        drained, refused = await drain(server)
    beyond = await overflow()
    aborted = await abort(2)
    check(aborted <= 4, f"a second SIGTERM ended it after {aborted:.1f} s")
    timed_out = await abort(1, "--drain-timeout", "1")
    check(0.9 <= timed_out <= 4, f"--drain-timeout 1 ended it after {timed_out:.1f} s")
    finish(f"{asked} streams whole, {STREAMS} at a time; {poll}; {beyond} of {STREAMS} beyond a queue refused; "
           f"{LEAVING * ROUNDS} clients that left: all free after {left * 1000:.0f} ms; {IN_FLIGHT} in flight "
           f"drained in {drained:.1f} s, {refused} refused meanwhile; aborted in {aborted:.2f} s")


if len(sys.argv) != 3:
    sys.exit("usage: streams_test.py PROGRAM MODEL")
asyncio.run(main())
