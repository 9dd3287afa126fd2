"""Small templates, one construct each, with odd arguments; jinja2 says at test time what they give."""

import re

INPUTS = {
    "n": 7, "neg": -3, "f": 2.5, "big": 123456789012345678901234567890, "t": True, "no": None,
    "s": "Hello World", "e": "", "u": "Grüße 日本 ẞß ŉ İΣΑΣ", "ws": "  a\t b\n ", "lines": "a\nb\r\nc\n\nd",
    "html": "<a href=\"x\">&'b'</a>", "digits": "12345", "l": [3, 1, 2], "ls": ["b", "A", "c"], "le": [],
    "mixed": [1, "a", None, 2.5, True, [1], {"k": "v"}], "d": {"b": 1, "a": 2, "C": 3},
    "nested": {"x": {"y": [10, {"z": "deep"}]}}, "de": {},
    "people": [
        {"name": "bob", "age": 30, "city": "X", "tags": ["p", "q"]},
        {"name": "Al", "age": 25, "city": "y"},
        {"name": "cy", "age": 30, "city": "x", "a": {"b": 1}},
    ],
    "items_key": {"items": 1, "get": 2, "keys": 3, "x": 4},
    "quotes": "it's \"q\" \\ \x07 \u200b é", "floats": [0.1, 1e16, 1e15, 1e-5, 0.0001, 1e22, -0.0, 5e-324, 1.7976931348623157e308, 123456.789, 100.0],
    "ints": [0, -1, 2147483648, 9007199254740993],
}


def _expressions():
    atoms = ["n", "neg", "f", "big", "t", "no", "s", "e", "u", "ws", "l", "le", "d", "de", "mixed",
             "missing", "nested", "nested.x.y", "people", "quotes", "floats", "ints", "(1, 2)", "()",
             "(1,)", "range(3)", "namespace(a=1)", "d.items()", "d.keys()", "d.values()", "lines", "html",
             "[none, true, 1.0, 'x']", "{'a': [1, {'b': none}], 1: 2, none: 3, true: 4, 2.5: 'x', (1, 2): 5}"]
    for a in atoms:
        yield a
    # every filter without arguments, on every atom
    filters = ["abs", "capitalize", "center", "count", "default", "d", "dictsort", "e", "escape",
               "filesizeformat", "first", "float", "forceescape", "int", "join", "last", "length",
               "list", "lower", "items|list", "max", "min", "replace('a', 'b')", "reverse|list",
               "reverse", "round", "safe", "sort", "string", "sum", "title", "tojson", "trim",
               "truncate(5)", "unique|list", "upper", "urlencode", "wordcount", "xmlattr", "indent",
               "map('string')|list", "map('upper')|join(',')", "select|list", "reject|list",
               "batch(2)|list", "slice(2)|list", "groupby('city')", "map(attribute='name')|list",
               "selectattr('name')|list", "rejectattr('age')|list", "attr('x')", "tojson(indent=2)",
               "default('D', true)", "dictsort(true, 'value')", "dictsort(reverse=true)",
               "sort(reverse=true)", "join(', ')", "int(5)", "float(1.5)", "select('string')|list",
               "sort(attribute='name')", "sum(attribute='age')", "min(attribute='age')",
               "max(attribute='age')", "unique(attribute='city')|list", "join('-', attribute='name')",
               "format(1)", "tojson(sort_keys=true)", "list|length", "string|length", "list|tojson",
               "map('tojson')|join", "map('int')|list", "map('default', 'x')|list"]
    for a in atoms:
        for f in filters:
            yield f"({a})|{f}"
    tests = ["boolean", "callable", "defined", "undefined", "even", "odd", "false", "true", "float",
             "integer", "iterable", "lower", "upper", "mapping", "none", "number", "sequence", "string",
             "divisibleby 3", "divisibleby(0)", "eq 7", "== 7", "equalto('a')", "ne 1", "gt 1", "ge 2",
             "lt 3", "le 2.5", "lessthan(4)", "greaterthan 4", "in [1, 7, 'a']", "in 'Hello World'", "in d",
             "sameas none", "sameas true", "escaped", "filter", "test"]
    for a in atoms:
        for t in tests:
            yield f"({a}) is {t}"
            yield f"({a}) is not {t}" if t.isalpha() else f"not ({a}) is {t}"
    operators = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in",
                 "not in", "and", "or"]
    right = ["n", "0", "2", "-2", "0.5", "t", "no", "s", "'%s'", "l", "d", "missing", "(1, 2)", "'a'", "big"]
    for a in atoms:
        for op in operators:
            for b in right:
                if op == "**" and b == "big" or (a == "big" and op in "+-*/%//**"):
                    continue  # integers past 64 bits are not computed with
                if b == "big" and op in ("+", "-", "*", "/", "//", "%"):
                    continue
                yield f"({a}) {op} ({b})"
    # subscripts and slices
    for a in ("s", "u", "l", "mixed", "d", "nested", "(1, 2, 3)", "range(5)", "no", "missing", "n", "e"):
        for k in ("0", "-1", "1", "99", "-99", "'a'", "'upper'", "none", "true", "1.5", "missing", "'0'",
                  "[1]", "(0,)", "'items'", "'append'", "'__class__'"):
            yield f"({a})[{k}]"
        for k in (":", "1:", ":2", "-2:", ":-1", "::2", "::-1", "5:1:-1", "1:100", "-100:2", "2:1", "::0",
                  "none:2", "true:", "'a':", "missing:", "1.5:", "-1::-2", "::3", "3::-1"):
            yield f"({a})[{k}]"
        for k in ("a", "upper", "items", "append", "pop", "keys", "x", "__class__", "_x", "real", "0", "start"):
            yield f"({a}).{k} is defined"
            yield f"({a}).{k} is callable"
        for k in ("0", "1", "x", "y"):
            yield f"({a}).{k}"
    methods = ["upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()",
               "lstrip()", "rstrip()", "strip('Hd ')", "strip(none)", "strip(1)", "lstrip('H')",
               "rstrip('\\n ')", "split()", "split(' ')", "split('o', 1)", "split(none, 1)",
               "split(maxsplit=1)", "split(sep='l')", "split('')", "rsplit('o', 1)", "rsplit()",
               "rsplit(none, 1)", "splitlines()", "splitlines(true)", "splitlines(keepends=true)",
               "replace('o', '0')", "replace('o', '0', 1)", "replace('', '-')", "replace('l', '')",
               "replace('', '-', 3)", "startswith('H')", "startswith(('x', 'H'))", "startswith('e', 1)",
               "startswith(1)", "endswith('d')", "endswith(('d',))", "endswith('l', 0, 4)", "endswith('')",
               "find('o')", "find('o', 5)", "find('z')", "find('')", "rfind('o')", "rfind('')", "index('z')",
               "index('o')", "rindex('l')", "count('l')", "count('')", "count('o', 5)", "join(['a', 'b'])",
               "join('xyz')", "join([1])", "join({'a': 1})", "partition(' ')", "partition('z')",
               "rpartition('o')", "rpartition('z')", "partition('')", "removeprefix('Hello')",
               "removesuffix('World')", "center(20)", "center(21, '*')", "center(20, '*')", "ljust(15, '.')",
               "rjust(15)", "rjust(15, 'ab')", "zfill(15)", "expandtabs()", "expandtabs(2)", "isalpha()",
               "isdigit()", "isalnum()", "isspace()", "islower()", "isupper()", "istitle()", "isnumeric()",
               "isdecimal()", "isascii()", "isidentifier()", "isprintable()", "format()", "upper(1)",
               "nothing()", "upper", "get('a')", "items()", "keys()", "format_map({})"]
    for a in ("s", "u", "ws", "e", "lines", "digits", "'-12'", "html|safe", "quotes", "'ΑΣ ΑΣΑ.Σ'", "'ǆ ﬁx ß'"):
        for m in methods:
            yield f"({a}).{m}"
    for m in ("get('a')", "get('z')", "get('z', 1)", "get()", "get([])", "keys()|list", "values()|list",
              "items()|list", "copy()", "pop('a')", "update({})", "clear()", "setdefault('a', 1)", "popitem()",
              "fromkeys('ab', 1)", "a", "b", "z", "get(key='a')", "keys()|first", "items()|last", "values()|sum",
              "keys()|join", "items()|length", "keys()[0]", "items() is sequence", "items()|tojson"):
        yield f"d.{m}"
    for m in ("append(1)", "pop()", "index(2)", "index(9)", "count(1)", "copy()", "sort()", "reverse()",
              "insert(0, 1)", "extend([1])", "remove(1)", "clear()", "index(1, 2)", "append", "append is defined"):
        yield f"l.{m}"
    for x in ("items_key.items", "items_key.get('x')", "items_key['items']", "items_key.x", "items_key['get']",
              "items_key.items()|list", "n.real", "f.is_integer()", "n.bit_length()", "f.real", "t.real"):
        yield x
    for args in ("3", "1, 3", "5, 1, -2", "0", "-1", "1, 2, 0", "1.5", "'3'", "missing", "none", "100000",
                 "100001", "10**12", "true", "1, 10, 3", "", "1,2,3,4"):
        yield f"range({args})|list|length"
        yield f"range({args})"
    yield from ("range(5)[1:3]", "range(5)|last", "3 in range(5)", "range(3) == range(0, 3)", "range(10)[::3]|list")


def _more_expressions():
    yield from [
        "1_000 + 0x1f + 0b11 + 0o17", "1.5e3", "1e-7", "2.0", "10 / 4", "7 // 2", "-7 // 2", "-7 % 3",
        "7 % -3", "2 ** 10", "2 ** -1", "-2 ** 2", "2 ** 3 ** 2", "7.5 // 2", "-7.5 % 2", "1 / 0", "1 % 0",
        "1.0 // 0", "0 ** -1", "5.0 % 0", "2 ** 0.5", "1 < 2 < 3", "1 < 3 < 2", "3 > 2 == 2", "'a' 'b'",
        "'a' ~ 1 ~ none ~ missing ~ [1]", "not 1 == 2", "not not 1", "1 if n else 2", "1 if missing",
        "(1 if missing) is defined", "1 if 0 else 2 if 0 else 3", "[1, 2,]", "{'a': 1,}", "{1: 2}[1]",
        "{}", "[]", "()", "(1)", "(1,)", "1, 2", "'%s and %s' % (1, 'b')", "'%d' % 3.7", "'%5.2f|%-5s|%05d' % (3.14159, 'a', 42)",
        "'%x %X %o %e %g' % (255, 255, 8, 12345.678, 0.0001)", "'%r' % 'a'", "'%(a)s-%(b)d' % {'a': 1, 'b': 2}",
        "'%%' % ()", "'%s' % none", "'%s' % [1]", "'%s %s' % (1,)", "'%s' % (1, 2)", "'%z' % 1", "'%' % 1", "'%d' % 'a'",
        "'%+d % d %#x' % (1, 2, 255)", "'%c%c' % (65, 'B')", "('%c' % 55296)|length", "'{:c}'.format(57343)|length", "'%.2s' % 'abc'", "'%*d' % (5, 3)", "'%s' % {'a': 1}",
        "'{} {}'.format(1, 'a')", "'{0} {1} {0}'.format(1, 2)", "'{a} {b!r}'.format(a=1, b='x')",
        "'{:>5}|{:<5}|{:^5}|{:*^7}'.format(1, 2, 3, 'a')", "'{:05d} {:+.2f} {:,} {:_}'.format(42, 3.14159, 1234567, 1234567)",
        "'{:x} {:#x} {:b} {:o} {:e} {:g} {:%}'.format(255, 255, 5, 8, 12345.678, 0.5, 0.25)", "'{0.real} {1[a]} {2[0]}'.format(1, {'a': 2}, [3])",
        "'{{}} {}'.format(1)", "'{} {0}'.format(1)", "'{'.format()", "'}'.format()", "'{a}'.format()", "'{}'.format()", "'{:{}}'.format(1, 5)",
        "'{:.3}'.format('abcdef')", "'{:d}'.format(1.5)", "'{:s}'.format(1)", "'{!x}'.format(1)", "'{:10}'.format(none)", "'{}'.format(none)",
        "'{:.2f}'.format(2)", "'{:c}'.format(65)", "'{:08.3f}'.format(-3.14159)", "'{:=+8}'.format(42)", "'{:,.2f}'.format(1234567.891)", "'{.__class__}'.format(1)",
        r"'\n\t\\\'\"\x41\u00e9\101\q'", r"'\é'", "'a\\\nb'", "\"it's\"", "true", "True", "none", "None", "false", "False", "nil",
        "1.__class__", "''.__class__", "s.__class__.__mro__", "missing.x", "missing()", "missing[0]", "none.x", "none()", "n()", "s()",
        "nested.x.y[1].z", "nested['x']['y'][0]", "nested.x.y.1.z", "nested.q.z", "people[0].name", "people|map(attribute='a.b')|list",
        "people|map(attribute='tags.0')|list", "people|map(attribute='a.b', default='none')|list", "people|map(attribute='city')|unique|list",
        "people|selectattr('age', 'equalto', 30)|map(attribute='name')|join(',')", "people|rejectattr('age', 'gt', 26)|list|length",
        "people|selectattr('a')|list|length", "people|selectattr('tags', 'defined')|list|length", "people|selectattr('a.b', 'eq', 1)|first",
        "people|sort(attribute='age,name')|map(attribute='name')|list", "people|sort(attribute='age', reverse=true)|map(attribute='name')|list",
        "people|sort(attribute='city', case_sensitive=true)|map(attribute='city')|list", "people|groupby('city')", "people|groupby('age')|map('first')|list",
        "people|groupby('city', case_sensitive=true)|length", "people|groupby('a', default='x')", "(people|groupby('age'))[0].grouper", "(people|groupby('age'))[0].list|length",
        "people|map('attr', 'name')|list", "people|map('length')|list", "l|map('nope')|list", "l|select('nope')|list", "le|map('nope')|list", "l|map|list", "l|map(attribute='a', b=1)|list",
        "l|select('odd')|list", "l|reject('odd')|list", "l|select('>', 1)|list", "l|select('in', [1, 2])|list", "l|selectattr|list", "l|sum(start=10)", "[[1], [2]]|sum(start=[])", "['a']|sum", "['a']|sum(start='')",
        "l|sort", "ls|sort", "ls|sort(case_sensitive=true)", "mixed|sort", "[none, none]|sort", "[1, 'a']|sort", "[[2, 1], [1, 2]]|sort", "ls|max", "ls|min", "ls|max(case_sensitive=true)", "le|max", "le|min is defined",
        "ls|unique|list", "['a', 'A', 'b']|unique|list", "['a', 'A', 'b']|unique(true)|list", "[1, 1.0, true]|unique|list", "[[1]]|unique|list",
        "l|batch(2, 'x')|list", "l|batch(0)|list", "range(7)|slice(3)|list", "range(7)|slice(3, 'x')|list", "l|slice(0)|list", "range(7)|batch(3)|map('list')|list", "l|batch('a')|list",
        "l|first", "le|first", "le|last", "s|first", "s|last", "d|first", "d|last", "l|map('abs')|first", "l|map('abs')|last", "le|first is defined",
        "42.55|round", "42.55|round(1)", "42.55|round(1, 'floor')", "42.55|round(1, 'ceil')", "2.5|round", "3.5|round", "-2.5|round", "1234|round(-2)", "1250|round(-2)", "15|round(-1)", "2.675|round(2)", "1|round(1, 'odd')", "'a'|round", "0.5|round|int", "1e300|round(2)", "7|round(0, 'ceil')", "1.23456|round(3)", "none|round", "2.5|round(none)",
        "'42'|int", "'42.7'|int", "'abc'|int", "'abc'|int(-1)", "'0x1f'|int(0, 16)", "'1f'|int(base=16)", "'0b11'|int(0, 2)", "' 42 '|int", "'1_000'|int", "'1__0'|int", "''|int", "'-5'|int", "'+5'|int", "2.9|int", "-2.9|int", "true|int", "none|int", "[]|int", "'inf'|int", "'nan'|int", "'1e3'|int", "'077'|int(0, 8)", "'z'|int(0, 36)", "'z'|int(0, 37)", "'012'|int(7, 0)", "'0'|int(7, 0)", "missing|int",
        "'4.5'|float", "'x'|float", "'x'|float(2.0)", "' 1e3 '|float", "'1_0.5'|float", "'inf'|float", "'nan'|float", "none|float", "true|float", "'0x10'|float", "'infinity'|float", "'.5'|float", "'5.'|float", "'1e'|float",
        "-5|abs", "(-5)|abs", "-2.5|abs", "'a'|abs", "true|abs", "s|truncate(8)", "s|truncate(8, true)", "s|truncate(8, true, '!')", "s|truncate(8, leeway=0)", "s|truncate(2)", "s|truncate(3, leeway=0)", "s|truncate(6, false, '..', 0)",
        "lines|indent", "lines|indent(2)", "lines|indent(2, true)", "lines|indent(2, true, true)", "lines|indent('> ')", "lines|indent(first=true, width=3)", "lines|indent(blank=true)", "e|indent", "e|indent(2, true)", "n|indent", "lines|indent(none)", "lines|indent(-1)",
        "s|center(20)", "s|center(21)", "s|replace('o', 0)", "n|replace(7, 8)", "s|replace('l', 'L', 2)", "s|replace('l', 'L', count=1)", "s|replace('o')", "ws|trim", "s|trim('Hd')", "s|trim(chars='Hd')", "s|upper|lower|title", "'foo-bar (baz) [qux] {a} <b>'|title", "u|title", "u|capitalize", "u|upper", "u|lower",
        "s|wordcount", "u|wordcount", "'a-b_c d.e'|wordcount", "html|urlencode", "u|urlencode", "d|urlencode", "[('a', 1), ('b c', 'd&e')]|urlencode", "n|urlencode", "['ab', 'cd']|urlencode", "['abc']|urlencode", "'a/b c'|urlencode",
        "{'a': 1, 'b': none, 'c': html}|xmlattr", "{'a b': 1}|xmlattr", "{'a': 1}|xmlattr(false)", "{}|xmlattr", "html|e", "html|safe|e", "html|safe", "html|forceescape", "html|safe|forceescape", "(html|safe) ~ '<'", "(html|safe) + '<b>'", "'<b>' + (html|safe)", "(html|safe) * 2", "('%s'|safe) % html", "('{}'|safe).format(html)", "('<'|safe).join(['<a>', 'b'])", "(html|safe)|upper", "(html|safe)|string is escaped", "((html|safe)|upper) is escaped", "((html|safe)|trim) is escaped", "((html|safe)|replace('a', 'b')) is escaped", "(html|safe)[0:3] is escaped", "[html|safe]", "(html|safe).split('=')", "(html|safe).replace('a', '<')", "(html|safe)|tojson",
        "1000|filesizeformat", "1024|filesizeformat(true)", "1|filesizeformat", "0|filesizeformat", "999|filesizeformat", "123456789|filesizeformat", "1e30|filesizeformat", "'1500'|filesizeformat", "-5|filesizeformat",
        "'%s'|format(1)", "'%s %s'|format(1, 2)", "'%(a)s'|format(a=1)", "'%(a)s'|format(1, a=1)", "missing|default('x')", "e|default('x')", "e|default('x', true)", "no|default('x')", "no|default('x', boolean=true)", "missing|d", "missing|default(default_value='q')", "n|default(1, 2, 3, 4)", "n|default(foo=1)",
        "d|dictsort", "d|dictsort(true)", "d|dictsort(false, 'value')", "d|dictsort(by='value', reverse=true)", "d|dictsort(by='x')", "l|dictsort", "{1: 2, 'a': 3}|dictsort", "missing|dictsort",
        "mixed|tojson", "d|tojson(indent=2)", "d|tojson(indent='--')", "d|tojson(indent=0)", "d|tojson(separators=(',', ':'))", "d|tojson(sort_keys=true)", "u|tojson", "u|tojson(ensure_ascii=true)", "'😀'|tojson(true)", "quotes|tojson", "floats|tojson", "ints|tojson", "big|tojson", "missing|tojson", "[missing]|tojson", "range(3)|tojson", "(1, 2)|tojson", "le|tojson(indent=2)", "de|tojson(indent=2)", "[[], {}]|tojson(indent=2)", "{1: 2, true: 3, none: 4, 2.5: 5}|tojson", "{(1, 2): 3}|tojson", "namespace(a=1)|tojson", "html|tojson", "nested|tojson(indent=4)", "d|tojson(2)", "d|tojson(none, 2)", "d|tojson(indent=true)", "d|tojson(indent=1.5)", "d|tojson(separators=',')", "d|tojson(foo=1)", "'\\x7f\\u2028'|tojson",
        "namespace(a=1, b='x')", "namespace({'a': 1}).a", "namespace(a=1).b", "namespace(_a=1)", "namespace(1)", "namespace(a=1)['a']", "namespace(a=1).items", "namespace(items=1).items", "dict(a=1, b=2)", "dict([('a', 1)])", "dict({'a': 1}, b=2)", "dict.fromkeys('ab')", "dict(1)", "dict([1])",
        "raise_exception('boom')", "raise_exception(1)", "raise_exception()", "strftime_now('%Y-%m-%d')", "strftime_now('%d %b %Y %H:%M:%S %A %B %j %y %p %I')", "strftime_now('%-d')", "strftime_now('100%')", "strftime_now('%%x%f%z')", "strftime_now(1)", "strftime_now('')", "strftime_now('日%Y年')",
        "cycler('a', 'b').next()", "cycler()", "joiner('|')()", "joiner is callable", "range is callable", "loop is defined", "self is defined",
        "mixed|map('string')|join('|')", "mixed|string", "floats", "floats|join(' ')", "ints|join(' ')", "-0.0", "1e16", "123456789.123456789", "1/3", "1e100", "0.1 + 0.2", "3.0 * 2", "1e400", "-1e400", "1e400 - 1e400", "7 / 7", "1.0 == 1", "true == 1", "'1' == 1", "none == false", "[1] == [1.0]", "(1,) == [1]", "{'a': 1} == {'a': 1.0}", "missing == missing2", "missing == none", "missing != 1", "big == big", "big > 1", "big < f", "1 in [true]", "'a' in {'a': 1}", "none in [none]", "1 in 'a'", "'a' in 1", "'a' in none", "'a' in missing", "[1] in d", "missing in [missing]", "'' in 'a'", "(1, 2) < (1, 3)", "[1] < [1, 2]", "[] < [1]", "'a' < 'B'", "'é' > 'z'", "1 < 'a'", "none < 1", "{} < {}", "missing < 1", "1 < missing", "[1, 'a'] < [1, 2]", "true + true", "true and 'x'", "0 or none", "'' or 'a' or 'b'", "not missing",
        "s is string and s is not none", "s is defined is true", "n is divisibleby(7)", "n is divisibleby 0", "'upper' is filter", "'nope' is filter", "'odd' is test", "1 is in([1])", "1 is in [1]", "n is eq(7)", "'a' is in 'abc'", "n is nope", "n|nope", "n is string or n is number", "none is none", "missing is none", "n is not none", "n is sameas 7", "s is lower", "'abc' is lower", "'' is lower", "'ABC1' is upper",
        "l[0] + l[-1]", "l + [4]", "l + (4,)", "l * 2", "2 * l", "(1, 2) + (3,)", "'ab' * 3", "'ab' * -1", "l - l", "-l", "+n", "-missing", "+s", "-t", "-'a'",
        "s[0]", "s[-1]", "s[99]", "u[6]", "u[6:8]", "u[::-1]", "u[-3:]", "u[1:8:2]", "u|length", "u|reverse", "u|list", "lines.split('\\n')", "'a,b,,c'.split(',')", "'a b'.split(none)", "'aXbX'.rsplit('X')",
        "foo.bar is defined", "d.foo is defined", "d.foo.bar is defined", "none.foo is defined", "d['a'] is defined", "d.get('q').x is defined", "l.0", "l.5 is defined", "s.upper()[0]", "(s|upper)[1:3]", "s|upper|length + 1", "1 + s|length", "-n|abs", "(-n)|abs", "n|string ~ 'x'", "not n|string", "n if n is odd else 'even'", "[n if n else 1, 2]", "{'a': n if n else 1}", "(n, 2)|sum", "l|sum / l|length", "l|join(',')|length", "loop", "caller", "varargs", "kwargs", "super()", "self.x", "_x", "__x__",
    ]


def _statements():
    yield from [
        "{% for x in l %}{{ x }}{% endfor %}", "{% for x in l %}{{ loop.index }}/{{ loop.length }}:{{ loop.index0 }},{{ loop.revindex }},{{ loop.revindex0 }},{{ loop.first }},{{ loop.last }};{% endfor %}",
        "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
        "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}", "{% for x in l %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}",
        "{% for x in le %}a{% else %}none{% endfor %}", "{% for x in l %}{% else %}none{% endfor %}", "{% for x in missing %}a{% else %}none{% endfor %}", "{% for x in none %}a{% endfor %}", "{% for x in 5 %}a{% endfor %}", "{% for x in s %}{{ x }}.{% endfor %}", "{% for x in u %}{{ x }}.{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|items %}{{ k }}{{ loop.last }}{{ loop.length }}{% endfor %}",
        "{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}-{{ b }};{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, in [(1,)] %}{{ a }}{% endfor %}",
        "{% for x in l if x > 1 %}{{ x }}{{ loop.index }}{{ loop.last }}{% endfor %}", "{% for x in l if x > 5 %}a{% else %}none{% endfor %}", "{% for x in l if y %}a{% endfor %}", "{% for k, v in d.items() if v > 1 %}{{ k }}{{ loop.length }}{{ loop.previtem }}{% endfor %}", "{% for x in l if loop.index > 1 %}{{ x }}{% endfor %}", "{% for x in l %}{% for y in l if loop.first %}{{ x }}{{ y }} {% endfor %}{% endfor %}", "{% for x in l if x == n or x == 1 %}{{ x }}{% endfor %}",
        "{% for x in range(10) %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in range(5) %}{% if x is odd %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in range(2) %}{% break %}{% else %}else{% endfor %}", "{% for x in range(2) %}{{ x }}{% if x %}{% break %}{% endif %}{% else %}else{% endfor %}", "{% for x in range(2) %}{% continue %}{% else %}else{% endfor %}", "{% for x in range(3) %}{% for y in range(3) %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}", "{% break %}", "{% if 1 %}{% continue %}{% endif %}", "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% for x in l %}{% set a %}b{% break %}{% endset %}{% endfor %}x", "{% for x in l %}a{% filter upper %}b{% continue %}{% endfilter %}c{% endfor %}", "{% for x in l %}{% for y in le %}{% else %}{% break %}{% endfor %}{{ x }}{% endfor %}",
        "{% for x in [1, [2, [3]]] recursive %}{{ loop.depth }}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}{% endif %}{% endfor %}", "{% for x in l %}{{ loop(l) }}{% endfor %}", "{% for x in [[1], [2]] recursive %}{% if x is iterable %}{{ loop(x) }}{{ loop.index }}{% else %}{{ x }}{% endif %}{% else %}e{% endfor %}", "{% for x in l %}{{ loop }}{% endfor %}", "{% for x in l %}{{ loop|length }}{% endfor %}", "{% for x in l %}{{ loop.foo }}{{ loop._length is defined }}{% endfor %}", "{% for x in l %}{% set o = loop %}{% for y in l %}{{ o.index }}{{ loop.index }} {% endfor %}{% endfor %}",
        "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% if t %}{% set q = 2 %}{% endif %}{{ q }}", "{% if no %}{% set q = 2 %}{% endif %}{{ q is defined }}", "{% for i in l %}{% set q = i %}{% endfor %}{{ q is defined }}", "{% for i in l %}{% if loop.first %}{% set q = i %}{% endif %}{{ q is defined }}{% endfor %}", "{% set n = 1 %}{{ n }}", "{{ n }}{% set n = 1 %}{{ n }}", "{% for i in l %}{{ n }}{% set n = 5 %}{{ n }}{% endfor %}{{ n }}", "{% for i in l %}{{ n }}{% endfor %}{% set n = 5 %}", "{% if t %}{{ n }}{% endif %}{% set n = 5 %}{{ n }}", "{% macro m() %}{{ n }}{% endmacro %}{{ m() }}{% set n = 5 %}{{ m() }}", "{% macro m() %}{{ q }}{% endmacro %}{% set q = 5 %}{{ m() }}", "{% for i in l %}{% macro m() %}{{ i }}{{ n }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m(n) %}{{ n }}{% endmacro %}{{ m(1) }}{{ n }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% for n in l %}{{ n }}{% endfor %}{{ n }}", "{% for n in n %}{% endfor %}",
        "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = l %}", "{% set a = 1, 2 %}{{ a }}", "{% set (a, b) = 'xy' %}{{ a }}{{ b }}", "{% set a %}x{{ n }}y{% endset %}{{ a }}{{ a|length }}", "{% set a | upper %}x{{ n }}y{% endset %}{{ a }}", "{% set a | replace('x', n) | upper %}x{{ n }}y{% endset %}{{ a }}", "{% set a | default(zzz) %}{% endset %}", "{% set a %}{% set b = 1 %}{% endset %}{{ b is defined }}", "{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}", "{% set d.x = 1 %}", "{% set zz.x = 1 %}", "{% set ns = namespace() %}{% set ns.x %}abc{% endset %}{{ ns.x }}", "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% set ns = namespace() %}{{ ns.q is defined }}{{ ns.q }}", "{% set ns = namespace(a=namespace(b=1)) %}{{ ns.a.b }}{{ ns }}", "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", "{% set x = x %}{{ x is defined }}", "{% set loop = 1 %}{{ loop }}", "{% for i in l %}{% set loop = 1 %}{% endfor %}", "{% for loop in l %}{% endfor %}", "{% set none = 1 %}", "{% set 1 = 2 %}", "{% set a.b.c = 1 %}", "{% set a[0] = 1 %}", "{% set x = 1 %}{% with %}{% set x = 2 %}{{ x }}{% endwith %}{{ x }}",
        "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with n = 1, b = n %}{{ b }}{% endwith %}", "{% with a, b = l %}{{ a }}{% endwith %}", "{% with %}{{ n }}{% endwith %}", "{% with a = 1 %}{% with a = a + 1 %}{{ a }}{% endwith %}{{ a }}{% endwith %}",
        "{% if n == 7 %}a{% elif n == 8 %}b{% else %}c{% endif %}", "{% if no %}a{% elif t %}b{% else %}c{% endif %}", "{% if missing %}a{% else %}b{% endif %}", "{% if missing.x %}a{% endif %}", "{% if l %}a{% endif %}{% if le %}b{% endif %}{% if d %}c{% endif %}{% if de %}d{% endif %}{% if 0.0 %}e{% endif %}{% if '' %}f{% endif %}{% if l|map('abs') %}g{% endif %}{% if range(0) %}h{% endif %}{% if d.items() %}i{% endif %}{% if namespace() %}j{% endif %}", "{% if 1, 2 %}a{% endif %}", "{% if n|nope %}{% endif %}", "{% if no %}{{ n|nope }}{% endif %}ok", "{% if t %}{{ n|nope }}{% endif %}", "{% if no %}{% for i in l %}{{ i|nope }}{% endfor %}{% endif %}", "{{ 1 if t else n|nope }}", "{{ n|nope if t else 1 }}", "{{ n is nope if no else 1 }}", "{% if no %}{{ n is nope }}{% endif %}ok",
        "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(1, c=5) }}|{{ m() }}|{{ m(b=1) }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(*l) }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(**{'a': 1, 'b': 2}) }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a, a) %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body{{ n }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=3) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m(x) %}[{{ x }}{{ caller() }}]{% endmacro %}{% call m(1) %}{% call m(2) %}z{% endcall %}{% endcall %}", "{% call n %}{% endcall %}", "{% call s.upper() %}x{% endcall %}", "{% macro m() %}{% set x = 1 %}{% endmacro %}{{ m() }}{{ x is defined }}", "{% macro m(x) %}{% if x %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% macro m(a, b=1) %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.caller }}", "{% macro m() %}<{% endmacro %}{{ m() ~ m() }}{{ m()|length }}{{ m }}", "{% macro m(caller) %}{{ caller }}{% endmacro %}{{ m(1) }}", "{% macro m(caller=1) %}{{ caller }}{% endmacro %}{{ m() }}{{ m(2) }}", "{% macro m(a) %}{% set a = a + 1 %}{{ a }}{% endmacro %}{{ m(1) }}", "{% macro m(x=n) %}{{ x }}{% endmacro %}{{ m() }}{% set n = 2 %}{{ m() }}", "{% set ns = namespace(m=none) %}{% macro a() %}A{% endmacro %}{% set ns.m = a %}{{ ns.m() }}", "{% macro m(kwargs) %}{{ kwargs }}{% endmacro %}{{ m(1) }}", "{% macro _p() %}x{% endmacro %}{{ _p() }}", "{% if t %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}", "{{ l|map('upper')|list }}{% macro upper(x) %}{% endmacro %}", "{% macro m(x) -%} {{ x }} {%- endmacro %}[{{ m(1) }}]", "{% macro outer() %}{% macro inner() %}{{ z }}{% endmacro %}{% set z = 3 %}{{ inner() }}{% endmacro %}{{ outer() }}", "{% macro m(a, b) %}{{ b }}{% endmacro %}{{ m(b=1, *[2]) }}{{ m(*[1], **{'b': 2}) }}", "{{ s.split(*[' ']) }}{{ 'a'.replace(*['a', 'b']) }}", "{{ dict(**d) }}{{ dict(**5) }}", "{{ m(a=1, a=2) }}", "{{ n(1, *l, 2) }}",
        "{% filter upper %}a{{ s }}b{% endfilter %}", "{% filter replace('a', 'b')|upper %}aaa{% endfilter %}", "{% filter indent(2, true) %}a\nb{% endfilter %}", "{% filter length %}abc{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% filter upper %}{% set x = 1 %}{{ x }}{% endfilter %}{{ x is defined }}",
        "{% generation %}a{{ n }}{% endgeneration %}", "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q is defined }}", "{% for i in l %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}", "{% for i in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% generation %}", "{%- generation -%} x {%- endgeneration -%}",
        "{% raw %}{{ x }}{% if %}{% endraw %}", "{% raw %}\n {{ x }}\n{% endraw %}\nb", "a {%- raw -%} x {%- endraw -%} b", "{% raw %}", "  {% raw %} a {% endraw %}  b", "{# comment #}a", "a{# c #}\nb", "a {#- c -#} b", "  {# c #}\nb", "{# a {# b #} c #}", "{# unclosed", "{#", "a{#+ c +#}\nb", "{#-#}a", "{{ '{#' }}",
        "a\n  {% if t %}\n  b\n  {% endif %}\nc", "a\n  {%+ if t %}\n  b\n  {%+ endif +%}\nc", "a\n  {%- if t -%}\n  b\n  {%- endif -%}\nc", "a  \n\t{% if t %}x{% endif %}  \n b", "  {{ n }}  \n  {{- n -}}  \n x", "{{ n }}\n", "{{ n }}\n\n", "\n{{ n }}", "{% if t %}\n\nx{% endif %}", "{% if t %} \nx{% endif %}", "a {% if t %} b {% endif %} c", "  {% set x = 1 %}  {% set y = 2 %}\nz", "\t {% set x = 1 %}\t\n {{ x }}", "{% set x = 1 -%}   \n  {{ x }}", "a\r\n{% if t %}\r\nb\r\n{% endif %}\r\nc\r\n", "a\rb\r\rc", "a\n\n", "a\r\n", "\u00a0{%- if t %}x{% endif %}\u00a0", "\x0b{% if t %}x{% endif %}", "x\u2028{% if t %}y{% endif %}", "{{-n}}{{+n}}{{- n +}}", "{{ n -}}   a", "{%- if t %} a {%- endif %} b", "{% if t -%} a {% endif -%} b", "{%+ if t %}a{% endif %}", "a{%+ if t %}\n{% endif +%}\nb", "  {%+ set x = 1 %}", "{{ '\n' }}x", "{% print n, 'a', s %}", "{% print %}", "{{ {'a': {'b': 1}}['a'] }}", "{{ {'a':{}} }}", "{{ '}}' }}", "{{ \"%}\" }}{% set x = '%}' %}{{ x }}", "{%if t%}a{%endif%}", "{%-if t-%}a{%-endif-%}", "{{n}}{{ n}}{{n }}",
        "{% if t %}a", "{% endif %}", "{% for %}{% endfor %}", "{% for x l %}{% endfor %}", "{% nope %}", "{{ }}", "{{", "{%", "{{ n", "{% if t", "{{ n }", "{{ n %}", "{% if t }}", "{{ 1 + }}", "{{ (1 }}", "{{ [1 }}", "{{ 1) }}", "{{ {'a' 1} }}", "{{ a b }}", "{{ 'abc }}", "{{ $ }}", "{{ a! }}", "{{ a.b. }}", "{{ a.'x' }}", "{{ n| }}", "{{ n|1 }}", "{{ n is }}", "{{ f(a=) }}", "{{ f(a b) }}", "{{ f(,) }}", "{{ 1 is 2 }}", "{{ l[] }}", "{{ l[1:2:3:4] }}", "{{ l[1, 2] }}", "{{ not }}", "{{ and 1 }}", "{{ 1 and }}", "{{ if }}", "{{ 1 if }}", "{{ 1 if 2 else }}", "{{ -- 1 }}", "{{ - }}", "{{ 'a' ~ }}", "{{ 1 = 2 }}", "{{ a := 1 }}", "{{ ; }}", "{% set %}", "{% set x %}", "{% set x = %}", "{% set x = 1 2 %}", "{% macro %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% macro m( %}{% endmacro %}", "{% macro m() %}", "{% call %}{% endcall %}", "{% filter %}{% endfilter %}", "{% with a %}{% endwith %}", "{% else %}", "{% if t %}{% else %}{% else %}{% endif %}", "{% if t %}{% elif %}{% endif %}", "{% for x in l %}{% elif %}{% endfor %}", "{% if t %}{% endfor %}", "{% if t: %}a{% endif %}", "{% for x in l: %}{{ x }}{% endfor %}", "{% 1 %}", "{% %}", "{{ 1a }}", "{{ 0x }}", "{{ 1__0 }}", "{{ 007 }}", "{{ 1.e5 }}", "{{ 1..real }}", "{{ .5 }}", "{{ é }}", "{{ a.é is defined }}", "{{ '\\x4' }}", "{{ '\\u12' }}", "{{ n is not }}", "{{ n is not none }}", "{{ n not in l }}", "{{ n in }}", "{{ lambda }}", "{{ true.x }}", "{{ {1, 2} }}", "{{ *l }}", "{{ f(*l, *l) }}", "{{ f(**d, a=1) }}",
        "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}", "{% if no %}{% include 'x' %}{% endif %}ok", "{% autoescape false %}{{ html }}{% endautoescape %}",
        "{% for x in people|selectattr('age', 'eq', 30) %}{{ x.name }}{{ loop.last }}{{ loop.length }}{% endfor %}", "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{% set g = d|items %}{% for a in g %}{{ a }}{% endfor %}{% for a in g %}{{ a }}{% endfor %}", "{% for x in l|reverse %}{{ x }}{% endfor %}", "{% for x in (l|map('string'))|batch(2) %}{{ x }}{% endfor %}", "{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}", "{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}", "{% set x = [] %}{% for i in l %}{% set x = x + [i] %}{% endfor %}{{ x }}", "{% set ns = namespace(l=[]) %}{% for i in l %}{% set ns.l = ns.l + [i * 2] %}{% endfor %}{{ ns.l }}", "{% set _ = l.append(1) %}", "{% set a = l.append %}ok", "{{ d.update }}x", "{% set ns = namespace(found=false) %}{% for i in l if not ns.found %}{{ i }}{% if i == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}", "{% for i in l if not ns.found %}{% endfor %}", "{% set a = 'x' %}{% for i in range(3) %}{% set a = a ~ i %}{{ a }};{% endfor %}{{ a }}", "{% set a = 'x' %}{% set b = a ~ 'y' %}{% set c = a ~ 'z' %}{{ a }}{{ b }}{{ c }}", "{% set a = u ~ s %}{% set b = a ~ 'y' %}{% set c = a ~ 'z' ~ s %}{{ a }}{{ b }}{{ c }}{{ b[3:] }}", "{% for i in range(3) %}{% for j in range(2) %}{{ i }}{{ j }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", "{% for i in l %}{{ loop.last }}{{ loop.length }}{% endfor %}", "{% for i in l|map('abs') %}{{ loop.length }}{{ loop.last }}{{ loop.nextitem }};{% endfor %}", "{% for i in l %}{% if loop.first %}{% set first = i %}{% endif %}{{ first }}{% endfor %}", "{% for i in [1] %}{% for i in [2] %}{{ i }}{% endfor %}{{ i }}{% endfor %}", "{% for i in l %}{% with i = 9 %}{{ i }}{% endwith %}{{ i }}{% endfor %}",
    ]


def known_difference(source, text, answer):
    """What is not compared: addresses, and what is left out by name (integers past 64 bits and complex numbers as results, dict views as sets, self)."""
    if text is not None and re.search(r" at 0x|<(function|built-in|bound method)", text):
        return True
    if re.search(r"\{\{ \(d\.(items|keys)\(\)\) - |\bself\b", source):
        return True
    return re.search(r"beyond 64 bits|complex number", answer.get("error", "")) is not None


def _folded():
    """Slices in constants, which jinja2 computes by other rules than the rest, where it can."""
    sliced = [
        "(2.5)", "25", "true", "none", "{'a': 1}", "'ab'", "[1, 2]", "(1, 2, 3)", "2.5|int", "(2.5)[:2]", "-1", "'a'|e",
        "[2.5]|first", "n", "l|first", "(n, 1)", "range(3)",
    ]
    slices = ["[:2]", "['a':]", "[1.5:]", "[::0]", "[:none]", "[::'a']", "[:n]", "[1:][0]"]
    places = [
        "{{ # }}", "{{ (#)|upper }}", "{{ not (#) }}", "{{ [#] }}", "{{ n ~ (#) }}", "{{ 'a' ~ (#) }}",
        "{% if # %}y{% else %}n{% endif %}", "{% set q = # %}{{ q }}", "{{ (#) is defined }}", "{{ (#)|default('d') }}",
        "{{ (#).y }}", "{{ (#)|list }}", "{{ n if (#) else 2 }}", "{{ [(#)|upper, 1] }}", "{{ [(#)|upper, n] }}", "{{ (#) or 3 }}",
        "{{ (#) == 2 }}", "{{ -(#) }}", "{% for i in # %}{{ i }}{% endfor %}z", "{{ (#)|map('upper')|list }}",
        "{{ {'k': (#)|length} }}", "{{ [1]|join(#) }}", "{{ (#)|tojson }}", "{{ (#) if false else 4 }}",
        "{% macro m(a=#) %}{{ a }}{% endmacro %}{{ m() }}", "{% filter replace('a', #) %}a{% endfilter %}",
    ]
    for value in sliced:
        for one in slices:
            for place in places:
                yield place.replace("#", value + one)


def _markup():
    """Escaped text through filters: what stays escaped text, and what is plain again."""
    made = ["'<a&b>'|e", "html|e", "html|safe", "(html|e)[1:3]", "ls|map('e')|list", "ls|map('safe')|list", "[html|e, '<']", "(html|e) ~ '<'"]
    filters = [
        "list", "map('upper')|list", "map('string')|list", "map('e')|list", "map('replace', 'a', '<')|list", "map('trim')|list",
        "map('default', '<')|list", "map('list')|list", "map('first')|list", "map('join', '<')|list", "map('center', 9)|list",
        "map('safe')|join('<')", "join('<')", "join(html|e)", "first", "last", "reverse|list", "sort|list", "unique|list", "max", "min",
        "batch(2)|list", "slice(2)|list", "groupby(0)|list", "select|list", "string|list", "upper", "replace('a', '<')",
    ]
    for value in made:
        for f in filters:
            yield "{{ (" + value + ")|" + f + " }}"
            yield "{{ [(" + value + ")|" + f + "] }}"
            yield "{% for c in (" + value + ")|" + f + " %}[{{ c ~ '<' }}]{% endfor %}"


def templates():
    seen = set()
    for source in (*_statements(), *_folded(), *_markup()):
        yield source
    for expression in (*_more_expressions(), *_expressions()):
        if expression not in seen:
            seen.add(expression)
            yield "{{ " + expression + " }}"
