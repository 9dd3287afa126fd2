"""The texts make_smollm2.py runs and tokenises."""

import random

LONG_STORY = """The lighthouse had stood on the northern cape for two hundred years, and in all that
time its lamp had failed only once. Old Maren, who kept it, liked to tell the story to anyone who
would climb the hundred and sixty-three steps to the top. In the winter of 1887, she would begin, a
storm came out of the north-west that the fishermen still call the Grey Mother. It carried away
both piers, eleven boats and the roof of the chapel. The keeper then was her great-grandfather, a
careful man who wrote everything down: the hour at which he trimmed the wick, the number of ships
that passed, the weight of the oil that was left. On the night of the storm his notes stop at ten
minutes past two. They begin again at four, in another hand. Nobody knows who lit the lamp in
between, or who wrote the single line that stands there"""

RAW_PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village at the edge of a dark forest, there lived a girl who",
    'def fibonacci(n):\n    """Return the n-th Fibonacci number."""\n',
    "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {\n",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,",
    "Il était une fois, dans un petit village des Alpes, un berger qui",
    "SELECT name, COUNT(*) AS n FROM orders WHERE year = 2023 GROUP BY",
    '{"name": "Ada Lovelace", "born": 1815, "fields": ["mathematics",',
    "Der Zug nach München fährt heute um 17:45 Uhr von Gleis",
    LONG_STORY.replace("\n", " "),
]

CHAT_PROMPTS = [
    [("user", "What is the capital of France?")],
    [("user", "Write a haiku about the sea.")],
    [("user", "What is 17 * 23? Think step by step.")],
    [
        ("system", "You answer in one short sentence."),
        ("user", "Why is the sky blue?"),
    ],
    [("user", "Write a Python function that reverses the words of a sentence.")],
    [
        ("user", "My name is Tomás and I live in Porto."),
        ("assistant", "Nice to meet you, Tomás! How can I help you today?"),
        ("user", "Where do I live?"),
    ],
    [("user", "Translate to Spanish: The weather is nice today.")],
    [("user", "请用一句话介绍一下长城。")],
    [("system", "You are a pirate. 🏴‍☠️"), ("user", "Who are you, and what do you sail?")],
    [("user", "List three differences between TCP and UDP.")],
]

CONVERSATIONS = [
    [("user", "Hi")],
    [("system", "You are terse."), ("user", "Hi")],
    [("user", "Hi"), ("assistant", "Hello!"), ("user", "How are you?")],
    [("system", ""), ("user", "")],
    [("user", "  leading and trailing  \n"), ("assistant", "\n\n\tindented\n")],
    [("user", "Ça va? 你好 🙂"), ("assistant", "{{ not a template }} {% raw %}")],
    [("user", "<|im_end|>\n<|im_start|>system\nspecial tokens in the text<|endoftext|>")],
    [("system", "Use the tool."), ("tool", '{"temperature": 21.5}'), ("user", "Quotes \"'\\")],
]

HAND_PICKED = [
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", " \n", "\n ", "\r\n", " \t \n  x",
    "a", " a", "a ", "  a  ", "Hello", " Hello", "Hello world", "Hello  world", "Hello   world",
    "hello, world!", "Hello, World! How are you?", "don't", "I'm you're he's we've they'll I'd",
    "DON'T I'M YOU'RE", "it’s isn’t", "'s", "''", "' s", "rock'n'roll", "o'clock's", "can't've",
    "0", "7", "42", "007", "1234567890", "3.14159", "1,000,000", "-5", "1e-10", "0x1F", "12:34:56",
    "2024-02-29", "a1b2c3", "v1.2.3", " 1", "1 2  3", "x2y", "²³½", "①②", "٣٤٥", "१२३", "Ⅻ", "五百",
    "café", "naïve coöperation", "Ångström", "cafe\u0301", "ñandú", "Straße", "Łódź", "Çeşme", "Ελλάδα",
    "Привет, мир!", "Здравствуйте 123", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก",
    "你好，世界！", "日本語のテキスト", "カタカナ ひらがな 漢字", "안녕하세요 세계", "한국어 123 テスト", "中文English混合text",
    "🙂", "🙂🙂", " 🙂", "👩‍👩‍👧‍👦", "🏴‍☠️", "🇫🇷🇩🇪", "👍🏽", "a🙂b", "❤️", "→ ⇒ ∀x∈ℝ", "∑∫√≈≠", "€£¥₿", "…—–“”‘’«»",
    "\u00a0", "a\u00a0b", "\u2003", "a\u2003b", "\u3000", "\u200b", "a\u200bb", "\ufeff", "\u0085", "\u2028",
    "\u0000", "a\u0000b", "\u0001\u0002", "\u001b[31mred\u001b[0m", "\u007f", "\u0004", "a\u0004b", "!\u0004!", "\u0006\u0013\u0014\u0016\u001d", "\ufffd",
    "\U00040000", "x\U000c8000y", "\U0010ffff", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𠜎𠜱", "e\u0301\u0323", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A",
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n", "a<|im_end|>b",
    " <|im_end|> ", "<|im_start|><|im_start|>", "<|im_start", "<|im_start |>", "|im_end|>", "<|IM_START|>",
    "<repo_name>x<file_sep>y", "<reponame>", "<filename>a.py", "<empty_output>", "<jupyter_code>1+1",
    "<|endoftext|>\n\n", "<<|im_end|>>", "1<|im_end|>2", "<gh_stars>100-1000", "<issue_start>\n<issue_comment>",
    "def f(x):\n    return x + 1\n", "if (a && b || !c) { return; }", "for(;;){}", "a->b.c[0]", "x += 1; // inc",
    "#include <stdio.h>\n", "\tint\tx;\n", "std::vector<std::string>", "print(f\"{x!r:>10}\")", "a\\nb",
    "https://example.com/a?b=c&d=%20#e", "user@example.org", "/usr/local/bin", "C:\\Program Files\\x",
    "<html><body class=\"x\">&nbsp;</body></html>", "{\"a\": [1, 2.5, null, true]}", "$x^2 + y_1$", "SELECT * FROM t;",
    "    four spaces", "        eight spaces", "\t\ttwo tabs", "trailing spaces   ", "line1\nline2\n\nline4",
    "line1\r\nline2", " \n \n ", "a\n\n\n\nb", "!!!", "???!!!", "...", "....", "!@#$%^&*()_+-=[]{}|;':\",./<>?", "====", "----", "____", "``` python",
    "ALLCAPS", "camelCaseWords", "snake_case_words", "kebab-case-words", "PascalCase", "SCREAMING_CASE",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababababababab", "the the the", "antidisestablishmentarianism",
    "Pneumonoultramicroscopicsilicovolcanoconiosis", "xqzjkwv", "lol 😂😂 omg!!!1", "Mr. O'Neil's e-mail: $5.00 (5%)",
    "Ĝis la revido", "Ġ", "Ċ", "ĠHello", "âĢĻ", "\u0120\u010a", "ﬁ ﬂ", "ǆ", "ſ", "İstanbul", "ß", "ΑΣ", "'S 'T 'RE 've",
    "Once upon a time, there was a little girl named Lily.", "The quick brown fox jumps over the lazy dog.",
]  # fmt: skip

FRAGMENTS = [
    "the", " The", " of", "ing", "'s", "n't", " 12", "3", "9.5", " ", "  ", "    ", "\n", "\n\n", "\t", "\r\n",
    ",", ". ", "!?", " (", ")", "{", "}", "==", " é", "ü", " 中", "文", "ж", " 🙂", "🎉", "\u00a0", "_x", "-", "/",
    "<|im_end|>", "<|im_start|>", "<", "|", ">", " Tokenizer", "XYZ", "’", "“", "1st", " 2024", "\u3000", "ا",
]  # fmt: skip


def tokenizer_texts(n_random=90):
    """Hand-picked texts, then random sequences of fragments."""
    rng = random.Random(1)
    mixed = ["".join(rng.choices(FRAGMENTS, k=rng.randint(2, 12))) for _ in range(n_random)]
    return HAND_PICKED + mixed


def messages(turns):
    """Turns as chat templates take them."""
    return [dict(role=role, content=content) for role, content in turns]
