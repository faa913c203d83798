"""The texts of the test data, and GPT-2's tokenizer in the two reference implementations."""
import gzip
import io
import json
import os
import subprocess
from pathlib import Path


def data_folder():
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("STEPSTONE_DATA", default))


def unpacked(path):
    if path.suffix == ".zst":
        return subprocess.run(["zstdcat", path], check=True, capture_output=True).stdout
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    return path.read_bytes()


def text_files():
    """Every text of the test data as (name, documents): .txt whole, .jsonl line by line."""
    root = data_folder()
    for path in sorted(root.rglob("*")):
        name = path.name.removesuffix(".zst").removesuffix(".gz")
        if path.suffix in (".zst", ".gz") and name.endswith("-ubyte"):
            continue
        if name.endswith((".txt", ".jsonl", ".md", ".json")):
            text = unpacked(path).decode("utf-8")
            assert "\0" not in text
            yield str(path.relative_to(root)), text


def jsonl_strings(text):
    """The string values of each line's object, as a reader of the corpus would see them."""
    for line in text.splitlines():
        for value in json.loads(line).values():
            if isinstance(value, str):
                yield value


def write_documents(path, documents):
    with io.open(path, "wb") as file:
        for document in documents:
            file.write(document.encode("utf-8") + b"\0")


def gpt2_merges():
    lines = (data_folder() / "tokenizers/gpt2/merges.txt").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]


def gpt2_vocab():
    return json.loads((data_folder() / "tokenizers/gpt2/vocab.json").read_text(encoding="utf-8"))


def gpt2_of_tokenizers():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=gpt2_vocab(), merges=gpt2_merges()))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def byte_of_character():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in visible}
    hidden = (byte for byte in range(256) if byte not in visible)
    return table | {chr(0x100 + i): byte for i, byte in enumerate(hidden)}


def gpt2_of_tiktoken():
    import tiktoken

    byte_of = byte_of_character()
    special = "<|endoftext|>"
    vocab = gpt2_vocab()
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in vocab.items()
             if token != special}
    # The pattern as tiktoken itself states it for this encoding.
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
    return tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks,
                             special_tokens={special: vocab[special]})
