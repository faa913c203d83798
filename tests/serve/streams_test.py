"""Many streams at once (240, or STEPSTONE_STREAMS), clients that leave, and the end of the server."""

import asyncio
import json
import os
import signal
import sys
import time

from harness import Server, check, finish

STREAMS = int(os.environ.get("STEPSTONE_STREAMS", "240"))
PROMPTS = 24


def request(prompt, max_tokens, **more):
    body = json.dumps({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "stream": True,
                       "ignore_eos": True, **more}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)


async def read_stream(port, prompt, max_tokens, **more):
    """Status, text and whether the stream ended with [DONE]."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(prompt, max_tokens, **more))
    data = await reader.read()
    writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    chunks, text = b"", ""
    while b"chunked" in head and body:  # undo the encoding
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        chunks += body[:length]
        body = body[length + 2:]
    for event in chunks.decode().split("\n\n"):
        if event.startswith("data: {"):
            json_event = json.loads(event[6:])
            text += "".join(c["text"] for c in json_event.get("choices", []))
    return int(head.split()[1]) if head else 0, text, b"data: [DONE]" in chunks


async def many_streams(server):
    prompts = [f"Prompt number {i * i}: " + "la " * (i % 7) for i in range(PROMPTS)]
    expected = {}
    for prompt in prompts:  # alone
        expected[prompt] = (await read_stream(server.port, prompt, 40))[1]
    check(len(set(expected.values())) > PROMPTS / 2, "the prompts give the same texts")
    times = []
    tasks = [asyncio.create_task(read_stream(server.port, prompts[i % PROMPTS], 40))
             for i in range(STREAMS)]
    while not all(t.done() for t in tasks):
        start = time.monotonic()
        status, _ = await asyncio.to_thread(server.get, "/health")
        times.append(time.monotonic() - start)
        check(status == 200, "health under load")
        await asyncio.sleep(0.02)
    for i, task in enumerate(tasks):
        status, text, done = task.result()
        check(status == 200 and done, f"stream {i}: {status}, {len(text)} characters")
        check(text == expected[prompts[i % PROMPTS]], f"stream {i} has another text")
    return sorted(times)


async def leave(server):
    """Clients that go away free their places within a second."""
    writers = []
    for i in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(f"leaving {i}", 3900))
        await writer.drain()
        writers.append(writer)
    while await asyncio.to_thread(server.metric, "vllm:num_requests_running") == 0:
        await asyncio.sleep(0.01)
    for writer in writers:
        writer.transport.abort()
    start = time.monotonic()
    while True:
        busy = [await asyncio.to_thread(server.metric, f"vllm:num_requests_{what}")
                for what in ("running", "waiting")]
        if busy == [0, 0]:
            break
        check(time.monotonic() - start < 10, "cancelled clients keep their places")
        if time.monotonic() - start > 10:
            break
    return time.monotonic() - start


async def drain(server):
    """SIGTERM: what runs ends whole, and the server after it."""
    tasks = [asyncio.create_task(read_stream(server.port, f"last words {i}", 1500)) for i in range(20)]
    while sum([await asyncio.to_thread(server.metric, f"vllm:num_requests_{what}")
               for what in ("running", "waiting")]) < len(tasks):  # all have arrived
        await asyncio.sleep(0.005)
    server.stopping = True
    server.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    refused = 0
    while not all(task.done() for task in tasks):
        try:
            status = (await asyncio.to_thread(server.ask, "GET", "/health"))[0]
        except OSError:
            break  # it is over
        check(status == 503, f"/health while draining: {status}")
        refused += 1
    check(refused > 0, "nothing was asked while draining")
    for task in tasks:
        status, text, done = await task
        check(status == 200 and done, f"a stream was cut by SIGTERM: {status} {len(text)}")
    for _ in range(200):  # the signal may be on its way yet
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            return
        writer.close()
        await asyncio.sleep(0.02)
    check(False, "a new connection after SIGTERM")


async def overflow():
    with Server("--parallel", "1", "--max-queue", "2") as server:
        results = await asyncio.gather(*(read_stream(server.port, "x", 300) for _ in range(20)))
        statuses = [status for status, _, _ in results]
        check(set(statuses) == {200, 429}, f"queue overflow: {statuses}")
        check(all(done for status, _, done in results if status == 200), "overflow cut a stream")


async def main():
    with Server("--max-queue", "1000") as server:
        times = [1000 * t for t in await many_streams(server)]
        left = await leave(server)
        check(left < 1.5, f"places were free after {left:.2f} s")
        await drain(server)
    await overflow()
    finish(f"{STREAMS} streams whole; {len(times)} times /health: median {times[len(times) // 2]:.0f} ms, "
           f"p99 {times[int(len(times) * 0.99)]:.0f} ms, at most {times[-1]:.0f} ms; "
           f"cancelled clients gone after {left * 1000:.0f} ms")


if len(sys.argv) != 3:
    sys.exit("usage: streams_test.py PROGRAM MODEL")
asyncio.run(main())
