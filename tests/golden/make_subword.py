#!/usr/bin/env python3
"""Writes subword.json: tiny tokenizers of every kind but byte-level BPE, trained here, with the ids
that `tokenizers` and `sentencepiece` give.

  tests/golden/make_subword.py      needs tokenizers and sentencepiece (bench/venv.sh)
"""
import base64
import io
import json
import random
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
source = random.Random(7)
WORDS = ["the", "hand", "and", "stand", "band", "there", "they've", "don't", "we'll", "ababab", "aaaa",
         "café", "naïve", "世界", "世间", "x=1;", "123", "4567", "...", "Tale", "tales", "tall"]
SYLLABLES = ["ba", "ne", "tor", "li", "and", "ing", "st", "u", "qui", "mor", "é", "世", "ö", "er", "x", "wh"]
WORDS += ["".join(source.choices(SYLLABLES, k=source.randint(1, 4))) for _ in range(200)]
CORPUS = [" ".join(source.choices(WORDS, k=source.randint(4, 12))) for _ in range(300)]
TEXTS = ["", "a", " ", "  two  spaces ", "the hand", "The HAND there.", "don't we'll", "café naïve CAFÉ",
         "cafe\u0301", "世界世间 hand世", "123 4567 12a", "tabs\tand\nlines\n\n", "ſt ﬁ ½ Ⅷ ①", "İstanbul",
         "\u0000null", "🙂👨\u200d👩 emoji", "zzz qqq", "a▁b", "x=1;y", "hand...band!?", "\u00a0nbsp\u3000wide",
         "ababababab" * 5, "aaaaaaaaaaaaaaa", "ÀÉÎ õü", "한국어", "it's 's", "-", "a-b-c", "_under_score",
         "\u200bzero\ufeff", "ﷺ", "word" * 30, "the  hand\u2581", "e\u0301\u0301", "\x85\u2028"]


def encoded(tokenizer):
    ids = [tokenizer.encode(t, add_special_tokens=False).ids for t in TEXTS]
    return {"tokenizer": json.loads(tokenizer.to_str()), "ids": ids,
            "texts": [tokenizer.decode(i, skip_special_tokens=False) for i in ids],
            "document": tokenizer.encode("the hand").ids}


def llama():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, show_progress=False,
        special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]))
    parts = json.loads(t.to_str())
    parts["added_tokens"] = parts["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(parts))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def words(**more):
    t = Tokenizer(models.BPE(unk_token="<unk>", **more))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=150, show_progress=False, special_tokens=["<unk>"], **more))
    return t


def clip():
    t = Tokenizer(models.BPE(unk_token="<|end|>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                         normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed",
                             invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=330, show_progress=False, special_tokens=["<|end|>"], end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.decoder = decoders.BPEDecoder("</w>")
    t.post_processor = processors.RobertaProcessing(("<|end|>", 0), ("<|end|>", 0))
    return t


def unigram(**more):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                         normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(**more)
    t.decoder = decoders.Metaspace(**more)
    t.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=150, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return t


def bert(**more):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=50))
    t.normalizer = normalizers.BertNormalizer(**more)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(
        vocab_size=140, show_progress=False, special_tokens=["[UNK]", "[CLS]", "[SEP]"]))
    t.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return t


def components():
    """One BPE model behind each pre-tokenizer and normalizer."""
    base = words()
    cuts = {
        "Whitespace": pre_tokenizers.Whitespace(), "WhitespaceSplit": pre_tokenizers.WhitespaceSplit(),
        "Punctuation": pre_tokenizers.Punctuation(), "Punctuation removed": pre_tokenizers.Punctuation("removed"),
        "Punctuation contiguous": pre_tokenizers.Punctuation("contiguous"),
        "Digits": pre_tokenizers.Digits(), "Digits each": pre_tokenizers.Digits(True),
        "CharDelimiterSplit": pre_tokenizers.CharDelimiterSplit("-"),
        "Metaspace never": pre_tokenizers.Metaspace(prepend_scheme="never"),
        "Metaspace whole": pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
        **{f"Split {b} {i}": pre_tokenizers.Split("an", b, i) for b in (
            "removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")
           for i in (False, True)},
        "Split regex": pre_tokenizers.Split(Regex(r"\d+|[a-z]{2}"), "merged_with_next"),
        "Sequence": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]),
    }
    forms = {
        "NFC": normalizers.NFC(), "NFD": normalizers.NFD(), "NFKC": normalizers.NFKC(),
        "NFKD": normalizers.NFKD(), "Lowercase": normalizers.Lowercase(), "Nmt": normalizers.Nmt(),
        "StripAccents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
        "Strip": normalizers.Strip(), "Strip left": normalizers.Strip(right=False),
        "Replace": normalizers.Replace("an", "na"), "Replace regex": normalizers.Replace(Regex("[ae]+"), "x"),
        "Prepend": normalizers.Prepend("the"),
        "Bert": normalizers.BertNormalizer(lowercase=False, strip_accents=True),
        "Bert clean": normalizers.BertNormalizer(handle_chinese_chars=False, lowercase=True, strip_accents=False),
    }
    out = {"base": json.loads(base.to_str()), "pre_tokenizer": {}, "normalizer": {}}
    for field, parts in (("pre_tokenizer", cuts), ("normalizer", forms)):
        for name, part in parts.items():
            t = Tokenizer.from_str(base.to_str())
            setattr(t, field, part)
            if field == "normalizer":
                t.pre_tokenizer = pre_tokenizers.Sequence([])
            out[field][name] = {"json": json.loads(t.to_str())[field],
                                "ids": [t.encode(x, add_special_tokens=False).ids for x in TEXTS]}
    return out


def sentencepiece_model(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, minloglevel=2, num_threads=1,
        normalization_rule_name="identity", **options)  # other rules are 240 kB
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = [sp.encode(t) for t in TEXTS]
    return {"model": base64.b64encode(model.getvalue()).decode(), "ids": ids,
            "texts": [sp.decode(i) for i in ids]}


golden = {
    "texts": TEXTS,
    "tokenizers": {
        "llama": encoded(llama()), "clip": encoded(clip()), "unigram": encoded(unigram()),
        "unigram first": encoded(unigram(prepend_scheme="first")), "bert": encoded(bert()),
        "bert cased": encoded(bert(lowercase=False)),
        "prefixed": encoded(words(continuing_subword_prefix="##")),
    },
    "components": components(),
    "sentencepiece": {
        "unigram": sentencepiece_model(vocab_size=120, model_type="unigram"),
        "unigram bytes": sentencepiece_model(vocab_size=400, model_type="unigram", byte_fallback=True,
                                             add_dummy_prefix=False, remove_extra_whitespaces=False),
        "unigram user": sentencepiece_model(vocab_size=120, model_type="unigram",
                                            user_defined_symbols=["an", "  "]),
        "bpe": sentencepiece_model(vocab_size=160, model_type="bpe"),
        "bpe llama": sentencepiece_model(vocab_size=400, model_type="bpe", byte_fallback=True, split_digits=True,
                                         remove_extra_whitespaces=False,
                                         allow_whitespace_only_pieces=True),
        "bpe user": sentencepiece_model(vocab_size=160, model_type="bpe", user_defined_symbols=["and", "12"]),
    },
}
(HERE / "subword.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
