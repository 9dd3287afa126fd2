"""The template engine against jinja2: every chat template of the oracles over a matrix of
conversations, thousands of one-construct templates, and what came from the inputs."""

import copy
import re
import unicodedata
import warnings

import harness
import jinja_features
import jinja_oracle
import pytest

ORACLES = harness.BUILD / "oracles"
TEMPLATES = jinja_oracle.templates(ORACLES) if ORACLES.exists() else {}
CASES = list(jinja_oracle.cases())
OPEN, CLOSE = "⟪", "⟫"  # in no template, and printable, as repr() escapes others; around each of the user's tokens


@pytest.fixture(scope="module")
def engine():
    warnings.simplefilter("ignore")  # "is 1" in the code that jinja2 makes of constants
    engine = jinja_oracle.Engine(harness.LOGITS.parent / "jinja")
    yield engine
    engine.close()


def test_oracles_are_there():
    assert len(TEMPLATES) >= 70, "run tools/fetch_oracles.sh"


@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_as_jinja2(engine, name):
    different = []
    for case, inputs in CASES:
        difference = jinja_oracle.compare(engine, TEMPLATES[name], inputs)
        if difference:
            different.append(f"{case}: {difference}")
    assert not different, f"{len(different)} of {len(CASES)}:\n" + "\n".join(different[:5])


def test_features(engine):
    different, n = [], 0
    for source in jinja_features.templates():
        jinja_oracle.COMPILED.clear()
        text, error = jinja_oracle.expected(source, jinja_features.INPUTS)
        got = engine.render(source, jinja_features.INPUTS)
        if jinja_features.known_difference(source, text, got):
            continue
        n += 1
        if (error is None) != ("text" in got) or (error is None and got["text"] != text):
            different.append(f"{source!r}: jinja2 {error or text!r}; we {got}")
    assert not different, f"{len(different)} of {n}:\n" + "\n".join(different[:10])
    assert n > 10_000


METHODS = (
    "upper lower title casefold swapcase capitalize isalpha isdecimal isdigit isnumeric islower isupper istitle isspace "
    "isprintable isalnum isidentifier"
).split()
LOWER_SINCE_15 = "\u10fc\ua7f2\ua7f3\ua7f4\uab69"  # Lowercase in our Unicode, 15, and not in Python's 14


def test_every_character(engine):
    """What Python's str says of each character that its Unicode knows, alone and in a word."""
    wrong = set()
    known = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    known = [c for c in known if c not in "\1\2"]  # which part the answers
    source = "{% for c in s %}" + "\1".join("{{ c." + m + "() }}" for m in METHODS)
    source += "\1{{ ('a' ~ c ~ 'Σ').lower() }}\1{{ ('x' ~ c ~ 'y').splitlines()|length }}\2{% endfor %}"
    for i in range(0, len(known), 8192):
        some = known[i : i + 8192]
        rows = engine.render(source, {"s": some})["text"].split("\2")[:-1]
        assert len(rows) == len(some)
        for c, row in zip(some, rows):
            answers = [str(getattr(c, m)()) for m in METHODS] + [f"a{c}Σ".lower(), str(len(f"x{c}y".splitlines()))]
            wrong |= {(m, c) for m, a, b in zip([*METHODS, "sigma", "lines"], row.split("\1"), answers) if a != b}
    if unicodedata.unidata_version < "15":
        wrong -= {("islower", c) for c in LOWER_SINCE_15}
    assert not wrong, sorted(wrong)[:10]


# ---- what came from the inputs ----


def special_tokens(source):
    found = re.findall(r"<\|[^|<>{}\s]{1,40}\|>|<｜[^｜<>{}]{1,40}｜>|</?[A-Za-z_][\w:-]{0,40}>|\[/?[A-Z_]{3,}\]", source)
    return sorted(set(found) | {"<|im_start|>", "<|im_end|>", "<s>", "</s>"})


def poisoned(value, payload, keep=("role", "type", "id", "tool_call_id")):
    """The value with the payload in every text and key but those the template chooses by."""
    if isinstance(value, str):
        return value + payload
    if isinstance(value, list):
        return [poisoned(v, payload, keep) for v in value]
    if isinstance(value, dict):
        return {k: v if k in keep else poisoned(v, payload, keep) for k, v in value.items()}
    return value


def conversations_for_marking():
    c = jinja_oracle.conversations()
    for name in ("system", "turns", "parts", "reasoning", "call and result",
                 "two calls", "call string", "result parts", "result object", "extra fields", "thinking"):
        yield name, {"messages": c[name], "tools": jinja_oracle.TOOLS, "add_generation_prompt": True}
        yield name, {"messages": c[name], "add_generation_prompt": False}
    documents = [{"title": "T", "text": "x", "doc_id": "1"}]
    yield "documents", {"messages": c["system"], "documents": documents, "add_generation_prompt": True}
    given = {"functions": "[f, g]", "datetime": "now", "messages": c["turns"]}
    yield "functions", given
    roles = [{"role": "user" + OPEN + "<|im_start|>" + CLOSE, "content": "x"}]
    yield "role", {"messages": roles}


def check_marking(text, spans, tokens, rewritten, where):
    """rewritten: what the template cuts texts at (</think>) and then writes itself."""
    data = text.encode("utf-8")
    plain = bytearray(len(data))
    for begin, end in zip(spans[::2], spans[1::2]):
        plain[begin:end] = b"\1" * (end - begin)
    seen = own = 0
    for match in re.finditer(f"{OPEN}|{CLOSE}".encode(), data):
        assert all(plain[match.start() : match.end()]), f"{where}: a mark is trusted"
    for token in tokens:
        for match in re.finditer(re.escape(token.encode()), data):
            begin, end = match.span()
            context = data[max(0, begin - 40) : end + 40].decode("utf-8", "replace")
            opened = data[:begin].endswith((OPEN.encode(), rb"\u27ea"))  # as ensure_ascii writes it
            closed = data[end:].startswith((CLOSE.encode(), rb"\u27eb"))
            if opened and closed and token not in rewritten:
                seen += 1
                assert all(plain[begin:end]), f"{where}: the user's {token} is trusted: {context!r}"
            elif not opened and not closed:
                own += 1
                # Its brackets: "<" ~ key ~ ">" has a key of the user's inside.
                assert not plain[begin] and not plain[end - 1], f"{where}: the template's {token} is not: {context!r}"
            else:  # a template that splits at the token and writes its own: one or the other
                assert len(set(plain[begin:end])) == 1, f"{where}: half of {token}: {context!r}"
    return seen, own


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_of_the_inputs_is_trusted(engine, name):
    source = TEMPLATES[name]
    tokens = special_tokens(source)
    payload = "".join(OPEN + token + CLOSE for token in tokens)
    rewritten = set(re.findall(r"""split\(\s*['"]([^'"]+)['"]""", source))
    for variable in re.findall(r"split\((\w+)\)", source):
        rewritten.update(re.findall(rf"""set {variable}\s*=\s*['"]([^'"]+)['"]""", source))
    seen = own = 0
    for case, inputs in conversations_for_marking():
        inputs = copy.deepcopy(inputs)
        for key in ("messages", "tools", "documents", "functions", "datetime"):
            if key in inputs:
                inputs[key] = poisoned(inputs[key], payload)
        got = engine.render(source, inputs, jinja_oracle.MODEL)
        if "text" not in got:
            continue
        s, o = check_marking(got["text"], got["plain"], tokens, rewritten, f"{name}, {case}")
        seen, own = seen + s, own + o
    assert seen > 0, "no payload reached the output"


def test_spans_are_exact(engine):
    inputs = {"a": "xy", "d": {"k": "v"}, "n": 5}
    for source, spans in (
        ("<{{ a }}>", [1, 3]), ("{{ a ~ '-' ~ a }}", [0, 2, 3, 5]), ("{{ (a ~ '--' ~ a)[1:-1] }}", [0, 1, 3, 4]),
        ("{{ '-' ~ a|upper }}", [1, 3]), ("{{ ('-' ~ a)|upper }}", [1, 3]), ("{{ 'k'|replace('k', a) }}", [0, 2]),
        ("{{ (a ~ 'q')|replace('x', 'zz') }}", [2, 3]), ("{{ [a, 'b']|join(',') }}", [0, 2]),
        ("{{ '%s=%s' % ('k', a) }}", [2, 4]), ("{{ '{}{}'.format('k', a) }}", [1, 3]), ("{{ d|tojson }}", [0, 10]),
        ("{{ {'x': a}|tojson }}", [6, 10]), ("{{ n }}{{ 5 }}", [0, 1]), ("{{ n + 1 }}", [0, 1]), ("{{ a|length }}", []),
        ("{{ (' ' ~ a ~ ' ')|trim }}", [0, 2]), ("{{ (a ~ ',b').split(',')|last }}", []), ("{% set x %}-{{ a }}{% endset %}{{ x }}", [1, 3]),
        ("{% macro m(v) %}[{{ v }}]{% endmacro %}{{ m(a) }}", [1, 3]), ("{% for k in d %}{{ k }}{% endfor %}", [0, 1]),
        ("{{ (a ~ 'b')[::-1] }}", [1, 3]), ("{{ a * 2 }}", [0, 4]), ("{{ a|list }}", [2, 3, 7, 8]),
        ("{{ 'q' if a == 'xy' else a }}", []), ("{{ (a ~ 'ß')|upper }}", [0, 2]),
    ):
        got = engine.render(source, inputs)
        if source == "{{ a|list }}":
            assert got["plain"] == [1, 4, 6, 9], source  # the quotes of a user's text are the user's
            continue
        assert got.get("plain") == spans, (source, got)


# ---- limits ----


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10**10 }}",
        "{{ [1] * 10**9 }}",
        "{{ ('a' * 1000000) * 10000 }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}a{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l|tojson }}",
        "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% set ns.m = [ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
        "{% set ns = namespace(l=(1,)) %}{% for i in range(9999) %}{% set ns.l = (ns.l,) %}{% endfor %}{{ {ns.l: 1} }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(9999) %}{% set ns.l = ns.l|map('string') %}{% endfor %}{{ ns.l|list }}",
        "{{ '%1000000000d' % 1 }}", "{{ '{:1000000000}'.format(1) }}", "{{ '%.999999999f' % 1.5 }}",
        "{{ 'a'.center(10**10) }}", "{{ 'a'.zfill(10**10) }}", "{{ '\t'.expandtabs(10**10) }}", "{{ 'a'|indent(10**10, true) }}",
        "{{ 10 ** 30 }}", "{{ 9223372036854775807 + 1 }}", "{{ range(10**12) }}", "{{ [1]|tojson(indent=10**10) }}",
        "{% set x = 'a,' * 1000000 %}{% for i in range(1000) %}{% set y = x.split(',') %}{% endfor %}",
        "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "{{ " + "-" * 100_000 + "1 }}", "{{ " + "[" * 100_000, "{{ " + "not " * 100_000 + "1 }}",
        "{% if 1 %}" * 10_000, "{{ 1" + " + 1" * 10_000 + " }}", "{{ a" + ".b" * 10_000 + " }}", "{{ a" + "|upper" * 10_000 + " }}", "{{ a" + "[0]" * 10_000 + " }}",
        "{{ 1" + " if 1 else 1" * 10_000 + " }}", "{{ 1" + " is odd" * 10_000 + " }}", "{{ " + "{'a':" * 10_000,
    ],
)
def test_hostile_templates_end(engine, source):
    got = engine.render(source, {}, limits={"memory": 100 << 20, "steps": 2_000_000})
    assert "error" in got


@pytest.mark.parametrize(
    "source, opened",
    [
        ("{% if 1 %}x", "line 1, column 4"), ("\n{% for i in x %}y", "line 2, column 4"), ("{% if 1 %}{% else %}x", "line 1, column 4"),
        ("{% if 1 %}\n{% for x in y %}\n{% endif %}", "line 2, column 4"), ("{% if 1 %}{% if 2 %}{% endif %}", "line 1, column 4"),
        ("{% if 1 %}{% elif 2 %}{% endfor %}", "line 1, column 4"), ("{% if 1 %}{% for x in y %}{% nope %}", "line 1, column 14"),
        ("{% for x in y %}{% else %}{% endif %}", "line 1, column 4"), ("{% macro m() %}{% if 1 %}{% endmacro %}", "line 1, column 19"),
        ("{% set a %}x", "line 1, column 4"), ("{% filter upper %}", "line 1, column 4"), ("{% call f() %}", "line 1, column 4"),
        ("{% with %}", "line 1, column 4"), ("{% generation %}", "line 1, column 4"), ("{% endif %}", None), ("{% nope %}", None),
    ],
)
def test_tags_that_do_not_match(engine, source, opened):
    """jinja2's words, and beside them where the block begins."""
    _, error = jinja_oracle.expected(source, {})
    message = engine.render(source, {})["error"]
    place, text = message.split(": ", 1)
    assert place.startswith(f"line {error.lineno}, ")
    assert text == str(error) + (f" It begins in {opened}." if opened else "")


def test_errors_name_the_place(engine):
    got = engine.render("line one\n{{ 'é' }} {{ missing.x }}", {})
    assert got["error"] == "line 2, column 21: 'missing' is undefined"
    got = engine.render("{% if %}", {})
    assert got["error"].startswith("line 1, column 7: ") and not got["compiled"]
    got = engine.render("a\n  {{ raise_exception('no ' ~ 5) }}", {})
    assert got["error"] == "line 2, column 21: no 5" and got["status"] == "TRI_E_ARGUMENT"
