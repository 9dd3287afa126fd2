"""Writes tests/golden/text/regex.json: where the expressions of real tokenizers cut texts.

    pip install tokenizers regex
    python tests/golden/text/make_regex.py

Oracles: Oniguruma as tokenizers' Split uses it for tokenizer.json expressions ("ruby"), the regex
module for tiktoken's possessive ones ("perl").  Texts hold code points of Unicode 14 only, which the
oracles' newer tables and ours (15) agree on.  A cut is the pieces' lengths in bytes, one character
each (0-9a-zA-Z is 0 to 61); matches and what lies between them are pieces, empty ones are not."""
import json
import os
import random
import unicodedata

import regex
from tokenizers import Regex, pre_tokenizers

assert unicodedata.unidata_version == "14.0.0"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CASES = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
UPPER_NO_HAN, LOWER_NO_HAN = (c[:-1] + r"&&[^\p{Han}]]" for c in (UPPER, LOWER))
MARK = r"[^\r\n\p{L}\p{N}]?"
O200K_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
ASCII_UP, ASCII_LOW = r"((?=[\p{L}])([^a-z]))", r"((?=[\p{L}])([^A-Z]))"

RUBY = {
    "gpt2": GPT2 + r"|\s+",
    "starcoder": GPT2,
    "llama3": CONTRACTIONS + "|" + LETTERS + r"|\p{N}{1,3}" + TAIL,
    "llama3_ascii": CASES + "|" + LETTERS + r"|\p{N}{1,3}" + TAIL,
    "qwen2": CONTRACTIONS + "|" + LETTERS + r"|\p{N}" + TAIL,
    "qwen35": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": f"{MARK}{UPPER}*{LOWER}+{CONTRACTIONS}?|{MARK}{UPPER}+{LOWER}*{CONTRACTIONS}?|\\p{{N}}{{1,3}}{O200K_TAIL}",
    "o200k_ascii": f"{MARK}{ASCII_UP}*{ASCII_LOW}+{CASES}?|{MARK}{ASCII_UP}+{ASCII_LOW}*{CASES}?|\\p{{N}}{{1,3}}{O200K_TAIL}",
    "tekken": f"{MARK}{UPPER}*{LOWER}+|{MARK}{UPPER}+{LOWER}*|\\p{{N}}{O200K_TAIL}",
    "kimi": f"[\\p{{Han}}]+|{MARK}{UPPER_NO_HAN}*{LOWER_NO_HAN}+{CONTRACTIONS}?|{MARK}{UPPER_NO_HAN}+{LOWER_NO_HAN}*{CONTRACTIONS}?|\\p{{N}}{{1,3}}{TAIL}",
    "empty_matches": f"{MARK}{UPPER}*{LOWER}+{CONTRACTIONS}?|\\s*[\\r\\n/]*|\\s+(?!\\S)|\\s+",
    "deepseek3_numbers": r"\p{N}{1,3}",
    "deepseek3_cjk": "[一-龥\u3040-ゟ゠-ヿ]+",
    "deepseek3": r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    "deepseek_newline": "[\r\n]",
    "deepseek_cased": "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
    "deepseek_symbols": "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
    "deepseek_space": r"\s+$",
    "deepseek_cjk": "[一-龥\u0800-一가-\ud7ff]+",
    "deepseek_coder": r"\s?\p{L}+",
    "deepseek_coder_p": r"\s?\p{P}+",
    "digits": r"\p{N}+",
    "falcon": r"[\p{P}\$\+<=>\^~\|`]+",
    "falcon_numbers": "[0-9][0-9][0-9]",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "poro": r" ?[^(\s|.,!?…。，、।۔،)]+",
    "seed_coder": CONTRACTIONS + "|" + LETTERS + r"|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
    "bailing": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "chameleon": r"([\t\n]|    |  )",
    "chameleon_p": r"[\p{P}!-/:-@\[-`{-~]",
    "afmoe_digits": r"(?<=\d)(?=(?:\d{3})+(?!\d))",
    "afmoe_cjk": "[一-鿿㐀-䶿豈-\ufaff\u3040-ゟ゠-ヿ･-ﾟ⼀-⿟เ-\u0e7f\u0e80-\u0effក-\u17ffက-႟ꩠ-ꩿꧠ-\ua9ff가-\ud7afᄀ-ᇿ]+",
    "superbpe": r"(?=(\d{3})+(?!\d))",
    "three_digits_from_the_right": r"\d{1,3}(?=(?:\d{3})*\b)",
    "clip": r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "words": r"\w+|[^\w\s]+",
    "word_edges": r"\b\w|\B.\b",
    "lines": r"^.|.$",
    "repeat_of_repeat": r"\p{N}{1,3}+|a{,2}b",
    "lazy": r"a.*?s|\s{2,3}?",
    "names": r"\p{Cyrillic}+|\p{Greek}|[[:upper:]]+|\h{2}",
}
PERL = {
    "gpt2_tiktoken": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "atomic": r"(?>a|ab|\s+)s?|(?:ab|c)*+c|\d{2,3}+\d",
    "looks": r"(?<=[a-z]\s)\w+|(?<!\d)\d(?!\d\d)|(?=\w+\.)[A-Z]",
}

BLOCKS = [0x20, 0x41, 0xC0, 0x100, 0x370, 0x400, 0x530, 0x590, 0x600, 0x700, 0x900, 0xE00, 0x10A0,
    0x1100, 0x13A0, 0x1680, 0x1E00, 0x1F00, 0x2000, 0x2070, 0x2100, 0x2190, 0x2460, 0x2C00, 0x3000,
    0x3040, 0x30A0, 0x3400, 0x4E00, 0x9F80, 0xA000, 0xAC00, 0xD780, 0xF900, 0xFB00, 0xFE00, 0xFF00,
    0x10400, 0x10480, 0x1D400, 0x1E900, 0x1F300, 0x1F600, 0x20000]
SINGLE = list("  \t\n\r'’\"/.,!?…。，|[]()$+<=>^~`_-:;0123456789abcsXYZ") + list(
    "\u0085\u00a0\u3000\u2028\u2029\u200b\u200d\ufeffſKİßﬆŉ²½Ⅷ一龥ぁゟ゠ヿー々〇▁ᾳǅｱＡ߀٣१𝟘𐐀ꭰᎠ\u0301\u0345")
WORDS = ["'s", "'S", "'ſ", "'ll", "'LL", "'re", "'Ve", "'D", "don't", "Hello", "WORLD", "camelCase",
    "ABCdef", "1234567", "1234", "12", "  ", "   \n", "\r\n\r\n", "\n\n ", "!!\n", "//\n", "http://",
    "日本語", "한국어", "русский", "العربية", "हिन्दी", "ไทย", "<|endoftext|>", "👩\u200d👩", "👍🏽", "🇩🇪",
    " a", " 1", " .", "ab", "aab", "a s"]


def assigned(text):
    return all(unicodedata.category(c) not in ("Cn", "Co", "Cs") for c in text)


def make_text(rng):
    out = []
    for _ in range(rng.randint(1, 9)):
        kind = rng.random()
        if kind < 0.4:
            out.append(rng.choice(SINGLE) * (rng.randint(1, 4) if kind < 0.1 else 1))
        elif kind < 0.8:
            out.append(rng.choice(WORDS))
        else:
            first = rng.choice(BLOCKS)
            out.append("".join(chr(first + rng.randint(0, 60)) for _ in range(rng.randint(1, 3))))
    return "".join(out)


def pieces_ruby(pattern, text):
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return [piece for piece, _ in split.pre_tokenize_str(text)]


def pieces_perl(pattern, text):
    out, at = [], 0
    for match in regex.finditer(pattern, text):
        out += [text[at:match.start()], match.group()]
        at = match.end()
    return [piece for piece in out + [text[at:]] if piece]


ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def main():
    rng = random.Random(4)
    texts = []
    while len(texts) < 360:
        text = make_text(rng)
        if assigned(text) and len(text.encode()) < 62:
            texts.append(text)
    out = []
    for syntax, patterns, pieces in (("ruby", RUBY, pieces_ruby), ("perl", PERL, pieces_perl)):
        for name, pattern in patterns.items():
            cuts = ["".join(ALPHABET[len(p.encode())] for p in pieces(pattern, text)) for text in texts]
            out.append({"name": name, "syntax": syntax, "pattern": pattern, "cuts": cuts})
    path = os.path.join(os.path.dirname(__file__), "regex.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"texts": texts, "patterns": out}, f, ensure_ascii=False, indent=0)
        f.write("\n")


main()
