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

import openai

from harness import Server, check, finish


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
    finish(f"openai {openai.__version__}: models, chat, streams, completions, embeddings, errors")


main()
