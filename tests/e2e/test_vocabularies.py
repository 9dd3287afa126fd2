"""Vocabularies that are no tokenizer.json, against the packages that own their formats: sentencepiece, mistral_common,
tiktoken, and llama.cpp's expected tokens for GGUF.  Encoding and decoding are compared id by id and byte by byte.
--tokenizer_strings N compares that many strings a vocabulary."""

import base64
import functools
import importlib.util
import json
import random
import struct
import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import harness
import tokenizer_oracle as oracle

sentencepiece = pytest.importorskip("sentencepiece")
tiktoken = pytest.importorskip("tiktoken")

SPACE = "\u2581"


@pytest.fixture(scope="session")
def n_texts(request):
    return request.config.getoption("--tokenizer_strings")


def mistral_file(name):
    spec = importlib.util.find_spec("mistral_common")
    if spec is None:
        pytest.skip("the package mistral_common is not installed")
    return Path(spec.submodule_search_locations[0]) / "data" / name


def texts(n, seed, special=()):
    made = oracle.Texts(seed, special)
    return [made.text() for _ in range(n)]


def encode(path, lines, *options):
    return oracle.ask(str(harness.TRIREME), "tokenize", str(path), lines, *options)


def decode(path, lists, *options):
    return oracle.ask(str(harness.TRIREME), "detokenize", str(path), lists, *options)


def shuffled(lists, n_ids, seed, first=0):
    """Also ids that no text gives: bytes that make no character, unknown and control pieces, spaces at the start."""
    r = random.Random(seed)
    change = lambda i: r.randrange(first, n_ids) if r.random() < 0.2 else r.randrange(first, min(n_ids, first + 300))
    return [ids if k % 2 else [change(i) if r.random() < 0.4 else i for i in ids] for k, ids in enumerate(lists)]


def same(inputs, ours, theirs):
    assert len(inputs) == len(ours) == len(theirs)
    wrong = [(i, a, b) for i, a, b in zip(inputs, ours, theirs) if a != b]
    assert not wrong, f"{len(wrong)} of {len(inputs)} differ, as {wrong[0]!r}"


def compare(path, lines, theirs_encode, theirs_decode, n_ids, seed, first=0, options=()):
    ours = encode(path, lines, *options)
    same(lines, ours, [theirs_encode(line) for line in lines])
    lists = shuffled(ours, n_ids, seed, first)
    same(lists, decode(path, lists), [theirs_decode(ids) for ids in lists])


# ---- SentencePiece ----


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def delimited(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field, value):
    return varint(field << 3) + varint(int(value))


def model_proto(pieces, unigram, byte_fallback, dummy_prefix, extra_spaces, charsmap):
    """sentencepiece_model.proto by hand, for vocabularies of GGUF files."""
    out = b"".join(
        delimited(1, delimited(1, piece.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind))
        for piece, score, kind in pieces
    )
    out += delimited(2, number(3, 1 if unigram else 2) + number(35, byte_fallback))
    normalizer = delimited(2, charsmap) if charsmap else b""
    return out + delimited(3, normalizer + number(3, dummy_prefix) + number(4, extra_spaces) + number(5, True))


def compare_sentencepiece(path, n, seed):
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
    pieces = [theirs.id_to_piece(i) for i in range(min(len(theirs), 300))]
    compare(path, texts(n, seed, pieces), theirs.encode, theirs.decode, len(theirs), seed)


@pytest.mark.parametrize("version", ["tokenizer.model.v1", "mistral_instruct_tokenizer_241114.model.v7"])
def test_mistral_models(version, scratch, n_texts):
    path = scratch / "tokenizer.model"
    path.write_bytes(mistral_file(version).read_bytes())
    compare_sentencepiece(path, n_texts, 11)


TRAINED = {
    "bytes": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False),
    "bpe": dict(model_type="bpe", normalization_rule_name="nmt_nfkc", split_by_whitespace=False),
    "suffix": dict(model_type="bpe", treat_whitespace_as_suffix=True, normalization_rule_name="nfkc"),
    "defined": dict(
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        user_defined_symbols=["<sep>", "function", "x  y", SPACE * 2, "e", "Hel"],
        control_symbols=["<ctl>"],
    ),
    "unigram": dict(model_type="unigram", normalization_rule_name="nmt_nfkc"),
    "unigram-bytes": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="nfkc"),
    "unigram-fold": dict(model_type="unigram", normalization_rule_name="nfkc_cf", add_dummy_prefix=False),
    "unigram-defined": dict(
        model_type="unigram",
        normalization_rule_name="nmt_nfkc_cf",
        user_defined_symbols=["<sep>", "function", "x  y", SPACE * 2, " é"],
        remove_extra_whitespaces=False,
    ),
    "unigram-t5": dict(
        model_type="unigram", unk_surface="??", bos_id=-1, pad_id=0, eos_id=1, unk_id=2, treat_whitespace_as_suffix=True
    ),
    "characters": dict(model_type="char", normalization_rule_name="nfkc", user_defined_symbols=["<sep>"]),
}


@pytest.fixture(scope="module")
def corpus():
    """Enough of each script that pieces are made in it, small enough that training takes a second."""
    made = oracle.Texts(5)
    some = [made.text().replace("\0", "").replace("\n", " ") for _ in range(600)]
    words = random.Random(6)
    return some + [" ".join(words.choices(oracle.WORDS, k=12)) for _ in range(3000)]


def train(corpus, path, **options):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_prefix=str(path.with_suffix("")),
        vocab_size=4000,
        character_coverage=0.98,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )


@pytest.mark.parametrize("name", TRAINED)
def test_trained_models(name, corpus, scratch, n_texts):
    path = scratch / "tokenizer.model"
    train(corpus, path, **TRAINED[name])
    compare_sentencepiece(path, n_texts, 12)


def test_configured_bos_and_eos(scratch):
    """tokenizer_config.json's add_bos_token and add_eos_token, as transformers 4.57.1's LlamaTokenizer, which gave
    these ids on these files: 1 is <s>, 2 is </s>."""
    (scratch / "tokenizer.model").write_bytes(mistral_file("tokenizer.model.v1").read_bytes())
    a = sentencepiece.SentencePieceProcessor(model_file=str(scratch / "tokenizer.model")).encode("a")
    config = scratch / "tokenizer_config.json"
    for settings, ids in (
        ({}, [1, *a]),
        ({"add_bos_token": True, "add_eos_token": None}, [1, *a]),
        ({"add_bos_token": False}, a),
        ({"add_eos_token": True}, [1, *a, 2]),
        ({"add_bos_token": False, "add_eos_token": True}, [*a, 2]),
        ({"add_eos_token": True, "bos_token": {"content": "</s>"}, "eos_token": "<unk>"}, [2, *a, 0]),
    ):
        config.write_text(json.dumps(settings))
        assert encode(scratch, ["a"], "--add_special_tokens") == [ids], settings
        assert encode(scratch / "tokenizer.model", ["a"]) == [a]
    config.write_text('{"add_bos_token": 1}')
    assert 'tokenizer_config.json: "add_bos_token"' in harness.refused("tokenize", scratch, stdin="a")


def test_word_models_are_refused_by_name(corpus, scratch):
    path = scratch / "tokenizer.model"
    train(corpus, path, model_type="word")
    harness.trireme("tokenize", path, code=1, stdin="x").err.index("model_type is WORD")


# ---- tekken ----


@pytest.mark.parametrize("name", ["tekken_240718.json", "tekken_240911.json"])
def test_tekken(name, n_texts):
    path = mistral_file(name)
    tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
    theirs = tekken.Tekkenizer.from_file(path)
    lines = texts(n_texts, 13, ["<s>", "</s>", "[INST]", "[/INST]", "<unk>", "<SPECIAL_20>", "[TOOL_CALLS]"])
    first = theirs.num_special_tokens
    compare(path, lines, lambda s: theirs.encode(s, bos=False, eos=False), theirs.decode, theirs.n_words, 13, first)
    same(lines[:50], encode(path, lines[:50], "--add_special_tokens"), [theirs.encode(s, bos=True, eos=False) for s in lines[:50]])
    assert encode(path, ["[INST]a[/INST]"], "--parse_special")[0][0] == theirs.get_special_token("[INST]")


def test_tekken_with_special_tokens_of_its_own(scratch):
    """Versions after 7 list them, and only some of the ids that are kept for them."""
    theirs = json.loads(mistral_file("tekken_240911.json").read_text(encoding="utf-8"))
    theirs["config"].update(version="v11", default_num_special_tokens=40)
    names = ["<unk>", "<s>", "</s>", "[INST]", "[THINK]"]
    theirs["special_tokens"] = [{"rank": i, "token_str": s, "is_control": True} for i, s in enumerate(names)]
    path = scratch / "tekken.json"
    path.write_text(json.dumps(theirs))
    tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
    known = tekken.Tekkenizer.from_file(path)
    lines = texts(300, 14, names)
    compare(path, lines, lambda s: known.encode(s, bos=False, eos=False), known.decode, known.n_words, 14, 40)
    assert encode(path, ["[THINK]"], "--parse_special") == [[4]]


# ---- tiktoken ----

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
KIMI_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
# model_type: the expression as its own code has it, the vocabulary that lends ranks, how many
TIKTOKEN = {
    "llama": (oracle.LLAMA3, "llama-bpe", 128000),
    "qwen": (oracle.QWEN2, "qwen2", 151643),
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        "llama-bpe",
        100256,
    ),
    "gpt_oss": (oracle.O200K, "llama-bpe", 199998),
    "kimi_k2": (
        r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?" + KIMI_UPPER + "*" + KIMI_LOWER + "+" + CONTRACTIONS + "?"
        r"|[^\r\n\p{L}\p{N}]?" + KIMI_UPPER + "+" + KIMI_LOWER + "*" + CONTRACTIONS + "?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
        163584,
    ),
    "gpt2": (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s", "gpt-2", 50256),
}


def byte_alphabet():
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printed]
    return {chr(b): b for b in printed} | {chr(256 + i): b for i, b in enumerate(others)}


@functools.lru_cache
def gguf_of(name):
    return oracle.Gguf(name)


def ranks_of(vocabulary, n):
    alphabet = byte_alphabet()
    tokens = gguf_of(vocabulary).tokens[:n]
    ranks = {bytes(alphabet[c] for c in t): i for i, t in enumerate(tokens)}
    # More ranks than the vocabulary has are bytes that no UTF-8 holds.
    return ranks | {b"\xff" + struct.pack(">I", i): i for i in range(len(ranks), n)}


def write_tiktoken(directory, ranks, model_type, **config):
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
    (directory / "tokenizer.model").write_text("".join(lines))
    (directory / "config.json").write_text(json.dumps({"model_type": model_type}))
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("model_type", TIKTOKEN)
def test_tiktoken(model_type, scratch, n_texts):
    expression, vocabulary, n = TIKTOKEN[model_type]
    ranks = ranks_of(vocabulary, n)
    write_tiktoken(scratch, ranks, model_type)
    theirs = tiktoken.Encoding(model_type, pat_str=expression, mergeable_ranks=ranks, special_tokens={})
    form = (lambda s: unicodedata.normalize("NFC", s)) if model_type == "qwen" else (lambda s: s)
    lines = texts(n_texts, 15, ["<|eot_id|>", "<|im_end|>"])
    compare(scratch, lines, lambda s: theirs.encode(form(s), disallowed_special=()), theirs.decode, n, 15)


def test_tiktoken_special_tokens(scratch):
    """Those of tokenizer_config.json first, the kind's own where it says nothing."""
    n = 163584
    added = {str(n): {"content": "[BOS]", "special": True}, str(n + 2): {"content": "<tool>", "special": False}}
    write_tiktoken(scratch, ranks_of("gpt-2", n), "kimi_k2", added_tokens_decoder=added)
    ids = encode(scratch, ["[BOS]<tool>", "[BOS"], "--parse_special")
    assert ids[0] == [n, n + 2] and ids[1][0] < n
    assert encode(scratch, ["<tool>[BOS]"])[0][0] == n + 2  # not special: read in any text
    assert n not in encode(scratch, ["<tool>[BOS]"])[0]
    n = 128000
    write_tiktoken(scratch, ranks_of("gpt-2", n), "llama")
    assert encode(scratch, ["<|eot_id|>"], "--parse_special", "--add_special_tokens") == [[n, n + 9]]
    n = 151329  # [gMASK]<sop> before all, as zai-org/glm-4-9b-chat's ChatGLM4Tokenizer
    write_tiktoken(scratch, ranks_of("gpt-2", n), "chatglm")
    assert encode(scratch, ["<|user|>", ""], "--parse_special", "--add_special_tokens") == [[n + 2, n + 4, n + 7], [n + 2, n + 4]]
    n = 50256
    write_tiktoken(scratch, ranks_of("gpt-2", n), "unheard_of")
    assert encode(scratch, ["<|endoftext|>"], "--parse_special") == [[n]]  # known by its number of ranks


def test_tiktoken_cut_short(scratch):
    """A cut in a line is seen there, a cut between lines by the number of ranks."""
    write_tiktoken(scratch, ranks_of("gpt-2", 50256), "llama")
    assert "128000" in harness.refused("tokenize", scratch)
    path = scratch / "tokenizer.model"
    path.write_text(path.read_text() + "YQ==")
    assert "line 50257" in harness.refused("tokenize", scratch)


# ---- GGUF ----

# Made by llama.cpp from Qwen 2's vocabulary, not by Qwen 3.5's tokenizer, which composes characters (NFC) before all
# else; the texts are those with a decomposed character.
QWEN35_DECOMPOSED = 3


def pairs():
    return sorted(p.name[len("ggml-vocab-") : -len(".gguf.inp")] for p in oracle.ORACLES.glob("*.gguf.inp"))


@pytest.mark.parametrize("name", pairs())
def test_gguf_expected_tokens(name):
    path = oracle.ORACLES / f"ggml-vocab-{name}.gguf"
    with open(f"{path}.inp", encoding="utf-8", newline="") as f:
        lines = f.read().split("\n__ggml_vocab_test__\n")
    expected = [[int(i) for i in line.split()] for line in Path(f"{path}.out").read_text().split("\n")]
    ours = encode(path, lines)
    assert len(lines) <= len(expected)
    wrong = [line for line, a, b in zip(lines, ours, expected) if a != b]
    if name == "qwen35":
        composed = [line for line in wrong if unicodedata.normalize("NFC", line) != line]
        assert len(composed) == QWEN35_DECOMPOSED
        wrong = [line for line in wrong if line not in composed]
    assert not wrong, f"{len(wrong)} of {len(lines)} differ, as {wrong[0]!r}"


# name: Unigram, the unknown token, a space before the text and one for many
SENTENCEPIECE_KINDS = {
    "llama-spm": (False, 0, True, False),
    "baichuan": (False, 0, True, False),
    "phi-3": (False, 0, True, False),
    "nomic-bert-moe": (True, 3, True, True),
}


@pytest.mark.parametrize("name", SENTENCEPIECE_KINDS)
def test_gguf_sentencepiece(name, n_texts):
    """llama and t5 kinds against sentencepiece with the same pieces.  User-defined tokens, which converters add, are
    taken out of the texts: SentencePiece has no added tokens."""
    unigram, unknown, prefix, extra = SENTENCEPIECE_KINDS[name]
    path, g = oracle.ORACLES / f"ggml-vocab-{name}.gguf", gguf_of(name)
    types = [2 if i == unknown else 3 if kind in (2, 4) else kind for i, kind in enumerate(g.types)]
    pieces = zip(g.tokens, g.scores, types)
    theirs = sentencepiece.SentencePieceProcessor(
        model_proto=model_proto(pieces, unigram, 6 in types, prefix, extra, g.charsmap)
    )
    defined = [t for t, kind in zip(g.tokens, g.types) if kind == 4]
    lines = [t for t in texts(n_texts, 16, g.tokens[:20]) if not any(d in t for d in defined)]
    ours = encode(path, lines)
    same(lines, ours, [theirs.encode(line) for line in lines])
    # GGUF's own rule for the others: test_gguf_special_tokens_are_text.
    lists = [[i for i in ids if g.types[i] not in (2, 3, 4)] for ids in shuffled(ours, len(g.tokens), 16)]
    same(lists, decode(path, lists), [theirs.decode(ids) for ids in lists])


AS_TOKENIZER_JSON = "gpt-2 gpt-neox llama-bpe qwen2 command-r starcoder deepseek-coder gemma-4".split()


@pytest.mark.parametrize("name", AS_TOKENIZER_JSON)
def test_gguf_as_tokenizer_json(name, n_texts):
    """The table of pre names against the pipelines of the models' tokenizer.json."""
    theirs, special = oracle.family(name)
    # gpt-neox's file has no pre name: mpt's has, with the same vocabulary.
    path = oracle.ORACLES / f"ggml-vocab-{'mpt' if name == 'gpt-neox' else name}.gguf"
    lines = texts(n_texts, 17, special[:50])
    ours = encode(path, lines, "--parse_special")
    same(lines, ours, [e.ids for e in theirs.encode_batch(lines, add_special_tokens=False)])
    # The package takes user-defined letters of the byte-level alphabet for bytes; llama.cpp and we do not.
    types = gguf_of("mpt" if name == "gpt-neox" else name).types
    letters = {i for i, kind in enumerate(types) if kind == 4 and gguf_of(name).tokens[i] in byte_alphabet()}
    lists = [[i for i in ids if i not in letters] for ids in shuffled(ours, theirs.get_vocab_size(), 17)]
    same(lists, decode(path, lists), theirs.decode_batch(lists, skip_special_tokens=False))


@pytest.mark.parametrize("name", [*SENTENCEPIECE_KINDS, *AS_TOKENIZER_JSON])
def test_gguf_special_tokens_are_text(name):
    """Unknown, control and user-defined tokens are their text as it stands, as llama.cpp's token_to_piece has it
    (src/llama-vocab.cpp): DeepSeek's user-defined "\xf6" is that letter, not the byte that GPT-2's alphabet writes so."""
    g = gguf_of(name)
    special = [i for i, kind in enumerate(g.types) if kind in (2, 3, 4)]
    same(special, decode(oracle.ORACLES / f"ggml-vocab-{name}.gguf", [[i] for i in special]), [g.tokens[i] for i in special])


def test_gguf_bert(n_texts):
    """Any character that Python's Unicode has.  The package stands at Unicode 8 and 9: it differs where a text has a
    character that is newer or whose category changed since, and only by those."""
    path = oracle.ORACLES / "ggml-vocab-bert-bge.gguf"
    theirs, special = oracle.bert_tokenizer()
    theirs.encode_special_tokens = True
    package = lambda lines: [e.ids for e in theirs.encode_batch(lines, add_special_tokens=False)]
    words = Tokenizer(models.WordPiece(oracle.bert_vocabulary(), unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = oracle.Texts(18, special, without=())
    lines = [made.text() for _ in range(n_texts)]
    ours = encode(path, lines)
    same(lines, ours, [e.ids for e in words.encode_batch([oracle.bert_words(line) for line in lines])])
    differing = [line for line, a, b in zip(lines, ours, package(lines)) if a != b]
    older = ["".join(c for c in line if c not in oracle.newer_properties()) for line in differing]
    assert all(a != b for a, b in zip(differing, older))
    same(older, encode(path, older), package(older))
    lists = shuffled(ours, theirs.get_vocab_size(), 18)
    same(lists, decode(path, lists), theirs.decode_batch(lists, skip_special_tokens=False))


def write_gguf(path, pre, tokens, **settings):
    """A byte-level vocabulary without merges: the byte alphabet, then tokens of (text, type)."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*byte_alphabet(), *(text for text, _ in tokens)])
    writer.add_token_types([1] * 256 + [kind for _, kind in tokens])
    writer.add_token_merges(["a b"])
    for name, value in settings.items():
        getattr(writer, "add_" + name)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def test_gguf_frames(scratch):
    """What stands around a text is what the file says, as in llama.cpp: for GLM-4, whose chats begin with what their
    template writes, no bos that the file does not name."""
    path = scratch / "x.gguf"
    a = list(byte_alphabet()).index("a")
    tokens = [("[gMASK]", 3), ("<sop>", 3), ("\xf6", 4)]
    for pre, settings, ids in (
        ("glm4", {}, [a]),
        ("glm4", {"bos_token_id": 256}, [a]),
        ("glm4", {"add_bos_token": True}, [a]),
        ("glm4", {"add_bos_token": True, "bos_token_id": 256, "add_eos_token": True, "eos_token_id": 257}, [256, a, 257]),
        ("chatglm-bpe", {"add_bos_token": True}, [a]),
        ("gpt-2", {"add_bos_token": True}, [11, a]),
    ):
        write_gguf(path, pre, tokens, **settings)
        assert encode(path, ["a"], "--add_special_tokens") == [ids], (pre, settings)
        assert encode(path, ["[gMASK]<sop>a"], "--parse_special") == [[256, 257, a]]
        assert encode(path, ["\xf6"]) == [[258]] and decode(path, [[258, 256]]) == ["\xf6[gMASK]"]


def test_gguf_kinds_are_refused_by_name(scratch):
    from gguf import GGUFWriter

    for kind in "rwkv", "plamo2", "hybriddna", "none":
        writer = GGUFWriter(scratch / "x.gguf", "llama")
        writer.add_tokenizer_model(kind)
        writer.add_token_list(["a"])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        harness.trireme("tokenize", scratch / "x.gguf", code=1, stdin="x").err.index(f"'{kind}' is not supported")


# ---- files that claim too much ----


def test_claims_are_checked(scratch):
    """Sizes past the file's end, and counts that only a gigabyte could hold, fail at once."""
    claims = {
        "tokenizer.model": b"\x0a\xff\xff\xff\xff\x03",
        "tekken.json": json.dumps(
            {"config": {"pattern": ".", "version": "v3", "default_vocab_size": 1 << 24, "default_num_special_tokens": 0}, "vocab": []}
        ).encode(),
        "x.tiktoken": b"YQ== 99999999999\n",
        "x.gguf": b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40),
    }
    for name, data in claims.items():
        path = scratch / name
        path.write_bytes(data)
        harness.trireme("tokenize", path, code=1, stdin="x", timeout=5)
