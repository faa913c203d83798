"""The `openai` package, unmodified, against the server. Run with a Python that has it, named by
STEPSTONE_PYTHON; skipped otherwise."""

import os
import subprocess
import sys

if __name__ == "__main__" and "STEPSTONE_OPENAI_CHILD" not in os.environ:
    python = os.environ.get("STEPSTONE_PYTHON")
    found = python and subprocess.run([python, "-c", "import openai"], check=False,
                                      capture_output=True).returncode == 0
    if not found:
        print("skipped: STEPSTONE_PYTHON names no Python with the package openai")
        sys.exit(77)
    os.execve(python, [python, *sys.argv], {**os.environ, "STEPSTONE_OPENAI_CHILD": "1"})

import json
import typing

import openai
import pydantic

from harness import Server, check, finish


class Forecast(pydantic.BaseModel):
    town: typing.Literal["Rome", "Oslo"]
    days: list[typing.Literal["rain", "sun"]] = pydantic.Field(max_length=3)


TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "of a town", "parameters": {
        "type": "object", "properties": {"town": {"enum": ["Rome", "Oslo"]}}, "required": ["town"]}}}]


def tools_and_forms(client, model, messages):
    asked = {"model": model, "messages": messages, "max_tokens": 300, "seed": 1}
    parsed = client.chat.completions.parse(**asked, response_format=Forecast).choices[0].message.parsed
    check(parsed.town in ("Rome", "Oslo"), f"{parsed}")
    made = client.chat.completions.create(**asked, tools=TOOLS, tool_choice="required").choices[0]
    call = made.message.tool_calls[0]
    check(made.finish_reason == "tool_calls" and call.function.name == "weather", f"{made}")
    with client.chat.completions.stream(**asked, tools=TOOLS, tool_choice="required") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0].message.tool_calls[0]
    check("tool_calls.function.arguments.delta" in kinds, f"{kinds}")
    check(json.loads(final.function.arguments)["town"] in ("Rome", "Oslo"), f"{final}")
    after = client.chat.completions.create(model=model, max_tokens=5, tools=TOOLS, messages=[
        *messages, made.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}])
    check(after.usage.prompt_tokens > 0, "an answer after the tool's")


def responses(client, model):
    asked = {"model": model, "input": "hello", "max_output_tokens": 30, "temperature": 0}
    whole = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        check(text == whole.output_text, "responses: stream")
    with client.responses.stream(model=model, input="x", text_format=Forecast) as stream:
        final = stream.get_final_response().output_parsed
        check(final.town in ("Rome", "Oslo"), f"{final}")
    parsed = client.responses.parse(model=model, input="x", text_format=Forecast).output_parsed
    check(parsed.town in ("Rome", "Oslo"), f"{parsed}")
    tool = {"type": "function", "strict": True, **TOOLS[0]["function"]}
    made = client.responses.create(model=model, input="x", tools=[tool], tool_choice="required")
    check(made.output[0].type == "function_call" and made.output[0].name == "weather", f"{made}")


def main():
    with Server("--api-key", "k") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0)
        model = client.models.list().data[0].id
        messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
        whole = client.chat.completions.create(model=model, messages=messages, max_tokens=30,
                                               temperature=0, logprobs=True, top_logprobs=2)
        text = whole.choices[0].message.content
        check(len(whole.choices[0].logprobs.content[0].top_logprobs) == 2, "logprobs")
        stream = client.chat.completions.create(
            model=model, messages=messages, max_completion_tokens=30, temperature=0, stream=True,
            stream_options={"include_usage": True})
        chunks = list(stream)
        check("".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text, "stream")
        check(chunks[-1].usage.total_tokens == whole.usage.total_tokens, "usage")
        done = client.completions.create(model=model, prompt="Once", max_tokens=5, echo=True, logprobs=1,
                                         temperature=0)
        check(done.choices[0].text.startswith("Once"), "completions")
        vectors = client.embeddings.create(model=model, input=["a", "b"]).data  # base64 underneath
        check(len(vectors) == 2 and len(vectors[0].embedding) == 48, "embeddings")
        tools_and_forms(client, model, messages)
        responses(client, model)
        for wrong, error in (({"model": "none"}, openai.NotFoundError),
                             ({"temperature": 1000}, openai.BadRequestError)):
            try:
                client.chat.completions.create(**{"model": model, "messages": messages, **wrong})
                check(False, f"{wrong} was accepted")
            except error as e:
                check(bool(e.message), "an error without a message")
        try:
            openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0).models.list()
            check(False, "a wrong key was accepted")
        except openai.AuthenticationError:
            pass
    finish(f"openai {openai.__version__}: chat, streams, tools, forms, responses, completions, embeddings, errors")


main()
