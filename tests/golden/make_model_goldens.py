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
# Longer than the original context, so the long factors count, in two of the three quarters that are rotated.
LONG_ROPE = dict(
    rope_type="longrope",
    rope_theta=10000.0,
    partial_rotary_factor=0.75,
    original_max_position_embeddings=16,
    short_factor=[1.0, 1.1, 1.2],
    long_factor=[1.5, 2.0, 4.0],
)
GEMMA = dict(
    {**GROUPED, "tie_word_embeddings": True, "num_hidden_layers": 3},
    head_dim=16,
    query_pre_attn_scalar=24,
    sliding_window=8,
)



class InternLM2Config(transformers.PretrainedConfig):
    model_type = "internlm2"


class InternLM2ForCausalLM(torch.nn.Module):
    """Not part of transformers: written from the paper (arXiv:2403.17297) and the names of the published weights.

    Llama, but for wqkv, whose rows are grouped by key head: its query heads, the key, the value.
    """

    def __init__(self, config):
        super().__init__()
        self.config = c = config
        self.d = c.hidden_size // c.num_attention_heads
        linear = lambda i, o: torch.nn.Linear(i, o, bias=False)  # noqa: E731
        norm = lambda: torch.nn.RMSNorm(c.hidden_size, eps=c.rms_norm_eps)  # noqa: E731
        layers = []
        for _ in range(c.num_hidden_layers):
            groups = c.num_attention_heads + 2 * c.num_key_value_heads
            attention = dict(wqkv=linear(c.hidden_size, groups * self.d), wo=linear(c.hidden_size, c.hidden_size))
            gate, up = linear(c.hidden_size, c.intermediate_size), linear(c.hidden_size, c.intermediate_size)
            feed_forward = dict(w1=gate, w3=up, w2=linear(c.intermediate_size, c.hidden_size))
            parts = dict(attention=attention, feed_forward=feed_forward)
            parts = {key: torch.nn.ModuleDict(value) for key, value in parts.items()}
            layers.append(torch.nn.ModuleDict(dict(**parts, attention_norm=norm(), ffn_norm=norm())))
        embedding = torch.nn.Embedding(c.vocab_size, c.hidden_size)
        parts = dict(tok_embeddings=embedding, layers=torch.nn.ModuleList(layers), norm=norm())
        self.model = torch.nn.ModuleDict(parts)
        self.output = linear(c.hidden_size, c.vocab_size)

    def rotate(self, x):
        angles = torch.outer(
            torch.arange(x.shape[1]), self.config.rope_theta ** -(torch.arange(0, self.d, 2) / self.d)
        )
        cos, sin = (f(torch.cat([angles, angles], -1))[:, None].to(x.dtype) for f in (torch.cos, torch.sin))
        return x * cos + torch.cat([-x[..., self.d // 2 :], x[..., : self.d // 2]], -1) * sin

    def attention(self, block, x):
        c, (rows, length, _) = self.config, x.shape
        q_per_kv = c.num_attention_heads // c.num_key_value_heads
        qkv = block["wqkv"](x).view(rows, length, c.num_key_value_heads, q_per_kv + 2, self.d)
        q = self.rotate(qkv[..., :q_per_kv, :].reshape(rows, length, -1, self.d)).transpose(1, 2)
        k = self.rotate(qkv[..., q_per_kv, :]).transpose(1, 2).repeat_interleave(q_per_kv, 1)
        v = qkv[..., q_per_kv + 1, :].transpose(1, 2).repeat_interleave(q_per_kv, 1)
        return block["wo"](F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))

    def forward(self, input_ids, use_cache=False):
        x = self.model["tok_embeddings"](input_ids)
        for block in self.model["layers"]:
            x = x + self.attention(block["attention"], block["attention_norm"](x))
            y, feed_forward = block["ffn_norm"](x), block["feed_forward"]
            x = x + feed_forward["w2"](F.silu(feed_forward["w1"](y)) * feed_forward["w3"](y))
        return transformers.modeling_outputs.CausalLMOutput(logits=self.output(self.model["norm"](x)))

    def save_pretrained(self, folder, safe_serialization):
        save_file(self.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
        self.config.architectures = ["InternLM2ForCausalLM"]
        self.config.save_pretrained(folder)


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
    "qwen2": transformers.Qwen2Config(
        **GROUPED, use_sliding_window=True, sliding_window=8, max_window_layers=1, rope_parameters=PLAIN_ROPE
    ),
    "phi3": transformers.Phi3Config(**GROUPED, original_max_position_embeddings=16, rope_parameters=LONG_ROPE),
    "gemma2": transformers.Gemma2Config(
        **GEMMA, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, rope_parameters=PLAIN_ROPE
    ),
    "gemma3": transformers.Gemma3TextConfig(
        **GEMMA,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        rope_parameters=dict(
            full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
            sliding_attention=PLAIN_ROPE,
        ),
    ),
    "internlm2": InternLM2Config(**GROUPED, rms_norm_eps=1e-5, rope_theta=10000.0, bias=False),
    "mistral": transformers.MistralConfig(**GROUPED, sliding_window=8, rope_parameters=PLAIN_ROPE),
}
# Folders published before transformers 5 spell the rotary settings as two keys; here one golden keeps that spelling.
OLD_ROPE_SPELLING = {"llama3-rope": dict(rope_theta=10000.0, rope_scaling=LLAMA3_ROPE)}


def randomise(model):
    """Every parameter matters to the logits: no gain stays 1, no bias 0, and attention is far from uniform."""
    centred = model.config.model_type.startswith("gemma")  # their norms store weight - 1
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and centred and name.endswith("norm.weight"):
                parameter.normal_(std=0.2)
            elif parameter.dim() >= 2:
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


def load(folder, dtype):
    if json.loads((folder / "config.json").read_text())["model_type"] == "internlm2":
        model = InternLM2ForCausalLM(InternLM2Config.from_pretrained(folder)).to(dtype)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")


def compute(folder, input_ids, dtype):
    model = load(folder, dtype)
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
    torch.manual_seed(sum(name.encode()))
    config = CONFIGS[name]
    if isinstance(config, InternLM2Config):
        model = InternLM2ForCausalLM(config)
    else:
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
