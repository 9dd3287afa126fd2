"""Texts and tokenizers for test_tokenizers.py, and the comparison with the `tokenizers` package.

Real vocabularies come from the GGUF files that tools/fetch_oracles.sh fetches; each gets the pipeline that its model's
tokenizer.json has, built by the package itself.  Run as a program it compares more than the test does:

    python tests/e2e/tokenizer_oracle.py --strings 100000 llama-bpe qwen2
"""

import argparse
import functools
import json
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

ROOT = Path(__file__).resolve().parents[2]
ORACLES = ROOT / "build" / "oracles"

# ---- texts ----

WORDS = (
    "the quick brown fox jumps over lazy dog and THEN IT'S Don't won't we'll they've I'm you'd CAN'T he'S naïve café "
    "Straße ſtill ’s 's 'S 'll 'LL 've isn't do not O'Brien rock'n'roll 3rd 1st x86_64 e-mail co-operate http https "
    "function return void int def class self print for while import from include std template lambda"
).split()
CODE = [
    "for (int i = 0; i < n; ++i) {\n\t\tx[i] += y[i] * 2.5e-3f;\n\t}\n",
    "def f(a, *b, **c):\n    return {k: v for k, v in a.items()}\n",
    "<div class=\"a b\">&nbsp;<br/></div>",
    "SELECT * FROM t WHERE a >= 10 AND b != 'x';",
    "{\"a\": [1, 2, {\"b\": null}], \"c\": \"\\u00e9\\n\"}",
    "#include <stdio.h>\r\n\r\nint main(void) { return 0; }\r\n",
    "\\frac{a}{b} $x^2$ \\[ \\sum_{i=1}^{n} \\]",
    "https://example.org/a/b?c=d&e=%20f#g",
    "-----BEGIN-----\n==== ####  ////// .... ,,,, ---- ____ ''''' \"\"\"",
]
LOOK_ALIKES = (
    "<s> </s> <unk> <pad> <|endoftext|> <|im_start|> <|im_end|> <|begin_of_text|> <|end_of_text|> <|eot_id|> "
    "<|start_header_id|> <| endoftext |> <|im_start <|im_end|>> [CLS] [SEP] [MASK] [UNK] [PAD] <bos> <eos> "
    "<start_of_turn> <0x0A> <0xE2> <0xZZ> <fim_prefix> <|fim_prefix|> <｜begin▁of▁sentence｜> <|START_OF_TURN_TOKEN|> "
    ">>ABSTRACT<< <extra_id_0> ▁ ▁▁ ▁a Ġ ĠĠ Ċ ##ing ## </w> <|reserved_special_token_0|>"
).split()
EMOJI = ["👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "🏳️‍🌈", "❤️", "☺", "1️⃣", "🤦🏼‍♂️", "😀😃", "🫠", "©️", "🧑‍💻", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
SPACES = [" ", " ", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u200b",
          "\u2028", "\u2029", "\u0085", "\u1680", "\u202f", "\u205f", "\ufeff", "\x0b", "\x0c", "\x1c", "\u180e", " \t \n  "]


def by_block():
    """Assigned characters, in lists of neighbours of 128 code points: every script is some of them."""
    blocks = {}
    for c in range(0x110000):
        if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co"):
            blocks.setdefault(c >> 7, []).append(chr(c))
    return list(blocks.values())


def assigned():
    return [chr(c) for c in range(0x80, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]


@functools.cache
def newer_normalization():
    """Characters whose normalisation Python's Unicode (3.11: 14.0) knows and the package's does not: its
    unicode-normalization-alignments stands at Unicode 9.  They are all of later versions, and nothing else differs."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    newer = set()
    for c in assigned():
        # Between marks of classes 1 and 240: where it goes says its own class.
        text = "a\u0345" + c + "\u0334"
        if nfd.normalize_str(text) != unicodedata.normalize("NFD", text) or nfkd.normalize_str(
            c
        ) != unicodedata.normalize("NFKD", c):
            newer.add(c)
    return frozenset(newer)


@functools.cache
def newer_properties():
    """Those, and characters whose category or script is too new for the package's tables (unicode_categories at Unicode
    8, its own scripts)."""
    marks = normalizers.StripAccents()
    accents = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    punctuation, scripts = pre_tokenizers.Punctuation(), pre_tokenizers.UnicodeScripts()
    newer = set(newer_normalization())
    for c in assigned():
        category = unicodedata.category(c)
        if (
            (marks.normalize_str(c) == "") != (category[0] == "M")
            or (accents.normalize_str(c) == "") != (category == "Mn")
            or (clean.normalize_str(c) == "") != (category[0] == "C" or c == "\ufffd")
            or (len(punctuation.pre_tokenize_str("a" + c)) == 2) != (category[0] == "P")
            or scripts.pre_tokenize_str(c) == []
        ):
            newer.add(c)
    return frozenset(newer)


def ranges(characters):
    """As text: "08D4-08E1 1133B"."""
    codes, out = sorted(map(ord, characters)), []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return " ".join(f"{a:04X}" if a == b else f"{a:04X}-{b:04X}" for a, b in out)


class Texts:
    def __init__(self, seed, special=(), without=None):
        """without: characters that must not come; as a rule those that the package normalises as an older Unicode."""
        self.random = random.Random(seed)
        newer = newer_normalization() if without is None else without
        self.blocks = [b for b in ([c for c in block if c not in newer] for block in by_block()) if b]
        every = [c for block in self.blocks for c in block]
        self.marks = [c for c in every if unicodedata.combining(c) or unicodedata.category(c) in ("Mn", "Mc", "Me")]
        self.digits = [c for c in every if unicodedata.category(c)[0] == "N"]
        self.composed = [c for c in every if unicodedata.decomposition(c)]
        self.small = [block for block in self.blocks if ord(block[0]) < 0x3000]
        self.look_alikes = LOOK_ALIKES + list(special)

    def fragment(self):
        r = self.random
        kind = r.randrange(17)
        if kind < 3:
            return r.choice(["", " ", " "]) + r.choice(WORDS)
        if kind == 3:
            return r.choice(SPACES) * r.choice([1, 1, 1, 2, 3, 7])
        if kind == 4:
            return "".join(r.choice(SPACES) for _ in range(r.randrange(1, 6)))
        if kind == 5:
            return "".join(r.choice("0123456789") for _ in range(r.randrange(1, 9)))
        if kind == 6:
            return "".join(r.choice(self.digits) for _ in range(r.randrange(1, 5)))
        if kind in (7, 8):  # any script, and more often those of the first planes
            block = r.choice(self.blocks if kind == 7 else self.small)
            return "".join(r.choice(block) for _ in range(r.randrange(1, 8)))
        if kind == 9:
            base = r.choice(["a", "e", "o", "A", "が", "か", "각", "ᄀ", "ᅡ", "ا", "क", "ก", "Σ", "ς", "İ", "ı", "q", " "])
            return base + "".join(r.choice(self.marks) for _ in range(r.randrange(1, 4)))
        if kind == 10:
            return r.choice(EMOJI)
        if kind == 11:
            code = r.choice(CODE)
            at = r.randrange(len(code))
            return code[at : at + r.randrange(1, 40)]
        if kind == 12:
            return r.choice(self.look_alikes)
        if kind == 13:
            return "".join(chr(r.randrange(0x20, 0x7F)) for _ in range(r.randrange(1, 8)))
        if kind == 14:
            return "".join(r.choice(self.composed) for _ in range(r.randrange(1, 4)))
        if kind == 15:
            return r.choice(["的中国人", "日本語テキスト", "ハﾝカクｶﾅ", "한국어 문장", "Привет, мир", "שלום", "مرحبا", "नमस्ते", "สวัสดี", "ÀÉ", "ﬁ", "Ǆ"])
        return chr(r.choice([0, 1, 8, 0x7F, 0x80, 0x9F, 0xAD, 0xFFFD, 0xFFFE, 0xE000, 0x10FFFF, 0x378, 0x2065, 0xE0001, 0xFDD0]))

    def text(self):
        n = self.random.choice([1, 1, 2, 2, 3, 4, 5, 6, 8, 12, 20])
        return "".join(self.fragment() for _ in range(n))


# ---- real vocabularies ----

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Letters of cased scripts, as its tokenizer.json lists them.
DEEPSEEK_LETTERS = (
    "41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A "
    "38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF "
    "1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D "
    "1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 "
    "1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F "
    "2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F "
    "A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 "
    "104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"
)
DEEPSEEK_LETTERS = (
    r"\s?["
    + "".join("-".join(chr(int(c, 16)) for c in r.split("-")) for r in DEEPSEEK_LETTERS.split())
    + "]+"
)


def split(expression, behavior="isolated"):
    return pre_tokenizers.Split(Regex(expression), behavior)


def byte_level(use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def chain(*parts):
    return pre_tokenizers.Sequence(list(parts))


def byte_level_families():
    """name: vocabulary, normalizer, pre-tokenizer, ignore_merges"""
    nfc = normalizers.NFC()
    digits = pre_tokenizers.Digits(individual_digits=True)
    return {
        "gpt-2": ("gpt-2", None, byte_level(True), False),
        "gpt-neox": ("gpt-neox", nfc, byte_level(True), False),
        "llama-bpe": ("llama-bpe", None, chain(split(LLAMA3), byte_level()), True),
        "qwen2": ("qwen2", nfc, chain(split(QWEN2), byte_level()), False),
        "qwen35": ("qwen35", nfc, chain(split(QWEN35), byte_level()), False),
        "o200k": ("qwen2", None, chain(split(O200K), byte_level()), False),
        "deepseek-v3": (
            "deepseek-llm", None,
            chain(split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK3), byte_level()), False,
        ),
        "deepseek-llm": (
            "deepseek-llm", None,
            chain(
                split(r"[\r\n]"), split(DEEPSEEK_LETTERS), split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"),
                split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), digits, byte_level(),
            ), False,
        ),
        "deepseek-coder": (
            "deepseek-coder", None,
            chain(
                split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), digits, byte_level()
            ), False,
        ),
        "starcoder": ("starcoder", None, chain(digits, byte_level(True)), False),
        "command-r": ("command-r", nfc, chain(digits, byte_level(True)), False),
        "falcon": (
            "falcon", None,
            chain(
                pre_tokenizers.Punctuation("contiguous"), byte_level(True), pre_tokenizers.Digits(False),
                split(r"[0-9][0-9][0-9]"),
            ), False,
        ),
    }


OTHER_FAMILIES = "llama-spm llama-metaspace gemma-4 bert-bge nomic-bert-moe".split()


class Gguf:
    def __init__(self, name):
        from gguf import GGUFReader

        fields = GGUFReader(ORACLES / f"ggml-vocab-{name}.gguf").fields
        strings = lambda f: [bytes(f.parts[i]).decode("utf-8", "surrogateescape") for i in f.data]
        numbers = lambda f: [f.parts[i][0].item() for i in f.data]
        get = lambda key, read: read(fields["tokenizer.ggml." + key]) if "tokenizer.ggml." + key in fields else None
        self.tokens = get("tokens", strings)
        self.types = get("token_type", numbers)
        self.merges = get("merges", strings)
        self.scores = get("scores", numbers)
        self.charsmap = bytes(get("precompiled_charsmap", numbers) or [])
        self.vocab = {t: i for i, t in enumerate(self.tokens)}

    def add_special(self, tokenizer):
        added = [
            AddedToken(t, special=kind == 3, normalized=False)
            for t, kind in zip(self.tokens, self.types)
            if kind in (3, 4)
        ]
        tokenizer.add_special_tokens([a for a in added if a.special])
        tokenizer.add_tokens([a for a in added if not a.special])
        return [a.content for a in added]


def byte_level_tokenizer(vocabulary, normalizer, pre_tokenizer, ignore_merges):
    g = Gguf(vocabulary)
    merges = [tuple(m.split(" ")) for m in g.merges]
    merges = [m for m in merges if len(m) == 2 and m[0] in g.vocab and m[1] in g.vocab and m[0] + m[1] in g.vocab]
    t = Tokenizer(models.BPE(g.vocab, merges, ignore_merges=ignore_merges))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizer
    t.decoder = decoders.ByteLevel()
    return t, g.add_special(t)


def merges_of_scores(g):
    """As transformers' converter makes merges of a SentencePiece vocabulary."""
    found = []
    for piece, score in zip(g.tokens, g.scores):
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in g.vocab and piece[i:] in g.vocab]
        local.sort(key=lambda m: (g.vocab[m[0]], g.vocab[m[1]]))
        found += [(score, m) for m in local]
    return [m for _, m in sorted(found, key=lambda f: f[0], reverse=True)]


def metaspace_tokenizer(name):
    metaspace = name == "llama-metaspace"
    g = Gguf("gemma-4" if name == "gemma-4" else "llama-spm")
    if name == "gemma-4":
        # Pieces with spaces make merges that cannot be cut at one: the parts that are pieces say where.
        merges = []
        for m in g.merges:
            cuts = [i for i, c in enumerate(m) if c == " " and m[:i] in g.vocab and m[i + 1 :] in g.vocab]
            merges += [(m[:i], m[i + 1 :]) for i in cuts if m[:i] + m[i + 1 :] in g.vocab][:1]
    else:
        merges = merges_of_scores(g)
    t = Tokenizer(models.BPE(g.vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if name == "gemma-4":
        t.normalizer = normalizers.Replace(" ", "▁")
        t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    elif metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
        steps.append(decoders.Strip(" ", 1, 0))
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        steps.append(decoders.Strip(" ", 1, 0))
    t.decoder = decoders.Sequence(steps)
    special = g.add_special(t)
    if "<s>" in g.vocab:
        t.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", g.vocab["<s>"])]
        )
    return t, special


# Google's list has 2B820; the package, and llama.cpp after it, 2B920.
CHINESE = (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF)
CHINESE += (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)


def bert_words(text):
    """What BERT's own steps (clean, space around Chinese, drop accents, lower, split at punctuation) make of a text by
    Python's Unicode: words and punctuation, a space between."""
    out = []
    for c in text:
        category = unicodedata.category(c)
        if c in "\t\n\r" or category[0] == "Z":
            out.append(" ")
        elif category in ("Cc", "Cf", "Co") or c == "\ufffd":  # unassigned ones stay, as in the package
            continue
        elif any(a <= ord(c) <= b for a, b in CHINESE):
            out += [" ", c, " "]
        else:
            out.append(c)
    bare = "".join(c for c in unicodedata.normalize("NFD", "".join(out)) if unicodedata.category(c) != "Mn")
    lower = "".join(c.lower() for c in bare)
    mark = lambda c: "!" <= c <= "/" or ":" <= c <= "@" or "[" <= c <= "`" or "{" <= c <= "~" or unicodedata.category(c)[0] == "P"
    return " ".join("".join(f" {c} " if mark(c) else c for c in lower).split())


def bert_vocabulary():
    g = Gguf("bert-bge")
    vocab = {}
    for i, (token, kind) in enumerate(zip(g.tokens, g.types)):
        # llama.cpp writes "▁word" for a word's beginning and drops the "##" of what follows.
        whole = kind == 3 or (len(token) > 1 and token[0] + token[-1] == "[]")
        vocab[token if whole else token[1:] if token.startswith("▁") else "##" + token] = i
    return vocab


def bert_tokenizer():
    vocab = bert_vocabulary()
    t = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.add_special_tokens(special)
    return t, special


def unigram_tokenizer():
    g = Gguf("nomic-bert-moe")
    t = Tokenizer(models.Unigram(list(zip(g.tokens, g.scores)), unk_id=3))
    t.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(g.charsmap),
            normalizers.Strip(False, True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    t.decoder = decoders.Metaspace("▁", prepend_scheme="always")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    t.add_special_tokens(special)
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    return t, special + ["<mask>"]


def texts_of(name, seed, special):
    return Texts(seed, special[:50], newer_properties() if name in ("bert-bge", "falcon") else None)


def family(name):
    """The tokenizer of the package, and its special tokens."""
    if name in byte_level_families():
        return byte_level_tokenizer(*byte_level_families()[name])
    if name == "bert-bge":
        return bert_tokenizer()
    if name == "nomic-bert-moe":
        return unigram_tokenizer()
    return metaspace_tokenizer(name)


FAMILIES = list(byte_level_families()) + OTHER_FAMILIES

# ---- comparison ----


def ask(trireme, command, path, lines, *options):
    """One answer for each line, through the command's --jsonl."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    done = subprocess.run(
        [trireme, command, path, "--jsonl", *options], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if done.returncode:
        raise AssertionError(f"trireme {command}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def encode_both(trireme, oracle, path, texts, special=True, parse=True):
    options = (["--add_special_tokens"] if special else []) + (["--parse_special"] if parse else [])
    ours = ask(trireme, "tokenize", path, texts, *options)
    oracle.encode_special_tokens = not parse
    theirs = [e.ids for e in oracle.encode_batch(texts, add_special_tokens=special)]
    return ours, theirs


def compare(trireme, oracle, path, texts):
    """What differs, as lines: nothing when all is well."""
    wrong = []
    oracle.save(str(path))
    for special, parse in ((True, True), (False, False)):
        ours, theirs = encode_both(trireme, oracle, path, texts, special, parse)
        assert len(ours) == len(theirs)
        wrong += [
            f"encode(parse={parse}) {t!r}: {a} {b}" for t, a, b in zip(texts, ours, theirs) if a != b
        ]
    lists = [ids for ids in theirs if ids]
    # Ids in another order too: bytes that make no character, word pieces without a word.
    shuffled = random.Random(7)
    lists += [shuffled.sample(ids, len(ids)) for ids in lists[:: 4]]
    n = oracle.get_vocab_size()
    lists += [[shuffled.randrange(n) for _ in range(9)] for _ in range(len(texts) // 10)]
    for skip in (True, False):
        ours = ask(trireme, "detokenize", path, lists, *(["--skip_special"] if skip else []))
        theirs = oracle.decode_batch(lists, skip_special_tokens=skip)
        assert len(ours) == len(theirs)
        wrong += [f"decode(skip={skip}) {ids}: {a!r} {b!r}" for ids, a, b in zip(lists, ours, theirs) if a != b]
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=FAMILIES, help=" ".join(FAMILIES))
    parser.add_argument("--strings", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trireme", default=str(ROOT / "build" / "trireme"))
    parser.add_argument("--scratch", default=str(ROOT / "build"))
    args = parser.parse_args()
    failed = 0
    for name in args.families or FAMILIES:
        oracle, special = family(name)
        texts = texts_of(name, args.seed, special)
        wrong = compare(
            args.trireme, oracle, Path(args.scratch) / f"oracle-{name}.json", [texts.text() for _ in range(args.strings)]
        )
        print(f"{name}: {args.strings} strings, {len(wrong)} mismatches", flush=True)
        for line in wrong[:5]:
            print("   ", line[:600])
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
