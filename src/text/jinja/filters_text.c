/* filters_text.c - filters of text. */
#include <string.h>

#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/strings.h"
#include "text/utf8.h"

/* The result of a method of v: Markup stays Markup. */
static tri_jinja_value like(tri_jinja_vm *vm, tri_jinja_value v, tri_jinja_value result) {
    if (vm->rc) return tri_jinja_error();
    if (!v.as.s->markup || result.as.s->markup) return result;
    result.as.s = tri_jinja_str_copy(vm, result.as.s);
    if (!result.as.s) return tri_jinja_error();
    result.as.s->markup = true;
    return result;
}

TRI_JINJA_FILTER(f_upper) {
    TRI_JINJA_UNUSED;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    return vm->rc ? tri_jinja_error() : like(vm, s, tri_jinja_cased(vm, s.as.s, TRI_JINJA_UPPER));
}
TRI_JINJA_FILTER(f_lower) {
    TRI_JINJA_UNUSED;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    return vm->rc ? tri_jinja_error() : like(vm, s, tri_jinja_cased(vm, s.as.s, TRI_JINJA_LOWER));
}
TRI_JINJA_FILTER(f_capitalize) {
    TRI_JINJA_UNUSED;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    return vm->rc ? tri_jinja_error() : like(vm, s, tri_jinja_capitalized(vm, s.as.s));
}
TRI_JINJA_FILTER(f_title) {
    TRI_JINJA_UNUSED;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    return vm->rc ? tri_jinja_error() : tri_jinja_title_words(vm, s.as.s);
}
TRI_JINJA_FILTER(f_string) {
    TRI_JINJA_UNUSED;
    return tri_jinja_soft_str(vm, v[0]);
}

TRI_JINJA_FILTER(f_trim) {
    TRI_JINJA_UNUSED;
    tri_jinja_str *chars = NULL;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    TRI_JINJA_TRY(s);
    if (tri_jinja_given(v[1]) && v[1].kind != TRI_JINJA_NONE) {
        chars = tri_jinja_str_arg(vm, v[1], "strip arg");
        if (!chars) return tri_jinja_error();
    }
    return like(vm, s, tri_jinja_strip(vm, s.as.s, chars, TRI_JINJA_LEFT | TRI_JINJA_RIGHT));
}

TRI_JINJA_FILTER(f_replace) {
    TRI_JINJA_UNUSED;
    int64_t count = -1;
    tri_jinja_value s = tri_jinja_str_of(vm, v[0]), from = tri_jinja_str_of(vm, v[1]),
                    to = tri_jinja_str_of(vm, v[2]);
    if (vm->rc) return tri_jinja_error();
    if (tri_jinja_given(v[3]) && v[3].kind != TRI_JINJA_NONE &&
        !tri_jinja_int_arg(vm, v[3], -1, &count)) {
        return tri_jinja_error();
    }
    return tri_jinja_replace(vm, s.as.s, from.as.s, to.as.s, count);
}

TRI_JINJA_FILTER(f_center) {
    TRI_JINJA_UNUSED;
    static const tri_jinja_str space = {.ptr = " ", .n = 1};
    int64_t width;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    if (vm->rc || !tri_jinja_int_arg(vm, v[1], 80, &width)) return tri_jinja_error();
    return like(vm, s, tri_jinja_pad(vm, s.as.s, width, &space, TRI_JINJA_LEFT | TRI_JINJA_RIGHT));
}

TRI_JINJA_FILTER(f_indent) {
    TRI_JINJA_UNUSED;
    tri_jinja_str newline = {.ptr = "\n", .n = 1, .ascii = 1};
    tri_jinja_out out = {0};
    tri_jinja_value indent = tri_jinja_given(v[1]) ? v[1] : tri_jinja_int(4);
    int64_t width;
    if (indent.kind != TRI_JINJA_STR) {
        if (!tri_jinja_int_arg(vm, indent, 4, &width)) return tri_jinja_error();
        indent = tri_jinja_repeat(vm, tri_jinja_text(vm, " "), width);
        TRI_JINJA_TRY(indent);
    }
    if (v[0].kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v[0]);
    if (v[0].kind != TRI_JINJA_STR) {
        return tri_jinja_fail(
            vm, "unsupported operand type(s) for +=: '%s' and 'str'", tri_jinja_type_name(v[0]));
    }
    bool first = tri_jinja_truth_arg(vm, v[2], false), blank = tri_jinja_truth_arg(vm, v[3], false);
    tri_jinja_value text = tri_jinja_concat(vm, v[0].as.s, &newline);
    TRI_JINJA_TRY(text);
    tri_jinja_value lines = tri_jinja_lines(vm, text.as.s, false);
    TRI_JINJA_TRY(lines);
    for (size_t i = 0; i < lines.as.list->n && !vm->rc; i++) {
        const tri_jinja_str *line = lines.as.list->items[i].as.s;
        if (i) tri_jinja_put_str(vm, &out, &newline);
        if (i ? blank || line->n : first) tri_jinja_put_str(vm, &out, indent.as.s);
        tri_jinja_put_str(vm, &out, line);
    }
    return like(vm, v[0], tri_jinja_out_str(vm, &out));
}

TRI_JINJA_FILTER(f_truncate) {
    TRI_JINJA_UNUSED;
    static const tri_jinja_str dots = {.ptr = "...", .n = 3}, space = {.ptr = " ", .n = 1};
    tri_jinja_str own_dots = dots, *end = &own_dots;
    int64_t length, leeway = 5;
    if (!tri_jinja_int_arg(vm, v[1], 255, &length)) return tri_jinja_error();
    if (tri_jinja_given(v[3]) && !(end = tri_jinja_str_arg(vm, v[3], "end")))
        return tri_jinja_error();
    if (tri_jinja_given(v[4]) && v[4].kind != TRI_JINJA_NONE &&
        !tri_jinja_int_arg(vm, v[4], 5, &leeway)) {
        return tri_jinja_error();
    }
    int64_t n_end = tri_jinja_str_count(end);
    if (length < n_end) {
        return tri_jinja_fail(vm, "expected length >= %" PRId64 ", got %" PRId64, n_end, length);
    }
    if (leeway < 0) return tri_jinja_fail(vm, "expected leeway >= 0, got %" PRId64, leeway);
    int64_t n = tri_jinja_length(vm, v[0]);
    if (n < 0) return tri_jinja_error();
    if (n <= length + leeway) return v[0];
    if (v[0].kind != TRI_JINJA_STR) return tri_jinja_fail(vm, "truncate works on text");
    tri_jinja_str *s = v[0].as.s;
    size_t cut = tri_jinja_str_offset(s, length - n_end);
    if (!tri_jinja_truth_arg(vm, v[2], false)) {
        int64_t last = tri_jinja_str_rfind(vm, s, &space, cut);
        if (last >= 0) cut = (size_t)last;
    }
    tri_jinja_str *kept = tri_jinja_sub(vm, s, 0, cut);
    return kept ? tri_jinja_binary(vm, TRI_JINJA_ADD, tri_jinja_of_str(kept),
                      tri_jinja_given(v[3]) ? v[3] : tri_jinja_text(vm, "..."))
                : tri_jinja_error();
}

TRI_JINJA_FILTER(f_wordcount) {
    TRI_JINJA_UNUSED;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    TRI_JINJA_TRY(s);
    int64_t n = 0;
    bool inside = false;
    uint32_t c;
    for (size_t i = 0; i < s.as.s->n;) {
        i += tri_utf8_point(s.as.s->ptr + i, s.as.s->n - i, &c);
        bool word = tri_jinja_is_word(c);
        n += word && !inside;
        inside = word;
    }
    return tri_jinja_step(vm, (int64_t)(s.as.s->n >> 4)) ? tri_jinja_int(n) : tri_jinja_error();
}

static void put_quoted(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s, bool query) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s->n && !vm->rc; i++) {
        uint8_t c = (uint8_t)s->ptr[i];
        bool safe = (c | 32) >= 'a' && (c | 32) <= 'z';
        safe = (safe && c < 0x80) || (c >= '0' && c <= '9') || (c && strchr("_.-~", c)) ||
               (c == '/' && !query);
        char text[3] = {'%', hex[c >> 4], hex[c & 15]};
        if (safe)
            tri_jinja_put_part(vm, out, s, i, i + 1);
        else if (c == ' ' && query)
            tri_jinja_put(vm, out, "+", 1, tri_jinja_str_plain_at(s, i));
        else
            tri_jinja_put(vm, out, text, 3, tri_jinja_str_plain_at(s, i));
    }
    tri_jinja_step(vm, (int64_t)(s->n >> 4));
}

static bool put_pair(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value pair, size_t i) {
    tri_jinja_value two = tri_jinja_collect(vm, pair);
    if (tri_jinja_is_error(two)) return false;
    if (two.as.list->n != 2) {
        tri_jinja_fail(vm, "cannot unpack %zu values into a key and a value", two.as.list->n);
        return false;
    }
    tri_jinja_value key = tri_jinja_str_of(vm, two.as.list->items[0]),
                    value = tri_jinja_str_of(vm, two.as.list->items[1]);
    if (vm->rc) return false;
    if (i) tri_jinja_put_c(vm, out, "&");
    put_quoted(vm, out, key.as.s, true);
    tri_jinja_put_c(vm, out, "=");
    put_quoted(vm, out, value.as.s, true);
    return !vm->rc;
}

TRI_JINJA_FILTER(f_urlencode) {
    TRI_JINJA_UNUSED;
    tri_jinja_out out = {0};
    if (v[0].kind == TRI_JINJA_STR || !tri_jinja_iterable(v[0])) {
        tri_jinja_value s = tri_jinja_str_of(vm, v[0]);
        TRI_JINJA_TRY(s);
        put_quoted(vm, &out, s.as.s, false);
        return tri_jinja_out_str(vm, &out);
    }
    tri_jinja_value pairs = v[0], pair;
    if (pairs.kind == TRI_JINJA_DICT) {
        pairs.kind = TRI_JINJA_VIEW;
        pairs.id = TRI_JINJA_ITEMS;
    }
    tri_jinja_iter *it = tri_jinja_iterate(vm, pairs);
    int got = -1;
    for (size_t i = 0; it && (got = tri_jinja_next(vm, it, &pair)) > 0; i++) {
        if (!put_pair(vm, &out, pair, i)) return tri_jinja_error();
    }
    return got < 0 ? tri_jinja_error() : tri_jinja_out_str(vm, &out);
}

TRI_JINJA_FILTER(f_xmlattr) {
    TRI_JINJA_UNUSED;
    tri_jinja_out out = {0};
    bool space = tri_jinja_truth_arg(vm, v[1], true);
    if (v[0].kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v[0]);
    if (v[0].kind != TRI_JINJA_DICT) {
        return tri_jinja_fail(
            vm, "'%s' object has no attribute 'items'", tri_jinja_type_name(v[0]));
    }
    const tri_jinja_dict *d = v[0].as.dict;
    for (size_t i = 0; i < d->n && !vm->rc; i++) {
        const tri_jinja_entry *e = &d->entries[i];
        if (e->value.kind == TRI_JINJA_NONE || e->value.kind == TRI_JINJA_UNDEFINED) continue;
        tri_jinja_str *key = tri_jinja_str_arg(vm, e->key, "the key");
        if (!key) return tri_jinja_error();
        for (size_t k = 0; k < key->n; k++) {
            if (strchr(" \t\n\r\f\v/>=", key->ptr[k]) && key->ptr[k]) {
                return tri_jinja_fail(vm, "Invalid character in attribute name");
            }
        }
        tri_jinja_value name = tri_jinja_escape(vm, e->key), value = tri_jinja_escape(vm, e->value);
        if (vm->rc) return tri_jinja_error();
        if (out.n || space) tri_jinja_put_c(vm, &out, " ");
        tri_jinja_put_str(vm, &out, name.as.s);
        tri_jinja_put_c(vm, &out, "=\"");
        tri_jinja_put_str(vm, &out, value.as.s);
        tri_jinja_put_c(vm, &out, "\"");
    }
    return tri_jinja_out_str(vm, &out);
}

TRI_JINJA_FILTER(f_escape) {
    TRI_JINJA_UNUSED;
    return tri_jinja_escape(vm, v[0]);
}
TRI_JINJA_FILTER(f_forceescape) {
    TRI_JINJA_UNUSED;
    tri_jinja_value s = tri_jinja_str_of(vm, v[0]);
    return vm->rc ? tri_jinja_error() : tri_jinja_escape(vm, s);
}

TRI_JINJA_FILTER(f_safe) {
    TRI_JINJA_UNUSED;
    tri_jinja_value s = tri_jinja_soft_str(vm, v[0]);
    TRI_JINJA_TRY(s);
    tri_jinja_str *markup = tri_jinja_str_copy(vm, s.as.s);
    if (!markup) return tri_jinja_error();
    markup->markup = true;
    return tri_jinja_of_str(markup);
}

TRI_JINJA_FILTER(f_format) {
    TRI_JINJA_UNUSED;
    if (!args->n) return tri_jinja_fail(vm, "format is missing a required argument");
    if (args->n > 1 && args->n_named) {
        return tri_jinja_fail(vm, "can't handle positional and keyword arguments at the same time");
    }
    tri_jinja_value s = tri_jinja_soft_str(vm, args->v[0]);
    TRI_JINJA_TRY(s);
    if (args->n_named) {
        tri_jinja_dict *d = tri_jinja_dict_new(vm, (size_t)args->n_named);
        for (int32_t i = 0; d && i < args->n_named; i++) {
            tri_jinja_dict_put(vm, d, tri_jinja_of_str(args->names[i]), args->named[i]);
        }
        return vm->rc ? tri_jinja_error() : tri_jinja_percent(vm, s.as.s, tri_jinja_of_dict(d));
    }
    tri_jinja_list *values = tri_jinja_list_new(vm, (size_t)args->n - 1);
    if (!values) return tri_jinja_error();
    for (int32_t i = 1; i < args->n; i++)
        values->items[i - 1] = args->v[i];
    return tri_jinja_percent(vm, s.as.s, tri_jinja_of_tuple(values));
}

TRI_JINJA_FILTER(f_lacking) {
    TRI_JINJA_UNUSED;
    return tri_jinja_lacking(vm, "this filter is not supported");
}

const tri_jinja_builtin tri_jinja_text_filters[] = {
    {"upper", f_upper, 1, 1, "s"},
    {"lower", f_lower, 1, 1, "s"},
    {"capitalize", f_capitalize, 1, 1, "s"},
    {"title", f_title, 1, 1, "s"},
    {"string", f_string, 1, 1, "s"},
    {"trim", f_trim, 1, 2, "value chars"},
    {"replace", f_replace, 3, 4, "s old new count"},
    {"center", f_center, 1, 2, "value width"},
    {"indent", f_indent, 1, 4, "s width first blank"},
    {"truncate", f_truncate, 1, 5, "s length killwords end leeway"},
    {"wordcount", f_wordcount, 1, 1, "s"},
    {"urlencode", f_urlencode, 1, 1, "value"},
    {"xmlattr", f_xmlattr, 1, 2, "d autospace"},
    {"escape", f_escape, 1, 1, "s"},
    {"e", f_escape, 1, 1, "s"},
    {"forceescape", f_forceescape, 1, 1, "value"},
    {"safe", f_safe, 1, 1, "value"},
    {"format", f_format, 1, -1, ""},
    {"pprint", f_lacking, 1, -1, ""},
    {"random", f_lacking, 1, -1, ""},
    {"striptags", f_lacking, 1, -1, ""},
    {"urlize", f_lacking, 1, -1, ""},
    {"wordwrap", f_lacking, 1, -1, ""},
    {0},
};
