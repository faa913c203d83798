"""/v1/messages and /v1/responses: the same chats in other dresses, whole and as streams of events."""

import json

from api_test import CHAT, hello, tool
from harness import Server, check, finish

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
SCHEMA = tool("weather")["function"]["parameters"]


def events_of(server, path, body):
    """Names and contents of the events of a stream."""
    status, headers, text = server.ask("POST", path, {**body, "stream": True})
    check(status == 200 and headers["Content-Type"].startswith("text/event-stream"), f"{path}: {text}")
    events = []
    for block in text.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        check(name == "event: " + events[-1]["type"], f"{name} {data}")
    return events


def asked(**more):
    return {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 24, "temperature": 0, **more}


def test_messages(server):
    text = server.post(CHAT, hello())[1]["choices"][0]["message"]["content"]
    _, whole = server.post(MESSAGES, asked())
    check(whole["type"] == "message" and whole["content"] == [{"type": "text", "text": text}], f"{whole}")
    check(whole["stop_reason"] == "max_tokens", f"{whole}")
    counted = server.post(MESSAGES + "/count_tokens", {"messages": asked()["messages"]})[1]["input_tokens"]
    usage = whole["usage"]
    check(usage["input_tokens"] + usage["cache_read_input_tokens"] == counted, f"{usage}")
    events = events_of(server, MESSAGES, asked())
    check([e["type"] for e in events[:2]] == ["message_start", "content_block_start"], f"{events}")
    check([e["type"] for e in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"], f"{events}")
    check("".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta") == text, "stream")
    check(events[-2]["delta"]["stop_reason"] == "max_tokens" and events[-2]["usage"]["output_tokens"] == 24, "end")
    # What a stream counts in the end is what the answer as a whole counts.
    again = server.post(MESSAGES, asked())[1]["usage"]
    check(events_of(server, MESSAGES, asked())[-2]["usage"] == again, f"usage of a stream, not {again}")
    check(set(events[0]["message"]["usage"]) == set(again), f"{events[0]}")
    _, stopped = server.post(MESSAGES, asked(stop_sequences=["\x01", text[3:6]]))
    check(stopped["stop_reason"] == "stop_sequence" and stopped["stop_sequence"] == text[3:6], f"{stopped}")
    system = server.post(MESSAGES, asked(system=[{"type": "text", "text": "Be brief."}]))[1]
    check(system["content"][0]["text"] == server.post(CHAT, hello(messages=[
        {"role": "system", "content": "Be brief."}, *asked()["messages"]]))[1]["choices"][0]["message"]["content"],
        "system")

    tools = [{"name": "weather", "description": "of a town", "input_schema": SCHEMA}]
    body = asked(tools=tools, tool_choice={"type": "tool", "name": "weather"}, max_tokens=300)
    _, made = server.post(MESSAGES, body)
    use = made["content"][0]
    check(made["stop_reason"] == "tool_use" and use["type"] == "tool_use" and use["name"] == "weather", f"{made}")
    check(use["input"]["town"] in ("Rome", "Oslo"), f"{use}")
    events = events_of(server, MESSAGES, body)
    pieces = [e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta"]
    check(json.loads("".join(pieces)) == use["input"] and len(pieces) > 3, f"{pieces}")
    back = asked(tools=tools, messages=[
        {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use["id"], "content": "rain"},
                                     {"type": "text", "text": "and?"}]}])
    status, answer = server.post(MESSAGES, back)
    check(status == 200 and answer["type"] == "message", f"{answer}")
    for wrong in ({"max_tokens": None}, {"max_tokens": 0}, {"messages": []}, {"messages": [{"role": "king"}]},
                  {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
                  {"tools": [{"name": "x"}]}, {"tool_choice": {"type": "any"}}, {"tool_choice": 1},
                  {"system": 7}, {"temperature": "x"}):
        status, answer = server.post(MESSAGES, asked(**wrong))
        check(status == 400 and answer["type"] == "error" and
              answer["error"]["type"] == "invalid_request_error", f"{wrong}: {status} {answer}")
    status, answer = server.post(MESSAGES, asked(model="none"))
    check(status == 404 and answer["error"]["type"] == "not_found_error", f"{answer}")


def test_responses(server):
    text = server.post(CHAT, hello())[1]["choices"][0]["message"]["content"]
    body = {"input": "hello", "max_output_tokens": 24, "temperature": 0}
    _, whole = server.post(RESPONSES, body)
    item = whole["output"][0]
    check(whole["object"] == "response" and item["content"][0]["text"] == text, f"{whole}")
    check(whole["status"] == "incomplete" and whole["incomplete_details"]["reason"] == "max_output_tokens", "status")
    check(whole["usage"]["total_tokens"] == whole["usage"]["input_tokens"] + 24, f"{whole['usage']}")
    _, items = server.post(RESPONSES, {**body, "instructions": "Be brief.", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "noon"}]})
    check(items["object"] == "response" and items["instructions"] == "Be brief.", f"{items}")
    events = events_of(server, RESPONSES, body)
    check([e["sequence_number"] for e in events] == list(range(len(events))), "sequence_number")
    names = [e["type"].removeprefix("response.") for e in events]
    check(names[:4] == ["created", "in_progress", "output_item.added", "content_part.added"], f"{names}")
    check(names[-4:] == ["output_text.done", "content_part.done", "output_item.done", "incomplete"], f"{names}")
    check("".join(e["delta"] for e in events if "delta" in e) == text, "stream")
    check(events[-1]["response"]["output"][0]["content"] == item["content"], "the last event holds all")

    form = {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}
    _, formed = server.post(RESPONSES, {"input": "x", "text": form, "max_output_tokens": 300})
    check(formed["status"] == "completed" and
          json.loads(formed["output"][0]["content"][0]["text"])["town"] in ("Rome", "Oslo"), f"{formed}")
    called = {"input": "x", "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA}],
              "tool_choice": "required", "temperature": 0, "max_output_tokens": 300}
    _, made = server.post(RESPONSES, called)
    call = made["output"][0]
    check(call["type"] == "function_call" and call["name"] == "weather" and made["status"] == "completed", f"{made}")
    events = events_of(server, RESPONSES, called)
    check("".join(e["delta"] for e in events if "delta" in e) == call["arguments"], "streamed arguments")
    check(events[-1]["response"]["output"][0]["arguments"] == call["arguments"], "the last event holds the call")
    for wrong, param in (({"input": None}, "input"), ({"input": 7}, "input"), ({"input": [1]}, "input[0]"),
                         ({"previous_response_id": "x"}, "previous_response_id"), ({"background": True}, "background"),
                         ({"tools": [{"type": "web_search"}]}, "tools"), ({"text": 3}, "text"),
                         ({"max_output_tokens": 0}, "max_output_tokens"),
                         ({"text": {"format": {"type": "xml"}}}, "response_format")):
        status, answer = server.post(RESPONSES, {**body, **wrong})
        check(status == 400 and answer["error"]["param"] == param, f"{wrong}: {status} {answer}")


def main():
    with Server() as server:
        test_messages(server)
        test_responses(server)
        check(server.get("/health")[0] == 200, "the server lives")
    finish("/v1/messages and /v1/responses: texts, calls, forms, streams, refusals")


if __name__ == "__main__":
    main()
