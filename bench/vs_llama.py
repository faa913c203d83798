#!/usr/bin/env python3
"""A quantised 1.1B Llama shape through Stepstone and llama.cpp, in turn, in one run.

    bench/vs_llama.py --llama DIR [--types Q8_0,Q4_0,Q4_K_M] [--work DIR] [--json FILE]

DIR holds llama.cpp's programs (llama-bench, llama-completion; llama-batched-bench if it was built).
The model (22 layers, 2048 wide, 32 heads, 4 key-value heads, FFN 5632, vocabulary 32000, random
weights) is made once in --work by this script and `stepstone export`. Prints, per type: tokens/s of a
512-token prompt, of writing one text and 16 texts together, seconds from process start to the first
token, peak memory; each with the ratio Stepstone / llama.cpp.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import time

import side_by_side

LAYERS, WIDTH, HEADS, KV_HEADS, FFN, VOCAB = 22, 2048, 32, 4, 5632, 32000
PROMPT = "The little cat walked to the river and looked at the moon. "


def tensors():
    """(name, shape) of every weight."""
    kv = WIDTH // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", (VOCAB, WIDTH)
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        yield layer + "self_attn.q_proj.weight", (WIDTH, WIDTH)
        yield layer + "self_attn.k_proj.weight", (kv, WIDTH)
        yield layer + "self_attn.v_proj.weight", (kv, WIDTH)
        yield layer + "self_attn.o_proj.weight", (WIDTH, WIDTH)
        yield layer + "mlp.gate_proj.weight", (FFN, WIDTH)
        yield layer + "mlp.up_proj.weight", (FFN, WIDTH)
        yield layer + "mlp.down_proj.weight", (WIDTH, FFN)
        yield layer + "input_layernorm.weight", (WIDTH,)
        yield layer + "post_attention_layernorm.weight", (WIDTH,)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (VOCAB, WIDTH)


def write_random_weights(path):
    """bf16 weights, uniform with standard deviation 0.02; norms are 1."""
    header, at = {}, 0
    for name, shape in tensors():
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # Random mantissa and sign, exponents of 2^-6 and 2^-7: about the wanted spread, and quick to make.
    table = bytes.maketrans(bytes(range(256)), bytes(0x3C | (b & 0x80) for b in range(256)))
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors():
            count = 1
            for n in shape:
                count *= n
            if len(shape) == 1:
                file.write(b"\x80\x3f" * count)
                continue
            bits = bytearray(os.urandom(2 * count))
            bits[1::2] = bytes(bits[1::2]).translate(table)
            file.write(bits)


def make_models(stepstone, work, types):
    folder = work / "random-1.1b"
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH,
                  "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
                  "intermediate_size": FFN, "vocab_size": VOCAB, "max_position_embeddings": 2048,
                  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
                  "tie_word_embeddings": False}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        write_random_weights(folder / "model.safetensors")
        text = work / "text.jsonl"
        side_by_side.run([stepstone, "data", "synth", "-o", text, "-n", 2000, "--chinese", 0], stdout=sys.stderr)
        side_by_side.run([stepstone, "tokenizer", "train", text, "-o", folder], stdout=sys.stderr)
    models = {}
    for kind in types:
        models[kind] = work / f"random-1.1b-{kind}.gguf"
        if not models[kind].exists():
            side_by_side.run([stepstone, "export", "-m", folder, "-o", models[kind], "--type", kind], stdout=sys.stderr)
    return models


def timed(command, environment):
    """(standard output, seconds, peak bytes) of a process."""
    command = [str(word) for word in command]
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, text=True, errors="replace", stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]}: exit status {process.returncode}")
    return output, time.perf_counter() - start, usage.ru_maxrss * 1024


class Stepstone:
    def __init__(self, options):
        self.program = options.stepstone
        self.environment = side_by_side.stepstone_environment(options.threads)

    def speeds(self, model):
        output, _, _ = timed([self.program, "bench", "infer", "-m", model, "-p", 512, "-n", 64, "--parallel", "1,16",
                              "-r", 1, "--json"], self.environment)  # fmt: skip
        r = {row["test"]: row["tokens_per_second"] for row in json.loads(output)["results"]}
        return {"prompt 512": r["pp512"], "one text": r["tg64"], "16 texts": r["tg64 x16"]}

    def first_token(self, model):
        _, seconds, peak = timed([self.program, "generate", "-m", model, "-p", PROMPT, "-n", 1], self.environment)
        return {"seconds to a token": seconds, "peak GB": peak / 1e9}


class Llama:
    def __init__(self, options):
        self.folder, self.threads = options.llama, options.threads
        path = f"{self.folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        self.environment = {**os.environ, "LD_LIBRARY_PATH": path}

    def speeds(self, model):
        output, _, _ = timed([self.folder / "llama-bench", "-m", model, "-t", self.threads, "-p", 512, "-n", 64, "-r", 1,
                              "-o", "json"], self.environment)  # fmt: skip
        results = {"prompt 512" if r["n_prompt"] else "one text": r["avg_ts"] for r in json.loads(output)}
        batched = self.folder / "llama-batched-bench"
        if batched.exists():
            output, _, _ = timed([batched, "-m", model, "-t", self.threads, "-c", 2048, "-npp", 1, "-ntg", 64, "-npl", 16,
                                  "--output-format", "jsonl"], self.environment)  # fmt: skip
            found = re.findall(r'"speed_tg": *([0-9.]+)', output)
            if found:
                results["16 texts"] = float(found[-1])
        return results

    def first_token(self, model):
        _, seconds, peak = timed([self.folder / "llama-completion", "-m", model, "-t", self.threads, "-c", 2048, "-no-cnv",
                                  "--no-warmup", "-p", PROMPT, "-n", 1], self.environment)  # fmt: skip
        return {"seconds to a token": seconds, "peak GB": peak / 1e9}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--llama", required=True, type=pathlib.Path, metavar="DIR")
    parser.add_argument("--types", default="Q8_0,Q4_0,Q4_K_M")
    parser.add_argument("--work", type=pathlib.Path, default=side_by_side.ROOT / "build/vs-llama", metavar="DIR")
    parser.add_argument("--rounds", type=int, default=3)
    side_by_side.add_options(parser)
    options = parser.parse_args()
    side_by_side.require_files(parser, options.stepstone, options.llama / "llama-bench",
                               options.llama / "llama-completion")  # fmt: skip
    load = side_by_side.load_before()
    models = make_models(options.stepstone, options.work, options.types.split(","))
    report = {"load": load, "threads": options.threads, "types": {}}
    for kind, model in models.items():
        sides = {"stepstone": Stepstone(options), "llama.cpp": Llama(options)}
        measured = {name: {} for name in sides}
        for _ in range(options.rounds):
            for name, side in sides.items():
                for what, value in {**side.speeds(model), **side.first_token(model)}.items():
                    measured[name].setdefault(what, []).append(value)
        report["types"][kind] = measured
        print(f"{kind:22} {'stepstone':>10} {'llama.cpp':>10}   ratio")
        for what, ours in measured["stepstone"].items():
            theirs = measured["llama.cpp"].get(what)
            a = statistics.median(ours)
            if theirs is None:
                print(f"  {what:20} {a:10.2f} {'-':>10}")
                continue
            b = statistics.median(theirs)
            print(f"  {what:20} {a:10.2f} {b:10.2f}   {a / b:.2f}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
