#include "text/jinja/tojson.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/ops.h"
#include "text/jinja/sort.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

typedef struct writer {
    tri_jinja_vm *vm;
    tri_jinja_out out;
    const tri_jinja_json_options *options;
    int32_t depth;
    bool inside; /* what came from the inputs as it is: all its bytes are marked at its end */
} writer;

static void put(writer *w, const char *text, bool plain) {
    tri_jinja_put(w->vm, &w->out, text, strlen(text), plain && !w->inside);
}

static void put_part(writer *w, const tri_jinja_str *s, size_t begin, size_t end) {
    if (w->inside)
        tri_jinja_put(w->vm, &w->out, s->ptr + begin, end - begin, false);
    else
        tri_jinja_put_part(w->vm, &w->out, s, begin, end);
}

/* An option's text. */
static void put_given(writer *w, const tri_jinja_str *s, bool plain) {
    tri_jinja_put(
        w->vm, &w->out, s->ptr, s->n, !w->inside && (plain || tri_jinja_str_any_plain(s)));
}

static int escape_of(uint32_t c, bool ascii, char text[16]) {
    switch (c) {
    case '"':
        return snprintf(text, 16, "\\\"");
    case '\\':
        return snprintf(text, 16, "\\\\");
    case '\n':
        return snprintf(text, 16, "\\n");
    case '\r':
        return snprintf(text, 16, "\\r");
    case '\t':
        return snprintf(text, 16, "\\t");
    case '\f':
        return snprintf(text, 16, "\\f");
    case '\b':
        return snprintf(text, 16, "\\b");
    default:
        break;
    }
    if (c < 0x20 || (ascii && c >= 0x80 && c < 0x10000)) return snprintf(text, 16, "\\u%04x", c);
    if (!ascii || c < 0x80) return 0;
    c -= 0x10000;
    return snprintf(text, 16, "\\u%04x\\u%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
}

/* The first byte from i on that may not stand for itself. */
static size_t plain_run(const tri_jinja_str *s, size_t i, bool ascii) {
    for (; i < s->n; i++) {
        uint8_t c = (uint8_t)s->ptr[i];
        if (c < 0x20 || c == '"' || c == '\\' || (c >= 0x80 && ascii)) break;
    }
    return i;
}

static void write_str(writer *w, const tri_jinja_str *s, bool plain) {
    bool ascii = w->options->ascii;
    size_t run = 0;
    char text[16];
    put(w, "\"", plain);
    for (size_t i = plain_run(s, 0, ascii); i < s->n && !w->vm->rc; i = plain_run(s, run, ascii)) {
        uint32_t c;
        size_t n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        int len = escape_of(c, ascii, text);
        put_part(w, s, run, i);
        tri_jinja_put(
            w->vm, &w->out, text, (size_t)len, !w->inside && tri_jinja_str_plain_at(s, i));
        run = i + n;
    }
    put_part(w, s, run, s->n);
    put(w, "\"", plain);
    tri_jinja_step(w->vm, (int64_t)(s->n >> 6));
}

static void new_line(writer *w, bool plain) {
    if (!w->options->indent) return;
    put(w, "\n", plain);
    for (int32_t i = 0; i < w->depth && !w->vm->rc; i++) {
        put_given(w, w->options->indent, plain);
    }
}

static void write_float(writer *w, tri_jinja_value v) {
    char text[32];
    if (isnan(v.as.f))
        snprintf(text, sizeof text, "NaN");
    else if (isinf(v.as.f))
        snprintf(text, sizeof text, v.as.f < 0 ? "-Infinity" : "Infinity");
    else
        tri_jinja_float_repr(v.as.f, text);
    put(w, text, v.plain);
}

static void write_value(writer *w, tri_jinja_value v);

static void write_list(writer *w, const tri_jinja_list *list) {
    if (!list->n) {
        put(w, "[]", list->plain);
        return;
    }
    put(w, "[", list->plain);
    w->depth++;
    for (size_t i = 0; i < list->n && !w->vm->rc; i++) {
        if (i) put_given(w, w->options->item_separator, list->plain);
        new_line(w, list->plain);
        write_value(w, list->items[i]);
    }
    w->depth--;
    new_line(w, list->plain);
    put(w, "]", list->plain);
}

static void write_key(writer *w, tri_jinja_value key, bool plain) {
    tri_jinja_value text;
    switch ((tri_jinja_kind)key.kind) {
    case TRI_JINJA_STR:
        write_str(w, key.as.s, plain);
        return;
    case TRI_JINJA_BOOL:
        put(w, key.as.b ? "\"true\"" : "\"false\"", plain);
        return;
    case TRI_JINJA_NONE:
        put(w, "\"null\"", plain);
        return;
    case TRI_JINJA_INT:
    case TRI_JINJA_BIG:
    case TRI_JINJA_FLOAT:
        put(w, "\"", plain);
        if (key.kind == TRI_JINJA_FLOAT) {
            write_float(w, key);
        } else {
            text = tri_jinja_str_of(w->vm, key);
            if (!tri_jinja_is_error(text)) put_part(w, text.as.s, 0, text.as.s->n);
        }
        put(w, "\"", plain);
        return;
    default:
        tri_jinja_fail(
            w->vm, "keys must be str, int, float, bool or None, not %s", tri_jinja_type_name(key));
    }
}

static void write_dict(writer *w, const tri_jinja_dict *d) {
    if (!d->n) {
        put(w, "{}", d->plain);
        return;
    }
    uint32_t *order = NULL;
    if (w->options->sort_keys) {
        tri_jinja_value *keys = tri_jinja_array(w->vm, d->n, sizeof *keys);
        if (!keys) return;
        for (size_t i = 0; i < d->n; i++)
            keys[i] = d->entries[i].key;
        order = tri_jinja_sort_order(w->vm, keys, d->n, false);
        if (!order) return;
    }
    put(w, "{", d->plain);
    w->depth++;
    for (size_t i = 0; i < d->n && !w->vm->rc; i++) {
        const tri_jinja_entry *e = &d->entries[order ? order[i] : i];
        if (i) put_given(w, w->options->item_separator, d->plain);
        new_line(w, d->plain);
        write_key(w, e->key, d->plain);
        put_given(w, w->options->key_separator, d->plain);
        write_value(w, e->value);
    }
    w->depth--;
    new_line(w, d->plain);
    put(w, "}", d->plain);
}

static void write_container(writer *w, tri_jinja_value v) {
    size_t begin = w->out.n;
    bool whole = !w->inside && (v.kind == TRI_JINJA_DICT ? v.as.dict->plain : v.as.list->plain);
    w->inside |= whole;
    if (v.kind == TRI_JINJA_DICT)
        write_dict(w, v.as.dict);
    else
        write_list(w, v.as.list);
    if (!whole) return;
    w->inside = false;
    tri_jinja_mark(w->vm, &w->out, begin, w->out.n);
}

static void write_value(writer *w, tri_jinja_value v) {
    tri_jinja_value text;
    if (!tri_jinja_step(w->vm, 1) || !tri_jinja_enter(w->vm)) return;
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_NONE:
        put(w, "null", v.plain);
        break;
    case TRI_JINJA_BOOL:
        put(w, v.as.b ? "true" : "false", v.plain);
        break;
    case TRI_JINJA_INT:
    case TRI_JINJA_BIG:
        text = tri_jinja_str_of(w->vm, v);
        if (!tri_jinja_is_error(text)) put_part(w, text.as.s, 0, text.as.s->n);
        break;
    case TRI_JINJA_FLOAT:
        write_float(w, v);
        break;
    case TRI_JINJA_STR:
        write_str(w, v.as.s, v.as.s->n_spans < 0);
        break;
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
    case TRI_JINJA_DICT:
        write_container(w, v);
        break;
    default:
        tri_jinja_fail(w->vm, "Object of type %s is not JSON serializable", tri_jinja_type_name(v));
        break;
    }
    tri_jinja_leave(w->vm);
}

tri_jinja_value tri_jinja_to_json(
    tri_jinja_vm *vm, tri_jinja_value v, const tri_jinja_json_options *options) {
    writer w = {.vm = vm, .options = options};
    write_value(&w, v);
    return tri_jinja_out_str(vm, &w.out);
}
