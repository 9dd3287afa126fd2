"""Writes src/text/unicode_tables.c, unicode_categories.c and unicode_cases.c from ICU 72's Unicode 15.0 data.

    python tests/golden/text/make_unicode_tables.py

Runs of one general category, to make sets of code points from (utf8proc answers for one code point
at a time).  What utf8proc does not know: scripts as runs of code points over all of Unicode with an index by the high bits, script names, and
the code points whose Alphabetic, Uppercase or Lowercase property does not follow from their
category, numeric types, and the characters that become several in another case."""
import contextlib
import ctypes
import os

ICU = ctypes.CDLL("libicuuc.so.72")
N = 0x110000
SCRIPT, LONG, SHORT = 0x100A, 1, 0
ALPHABETIC, LOWERCASE, UPPERCASE, EXTENDED_PICTOGRAPHIC, EMOJI, CASE_IGNORABLE = 0, 22, 30, 64, 57, 50
XID_CONTINUE, XID_START = 32, 33
NUMERIC_TYPE, DIGIT = 0x1009, 2

name = ICU.u_getPropertyValueName_72
name.restype = ctypes.c_char_p
has = ICU.u_hasBinaryProperty_72
has.restype = ctypes.c_int8
script = ICU.uscript_getScript_72
category = ICU.u_charType_72
category.restype = ctypes.c_int8

version = (ctypes.c_uint8 * 4)()
ICU.u_getUnicodeVersion_72(version)
assert list(version)[:2] == [15, 0], list(version)

# ICU's numbers of categories.
UNASSIGNED, LU, LL, LT, LM, LO, MN, ME, MC, ND, NL, NO = range(12)
CF, SK, PC = 16, 26, 22


def runs(value):
    out = []
    for c in range(N):
        v = value(c)
        if not out or out[-1][1] != v:
            out.append((c, v))
    return out


def ranges(member):
    starts = runs(member) + [(N, False)]
    return [(c, starts[i + 1][0] - 1) for i, (c, v) in enumerate(starts[:-1]) if v]


def rows(items, indent="    ", width=100):
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 2 > width:
            lines.append(line.rstrip())
            line = indent
        line += item + ", "
    lines.append(line.rstrip())
    return "\n".join(lines)


error = ctypes.c_int(0)
found = runs(lambda c: script(c, ctypes.byref(error)))
# Unknown, Common and Inherited first: they have no letters of their own.
UNKNOWN, COMMON, INHERITED = 103, 0, 1
used = [UNKNOWN, COMMON, INHERITED] + sorted({v for _, v in found} - {UNKNOWN, COMMON, INHERITED},
    key=lambda v: name(SCRIPT, v, LONG))
number = {v: i for i, v in enumerate(used)}
assert len(used) < 256

SHIFT = 8
index, at = [], 0
for block in range(N >> SHIFT):
    while at + 1 < len(found) and found[at + 1][0] <= block << SHIFT:
        at += 1
    index.append(at)
assert at < 65536

# utf8proc's numbers of categories by ICU's.
UTF8PROC = [0, 1, 2, 3, 4, 5, 6, 8, 7, 9, 10, 11, 23, 24, 25, 26, 27, 29, 28, 13, 14, 15, 12, 18, 19,
    20, 21, 22, 16, 17]


def head(name):
    print("""/* %s - written by tests/golden/text/make_unicode_tables.py from ICU 72's Unicode 15.0
 * data (Unicode licence, SPDX Unicode-3.0); not edited by hand. */
#include "text/unicode_tables.h"

/* clang-format off */""" % name)


def write_categories():
    head("unicode_categories.c")
    found = runs(lambda c: UTF8PROC[category(c)])
    print("const uint32_t tri_category_runs[%d] = { /* first code point << 8 | category */" % (len(found) + 1))
    print(rows("0x%X" % (c << 8 | v) for c, v in found + [(N, 0)]))
    print("};\nconst int32_t tri_n_category_runs = %d;" % len(found))


def write_tables():
    head("unicode_tables.c")
    print("const char *const tri_script_names[%d][2] = {" % len(used))
    print(rows('{"%s", "%s"}' % (name(SCRIPT, v, LONG).decode(), name(SCRIPT, v, SHORT).decode())
        for v in used))
    print("};\nconst int32_t tri_n_scripts = %d;\n" % len(used))
    print("const uint32_t tri_script_runs[%d] = { /* first code point << 8 | script */" % (len(found) + 1))
    print(rows("0x%X" % (c << 8 | number[v]) for c, v in found + [(N, UNKNOWN)]))
    print("};\nconst int32_t tri_n_script_runs = %d;\n" % len(found))
    print("const uint16_t tri_script_index[%d] = { /* the run of each block's first code point */" % (N >> SHIFT))
    print(rows(str(i) for i in index))
    print("};")

    LETTERS = {LU, LL, LT, LM, LO, MN, ME, MC, NL}
    for label, prop, derived in (("alphabetic", ALPHABETIC, LETTERS), ("uppercase", UPPERCASE, {LU}),
            ("lowercase", LOWERCASE, {LL}), ("not_alphabetic_mark", None, None),
            ("emoji", EMOJI, set()), ("pictographic", EXTENDED_PICTOGRAPHIC, set())):
        if prop is None:
            r = ranges(lambda c: category(c) in (MN, ME, MC) and not has(c, ALPHABETIC))
        else:
            r = ranges(lambda c: bool(has(c, prop)) and category(c) not in derived)
        print("\nconst tri_code_range tri_unicode_%s[%d] = {" % (label, len(r)))
        print(rows("{0x%X, 0x%X}" % pair for pair in r))
        print("};\nconst int32_t tri_n_unicode_%s = %d;" % (label, len(r)))


def in_case(change, c):
    """The code points of one character in another case, full mappings of no language."""
    if 0xD800 <= c < 0xE000:
        return [c]
    data = chr(c).encode("utf-16-le")
    given = (ctypes.c_uint16 * 2).from_buffer_copy(data.ljust(4, b"\0"))
    made = (ctypes.c_uint16 * 16)()
    status = ctypes.c_int(0)
    n = change(made, given, len(data) // 2, ctypes.byref(status))
    assert status.value <= 0, (hex(c), status.value)
    return [ord(x) for x in bytes(made)[: 2 * n].decode("utf-16-le")]


def upper(made, given, n, status):
    return ICU.u_strToUpper_72(made, 16, given, n, b"", status)


def title(made, given, n, status):
    return ICU.u_strToTitle_72(made, 16, given, n, None, b"", status)


def write_cases():
    head("unicode_cases.c")
    letters = lambda c: category(c) in (LU, LL, LT, LM, LO)
    kind = lambda c: ICU.u_getIntPropertyValue_72(c, NUMERIC_TYPE)
    ignorable = {MN, ME, CF, LM, SK}
    start = {LU, LL, LT, LM, LO, NL}
    goes_on = start | {MN, MC, ND, PC}
    for label, member in (
        ("digit", lambda c: kind(c) == DIGIT),
        ("numeral", lambda c: letters(c) and kind(c) != 0),
        ("case_ignorable", lambda c: bool(has(c, CASE_IGNORABLE)) and category(c) not in ignorable),
        ("odd_start", lambda c: bool(has(c, XID_START)) != (category(c) in start)),
        ("odd_continue", lambda c: bool(has(c, XID_CONTINUE)) != (category(c) in goes_on)),
    ):
        r = ranges(member)
        print("const tri_code_range tri_unicode_%s[%d] = {" % (label, len(r)))
        print(rows("{0x%X, 0x%X}" % pair for pair in r))
        print("};\nconst int32_t tri_n_unicode_%s = %d;\n" % (label, len(r)))
    for label, change in (("upper", upper), ("title", title)):
        found = [(c, in_case(change, c)) for c in range(N)]
        several = [(c, m + [0] * (3 - len(m))) for c, m in found if len(m) > 1]
        print("const tri_code_mapping tri_unicode_to_%s[%d] = {" % (label, len(several)))
        print(rows("{0x%X, {0x%X, 0x%X, 0x%X}}" % (c, *m) for c, m in several))
        print("};\nconst int32_t tri_n_unicode_to_%s = %d;\n" % (label, len(several)))


source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../src/text")
for file, write in (
    ("unicode_tables.c", write_tables),
    ("unicode_categories.c", write_categories),
    ("unicode_cases.c", write_cases),
):
    with open(os.path.join(source, file), "w", encoding="ascii") as f, contextlib.redirect_stdout(f):
        write()
