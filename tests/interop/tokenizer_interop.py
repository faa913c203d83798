#!/usr/bin/env python3
"""Our token ids against the reference implementations'.

  tests/interop/tokenizer_interop.py BUILD/bench/tokenizer/tokenizer_tool

- GPT-2 over every text file of the test data, whole and line by line: identical to `tokenizers`
  and `tiktoken`.
- The cl100k/Llama-3 and Qwen2 patterns, over the same texts, text made to hit their corners, and
  each code point in four settings: pieces identical to those of `tokenizers`.
- tokenizer.json files that we write (GPT-2, bytes, characters, MiniMind) load in `tokenizers` and
  give the same ids there, control tokens included.
- The chat template's Jinja text renders the stated format.

Needs a Python with tokenizers and tiktoken (bench/venv.sh) and the test data (STEPSTONE_DATA).
"""
import array
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import tokenizer_texts as texts  # noqa: E402
from tokenizers import Regex, Tokenizer, models, pre_tokenizers  # noqa: E402

TOOL = sys.argv[1]
FOLDER = Path(tempfile.mkdtemp(prefix="stepstone-interop-"))
failures = 0


def our_ids(tokenizer, documents, *flags):
    texts.write_documents(FOLDER / "texts", documents)
    subprocess.run([TOOL, "encode", tokenizer, FOLDER / "texts", FOLDER / "ids", *flags], check=True)
    ids = array.array("i", (FOLDER / "ids").read_bytes())
    out, start = [], 0
    for i, value in enumerate(ids):
        if value == -1:
            out.append(ids[start:i].tolist())
            start = i + 1
    return out


def compare(what, ours, reference, documents):
    global failures
    assert len(ours) == len(reference) == len(documents)
    wrong = [i for i in range(len(ours)) if ours[i] != reference[i]]
    tokens = sum(len(ids) for ids in reference)
    print(f"{'ok  ' if not wrong else 'FAIL'} {what}: {len(documents)} documents, {tokens} tokens",
          flush=True)
    for i in wrong[:3]:
        at = next((k for k, pair in enumerate(zip(ours[i], reference[i])) if pair[0] != pair[1]), -1)
        print(f"     document {i}, token {at}: {ours[i][at:at + 8]} != {reference[i][at:at + 8]}"
              f" in {documents[i][:80]!r}")
    failures += bool(wrong)


def corner_texts():
    """Random strings over the characters that the patterns tell apart."""
    source = random.Random(1)
    alphabet = list("aZ09 \t\n\r'’.,-_é世Ωſ१¼Ⅷ\u0300\u00a0\u2003\u3000\u0085😀") + \
        ["'s", "'LL", "'Re", "  ", "\r\n", "\n\n", "ab", "123", "!!", "'ſ", "\u200b", "\U0001F468\u200d"]
    return ["".join(source.choices(alphabet, k=source.randint(1, 30))) for _ in range(20000)]


def code_point_texts():
    """Each code point between letters, spaces and before a digit; above the last letter a few."""
    codes = [c for c in range(1, 0x33800) if not 0xD800 <= c < 0xE000]
    codes += range(0x33800, 0x110000, 0x101)
    block = 0x400
    for i in range(0, len(codes), block):
        yield "\n".join("a{0}a {0} {0}1".format(chr(c)) for c in codes[i:i + block])


PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
              r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
             r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    # GPT-4o's has no scanner of ours and goes through PCRE2.
    "o200k (PCRE2)": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
                     r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
                     r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|"
                     r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def cutting_tokenizer(pattern):
    """GPT-2's merges behind another pattern: cuts at other places give other tokens."""
    tokenizer = texts.gpt2_of_tokenizers()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    path = FOLDER / "pattern.json"
    tokenizer.save(str(path))
    return tokenizer, path


def gluing_tokenizer(pattern):
    """A BPE trained without cuts, whose merges join whatever a pattern does not cut."""
    from tokenizers import trainers, decoders
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=20000, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corner_texts(), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    path = FOLDER / "glue.json"
    tokenizer.save(str(path))
    return tokenizer, path


def hf_ids(tokenizer, documents):
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(documents)]


def check_gpt2():
    folder = texts.data_folder() / "tokenizers/gpt2"
    hugging_face, tiktoken = texts.gpt2_of_tokenizers(), texts.gpt2_of_tiktoken()
    for name, text in texts.text_files():
        for how, documents in (("whole", [text]), ("lines", text.splitlines(keepends=True))):
            ours = our_ids(folder, documents)
            compare(f"gpt2 {name} {how}, tiktoken", ours,
                    [tiktoken.encode_ordinary(d) for d in documents], documents)
            if how == "lines":
                compare(f"gpt2 {name} {how}, tokenizers", ours, hf_ids(hugging_face, documents),
                        documents)


def check_patterns():
    stories = [text[:400_000] for name, text in texts.text_files()
               if name.endswith(("stories-small.txt", "poems.jsonl.zst", "HumanEval.jsonl.gz"))]
    for name, pattern in PATTERNS.items():
        for what, documents in (("texts", stories), ("corners", corner_texts()),
                                ("code points", list(code_point_texts()))):
            if "PCRE2" in name and what == "code points":
                continue  # its classes are of an older Unicode version
            makers = [gluing_tokenizer] + [cutting_tokenizer] * (what == "texts")
            for tokenizer, path in (make(pattern) for make in makers):
                compare(f"{name} pattern, {what}, {path.stem}", our_ids(path, documents),
                        hf_ids(tokenizer, documents), documents)


def check_written_files():
    sample = "The <|im_end|> café 世界 12345\n\n  x = {'a': [1, 2]}\t😀 <|endoftext|>é"
    documents = [sample, sample * 3, "a", " ", "\n"] + corner_texts()[:2000]
    minimind = texts.data_folder() / "tokenizers/minimind/tokenizer.json"
    sources = {"minimind": minimind, "gpt2": texts.data_folder() / "tokenizers/gpt2"}
    for name in ("bytes", "characters"):
        texts.write_documents(FOLDER / "alphabet", ["".join(sorted(set("".join(documents))))])
        sources[name] = FOLDER / f"{name}-source.json"
        subprocess.run([TOOL, name, FOLDER / "alphabet", sources[name]], check=True)
    for name, source in sources.items():
        copy = FOLDER / f"{name}.json"
        subprocess.run([TOOL, "copy", source, copy], check=True)
        tokenizer = Tokenizer.from_file(str(copy))
        compare(f"{name} written by us", our_ids(copy, documents, "--specials"),
                hf_ids(tokenizer, documents), documents)
        if name == "minimind":
            original = Tokenizer.from_file(str(source))
            compare("minimind as it is", our_ids(source, documents, "--specials"),
                    hf_ids(original, documents), documents)
        ids = our_ids(copy, documents, "--specials")
        decoded = [tokenizer.decode(i, skip_special_tokens=False) for i in ids]
        compare(f"{name} decoded by tokenizers", decoded, documents, documents)
        plain = our_ids(copy, documents)
        control = {t["id"] for t in json.loads(copy.read_text())["added_tokens"]}
        compare(f"{name} text gives no control token",
                [[i for i in ids if i in control] for ids in plain], [[]] * len(plain), documents)


def check_chat_template():
    """The Jinja text, rendered as `transformers` does, is the format that chat_template.h states."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    source = subprocess.run([TOOL, "jinja"], check=True, capture_output=True, text=True).stdout
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    messages = [{"role": "system", "content": " Be\nkind. "}, {"role": "user", "content": "Hi\n"},
                {"role": "assistant", "content": "{{ 1 }}"}]
    for ask in (False, True):
        rendered = environment.from_string(source).render(messages=messages,
                                                          add_generation_prompt=ask)
        expected = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        expected += "<|im_start|>assistant\n" * ask
        compare(f"chat template, ask {ask}", [[rendered]], [[expected]], [source])


os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
check_chat_template()
check_written_files()
check_patterns()
check_gpt2()
print("all identical" if failures == 0 else f"{failures} comparisons FAILED")
sys.exit(failures != 0)
