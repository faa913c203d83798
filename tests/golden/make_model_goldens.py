#!/usr/bin/env python3
"""Writes the model goldens: tiny random models and what the reference implementation computes with them.

    python=$(bench/venv.sh build/anchor-venv torch numpy safetensors transformers)
    $python tests/golden/make_model_goldens.py [--out tests/golden] [NAME...]

Each NAME becomes a Hugging Face folder (config.json, model.safetensors in fp32) with golden.safetensors beside:

    input_ids    i64 [2, 24]
    logits       f32 [2, 24, vocab]
    loss         f32 [1]           mean cross-entropy of the 2 x 23 next-token predictions, in nats
    PARAMETER    f32               d loss / d PARAMETER, under the name that model.safetensors gives it

All values are computed in float64 and rounded once, except that `transformers` itself goes through fp32 inside
RMSNorm, the attention softmax and the rotary angles.
"""

import argparse
import json
import pathlib

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

COMMON = dict(vocab_size=97, bos_token_id=1, eos_token_id=2, pad_token_id=None)
GROUPED = dict(
    COMMON,
    hidden_size=32,
    intermediate_size=44,  # no multiple of a vector: the kernels' tails are part of the test
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    tie_word_embeddings=False,
)
# Heads of 8 have the wavelengths 6, 63, 628 and 6283: one is kept, one blended, two are stretched.
LLAMA3_ROPE = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
PLAIN_ROPE = dict(rope_type="default", rope_theta=10000.0)

CONFIGS = {
    # Epsilons of gpt2 and llama are large enough that ignoring them shows.
    "gpt2": transformers.GPT2Config(
        **COMMON,
        n_layer=2,
        n_embd=32,
        n_head=4,
        n_positions=64,
        layer_norm_epsilon=1e-3,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    "llama": transformers.LlamaConfig(**GROUPED, rms_norm_eps=1e-3, rope_parameters=PLAIN_ROPE),
    "llama3-rope": transformers.LlamaConfig(
        **{**GROUPED, "tie_word_embeddings": True, "max_position_embeddings": 512},
        rope_parameters=dict(LLAMA3_ROPE, rope_theta=10000.0),
    ),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=16, rope_parameters=dict(PLAIN_ROPE, rope_theta=1000000.0)),
    "mistral": transformers.MistralConfig(**GROUPED, sliding_window=8, rope_parameters=PLAIN_ROPE),
}
# Folders published before transformers 5 spell the rotary settings as two keys; here one golden keeps that spelling.
OLD_ROPE_SPELLING = {"llama3-rope": dict(rope_theta=10000.0, rope_scaling=LLAMA3_ROPE)}


def randomise(model):
    """Every parameter matters to the logits: no gain stays 1, no bias 0, and attention is far from uniform."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=0.5 if "embed" in name or "wte" in name else 0.25)
            elif name.endswith(".bias"):
                parameter.normal_(std=0.1)
            else:
                parameter.normal_(mean=1.0, std=0.2)


def write_folder(model, name, folder):
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name in OLD_ROPE_SPELLING:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        del config["rope_parameters"]
        config.update(OLD_ROPE_SPELLING[name])
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def compute(folder, input_ids, dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    model.train()  # dropout is 0 everywhere
    logits = model(input_ids=input_ids, use_cache=False).logits
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten())
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {"logits": logits.detach(), "loss": loss.detach().reshape(1), **gradients}


def largest_difference(left, right):
    """max |left - right| over max |right|, per tensor; the largest over all tensors."""
    return max(((left[k].double() - right[k]).abs().max() / right[k].abs().max()).item() for k in right)


def make(name, out):
    torch.manual_seed(sorted(CONFIGS).index(name) + 1)
    config = CONFIGS[name]
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    write_folder(model, name, folder)

    input_ids = torch.randint(0, config.vocab_size, (2, 24))
    exact = compute(folder, input_ids, torch.float64)
    stored = load_file(folder / "model.safetensors")
    parameters = exact.keys() - {"logits", "loss"}
    if parameters != stored.keys():
        raise SystemExit(f"{name}: gradients and stored tensors differ: {sorted(parameters ^ stored.keys())}")

    golden = {key: value.to(torch.float32).contiguous() for key, value in exact.items()}
    golden["input_ids"] = input_ids
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}, eager attention, float64"
    save_file(golden, folder / "golden.safetensors", metadata={"made_with": versions})
    difference = largest_difference(compute(folder, input_ids, torch.float32), exact)
    sizes = [f"{path.name} {path.stat().st_size:,} B" for path in sorted(folder.iterdir())]
    print(f"{name}: loss {exact['loss'].item():.6f}, fp32 differs by {difference:.1e}; " + ", ".join(sizes))


def main():
    transformers.utils.logging.disable_progress_bar()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which goldens (default: all): " + ", ".join(CONFIGS))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    arguments = parser.parse_args()
    for name in arguments.names or CONFIGS:
        if name not in CONFIGS:
            parser.error(f"no golden {name!r}; there are {', '.join(CONFIGS)}")
        make(name, arguments.out)


if __name__ == "__main__":
    main()
