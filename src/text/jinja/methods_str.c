/* methods_str.c - the methods of str. */
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/format.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/strings.h"

#define METHOD(name)                                                                               \
    static jj_value name(jj_vm *vm, jj_value self, jj_value *v, const jj_args *args)
#define UNUSED ((void)vm, (void)self, (void)v, (void)args)

/* Methods of Markup give Markup. */
static jj_value like(jj_vm *vm, jj_value self, jj_value v) {
    if (vm->rc) return jj_error();
    if (!self.as.s->markup) return v;
    if (v.kind == JJ_LIST || v.kind == JJ_TUPLE) {
        for (size_t i = 0; i < v.as.list->n; i++) {
            v.as.list->items[i] = like(vm, self, v.as.list->items[i]);
        }
    } else if (v.kind == JJ_STR && !v.as.s->markup) {
        v.as.s = jj_str_copy(vm, v.as.s);
        if (!v.as.s) return jj_error();
        v.as.s->markup = true;
    }
    return v;
}

METHOD(m_upper) {
    UNUSED;
    return like(vm, self, jj_cased(vm, self.as.s, JJ_UPPER));
}
METHOD(m_lower) {
    UNUSED;
    return like(vm, self, jj_cased(vm, self.as.s, JJ_LOWER));
}
METHOD(m_casefold) {
    UNUSED;
    return like(vm, self, jj_cased(vm, self.as.s, JJ_FOLD));
}
METHOD(m_title) {
    UNUSED;
    return like(vm, self, jj_titled(vm, self.as.s));
}
METHOD(m_capitalize) {
    UNUSED;
    return like(vm, self, jj_capitalized(vm, self.as.s));
}
METHOD(m_swapcase) {
    UNUSED;
    return like(vm, self, jj_swapped(vm, self.as.s));
}

static jj_value strip(jj_vm *vm, jj_value self, jj_value chars, int sides) {
    jj_str *set = NULL;
    if (jj_given(chars) && chars.kind != JJ_NONE) {
        set = jj_str_arg(vm, chars, "strip arg");
        if (!set) return jj_error();
    }
    return like(vm, self, jj_strip(vm, self.as.s, set, sides));
}

METHOD(m_strip) {
    UNUSED;
    return strip(vm, self, v[0], JJ_LEFT | JJ_RIGHT);
}
METHOD(m_lstrip) {
    UNUSED;
    return strip(vm, self, v[0], JJ_LEFT);
}
METHOD(m_rstrip) {
    UNUSED;
    return strip(vm, self, v[0], JJ_RIGHT);
}

static jj_value split(jj_vm *vm, jj_value self, jj_value *v, bool from_right) {
    jj_str *separator = NULL;
    int64_t max;
    if (jj_given(v[0]) && v[0].kind != JJ_NONE) {
        separator = jj_str_arg(vm, v[0], "the separator");
        if (!separator) return jj_error();
    }
    if (!jj_int_arg(vm, v[1], -1, &max)) return jj_error();
    return like(vm, self, jj_split(vm, self.as.s, separator, max, from_right));
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
    return like(vm, self, jj_lines(vm, self.as.s, jj_truth_arg(vm, v[0], false)));
}

METHOD(m_replace) {
    UNUSED;
    int64_t count;
    jj_str *from = jj_str_arg(vm, v[0], "replace() argument 1");
    jj_str *to = from ? jj_str_arg(vm, v[1], "replace() argument 2") : NULL;
    if (!to || !jj_int_arg(vm, v[2], -1, &count)) return jj_error();
    if (self.as.s->markup) {
        jj_value escaped = jj_escape(vm, v[1]);
        JJ_TRY(escaped);
        to = escaped.as.s;
    }
    return like(vm, self, jj_replace(vm, self.as.s, from, to, count));
}

METHOD(m_join) {
    UNUSED;
    if (!self.as.s->markup) return jj_join(vm, self.as.s, v[0], true);
    jj_value list = jj_collect(vm, v[0]);
    JJ_TRY(list);
    jj_list *escaped = jj_list_new(vm, list.as.list->n);
    if (!escaped) return jj_error();
    for (size_t i = 0; i < escaped->n; i++) {
        escaped->items[i] = jj_escape(vm, list.as.list->items[i]);
        JJ_TRY(escaped->items[i]);
    }
    return like(vm, self, jj_join(vm, self.as.s, jj_of_list(escaped), true));
}

/* ---- searching ---- */

/* The bytes [*begin, *end) that start and end arguments leave; false: none, as start lies past the
 * end, or a failure. */
static bool window(jj_vm *vm, jj_str *s, jj_value from, jj_value to, size_t *begin, size_t *end) {
    int64_t start = 0, stop = INT64_MAX;
    if (!jj_given(from) && !jj_given(to)) {
        *begin = 0;
        *end = s->n;
        return true;
    }
    if (jj_given(from) && from.kind != JJ_NONE && !jj_int_arg(vm, from, 0, &start)) return false;
    if (jj_given(to) && to.kind != JJ_NONE && !jj_int_arg(vm, to, 0, &stop)) return false;
    int64_t n = jj_str_count(s);
    if (start < 0 && (start += n) < 0) start = 0;
    if (stop < 0 && (stop += n) < 0) stop = 0;
    if (stop > n) stop = n;
    if (start > stop) return false;
    *begin = jj_str_offset(s, start);
    *end = jj_str_offset(s, stop);
    return true;
}

static bool affix_matches(
    const jj_str *s, size_t begin, size_t end, const jj_str *affix, bool tail) {
    if (affix->n > end - begin) return false;
    size_t at = tail ? end - affix->n : begin;
    return !affix->n || !memcmp(s->ptr + at, affix->ptr, affix->n);
}

static jj_value has_affix(jj_vm *vm, jj_value self, jj_value *v, bool tail) {
    size_t begin, end;
    jj_list one = {.n = 1, .items = v};
    const jj_list *affixes = v[0].kind == JJ_TUPLE ? v[0].as.list : &one;
    bool some = window(vm, self.as.s, v[1], v[2], &begin, &end);
    if (vm->rc) return jj_error();
    for (size_t i = 0; i < affixes->n; i++) {
        if (affixes->items[i].kind != JJ_STR) {
            return jj_fail(vm, "%s first arg must be str or a tuple of str, not %s",
                tail ? "endswith" : "startswith", jj_type_name(affixes->items[i]));
        }
        if (some && affix_matches(self.as.s, begin, end, affixes->items[i].as.s, tail)) {
            return jj_bool(true);
        }
    }
    return jj_bool(false);
}

METHOD(m_startswith) {
    UNUSED;
    return has_affix(vm, self, v, false);
}
METHOD(m_endswith) {
    UNUSED;
    return has_affix(vm, self, v, true);
}

static int64_t points_before(jj_str *s, size_t byte) {
    if (jj_str_ascii(s)) return (int64_t)byte;
    int64_t n = 0;
    for (size_t i = 0; i < byte; i++)
        n += ((uint8_t)s->ptr[i] & 0xC0) != 0x80;
    return n;
}

/* -1: not there; -2: failed. */
static int64_t find(jj_vm *vm, jj_value self, jj_value *v, bool last) {
    size_t begin, end;
    jj_str *what = jj_str_arg(vm, v[0], "the text to look for");
    if (!what) return -2;
    if (!window(vm, self.as.s, v[1], v[2], &begin, &end)) return vm->rc ? -2 : -1;
    jj_str part = *self.as.s;
    part.n = end;
    int64_t hit = last ? jj_str_rfind(vm, &part, what, end) : jj_str_find(vm, &part, what, begin);
    if (vm->rc) return -2;
    return hit < (int64_t)begin ? -1 : points_before(self.as.s, (size_t)hit);
}

static jj_value found(jj_vm *vm, int64_t at, bool must) {
    if (at == -2) return jj_error();
    return at < 0 && must ? jj_fail(vm, "substring not found") : jj_int(at);
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
    jj_str *what = jj_str_arg(vm, v[0], "the text to count");
    if (!what) return jj_error();
    if (!window(vm, self.as.s, v[1], v[2], &begin, &end)) return vm->rc ? jj_error() : jj_int(0);
    jj_str part = *self.as.s;
    part.n = end;
    if (!what->n)
        return jj_int(points_before(self.as.s, end) - points_before(self.as.s, begin) + 1);
    int64_t n = 0, hit;
    for (size_t at = begin; (hit = jj_str_find(vm, &part, what, at)) >= 0; n++) {
        at = (size_t)hit + what->n;
        if (!jj_step(vm, 1)) return jj_error();
    }
    return jj_int(n);
}

static jj_value partition(jj_vm *vm, jj_value self, jj_value separator, bool last) {
    jj_str *s = self.as.s, *what = jj_str_arg(vm, separator, "the separator");
    if (!what) return jj_error();
    if (!what->n) return jj_fail(vm, "empty separator");
    jj_list *parts = jj_list_new(vm, 3);
    if (!parts) return jj_error();
    int64_t hit = last ? jj_str_rfind(vm, s, what, s->n) : jj_str_find(vm, s, what, 0);
    if (hit < 0) {
        parts->items[last ? 2 : 0] = self;
        parts->items[1] = parts->items[last ? 0 : 2] = jj_text(vm, "");
    } else {
        parts->items[0] = jj_of_str(jj_sub(vm, s, 0, (size_t)hit));
        parts->items[1] = jj_of_str(jj_sub(vm, s, (size_t)hit, (size_t)hit + what->n));
        parts->items[2] = jj_of_str(jj_sub(vm, s, (size_t)hit + what->n, s->n));
    }
    return like(vm, self, jj_of_tuple(parts));
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
    jj_str *s = self.as.s, *affix = jj_str_arg(vm, v[0], "removeprefix() argument");
    if (!affix) return jj_error();
    if (!affix_matches(s, 0, s->n, affix, false)) return self;
    return like(vm, self, jj_of_str(jj_sub(vm, s, affix->n, s->n)));
}
METHOD(m_removesuffix) {
    UNUSED;
    jj_str *s = self.as.s, *affix = jj_str_arg(vm, v[0], "removesuffix() argument");
    if (!affix) return jj_error();
    if (!affix_matches(s, 0, s->n, affix, true)) return self;
    return like(vm, self, jj_of_str(jj_sub(vm, s, 0, s->n - affix->n)));
}

/* ---- padding ---- */

static jj_value pad(jj_vm *vm, jj_value self, jj_value *v, int sides) {
    static const jj_str space = {.ptr = " ", .n = 1};
    const jj_str *fill = &space;
    int64_t width;
    if (!jj_int_arg(vm, v[0], 0, &width)) return jj_error();
    if (jj_given(v[1])) {
        fill = jj_str_arg(vm, v[1], "The fill character");
        if (!fill) return jj_error();
        if (jj_str_count(v[1].as.s) != 1) {
            return jj_fail(vm, "The fill character must be exactly one character long");
        }
    }
    return like(vm, self, jj_pad(vm, self.as.s, width, fill, sides));
}

METHOD(m_center) {
    UNUSED;
    return pad(vm, self, v, JJ_LEFT | JJ_RIGHT);
}
METHOD(m_ljust) {
    UNUSED;
    return pad(vm, self, v, JJ_RIGHT);
}
METHOD(m_rjust) {
    UNUSED;
    return pad(vm, self, v, JJ_LEFT);
}

METHOD(m_zfill) {
    UNUSED;
    jj_str *s = self.as.s;
    jj_out out = {0};
    int64_t width;
    if (!jj_int_arg(vm, v[0], 0, &width)) return jj_error();
    size_t sign = s->n && (s->ptr[0] == '-' || s->ptr[0] == '+');
    jj_put_part(vm, &out, s, 0, sign);
    for (int64_t n = jj_str_count(s); n < width && !vm->rc; n++) {
        jj_put_c(vm, &out, "0");
        if (!jj_step(vm, 1)) return jj_error();
    }
    jj_put_part(vm, &out, s, sign, s->n);
    return like(vm, self, jj_out_str(vm, &out));
}

METHOD(m_expandtabs) {
    UNUSED;
    jj_str *s = self.as.s;
    jj_out out = {0};
    int64_t size, column = 0;
    if (!jj_int_arg(vm, v[0], 8, &size)) return jj_error();
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        n = jj_point(s->ptr + i, s->n - i, &c);
        if (c == '\t') {
            int64_t spaces = size > 0 ? size - column % size : 0;
            column += spaces;
            for (; spaces > 0 && !vm->rc; spaces--) {
                jj_put(vm, &out, " ", 1, jj_str_plain_at(s, i));
                if (!jj_step(vm, 1)) return jj_error();
            }
            continue;
        }
        column = c == '\n' || c == '\r' ? 0 : column + 1;
        jj_put_part(vm, &out, s, i, i + n);
    }
    return like(vm, self, jj_out_str(vm, &out));
}

/* ---- kinds of characters ---- */

static jj_value all_are(jj_vm *vm, const jj_str *s, bool (*is)(uint32_t c)) {
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += jj_point(s->ptr + i, s->n - i, &c);
        if (!is(c)) return jj_bool(false);
    }
    return jj_step(vm, (int64_t)(s->n >> 4)) ? jj_bool(s->n > 0) : jj_error();
}

static bool is_alnum(uint32_t c) {
    return jj_is_alpha(c) || jj_is_numeric(c);
}

#define ALL_ARE(name, is)                                                                          \
    METHOD(name) {                                                                                 \
        UNUSED;                                                                                    \
        return all_are(vm, self.as.s, is);                                                         \
    }
ALL_ARE(m_isalpha, jj_is_alpha)
ALL_ARE(m_isalnum, is_alnum)
ALL_ARE(m_isdecimal, jj_is_decimal)
ALL_ARE(m_isdigit, jj_is_digit)
ALL_ARE(m_isnumeric, jj_is_numeric)
ALL_ARE(m_isspace, jj_is_space)

METHOD(m_isprintable) {
    UNUSED;
    return self.as.s->n ? all_are(vm, self.as.s, jj_is_printable) : jj_bool(true);
}
METHOD(m_isascii) {
    UNUSED;
    return jj_bool(jj_str_ascii(self.as.s));
}
METHOD(m_isidentifier) {
    UNUSED;
    const jj_str *s = self.as.s;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        size_t n = jj_point(s->ptr + i, s->n - i, &c);
        if (!(c == '_' || jj_is_alpha(c) || (i && jj_is_word(c)))) return jj_bool(false);
        i += n;
    }
    return jj_bool(s->n > 0);
}

static jj_value case_is(const jj_str *s, bool upper) {
    bool any = false;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += jj_point(s->ptr + i, s->n - i, &c);
        if (jj_is_title(c) || (upper ? jj_is_lower(c) : jj_is_upper(c))) return jj_bool(false);
        any |= upper ? jj_is_upper(c) : jj_is_lower(c);
    }
    return jj_bool(any);
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
    const jj_str *s = self.as.s;
    bool any = false, inside = false;
    uint32_t c;
    for (size_t i = 0; i < s->n;) {
        i += jj_point(s->ptr + i, s->n - i, &c);
        bool start = jj_is_upper(c) || jj_is_title(c), low = jj_is_lower(c);
        if ((start && inside) || (low && !inside)) return jj_bool(false);
        inside = start || low;
        any |= inside;
    }
    return jj_bool(any);
}

METHOD(m_format) {
    UNUSED;
    return like(vm, self, jj_format(vm, self.as.s, args));
}

METHOD(m_format_map) {
    UNUSED;
    if (v[0].kind != JJ_DICT) return jj_fail(vm, "format_map() needs a mapping");
    const jj_dict *d = v[0].as.dict;
    jj_args named = {0};
    jj_str **names = jj_array(vm, d->n, sizeof *names);
    named.named = jj_array(vm, d->n, sizeof *named.named);
    if (!names || !named.named) return jj_error();
    for (size_t i = 0; i < d->n; i++) {
        if (d->entries[i].key.kind != JJ_STR) continue;
        names[named.n_named] = d->entries[i].key.as.s;
        named.named[named.n_named++] = d->entries[i].value;
    }
    named.names = names;
    return like(vm, self, jj_format(vm, self.as.s, &named));
}

const jj_method_def jj_str_methods[] = {
    {"capitalize", JJ_STR, 0, m_capitalize, 0, 0, ""},
    {"casefold", JJ_STR, 0, m_casefold, 0, 0, ""},
    {"center", JJ_STR, 0, m_center, 1, 2, ""},
    {"count", JJ_STR, 0, m_count, 1, 3, ""},
    {"encode", JJ_STR, 0, NULL, 0, 2, ""},
    {"endswith", JJ_STR, 0, m_endswith, 1, 3, ""},
    {"expandtabs", JJ_STR, 0, m_expandtabs, 0, 1, "tabsize"},
    {"find", JJ_STR, 0, m_find, 1, 3, ""},
    {"format", JJ_STR, 0, m_format, 0, -1, ""},
    {"format_map", JJ_STR, 0, m_format_map, 1, 1, ""},
    {"index", JJ_STR, 0, m_index, 1, 3, ""},
    {"isalnum", JJ_STR, 0, m_isalnum, 0, 0, ""},
    {"isalpha", JJ_STR, 0, m_isalpha, 0, 0, ""},
    {"isascii", JJ_STR, 0, m_isascii, 0, 0, ""},
    {"isdecimal", JJ_STR, 0, m_isdecimal, 0, 0, ""},
    {"isdigit", JJ_STR, 0, m_isdigit, 0, 0, ""},
    {"isidentifier", JJ_STR, 0, m_isidentifier, 0, 0, ""},
    {"islower", JJ_STR, 0, m_islower, 0, 0, ""},
    {"isnumeric", JJ_STR, 0, m_isnumeric, 0, 0, ""},
    {"isprintable", JJ_STR, 0, m_isprintable, 0, 0, ""},
    {"isspace", JJ_STR, 0, m_isspace, 0, 0, ""},
    {"istitle", JJ_STR, 0, m_istitle, 0, 0, ""},
    {"isupper", JJ_STR, 0, m_isupper, 0, 0, ""},
    {"join", JJ_STR, 0, m_join, 1, 1, ""},
    {"ljust", JJ_STR, 0, m_ljust, 1, 2, ""},
    {"lower", JJ_STR, 0, m_lower, 0, 0, ""},
    {"lstrip", JJ_STR, 0, m_lstrip, 0, 1, ""},
    {"maketrans", JJ_STR, 0, NULL, 1, 3, ""},
    {"partition", JJ_STR, 0, m_partition, 1, 1, ""},
    {"removeprefix", JJ_STR, 0, m_removeprefix, 1, 1, ""},
    {"removesuffix", JJ_STR, 0, m_removesuffix, 1, 1, ""},
    {"replace", JJ_STR, 0, m_replace, 2, 3, ""},
    {"rfind", JJ_STR, 0, m_rfind, 1, 3, ""},
    {"rindex", JJ_STR, 0, m_rindex, 1, 3, ""},
    {"rjust", JJ_STR, 0, m_rjust, 1, 2, ""},
    {"rpartition", JJ_STR, 0, m_rpartition, 1, 1, ""},
    {"rsplit", JJ_STR, 0, m_rsplit, 0, 2, "sep maxsplit"},
    {"rstrip", JJ_STR, 0, m_rstrip, 0, 1, ""},
    {"split", JJ_STR, 0, m_split, 0, 2, "sep maxsplit"},
    {"splitlines", JJ_STR, 0, m_splitlines, 0, 1, "keepends"},
    {"startswith", JJ_STR, 0, m_startswith, 1, 3, ""},
    {"strip", JJ_STR, 0, m_strip, 0, 1, ""},
    {"swapcase", JJ_STR, 0, m_swapcase, 0, 0, ""},
    {"title", JJ_STR, 0, m_title, 0, 0, ""},
    {"translate", JJ_STR, 0, NULL, 1, 1, ""},
    {"upper", JJ_STR, 0, m_upper, 0, 0, ""},
    {"zfill", JJ_STR, 0, m_zfill, 1, 1, ""},
    {0},
};
