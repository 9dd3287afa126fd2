"""Makes tests/golden/text/vocabularies: models of a few KB and what sentencepiece 0.2.3 says of them, and the corpora of
the fuzz targets that read vocabularies.  Run with that version and gguf 0.17.1 from the repository's root."""

import base64
import json
import random
from pathlib import Path

import gguf
import sentencepiece

assert sentencepiece.__version__ == "0.2.3"
OUT = Path("tests/golden/text/vocabularies")
FUZZ = Path("tests/fuzz/corpus")
SPACE = "\u2581"

WORDS = "the quick brown fox jumps over a lazy dog hello world don't naïve café 12 345 ﬁne １２ Ａｂ ½ a\u0301 ё 世界".split()
# Rules that overlap, lengthen, shorten and delete: code points in hexadecimal, as in SentencePiece's own rule files.
RULES = "61 301\te1\n65 301\te9\nFB01\t66 69\nBD\t31 2F 32\n3000\t20\n9\t20\nAD\t\nFF21\t41\nFF42\t62\nFF11\t31\nFF12\t32\n78 79 7A\t78\n78 79\t79 79 79\n"
TEXTS = [
    "", " ", "hello world", "  hello   world  ", "the quick brown fox", "naïve cafe\u0301 a\u0301", "ﬁne １２ Ａｂ ½",
    "xyz xy x yxyxyz", "soft\u00adhyphen\tand tab", "世界 ё Ω unknown 🙂 text", "<s> </s> <unk> <0x41> <sep>",
    "<sep>the<sep> x  y defined", SPACE + "already" + SPACE * 3, "aaaaaaaaaaaaaaaa bbbbbbbb", "\u3000wide\u3000\u3000space ",
    "newline\n\nand\r\nmore", "don't DON'T 12345 3.14", "\0nul\x01", "e\u0301\u0302\u0303", "ab" * 40,
]
MODELS = {
    "bpe": dict(model_type="bpe", byte_fallback=True, remove_extra_whitespaces=False, user_defined_symbols=["<sep>", "x  y"], vocab_size=420),
    "bpe_suffix": dict(model_type="bpe", treat_whitespace_as_suffix=True, vocab_size=150),
    "unigram": dict(model_type="unigram", vocab_size=120, user_defined_symbols=["<sep>"]),
    "unigram_bytes": dict(model_type="unigram", byte_fallback=True, add_dummy_prefix=False, vocab_size=370),
    "char": dict(model_type="char", vocab_size=90),
}


def sentences():
    r = random.Random(1)
    return [" ".join(r.choices(WORDS, k=8)) for _ in range(400)]


def train(name, rules, options):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()), model_prefix=str(OUT / name), hard_vocab_limit=False, num_threads=1,
        minloglevel=2, normalization_rule_tsv=str(rules), **options,
    )
    (OUT / f"{name}.vocab").unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(OUT / f"{name}.model"))


def cases(name, model):
    r = random.Random(2)
    for text in TEXTS:
        ids = model.encode(text)
        yield {"model": name, "text": text, "ids": ids, "back": model.decode(ids)}
    for _ in range(10):
        ids = [r.randrange(len(model)) for _ in range(8)]
        yield {"model": name, "ids": ids, "back": model.decode(ids)}


def write_models():
    OUT.mkdir(parents=True, exist_ok=True)
    rules = OUT / "rules.tsv"
    rules.write_text(RULES)
    with open(OUT / "cases.jsonl", "w", encoding="utf-8") as f:
        for name, options in MODELS.items():
            for case in cases(name, train(name, rules, options)):
                f.write(json.dumps(case) + "\n")
    rules.unlink()


def write_corpora():
    for name in MODELS:
        target = FUZZ / "sentencepiece" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((OUT / f"{name}.model").read_bytes())
    tokens = [bytes([i]) for i in range(256)] + [b" t", b"he", b" the", b"ll", b"llo", b"hello"]
    ranked = [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for i, t in enumerate(tokens)]
    config = {"pattern": r" ?\p{L}+|\p{N}|\s+|.", "num_vocab_tokens": len(tokens), "default_vocab_size": len(tokens) + 20, "version": "v3"}
    (FUZZ / "tekken").mkdir(parents=True, exist_ok=True)
    old = {"config": config | {"default_num_special_tokens": 20}, "vocab": ranked}
    (FUZZ / "tekken" / "v3").write_text(json.dumps(old))
    specials = [{"rank": i, "token_str": s, "is_control": True} for i, s in enumerate(["<unk>", "<s>", "[INST]"])]
    new = {"config": config | {"default_num_special_tokens": 20, "version": "v11"}, "special_tokens": specials, "vocab": ranked}
    (FUZZ / "tekken" / "v11").write_text(json.dumps(new, separators=(",", ":")))
    (FUZZ / "tiktoken").mkdir(parents=True, exist_ok=True)
    (FUZZ / "tiktoken" / "gpt2").write_text("".join(f"{base64.b64encode(t).decode()} {i}\n" for i, t in enumerate(tokens)))
    write_gguf(tokens)


def write_gguf(tokens):
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {b: chr(b) for b in printed}
    alphabet |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in printed)}
    mapped = ["".join(alphabet[b] for b in t) for t in tokens]
    merges = [f"{alphabet[32]} t", "h e", f"{alphabet[32]}t he", "l l", "ll o", "he llo"]
    spm = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + [SPACE, "h", "e", "l", "o", "he", "ll", "llo", "hello", SPACE + "hello"]
    kinds = [2, 3, 3] + [6] * 256 + [1] * 10
    scores = [0.0] * 259 + [-float(i) for i in range(10)]
    wordpiece = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", SPACE + "hello", SPACE + "he", "llo", "l", "o", SPACE + "!"]
    charsmap = model_charsmap()
    files = {
        "gpt2": dict(model="gpt2", pre="llama-bpe", tokens=mapped + ["<|eot|>", "<tool>"], types=[1] * len(mapped) + [3, 4], merges=merges),
        "gemma4": dict(model="gemma4", tokens=spm, types=kinds, merges=["h e", "l l", "ll o", "he llo", SPACE + " hello"], scores=scores),
        "llama": dict(model="llama", tokens=spm, types=kinds, scores=scores),
        "t5": dict(model="t5", tokens=["<pad>", "</s>", "<unk>"] + spm[259:], types=[3, 3, 2] + kinds[259:], scores=[0.0] * 3 + scores[259:], charsmap=charsmap),
        "bert": dict(model="bert", tokens=wordpiece, types=[3] * 4 + [1] * 6, unknown=1),
    }
    (FUZZ / "gguf_vocab").mkdir(parents=True, exist_ok=True)
    for name, f in files.items():
        w = gguf.GGUFWriter(FUZZ / "gguf_vocab" / name, "llama")
        w.add_tokenizer_model(f["model"])
        if "pre" in f:
            w.add_tokenizer_pre(f["pre"])
        w.add_token_list(f["tokens"])
        w.add_token_types(f["types"])
        if "scores" in f:
            w.add_token_scores(f["scores"])
        if "merges" in f:
            w.add_token_merges(f["merges"])
        if "charsmap" in f:
            w.add_precompiled_charsmap(f["charsmap"])
        if "unknown" in f:
            w.add_unk_token_id(f["unknown"])
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()


def model_charsmap():
    """normalizer_spec.precompiled_charsmap of a model made above."""
    data = (OUT / "unigram.model").read_bytes()
    for field, value in fields(data):
        if field == 3:
            return next(v for f, v in fields(value) if f == 2)


def fields(data):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        size = {0: None, 1: 8, 5: 4}.get(tag & 7, 0)
        if size is None:
            yield tag >> 3, varint()
            continue
        if tag & 7 == 2:
            size = varint()
        yield tag >> 3, data[at : at + size]
        at += size


if __name__ == "__main__":
    write_models()
    write_corpora()
