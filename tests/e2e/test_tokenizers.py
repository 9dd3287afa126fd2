"""Token ids and text against the `tokenizers` package: real vocabularies with their models' pipelines, and every
component with every option over small vocabularies.  --tokenizer_strings N compares that many strings a vocabulary
(tokenizer_oracle.py, run as a program, does 100,000)."""

import itertools
import json
import random
import resource
import subprocess

import harness
import pytest
import tokenizer_oracle as oracle
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SMALL = 300  # strings for each option of a component


def trireme():
    return str(harness.TRIREME)


def check(tokenizer, path, texts):
    wrong = oracle.compare(trireme(), tokenizer, path, texts)
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(line[:500] for line in wrong[:5])


@pytest.mark.parametrize("name", oracle.FAMILIES)
def test_family(name, scratch, request):
    if not (oracle.ORACLES / "version").exists():
        pytest.skip("tools/fetch_oracles.sh has not fetched the vocabularies")
    tokenizer, special = oracle.family(name)
    texts = oracle.texts_of(name, len(name), special)
    n = request.config.getoption("--tokenizer_strings")
    check(tokenizer, scratch / "tokenizer.json", [texts.text() for _ in range(n)])


# ---- bytes that are no text ----


def broken(r):
    """UTF-8 with bytes lost, changed and put in: lone leads and continuations, overlong forms, surrogates, past the end."""
    parts = ["é", "中", "😀", "a", " ", "\n", "ab c", "1"]
    bad = [b"\x80", b"\xbf", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f", b"\xe4\xb8", b"\xff"]
    made = [r.choice(bad) if r.random() < 0.3 else r.choice(parts).encode() for _ in range(r.randrange(1, 60))]
    data = bytearray(b"".join(made))
    for _ in range(r.randrange(3)):
        data[r.randrange(len(data))] = r.randrange(256)
    return bytes(data)


def test_what_is_not_utf8(scratch):
    """Read as U+FFFD for each maximal ill-formed part, as Python's errors="replace" does."""
    tokenizer, _ = oracle.family("llama-bpe")
    path = scratch / "tokenizer.json"
    tokenizer.save(str(path))
    r = random.Random(11)
    for data in [broken(r) for _ in range(30)]:
        done = subprocess.run([trireme(), "tokenize", path], input=data, capture_output=True, check=True)
        ids = [int(word) for word in done.stdout.split()]
        text = data.decode("utf-8", "replace")
        assert ids == tokenizer.encode(text, add_special_tokens=False).ids, data


def test_a_very_long_line(scratch):
    """50 MB of one letter: linear time (the run ends within its limit) and memory within a few times the text."""
    tokenizer, _ = oracle.family("llama-bpe")
    path = scratch / "tokenizer.json"
    tokenizer.save(str(path))
    limit = 1 << 30
    done = subprocess.run(
        [trireme(), "tokenize", path],
        input=b"a" * 50_000_000,
        capture_output=True,
        check=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    ids = [int(word) for word in done.stdout.split()]
    lengths = {i: len(tokenizer.decode([i])) for i in set(ids)}
    assert sum(lengths[i] for i in ids) == 50_000_000
    few = tokenizer.encode("a" * 4096, add_special_tokens=False).ids
    assert ids[: len(few) // 2] == few[: len(few) // 2]


def test_replacements_that_explode(scratch):
    """Each makes a thousand letters of one: refused within bounded memory, by normalizers and by decoders."""
    steps = [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000} for _ in range(6)]
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
    path, limit = scratch / "tokenizer.json", 1 << 30
    for part, command, data in ("normalizer", "tokenize", "a"), ("decoder", "detokenize", "0 0"):
        chain = {"type": "Sequence", "normalizers" if part == "normalizer" else "decoders": steps}
        path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model, part: chain}))
        done = subprocess.run(
            [trireme(), command, path],
            input=data,
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )
        assert done.returncode == 1 and "limit" in done.stderr, done.stderr


# ---- components over small vocabularies ----

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDE0123456789 .,!?'-_▁#<>/é中日の한я\n\t"
CORPUS = (
    "the cat sat on the mat and the dog ran to the house don't can't it's do not that is the end of the story "
    "▁the ▁cat ▁sat ▁on ▁a ▁mat ▁and ▁the ▁dog 12 345 2024 éa 中日 한я the. the, cat! 'm 's n't"
)


@pytest.fixture(scope="module")
def small_texts():
    texts = oracle.Texts(5, ["<s>", "<tok>", "[X]", "tok", "Tok"], oracle.newer_properties())
    r = random.Random(3)
    words = CORPUS.split() + ["<s>", "<tok>", " <tok> ", "[X]", "a<tok>b", "tok", "Tok", "toks", "  ", "a  b", " "]
    plain = [" ".join(r.choice(words) for _ in range(r.randrange(1, 9))) for _ in range(SMALL // 2)]
    # Text whose first character another number of bytes stands for when it is normalised.
    grown = [c + rest for c in ("\ufb01", "\U0002f894", "\u00e9", "e\u0301", "\u0958", "\u4e2d", "\u0130", "\ufdfa") for rest in ("", " a", "bab", "\u0323b")]
    return ["", " ", "  ", "a", " a", "a ", "▁", "<s>", "ab<s>", "<s>ab", "\x00"] + grown + plain + [
        texts.text() for _ in range(SMALL // 2)
    ]


def bpe_vocabulary(prefix="", suffix="", extra=()):
    """Characters and a few hundred merges of CORPUS, as the affixes of a word's parts ask."""
    words = []
    for word in CORPUS.split():
        parts = [c if i == 0 else prefix + c for i, c in enumerate(word)]
        parts[-1] += suffix
        words.append(parts)
    vocab = {}
    add = lambda piece: vocab.setdefault(piece, len(vocab))
    for piece in extra:
        add(piece)
    for c in ALPHABET:
        for form in {c, prefix + c, c + suffix, prefix + c + suffix}:
            add(form)
    for parts in words:
        for piece in parts:
            add(piece)
    merges = []
    for _ in range(200):
        pairs = {}
        for parts in words:
            for pair in itertools.pairwise(parts):
                pairs[pair] = pairs.get(pair, 0) + 1
        if not pairs:
            break
        left, right = max(pairs, key=lambda p: (pairs[p], p))
        joined = left + right[len(prefix) :]
        merges.append((left, right))
        add(joined)
        for parts in words:
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == (left, right):
                    parts[i : i + 2] = [joined]
                i += 1
    return vocab, merges


def small_bpe(**options):
    vocab, merges = bpe_vocabulary(extra=["<unk>"])
    return Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", **options))


BYTES = [f"<0x{i:02X}>" for i in range(256)]


@pytest.mark.parametrize("affixes", [("", ""), ("##", ""), ("", "</w>"), ("##", "</w>")])
@pytest.mark.parametrize("unk", [None, "<unk>"])
@pytest.mark.parametrize("fallback", [None, "all", "some"])
def test_bpe_options(affixes, unk, fallback, scratch, small_texts):
    prefix, suffix = affixes
    extra = ["<unk>"] + (BYTES if fallback == "all" else BYTES[0x80:0xE4] if fallback else [])
    vocab, merges = bpe_vocabulary(prefix, suffix, extra)
    for fuse, ignore, pre in itertools.product([False, True], [False, True], [None, pre_tokenizers.Whitespace()]):
        options = {"unk_token": unk, "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix}
        options = {key: value for key, value in options.items() if value}
        t = Tokenizer(
            models.BPE(vocab, merges, fuse_unk=fuse, byte_fallback=bool(fallback), ignore_merges=ignore, **options)
        )
        if pre:
            t.pre_tokenizer = pre
        t.decoder = decoders.BPEDecoder(suffix) if suffix else decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
        check(t, scratch / "tokenizer.json", small_texts)


def test_merges_as_strings(scratch, small_texts):
    t = Tokenizer(models.BPE(*bpe_vocabulary()))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t.decoder = decoders.Fuse()
    path = scratch / "tokenizer.json"
    t.save(str(path))
    tree = json.loads(path.read_text())
    tree["model"]["merges"] = ["#version: 0.2"] + [" ".join(m) for m in tree["model"]["merges"]]
    path.write_text(json.dumps(tree))
    ours, theirs = oracle.encode_both(trireme(), Tokenizer.from_file(str(path)), path, small_texts)
    assert ours == theirs


NORMALIZERS = {
    "NFC": normalizers.NFC(),
    "NFD": normalizers.NFD(),
    "NFKC": normalizers.NFKC(),
    "NFKD": normalizers.NFKD(),
    "Lowercase": normalizers.Lowercase(),
    "StripAccents": normalizers.StripAccents(),
    "NFD+StripAccents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "Nmt": normalizers.Nmt(),
    "ByteLevel": normalizers.ByteLevel(),
    "Strip": normalizers.Strip(),
    "Strip left": normalizers.Strip(left=True, right=False),
    "Strip right": normalizers.Strip(left=False, right=True),
    "Replace string": normalizers.Replace("a", "中"),
    "Replace by nothing": normalizers.Replace(" ", ""),
    "Replace regex": normalizers.Replace(Regex(r"\s+|[0-9]"), "▁"),
    "Replace at line ends": normalizers.Replace(Regex(r"\w$|\s^"), "!"),
    "Prepend": normalizers.Prepend("▁▁"),
    "Prepend+Replace": normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
} | {
    f"Bert {options}": normalizers.BertNormalizer(*options)
    for options in itertools.product([False, True], [False, True], [None, False, True], [False, True])
}

PRE_TOKENIZERS = {
    "none": None,
    "Whitespace": pre_tokenizers.Whitespace(),
    "WhitespaceSplit": pre_tokenizers.WhitespaceSplit(),
    "BertPreTokenizer": pre_tokenizers.BertPreTokenizer(),
    "Delimiter": pre_tokenizers.CharDelimiterSplit("a"),
    "Delimiter wide": pre_tokenizers.CharDelimiterSplit("中"),
    "UnicodeScripts": pre_tokenizers.UnicodeScripts(),
    "Digits": pre_tokenizers.Digits(False),
    "Digits individual": pre_tokenizers.Digits(True),
} | {f"Punctuation {b}": pre_tokenizers.Punctuation(b) for b in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")} | {
    f"Split {p!r} {b} {invert}": pre_tokenizers.Split(p if isinstance(p, str) else Regex(p[0]), b, invert)
    for p in ("t", "the ", (r"\s+",), (r"[a-m]+|\d",), (r"(?=t)",), (r"\b",), (r"x*",))
    for b in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")
    for invert in (False, True)
} | {
    f"ByteLevel {prefix} {regex}": pre_tokenizers.ByteLevel(prefix, use_regex=regex)
    for prefix in (False, True)
    for regex in (False, True)
} | {
    f"Metaspace {r} {scheme} {cut}": pre_tokenizers.Metaspace(r, scheme, cut)
    for r in ("▁", "_")
    for scheme in ("always", "first", "never")
    for cut in (False, True)
} | {
    "ByteLevel+Split": pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(False), pre_tokenizers.Split(Regex("[a-f]+|Ã"), "isolated")]),
    "ByteLevel twice": pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(True), pre_tokenizers.ByteLevel(False)]),
    "Digits+ByteLevel prefix": pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(True)]),
    "Whitespace+Metaspace": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    "Whitespace+Metaspace first": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]),
    "Split+Digits+Punctuation": pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "merged_with_next"), pre_tokenizers.Digits(False), pre_tokenizers.Punctuation("contiguous")]),
}


def add_tokens(t):
    t.add_special_tokens(["<s>"])
    t.add_tokens([AddedToken("<tok>", normalized=False), AddedToken("tok", normalized=True)])
    return t


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizer(name, scratch, small_texts):
    first = pre_tokenizers.Metaspace(prepend_scheme="first")
    words = pre_tokenizers.Split("b", "isolated")
    for pre in (
        None, first, pre_tokenizers.ByteLevel(False), pre_tokenizers.Sequence([words, first]),
        pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(False), pre_tokenizers.Digits(True)]),
    ):
        t = small_bpe(fuse_unk=True)
        t.normalizer = NORMALIZERS[name]
        if pre:
            t.pre_tokenizer = pre
        t.decoder = decoders.Fuse()
        check(add_tokens(t), scratch / "tokenizer.json", small_texts)


def test_normalized_characters(scratch):
    """Every character that Python's Unicode knows, through a word-level model: what a normalizer makes of it is one id."""
    characters = [c for block in oracle.by_block() for c in block if c not in oracle.newer_properties()]
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Strip", f"Bert {(True, True, True, True)}"):
        normalizer = NORMALIZERS[name]
        made = [normalizer.normalize_str(c) for c in characters]
        vocab = {"<unk>": 0}
        for text in made:
            vocab.setdefault(text, len(vocab))
        t = Tokenizer(models.WordLevel(vocab, "<unk>"))
        t.normalizer = normalizer
        t.save(str(scratch / "tokenizer.json"))
        ours = oracle.ask(trireme(), "tokenize", scratch / "tokenizer.json", characters)
        wrong = [c for c, text, ids in zip(characters, made, ours) if ids != ([vocab[text]] if text else [])]
        assert oracle.ranges(wrong) == "", name


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizer(name, scratch, small_texts):
    for fallback in (False, True):
        t = small_bpe(fuse_unk=False, byte_fallback=fallback)
        if PRE_TOKENIZERS[name]:
            t.pre_tokenizer = PRE_TOKENIZERS[name]
        t.decoder = decoders.ByteLevel()
        check(add_tokens(t), scratch / "tokenizer.json", small_texts)


@pytest.mark.parametrize("kind", ["WordPiece", "WordLevel", "Unigram"])
def test_other_models(kind, scratch, small_texts):
    pieces = sorted(set(CORPUS.split()) | set(ALPHABET) | {"##" + w for w in CORPUS.split()} | {"##" + c for c in ALPHABET})
    vocab = {p: i for i, p in enumerate(["<unk>"] + BYTES + pieces)}
    made = {
        "WordPiece": lambda: [
            models.WordPiece(vocab, unk_token="<unk>", max_input_chars_per_word=n, continuing_subword_prefix=p) for n in (3, 100) for p in ("##", "", "@@")
        ],
        "WordLevel": lambda: [models.WordLevel(vocab, "<unk>")],
        "Unigram": lambda: [
            models.Unigram([(p, -float(len(vocab) - i) / (1 + len(p))) for p, i in vocab.items()], unk, fallback)
            for unk, fallback in ((0, False), (0, True))
        ],
    }[kind]()
    for model in made:
        for pre in ("none", "Whitespace", "Metaspace ▁ always True", "BertPreTokenizer"):
            t = Tokenizer(model)
            if PRE_TOKENIZERS[pre]:
                t.pre_tokenizer = PRE_TOKENIZERS[pre]
            t.decoder = decoders.WordPiece() if kind == "WordPiece" else decoders.Metaspace()
            check(add_tokens(t), scratch / "tokenizer.json", small_texts)


FLAGS = list(itertools.product([False, True], repeat=5))


@pytest.mark.parametrize("special,normalized,lstrip,rstrip,single_word", FLAGS)
def test_added_tokens(special, normalized, lstrip, rstrip, single_word, scratch, small_texts):
    flags = dict(normalized=normalized, lstrip=lstrip, rstrip=rstrip, single_word=single_word)
    for normalizer in (None, normalizers.Lowercase(), NORMALIZERS["Prepend+Replace"], normalizers.Strip()):
        t = small_bpe(fuse_unk=True)
        if normalizer:
            t.normalizer = normalizer
        added = [AddedToken(text, special=special, **flags) for text in ("<tok>", "Tok", "the", "é", "<s>")]
        others = [AddedToken("  ", normalized=False), AddedToken("<s>a", normalized=False), AddedToken("tok!", normalized=True)]
        t.add_special_tokens(added) if special else t.add_tokens(added)
        t.add_tokens(others)
        t.decoder = decoders.Fuse()
        check(t, scratch / "tokenizer.json", small_texts)


def test_post_processors(scratch, small_texts):
    template = processors.TemplateProcessing
    cases = [
        processors.BertProcessing(("<tok>", 1), ("<s>", 2)),
        processors.RobertaProcessing(("<tok>", 1), ("<s>", 2)),
        processors.ByteLevel(),
        template(single="<s> $A <tok> <tok>", pair="$A $B", special_tokens=[("<s>", 3), ("<tok>", 4)]),
        template(single="$A", pair="$A $B"),
        template(single="<s> $A $A", pair="$A $B", special_tokens=[("<s>", 3)]),
        processors.Sequence(
            [
                processors.ByteLevel(),
                template(single="<s> $A", pair="$A $B", special_tokens=[("<s>", 3)]),
            ]
        ),
    ]
    for case in cases:
        t = small_bpe()
        t.post_processor = case
        t.decoder = decoders.Fuse()
        check(add_tokens(t), scratch / "tokenizer.json", small_texts)


D = decoders
DECODERS = [
    None,
    D.ByteLevel(),
    D.Metaspace(),
    D.Metaspace("_", "never"),
    D.Metaspace("▁", "first"),
    D.WordPiece(),
    D.WordPiece("##", False),
    D.WordPiece("t", True),
    D.BPEDecoder(),
    D.BPEDecoder("e"),
    D.CTC(),
    D.CTC("a", "t", False),
    D.CTC("a", "▁", True),
    D.Replace("a", "bb"),
    D.Replace(Regex("[aeiou]"), "*"),
    D.ByteFallback(),
    D.Fuse(),
    D.Strip("▁", 1, 0),
    D.Strip("t", 2, 0),
    D.Sequence([D.Fuse(), D.Strip("t", 1, 1)]),
    D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]),
    D.Sequence([D.ByteFallback(), D.Metaspace(), D.WordPiece()]),
    D.Sequence([D.Fuse(), D.Replace("th", "T"), D.Replace(Regex("T+"), "t")]),
    D.Sequence([D.ByteLevel(), D.Strip("t", 1, 1), D.Replace("a", "")]),
    D.Sequence([D.CTC(), D.BPEDecoder("</w>"), D.Fuse()]),
    D.Sequence([D.WordPiece(), D.Fuse(), D.Strip("c", 2, 0), D.ByteFallback()]),
]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d and json.loads(d.__getstate__())["type"])
def test_decoder(decoder, scratch):
    pieces = ["<unk>"] + BYTES + ["<0xZZ>", "<0x+F>"] + sorted(
        set(CORPUS.split()) | set(ALPHABET) | {"##ing", "##", "e</w>", "</w>", "<pad>", "|", " .", " do not", " ' ", "a n't", "▁▁", "ttt", "Ġa", "ÃĤ"}
    )
    t = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, "<unk>"))
    t.add_special_tokens(["<s>", "Ġspecial é"])
    if decoder:
        t.decoder = decoder
    path = scratch / "tokenizer.json"
    t.save(str(path))
    r = random.Random(11)
    n = t.get_vocab_size()
    near = [i for i, p in enumerate(pieces) if p in ("a", "t", "ttt", "▁", "▁▁", "the", "<0xE2>", "<0x96>", "<0x81>", "<0x41>")]
    lists = [[r.randrange(n)] for _ in range(50)] + [
        [r.choice(near) if r.random() < 0.5 else r.randrange(n) for _ in range(r.randrange(1, 12))] for _ in range(2000)
    ]
    for skip in (False, True):
        ours = oracle.ask(trireme(), "detokenize", path, lists, *(["--skip_special"] if skip else []))
        for ids, text in zip(lists, ours):
            try:
                theirs = t.decode(ids, skip_special_tokens=skip)
            except BaseException:  # the package's Strip and BPEDecoder panic where a token is all content, or none is there
                continue
            assert text == theirs, (skip, [t.id_to_token(i) for i in ids])


def test_what_is_no_list_of_ids(scratch):
    """Refused with the place, whatever the package would skip."""
    path = scratch / "tokenizer.json"
    Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 3}, "a")).save(str(path))
    for text, out in ("", ""), (" 0 1\n", "a b"), ("0,1 ,\n3", "a b c"), ("[0, 1,3]\n", "a b c"), ("[]", ""), (" [ ] ", ""):
        assert harness.trireme("detokenize", path, stdin=text).out == out
    bad = {
        "[0, 1": "byte 6: the end where ',' or ']' should be",
        "[0 1]": "byte 4: '1' where ',' or ']' should be",
        "0, 1]": "byte 5: ']' where a token id should be",
        "[0]]": "byte 4: ']' where the end should be",
        "[[0]]": "byte 2: '[' where a token id should be",
        "0,,1": "byte 3: ',' where a token id should be",
        "0 1,": "byte 5: the end where a token id should be",
        "[0,]": "byte 4: ']' where a token id should be",
        "0 x\x1b1 1": "byte 3: 'x\\x1b1' where a token id should be",
        "0 -1": "byte 3: '-1' where",
        "99999999999999999999": "byte 1: '99999999999999999999' where",
        "1 4 0": "byte 3: token id 4 is past the vocabulary, which has 4 ids (0 to 3)",
        "1 2 0": "byte 3: token id 2 is a hole in the vocabulary of 4 ids",
    }
    for text, message in bad.items():
        assert message in harness.refused("detokenize", path, stdin=text), text
    message = harness.refused("detokenize", path, "--jsonl", stdin="[0]\n0 1\n")
    assert "line 2: byte 1: '0' where '[' of an array" in message


def tokenize_whole(path, text, threads):
    done = subprocess.run(
        [trireme(), "tokenize", path, "--parse_special", "--threads", str(threads)], input=text.encode(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return [int(i) for i in done.stdout.split()]


LONG = [n for n in ("gpt-2", "llama-metaspace", "deepseek-coder") if n in oracle.FAMILIES]


@pytest.mark.parametrize("name", LONG)
def test_long_texts(name, scratch):
    """Words of many blocks, and texts long enough for several threads: the ids that one thread gives, and the package."""
    if not (oracle.ORACLES / "version").exists():
        pytest.skip("tools/fetch_oracles.sh has not fetched the vocabularies")
    t, special = oracle.family(name)
    path = scratch / "tokenizer.json"
    t.save(str(path))
    r = random.Random(2)
    words = [
        "a" * 50001,
        "".join(r.choice("ab") for _ in range(40000)),
        "".join(r.choice("etaoinshrdlu") for _ in range(40000)),
        " " * 30000 + "x",
        "".join(r.choice("中的一是不人") for _ in range(20000)),
        "=" * 33333 + "-" * 33333,
    ]
    ours, theirs = oracle.encode_both(trireme(), t, path, words)
    assert ours == theirs
    texts = oracle.texts_of(name, 4, special)
    mixed = "".join(texts.text() for _ in range(12000))
    for text in (mixed, " ".join(oracle.WORDS * 9000), "a" * 400000 + " b" * 200000, " " * 300000 + "\n" * 300000):
        one = tokenize_whole(path, text, 1)
        for threads in (2, 5):
            assert tokenize_whole(path, text, threads) == one
    assert tokenize_whole(path, mixed[:200000], 1) == t.encode(mixed[:200000], add_special_tokens=False).ids
