/* methods_str.c - the methods of str. */
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/format.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/strings.h"
#include "text/utf8.h"

#define METHOD(name)                                                                               \
    static tri_jinja_value name(                                                                   \
        tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value *v, const tri_jinja_args *args)
#define UNUSED ((void)vm, (void)self, (void)v, (void)args)

/* Methods of Markup give Markup. */
static tri_jinja_value like(tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value v) {
    if (vm->rc) return tri_jinja_error();
    if (!self.as.s->markup) return v;
    if (v.kind == TRI_JINJA_LIST || v.kind == TRI_JINJA_TUPLE) {
        for (size_t i = 0; i < v.as.list->n; i++) {
            v.as.list->items[i] = like(vm, self, v.as.list->items[i]);
        }
    } else if (v.kind == TRI_JINJA_STR && !v.as.s->markup) {
        v.as.s = tri_jinja_str_copy(vm, v.as.s);
        if (!v.as.s) return tri_jinja_error();
        v.as.s->markup = true;
    }
    return v;
}

METHOD(m_upper) {
    UNUSED;
    return like(vm, self, tri_jinja_cased(vm, self.as.s, TRI_JINJA_UPPER));
}
METHOD(m_lower) {
    UNUSED;
    return like(vm, self, tri_jinja_cased(vm, self.as.s, TRI_JINJA_LOWER));
}
METHOD(m_casefold) {
    UNUSED;
    return like(vm, self, tri_jinja_cased(vm, self.as.s, TRI_JINJA_FOLD));
}
METHOD(m_title) {
    UNUSED;
    return like(vm, self, tri_jinja_titled(vm, self.as.s));
}
METHOD(m_capitalize) {
    UNUSED;
    return like(vm, self, tri_jinja_capitalized(vm, self.as.s));
}
METHOD(m_swapcase) {
    UNUSED;
    return like(vm, self, tri_jinja_swapped(vm, self.as.s));
}

static tri_jinja_value strip(
    tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value chars, int sides) {
    tri_jinja_str *set = NULL;
    if (tri_jinja_given(chars) && chars.kind != TRI_JINJA_NONE) {
        set = tri_jinja_str_arg(vm, chars, "strip arg");
        if (!set) return tri_jinja_error();
    }
    return like(vm, self, tri_jinja_strip(vm, self.as.s, set, sides));
}

METHOD(m_strip) {
    UNUSED;
    return strip(vm, self, v[0], TRI_JINJA_LEFT | TRI_JINJA_RIGHT);
}
METHOD(m_lstrip) {
    UNUSED;
    return strip(vm, self, v[0], TRI_JINJA_LEFT);
}
METHOD(m_rstrip) {
    UNUSED;
    return strip(vm, self, v[0], TRI_JINJA_RIGHT);
}

static tri_jinja_value split(
    tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value *v, bool from_right) {
    tri_jinja_str *separator = NULL;
    int64_t max;
    if (tri_jinja_given(v[0]) && v[0].kind != TRI_JINJA_NONE) {
        separator = tri_jinja_str_arg(vm, v[0], "the separator");
        if (!separator) return tri_jinja_error();
    }
    if (!tri_jinja_int_arg(vm, v[1], -1, &max)) return tri_jinja_error();
    return like(vm, self, tri_jinja_split(vm, self.as.s, separator, max, from_right));
}

METHOD(m_split) {
    UNUSED;
    return split(vm, self, v, false);
}
METHOD(m_rsplit) {
    UNUSED;
    return split(vm, self, v, true);
}
METHOD(m_splitlines) {
    UNUSED;
    return like(vm, self, tri_jinja_lines(vm, self.as.s, tri_jinja_truth_arg(vm, v[0], false)));
}

METHOD(m_replace) {
    UNUSED;
    int64_t count;
    tri_jinja_str *from = tri_jinja_str_arg(vm, v[0], "replace() argument 1");
    tri_jinja_str *to = from ? tri_jinja_str_arg(vm, v[1], "replace() argument 2") : NULL;
    if (!to || !tri_jinja_int_arg(vm, v[2], -1, &count)) return tri_jinja_error();
    if (self.as.s->markup) {
        tri_jinja_value escaped = tri_jinja_escape(vm, v[1]);
        TRI_JINJA_TRY(escaped);
        to = escaped.as.s;
    }
    return like(vm, self, tri_jinja_replace(vm, self.as.s, from, to, count));
}

METHOD(m_join) {
    UNUSED;
    if (!self.as.s->markup) return tri_jinja_join(vm, self.as.s, v[0], true);
    tri_jinja_value list = tri_jinja_collect(vm, v[0]);
    TRI_JINJA_TRY(list);
    tri_jinja_list *escaped = tri_jinja_list_new(vm, list.as.list->n);
    if (!escaped) return tri_jinja_error();
    for (size_t i = 0; i < escaped->n; i++) {
        escaped->items[i] = tri_jinja_escape(vm, list.as.list->items[i]);
        TRI_JINJA_TRY(escaped->items[i]);
    }
    return like(vm, self, tri_jinja_join(vm, self.as.s, tri_jinja_of_list(escaped), true));
}

/* ---- searching ---- */

/* The bytes [*begin, *end) that start and end arguments leave; false: none, as start lies past the
 * end, or a failure. */
static bool window(tri_jinja_vm *vm, tri_jinja_str *s, tri_jinja_value from, tri_jinja_value to,
    size_t *begin, size_t *end) {
    int64_t start = 0, stop = INT64_MAX;
    if (!tri_jinja_given(from) && !tri_jinja_given(to)) {
        *begin = 0;
        *end = s->n;
        return true;
    }
    if (tri_jinja_given(from) && from.kind != TRI_JINJA_NONE &&
        !tri_jinja_int_arg(vm, from, 0, &start))
        return false;
    if (tri_jinja_given(to) && to.kind != TRI_JINJA_NONE && !tri_jinja_int_arg(vm, to, 0, &stop))
        return false;
    int64_t n = tri_jinja_str_count(s);
    if (start < 0 && (start += n) < 0) start = 0;
    if (stop < 0 && (stop += n) < 0) stop = 0;
    if (stop > n) stop = n;
    if (start > stop) return false;
    *begin = tri_jinja_str_offset(s, start);
    *end = tri_jinja_str_offset(s, stop);
    return true;
}

static bool affix_matches(
    const tri_jinja_str *s, size_t begin, size_t end, const tri_jinja_str *affix, bool tail) {
    if (affix->n > end - begin) return false;
    size_t at = tail ? end - affix->n : begin;
    return !affix->n || !memcmp(s->ptr + at, affix->ptr, affix->n);
}

static tri_jinja_value has_affix(
    tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value *v, bool tail) {
    size_t begin, end;
    tri_jinja_list one = {.n = 1, .items = v};
    const tri_jinja_list *affixes = v[0].kind == TRI_JINJA_TUPLE ? v[0].as.list : &one;
    bool some = window(vm, self.as.s, v[1], v[2], &begin, &end);
    if (vm->rc) return tri_jinja_error();
    for (size_t i = 0; i < affixes->n; i++) {
        if (affixes->items[i].kind != TRI_JINJA_STR) {
            return tri_jinja_fail(vm, "%s first arg must be str or a tuple of str, not %s",
                tail ? "endswith" : "startswith", tri_jinja_type_name(affixes->items[i]));
        }
        if (some && affix_matches(self.as.s, begin, end, affixes->items[i].as.s, tail)) {
            return tri_jinja_bool(true);
        }
    }
    return tri_jinja_bool(false);
}

METHOD(m_startswith) {
    UNUSED;
    return has_affix(vm, self, v, false);
}
METHOD(m_endswith) {
    UNUSED;
    return has_affix(vm, self, v, true);
}

static int64_t points_before(tri_jinja_str *s, size_t byte) {
    if (tri_jinja_str_ascii(s)) return (int64_t)byte;
    int64_t n = 0;
    for (size_t i = 0; i < byte; i++)
        n += ((uint8_t)s->ptr[i] & 0xC0) != 0x80;
    return n;
}

/* -1: not there; -2: failed. */
static int64_t find(tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value *v, bool last) {
    size_t begin, end;
    tri_jinja_str *what = tri_jinja_str_arg(vm, v[0], "the text to look for");
    if (!what) return -2;
    if (!window(vm, self.as.s, v[1], v[2], &begin, &end)) return vm->rc ? -2 : -1;
    tri_jinja_str part = *self.as.s;
    part.n = end;
    int64_t hit = last ? tri_jinja_str_rfind(vm, &part, what, end)
                       : tri_jinja_str_find(vm, &part, what, begin);
    if (vm->rc) return -2;
    return hit < (int64_t)begin ? -1 : points_before(self.as.s, (size_t)hit);
}

static tri_jinja_value found(tri_jinja_vm *vm, int64_t at, bool must) {
    if (at == -2) return tri_jinja_error();
    return at < 0 && must ? tri_jinja_fail(vm, "substring not found") : tri_jinja_int(at);
}

METHOD(m_find) {
    UNUSED;
    return found(vm, find(vm, self, v, false), false);
}
METHOD(m_rfind) {
    UNUSED;
    return found(vm, find(vm, self, v, true), false);
}
METHOD(m_index) {
    UNUSED;
    return found(vm, find(vm, self, v, false), true);
}
METHOD(m_rindex) {
    UNUSED;
    return found(vm, find(vm, self, v, true), true);
}

METHOD(m_count) {
    UNUSED;
    size_t begin, end;
    tri_jinja_str *what = tri_jinja_str_arg(vm, v[0], "the text to count");
    if (!what) return tri_jinja_error();
    if (!window(vm, self.as.s, v[1], v[2], &begin, &end))
        return vm->rc ? tri_jinja_error() : tri_jinja_int(0);
    tri_jinja_str part = *self.as.s;
    part.n = end;
    if (!what->n)
        return tri_jinja_int(points_before(self.as.s, end) - points_before(self.as.s, begin) + 1);
    int64_t n = 0, hit;
    for (size_t at = begin; (hit = tri_jinja_str_find(vm, &part, what, at)) >= 0; n++) {
        at = (size_t)hit + what->n;
        if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
    }
    return tri_jinja_int(n);
}

static tri_jinja_value partition(
    tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value separator, bool last) {
    tri_jinja_str *s = self.as.s, *what = tri_jinja_str_arg(vm, separator, "the separator");
    if (!what) return tri_jinja_error();
    if (!what->n) return tri_jinja_fail(vm, "empty separator");
    tri_jinja_list *parts = tri_jinja_list_new(vm, 3);
    if (!parts) return tri_jinja_error();
    int64_t hit =
        last ? tri_jinja_str_rfind(vm, s, what, s->n) : tri_jinja_str_find(vm, s, what, 0);
    if (hit < 0) {
        parts->items[last ? 2 : 0] = self;
        parts->items[1] = parts->items[last ? 0 : 2] = tri_jinja_text(vm, "");
    } else {
        parts->items[0] = tri_jinja_of_str(tri_jinja_sub(vm, s, 0, (size_t)hit));
        parts->items[1] =
            tri_jinja_of_str(tri_jinja_sub(vm, s, (size_t)hit, (size_t)hit + what->n));
        parts->items[2] = tri_jinja_of_str(tri_jinja_sub(vm, s, (size_t)hit + what->n, s->n));
    }
    return like(vm, self, tri_jinja_of_tuple(parts));
}

METHOD(m_partition) {
    UNUSED;
    return partition(vm, self, v[0], false);
}
METHOD(m_rpartition) {
    UNUSED;
    return partition(vm, self, v[0], true);
}

METHOD(m_removeprefix) {
    UNUSED;
    tri_jinja_str *s = self.as.s, *affix = tri_jinja_str_arg(vm, v[0], "removeprefix() argument");
    if (!affix) return tri_jinja_error();
    if (!affix_matches(s, 0, s->n, affix, false)) return self;
    return like(vm, self, tri_jinja_of_str(tri_jinja_sub(vm, s, affix->n, s->n)));
}
METHOD(m_removesuffix) {
    UNUSED;
    tri_jinja_str *s = self.as.s, *affix = tri_jinja_str_arg(vm, v[0], "removesuffix() argument");
    if (!affix) return tri_jinja_error();
    if (!affix_matches(s, 0, s->n, affix, true)) return self;
    return like(vm, self, tri_jinja_of_str(tri_jinja_sub(vm, s, 0, s->n - affix->n)));
}

/* ---- padding ---- */

static tri_jinja_value pad(tri_jinja_vm *vm, tri_jinja_value self, tri_jinja_value *v, int sides) {
    static const tri_jinja_str space = {.ptr = " ", .n = 1};
    const tri_jinja_str *fill = &space;
    int64_t width;
    if (!tri_jinja_int_arg(vm, v[0], 0, &width)) return tri_jinja_error();
    if (tri_jinja_given(v[1])) {
        fill = tri_jinja_str_arg(vm, v[1], "The fill character");
        if (!fill) return tri_jinja_error();
        if (tri_jinja_str_count(v[1].as.s) != 1) {
            return tri_jinja_fail(vm, "The fill character must be exactly one character long");
        }
    }
    return like(vm, self, tri_jinja_pad(vm, self.as.s, width, fill, sides));
}

METHOD(m_center) {
    UNUSED;
    return pad(vm, self, v, TRI_JINJA_LEFT | TRI_JINJA_RIGHT);
}
METHOD(m_ljust) {
    UNUSED;
    return pad(vm, self, v, TRI_JINJA_RIGHT);
}
METHOD(m_rjust) {
    UNUSED;
    return pad(vm, self, v, TRI_JINJA_LEFT);
}

METHOD(m_zfill) {
    UNUSED;
    tri_jinja_str *s = self.as.s;
    tri_jinja_out out = {0};
    int64_t width;
    if (!tri_jinja_int_arg(vm, v[0], 0, &width)) return tri_jinja_error();
    size_t sign = s->n && (s->ptr[0] == '-' || s->ptr[0] == '+');
    tri_jinja_put_part(vm, &out, s, 0, sign);
    for (int64_t n = tri_jinja_str_count(s); n < width && !vm->rc; n++) {
        tri_jinja_put_c(vm, &out, "0");
        if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
    }
    tri_jinja_put_part(vm, &out, s, sign, s->n);
    return like(vm, self, tri_jinja_out_str(vm, &out));
}

METHOD(m_expandtabs) {
    UNUSED;
    tri_jinja_str *s = self.as.s;
    tri_jinja_out out = {0};
    int64_t size, column = 0;
    if (!tri_jinja_int_arg(vm, v[0], 8, &size)) return tri_jinja_error();
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (c == '\t') {
            int64_t spaces = size > 0 ? size - column % size : 0;
            column += spaces;
            for (; spaces > 0 && !vm->rc; spaces--) {
                tri_jinja_put(vm, &out, " ", 1, tri_jinja_str_plain_at(s, i));
                if (!tri_jinja_step(vm, 1)) return tri_jinja_error();
            }
            continue;
        }
        column = c == '\n' || c == '\r' ? 0 : column + 1;
        tri_jinja_put_part(vm, &out, s, i, i + n);
    }
    return like(vm, self, tri_jinja_out_str(vm, &out));
}

/* ---- kinds of characters ---- */

static tri_jinja_value all_are(tri_jinja_vm *vm, const tri_jinja_str *s, bool (*is)(uint32_t c)) {
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (!is(c)) return tri_jinja_bool(false);
    }
    return tri_jinja_step(vm, (int64_t)(s->n >> 4)) ? tri_jinja_bool(s->n > 0) : tri_jinja_error();
}

static bool is_alnum(uint32_t c) {
    return tri_jinja_is_alpha(c) || tri_jinja_is_numeric(c);
}

#define ALL_ARE(name, is)                                                                          \
    METHOD(name) {                                                                                 \
        UNUSED;                                                                                    \
        return all_are(vm, self.as.s, is);                                                         \
    }
ALL_ARE(m_isalpha, tri_jinja_is_alpha)
ALL_ARE(m_isalnum, is_alnum)
ALL_ARE(m_isdecimal, tri_jinja_is_decimal)
ALL_ARE(m_isdigit, tri_jinja_is_digit)
ALL_ARE(m_isnumeric, tri_jinja_is_numeric)
ALL_ARE(m_isspace, tri_jinja_is_space)

METHOD(m_isprintable) {
    UNUSED;
    return self.as.s->n ? all_are(vm, self.as.s, tri_jinja_is_printable) : tri_jinja_bool(true);
}
METHOD(m_isascii) {
    UNUSED;
    return tri_jinja_bool(tri_jinja_str_ascii(self.as.s));
}
METHOD(m_isidentifier) {
    UNUSED;
    const tri_jinja_str *s = self.as.s;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        size_t n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (!tri_jinja_may_be_named(c, i == 0)) return tri_jinja_bool(false);
        i += n;
    }
    return tri_jinja_bool(s->n > 0);
}

static tri_jinja_value case_is(const tri_jinja_str *s, bool upper) {
    bool any = false;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (tri_jinja_is_title(c) || (upper ? tri_jinja_is_lower(c) : tri_jinja_is_upper(c)))
            return tri_jinja_bool(false);
        any |= upper ? tri_jinja_is_upper(c) : tri_jinja_is_lower(c);
    }
    return tri_jinja_bool(any);
}

METHOD(m_islower) {
    UNUSED;
    return case_is(self.as.s, false);
}
METHOD(m_isupper) {
    UNUSED;
    return case_is(self.as.s, true);
}
METHOD(m_istitle) {
    UNUSED;
    const tri_jinja_str *s = self.as.s;
    bool any = false, inside = false;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += tri_utf8_point(s->ptr + i, s->n - i, &c);
        bool start = tri_jinja_is_upper(c) || tri_jinja_is_title(c), low = tri_jinja_is_lower(c);
        if ((start && inside) || (low && !inside)) return tri_jinja_bool(false);
        inside = start || low;
        any |= inside;
    }
    return tri_jinja_bool(any);
}

METHOD(m_format) {
    UNUSED;
    return like(vm, self, tri_jinja_format(vm, self.as.s, args));
}

METHOD(m_format_map) {
    UNUSED;
    if (v[0].kind != TRI_JINJA_DICT) return tri_jinja_fail(vm, "format_map() needs a mapping");
    const tri_jinja_dict *d = v[0].as.dict;
    tri_jinja_args named = {0};
    tri_jinja_str **names = tri_jinja_array(vm, d->n, sizeof *names);
    named.named = tri_jinja_array(vm, d->n, sizeof *named.named);
    if (!names || !named.named) return tri_jinja_error();
    for (size_t i = 0; i < d->n; i++) {
        if (d->entries[i].key.kind != TRI_JINJA_STR) continue;
        names[named.n_named] = d->entries[i].key.as.s;
        named.named[named.n_named++] = d->entries[i].value;
    }
    named.names = names;
    return like(vm, self, tri_jinja_format(vm, self.as.s, &named));
}

const tri_jinja_method_def tri_jinja_str_methods[] = {
    {"capitalize", TRI_JINJA_STR, 0, m_capitalize, 0, 0, ""},
    {"casefold", TRI_JINJA_STR, 0, m_casefold, 0, 0, ""},
    {"center", TRI_JINJA_STR, 0, m_center, 1, 2, ""},
    {"count", TRI_JINJA_STR, 0, m_count, 1, 3, ""},
    {"encode", TRI_JINJA_STR, 0, NULL, 0, 2, ""},
    {"endswith", TRI_JINJA_STR, 0, m_endswith, 1, 3, ""},
    {"expandtabs", TRI_JINJA_STR, 0, m_expandtabs, 0, 1, "tabsize"},
    {"find", TRI_JINJA_STR, 0, m_find, 1, 3, ""},
    {"format", TRI_JINJA_STR, 0, m_format, 0, -1, ""},
    {"format_map", TRI_JINJA_STR, 0, m_format_map, 1, 1, ""},
    {"index", TRI_JINJA_STR, 0, m_index, 1, 3, ""},
    {"isalnum", TRI_JINJA_STR, 0, m_isalnum, 0, 0, ""},
    {"isalpha", TRI_JINJA_STR, 0, m_isalpha, 0, 0, ""},
    {"isascii", TRI_JINJA_STR, 0, m_isascii, 0, 0, ""},
    {"isdecimal", TRI_JINJA_STR, 0, m_isdecimal, 0, 0, ""},
    {"isdigit", TRI_JINJA_STR, 0, m_isdigit, 0, 0, ""},
    {"isidentifier", TRI_JINJA_STR, 0, m_isidentifier, 0, 0, ""},
    {"islower", TRI_JINJA_STR, 0, m_islower, 0, 0, ""},
    {"isnumeric", TRI_JINJA_STR, 0, m_isnumeric, 0, 0, ""},
    {"isprintable", TRI_JINJA_STR, 0, m_isprintable, 0, 0, ""},
    {"isspace", TRI_JINJA_STR, 0, m_isspace, 0, 0, ""},
    {"istitle", TRI_JINJA_STR, 0, m_istitle, 0, 0, ""},
    {"isupper", TRI_JINJA_STR, 0, m_isupper, 0, 0, ""},
    {"join", TRI_JINJA_STR, 0, m_join, 1, 1, ""},
    {"ljust", TRI_JINJA_STR, 0, m_ljust, 1, 2, ""},
    {"lower", TRI_JINJA_STR, 0, m_lower, 0, 0, ""},
    {"lstrip", TRI_JINJA_STR, 0, m_lstrip, 0, 1, ""},
    {"maketrans", TRI_JINJA_STR, 0, NULL, 1, 3, ""},
    {"partition", TRI_JINJA_STR, 0, m_partition, 1, 1, ""},
    {"removeprefix", TRI_JINJA_STR, 0, m_removeprefix, 1, 1, ""},
    {"removesuffix", TRI_JINJA_STR, 0, m_removesuffix, 1, 1, ""},
    {"replace", TRI_JINJA_STR, 0, m_replace, 2, 3, ""},
    {"rfind", TRI_JINJA_STR, 0, m_rfind, 1, 3, ""},
    {"rindex", TRI_JINJA_STR, 0, m_rindex, 1, 3, ""},
    {"rjust", TRI_JINJA_STR, 0, m_rjust, 1, 2, ""},
    {"rpartition", TRI_JINJA_STR, 0, m_rpartition, 1, 1, ""},
    {"rsplit", TRI_JINJA_STR, 0, m_rsplit, 0, 2, "sep maxsplit"},
    {"rstrip", TRI_JINJA_STR, 0, m_rstrip, 0, 1, ""},
    {"split", TRI_JINJA_STR, 0, m_split, 0, 2, "sep maxsplit"},
    {"splitlines", TRI_JINJA_STR, 0, m_splitlines, 0, 1, "keepends"},
    {"startswith", TRI_JINJA_STR, 0, m_startswith, 1, 3, ""},
    {"strip", TRI_JINJA_STR, 0, m_strip, 0, 1, ""},
    {"swapcase", TRI_JINJA_STR, 0, m_swapcase, 0, 0, ""},
    {"title", TRI_JINJA_STR, 0, m_title, 0, 0, ""},
    {"translate", TRI_JINJA_STR, 0, NULL, 1, 1, ""},
    {"upper", TRI_JINJA_STR, 0, m_upper, 0, 0, ""},
    {"zfill", TRI_JINJA_STR, 0, m_zfill, 1, 1, ""},
    {0},
};
