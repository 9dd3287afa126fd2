/* filters_text.c - filters of text. */
#include <string.h>

#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/strings.h"

/* The result of a method of v: Markup stays Markup. */
static jj_value like(jj_vm *vm, jj_value v, jj_value result) {
    if (vm->rc) return jj_error();
    if (!v.as.s->markup || result.as.s->markup) return result;
    result.as.s = jj_str_copy(vm, result.as.s);
    if (!result.as.s) return jj_error();
    result.as.s->markup = true;
    return result;
}

JJ_FILTER(f_upper) {
    JJ_UNUSED;
    jj_value s = jj_soft_str(vm, v[0]);
    return vm->rc ? jj_error() : like(vm, s, jj_cased(vm, s.as.s, JJ_UPPER));
}
JJ_FILTER(f_lower) {
    JJ_UNUSED;
    jj_value s = jj_soft_str(vm, v[0]);
    return vm->rc ? jj_error() : like(vm, s, jj_cased(vm, s.as.s, JJ_LOWER));
}
JJ_FILTER(f_capitalize) {
    JJ_UNUSED;
    jj_value s = jj_soft_str(vm, v[0]);
    return vm->rc ? jj_error() : like(vm, s, jj_capitalized(vm, s.as.s));
}
JJ_FILTER(f_title) {
    JJ_UNUSED;
    jj_value s = jj_soft_str(vm, v[0]);
    return vm->rc ? jj_error() : jj_title_words(vm, s.as.s);
}
JJ_FILTER(f_string) {
    JJ_UNUSED;
    return jj_soft_str(vm, v[0]);
}

JJ_FILTER(f_trim) {
    JJ_UNUSED;
    jj_str *chars = NULL;
    jj_value s = jj_soft_str(vm, v[0]);
    JJ_TRY(s);
    if (jj_given(v[1]) && v[1].kind != JJ_NONE) {
        chars = jj_str_arg(vm, v[1], "strip arg");
        if (!chars) return jj_error();
    }
    return like(vm, s, jj_strip(vm, s.as.s, chars, JJ_LEFT | JJ_RIGHT));
}

JJ_FILTER(f_replace) {
    JJ_UNUSED;
    int64_t count = -1;
    jj_value s = jj_str_of(vm, v[0]), from = jj_str_of(vm, v[1]), to = jj_str_of(vm, v[2]);
    if (vm->rc) return jj_error();
    if (jj_given(v[3]) && v[3].kind != JJ_NONE && !jj_int_arg(vm, v[3], -1, &count)) {
        return jj_error();
    }
    return jj_replace(vm, s.as.s, from.as.s, to.as.s, count);
}

JJ_FILTER(f_center) {
    JJ_UNUSED;
    static const jj_str space = {.ptr = " ", .n = 1};
    int64_t width;
    jj_value s = jj_soft_str(vm, v[0]);
    if (vm->rc || !jj_int_arg(vm, v[1], 80, &width)) return jj_error();
    return like(vm, s, jj_pad(vm, s.as.s, width, &space, JJ_LEFT | JJ_RIGHT));
}

JJ_FILTER(f_indent) {
    JJ_UNUSED;
    jj_str newline = {.ptr = "\n", .n = 1, .ascii = 1};
    jj_out out = {0};
    jj_value indent = jj_given(v[1]) ? v[1] : jj_int(4);
    int64_t width;
    if (indent.kind != JJ_STR) {
        if (!jj_int_arg(vm, indent, 4, &width)) return jj_error();
        indent = jj_repeat(vm, jj_text(vm, " "), width);
        JJ_TRY(indent);
    }
    if (v[0].kind == JJ_UNDEFINED) return jj_fail_undefined(vm, v[0]);
    if (v[0].kind != JJ_STR) {
        return jj_fail(
            vm, "unsupported operand type(s) for +=: '%s' and 'str'", jj_type_name(v[0]));
    }
    bool first = jj_truth_arg(vm, v[2], false), blank = jj_truth_arg(vm, v[3], false);
    jj_value text = jj_concat(vm, v[0].as.s, &newline);
    JJ_TRY(text);
    jj_value lines = jj_lines(vm, text.as.s, false);
    JJ_TRY(lines);
    for (size_t i = 0; i < lines.as.list->n && !vm->rc; i++) {
        const jj_str *line = lines.as.list->items[i].as.s;
        if (i) jj_put_str(vm, &out, &newline);
        if (i ? blank || line->n : first) jj_put_str(vm, &out, indent.as.s);
        jj_put_str(vm, &out, line);
    }
    return like(vm, v[0], jj_out_str(vm, &out));
}

JJ_FILTER(f_truncate) {
    JJ_UNUSED;
    static const jj_str dots = {.ptr = "...", .n = 3}, space = {.ptr = " ", .n = 1};
    jj_str own_dots = dots, *end = &own_dots;
    int64_t length, leeway = 5;
    if (!jj_int_arg(vm, v[1], 255, &length)) return jj_error();
    if (jj_given(v[3]) && !(end = jj_str_arg(vm, v[3], "end"))) return jj_error();
    if (jj_given(v[4]) && v[4].kind != JJ_NONE && !jj_int_arg(vm, v[4], 5, &leeway)) {
        return jj_error();
    }
    int64_t n_end = jj_str_count(end);
    if (length < n_end) {
        return jj_fail(vm, "expected length >= %" PRId64 ", got %" PRId64, n_end, length);
    }
    if (leeway < 0) return jj_fail(vm, "expected leeway >= 0, got %" PRId64, leeway);
    int64_t n = jj_length(vm, v[0]);
    if (n < 0) return jj_error();
    if (n <= length + leeway) return v[0];
    if (v[0].kind != JJ_STR) return jj_fail(vm, "truncate works on text");
    jj_str *s = v[0].as.s;
    size_t cut = jj_str_offset(s, length - n_end);
    if (!jj_truth_arg(vm, v[2], false)) {
        int64_t last = jj_str_rfind(vm, s, &space, cut);
        if (last >= 0) cut = (size_t)last;
    }
    jj_str *kept = jj_sub(vm, s, 0, cut);
    return kept ? jj_binary(vm, JJ_ADD, jj_of_str(kept), jj_given(v[3]) ? v[3] : jj_text(vm, "..."))
                : jj_error();
}

JJ_FILTER(f_wordcount) {
    JJ_UNUSED;
    jj_value s = jj_soft_str(vm, v[0]);
    JJ_TRY(s);
    int64_t n = 0;
    bool inside = false;
    uint32_t c;
    for (size_t i = 0; i < s.as.s->n;) {
        i += jj_point(s.as.s->ptr + i, s.as.s->n - i, &c);
        bool word = jj_is_word(c);
        n += word && !inside;
        inside = word;
    }
    return jj_step(vm, (int64_t)(s.as.s->n >> 4)) ? jj_int(n) : jj_error();
}

static void put_quoted(jj_vm *vm, jj_out *out, const jj_str *s, bool query) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s->n && !vm->rc; i++) {
        uint8_t c = (uint8_t)s->ptr[i];
        bool safe = (c | 32) >= 'a' && (c | 32) <= 'z';
        safe = (safe && c < 0x80) || (c >= '0' && c <= '9') || (c && strchr("_.-~", c)) ||
               (c == '/' && !query);
        char text[3] = {'%', hex[c >> 4], hex[c & 15]};
        if (safe)
            jj_put_part(vm, out, s, i, i + 1);
        else if (c == ' ' && query)
            jj_put(vm, out, "+", 1, jj_str_plain_at(s, i));
        else
            jj_put(vm, out, text, 3, jj_str_plain_at(s, i));
    }
    jj_step(vm, (int64_t)(s->n >> 4));
}

static bool put_pair(jj_vm *vm, jj_out *out, jj_value pair, size_t i) {
    jj_value two = jj_collect(vm, pair);
    if (jj_is_error(two)) return false;
    if (two.as.list->n != 2) {
        jj_fail(vm, "cannot unpack %zu values into a key and a value", two.as.list->n);
        return false;
    }
    jj_value key = jj_str_of(vm, two.as.list->items[0]),
             value = jj_str_of(vm, two.as.list->items[1]);
    if (vm->rc) return false;
    if (i) jj_put_c(vm, out, "&");
    put_quoted(vm, out, key.as.s, true);
    jj_put_c(vm, out, "=");
    put_quoted(vm, out, value.as.s, true);
    return !vm->rc;
}

JJ_FILTER(f_urlencode) {
    JJ_UNUSED;
    jj_out out = {0};
    if (v[0].kind == JJ_STR || !jj_iterable(v[0])) {
        jj_value s = jj_str_of(vm, v[0]);
        JJ_TRY(s);
        put_quoted(vm, &out, s.as.s, false);
        return jj_out_str(vm, &out);
    }
    jj_value pairs = v[0], pair;
    if (pairs.kind == JJ_DICT) {
        pairs.kind = JJ_VIEW;
        pairs.id = JJ_ITEMS;
    }
    jj_iter *it = jj_iterate(vm, pairs);
    int got = -1;
    for (size_t i = 0; it && (got = jj_next(vm, it, &pair)) > 0; i++) {
        if (!put_pair(vm, &out, pair, i)) return jj_error();
    }
    return got < 0 ? jj_error() : jj_out_str(vm, &out);
}

JJ_FILTER(f_xmlattr) {
    JJ_UNUSED;
    jj_out out = {0};
    bool space = jj_truth_arg(vm, v[1], true);
    if (v[0].kind == JJ_UNDEFINED) return jj_fail_undefined(vm, v[0]);
    if (v[0].kind != JJ_DICT) {
        return jj_fail(vm, "'%s' object has no attribute 'items'", jj_type_name(v[0]));
    }
    const jj_dict *d = v[0].as.dict;
    for (size_t i = 0; i < d->n && !vm->rc; i++) {
        const jj_entry *e = &d->entries[i];
        if (e->value.kind == JJ_NONE || e->value.kind == JJ_UNDEFINED) continue;
        jj_str *key = jj_str_arg(vm, e->key, "the key");
        if (!key) return jj_error();
        for (size_t k = 0; k < key->n; k++) {
            if (strchr(" \t\n\r\f\v/>=", key->ptr[k]) && key->ptr[k]) {
                return jj_fail(vm, "Invalid character in attribute name");
            }
        }
        jj_value name = jj_escape(vm, e->key), value = jj_escape(vm, e->value);
        if (vm->rc) return jj_error();
        if (out.n || space) jj_put_c(vm, &out, " ");
        jj_put_str(vm, &out, name.as.s);
        jj_put_c(vm, &out, "=\"");
        jj_put_str(vm, &out, value.as.s);
        jj_put_c(vm, &out, "\"");
    }
    return jj_out_str(vm, &out);
}

JJ_FILTER(f_escape) {
    JJ_UNUSED;
    return jj_escape(vm, v[0]);
}
JJ_FILTER(f_forceescape) {
    JJ_UNUSED;
    jj_value s = jj_str_of(vm, v[0]);
    return vm->rc ? jj_error() : jj_escape(vm, s);
}

JJ_FILTER(f_safe) {
    JJ_UNUSED;
    jj_value s = jj_soft_str(vm, v[0]);
    JJ_TRY(s);
    jj_str *markup = jj_str_copy(vm, s.as.s);
    if (!markup) return jj_error();
    markup->markup = true;
    return jj_of_str(markup);
}

JJ_FILTER(f_format) {
    JJ_UNUSED;
    if (!args->n) return jj_fail(vm, "format is missing a required argument");
    if (args->n > 1 && args->n_named) {
        return jj_fail(vm, "can't handle positional and keyword arguments at the same time");
    }
    jj_value s = jj_soft_str(vm, args->v[0]);
    JJ_TRY(s);
    if (args->n_named) {
        jj_dict *d = jj_dict_new(vm, (size_t)args->n_named);
        for (int32_t i = 0; d && i < args->n_named; i++) {
            jj_dict_put(vm, d, jj_of_str(args->names[i]), args->named[i]);
        }
        return vm->rc ? jj_error() : jj_percent(vm, s.as.s, jj_of_dict(d));
    }
    jj_list *values = jj_list_new(vm, (size_t)args->n - 1);
    if (!values) return jj_error();
    for (int32_t i = 1; i < args->n; i++)
        values->items[i - 1] = args->v[i];
    return jj_percent(vm, s.as.s, jj_of_tuple(values));
}

JJ_FILTER(f_lacking) {
    JJ_UNUSED;
    return jj_lacking(vm, "this filter is not supported");
}

const jj_builtin jj_text_filters[] = {
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
