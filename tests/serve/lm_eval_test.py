"""`lm-eval` (lm-evaluation-harness), unmodified, scores a small task of its own through
/v1/completions by log-likelihood. Run with a Python that has lm_eval[api] and transformers, named by
STEPSTONE_PYTHON; skipped otherwise. Nothing is fetched."""

import os
import subprocess
import sys

if __name__ == "__main__" and "STEPSTONE_LM_EVAL_CHILD" not in os.environ:
    python = os.environ.get("STEPSTONE_PYTHON")
    found = python and subprocess.run([python, "-c", "import lm_eval.models.openai_completions, transformers"],
                                      check=False, capture_output=True).returncode == 0
    if not found:
        print("skipped: STEPSTONE_PYTHON names no Python with the packages lm_eval[api] and transformers")
        sys.exit(77)
    os.execve(python, [python, *sys.argv], {**os.environ, "STEPSTONE_LM_EVAL_CHILD": "1",
                                            "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"})

import json
import math
import tempfile
from pathlib import Path

import lm_eval
from lm_eval.tasks import TaskManager

from harness import Server, check, finish

QUESTIONS = [
    {"question": "Two and two are", "choices": [" four", " a fish", " blue"], "answer": 0},
    {"question": "Snow is", "choices": [" hot", " white"], "answer": 1},
    {"question": "The capital of Italy is", "choices": [" Oslo", " Lima", " Rome"], "answer": 2},
    {"question": "Cats say", "choices": [" meow", " moo"], "answer": 0},
]
TASK = """task: small_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
target_delimiter: ""
metric_list:
  - metric: acc
"""


def log_likelihood(server, context, continuation):
    """Of the continuation after the context, by the server's own words."""
    score = server.post("/v1/completions", {"prompt": context + continuation, "max_tokens": 0, "echo": True,
                                            "logprobs": 0})[1]["choices"][0]["logprobs"]
    return math.fsum(p for at, p in zip(score["text_offset"], score["token_logprobs"]) if at >= len(context))


def main():
    with tempfile.TemporaryDirectory() as name, Server() as server:
        folder = Path(name)
        os.environ["HF_HOME"] = str(folder / "cache")
        data = folder / "questions.jsonl"
        data.write_text("".join(json.dumps(q) + "\n" for q in QUESTIONS))
        (folder / "small_choice.yaml").write_text(TASK.format(data=data))
        result = lm_eval.simple_evaluate(
            model="local-completions",
            model_args={"model": "tiny", "base_url": server.url + "/v1/completions", "tokenizer": sys.argv[2],
                        "tokenizer_backend": "huggingface", "num_concurrent": 4, "max_retries": 1},
            tasks=["small_choice"], task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            log_samples=True, bootstrap_iters=0)
        right = 0
        samples = result["samples"]["small_choice"]
        check(len(samples) == len(QUESTIONS), f"{len(samples)} samples")
        for sample in samples:
            question = sample["doc"]
            scores = [log_likelihood(server, question["question"], c) for c in question["choices"]]
            theirs = [float(r[0][0]) for r in sample["resps"]]
            check(all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(scores, theirs)), f"{scores} {theirs}")
            right += scores.index(max(scores)) == question["answer"]
        accuracy = result["results"]["small_choice"]["acc,none"]
        check(accuracy == right / len(QUESTIONS), f"accuracy {accuracy}, not {right}/{len(QUESTIONS)}")
    finish(f"lm_eval {lm_eval.__version__}: {len(QUESTIONS)} questions by log-likelihood, accuracy {accuracy}")


main()
