/* json_write.c - the writer (declared in json.h). */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/json.h"

void tri_json_writer_init(tri_json_writer *w, tri_buf *out, int32_t indent) {
    *w = (tri_json_writer){.out = out, .indent = indent};
}

static void break_line(tri_json_writer *w) {
    if (w->indent == 0) return;
    tri_buf_putc(w->out, '\n');
    for (int32_t i = 0; i < w->depth * w->indent; i++)
        tri_buf_putc(w->out, ' ');
}

/* What stands before a key, or a value that has none. */
static void separate(tri_json_writer *w) {
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->need_comma) tri_buf_putc(w->out, ',');
    if (w->depth > 0) break_line(w);
}

static void begin(tri_json_writer *w, char bracket) {
    separate(w);
    tri_buf_putc(w->out, bracket);
    w->depth++;
    w->need_comma = false;
}

static void end(tri_json_writer *w, char bracket) {
    TRI_ASSERT(w->depth > 0 && !w->after_key);
    w->depth--;
    if (w->need_comma) break_line(w); /* not for an empty one */
    tri_buf_putc(w->out, bracket);
    w->need_comma = true;
}

void tri_json_begin_object(tri_json_writer *w) {
    begin(w, '{');
}

void tri_json_end_object(tri_json_writer *w) {
    end(w, '}');
}

void tri_json_begin_array(tri_json_writer *w) {
    begin(w, '[');
}

void tri_json_end_array(tri_json_writer *w) {
    end(w, ']');
}

static void put_escape(tri_buf *out, utf8proc_int32_t c) {
    static const char bytes[] = "\"\\\b\f\n\r\t", escapes[] = "\"\\bfnrt";
    const char *at = c > 0 && c < 0x80 ? strchr(bytes, (int)c) : NULL;
    if (at) {
        tri_buf_putc(out, '\\');
        tri_buf_putc(out, escapes[at - bytes]);
    } else {
        tri_buf_printf(out, "\\u%04x", (unsigned)c);
    }
}

static void put_string(tri_buf *out, tri_str text) {
    const char *at = text.len ? text.ptr : "", *last = at + text.len, *done = at;
    tri_buf_putc(out, '"');
    while (at < last) {
        unsigned char c = (unsigned char)*at;
        utf8proc_int32_t codepoint = c;
        utf8proc_ssize_t n = 1;
        if (c >= 0x80) {
            n = utf8proc_iterate((const utf8proc_uint8_t *)at, last - at, &codepoint);
        }
        bool control = codepoint < 0x20 || (codepoint >= 0x7F && codepoint < 0xA0);
        if (n > 0 && !control && c != '"' && c != '\\') {
            at += n;
            continue;
        }
        tri_buf_append(out, done, (size_t)(at - done));
        if (n > 0) {
            put_escape(out, codepoint);
        } else {
            tri_buf_puts(out, "\xEF\xBF\xBD");
        }
        at += n > 0 ? n : 1;
        done = at;
    }
    tri_buf_append(out, done, (size_t)(at - done));
    tri_buf_putc(out, '"');
}

static void put_key(tri_json_writer *w, tri_str key) {
    separate(w);
    put_string(w->out, key);
    tri_buf_puts(w->out, w->indent ? ": " : ":");
    w->after_key = true;
    w->need_comma = true;
}

static void put_word(tri_json_writer *w, tri_str word) {
    separate(w);
    tri_buf_append(w->out, word.ptr, word.len);
    w->need_comma = true;
}

void tri_json_key(tri_json_writer *w, const char *key) {
    put_key(w, tri_str_of(key));
}

void tri_json_string(tri_json_writer *w, tri_str text) {
    separate(w);
    put_string(w->out, text);
    w->need_comma = true;
}

void tri_json_i64(tri_json_writer *w, int64_t value) {
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    put_word(w, (tri_str){text, (size_t)n});
}

/* Like Python: NaN and Infinity by name, ".0" after a whole number, so that typed readers see a
 * float. */
void tri_json_f64(tri_json_writer *w, double value) {
    char text[40];
    if (isnan(value) || isinf(value)) {
        put_word(w, tri_str_of(isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity"));
        return;
    }
    /* This thread prints a point whatever the process's locale says; "C" cannot be lacking. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = uselocale(c_locale);
    for (int digits = 15; digits <= 17; digits++) { /* 17 always read back */
        snprintf(text, sizeof text - 2, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    uselocale(before);
    if (c_locale) freelocale(c_locale);
    size_t n = strlen(text);
    if (!strpbrk(text, ".e")) snprintf(text + n, sizeof text - n, ".0");
    put_word(w, tri_str_of(text));
}

void tri_json_bool(tri_json_writer *w, bool value) {
    put_word(w, tri_str_of(value ? "true" : "false"));
}

void tri_json_null(tri_json_writer *w) {
    put_word(w, TRI_STR("null"));
}

/* The reader's depth bounds the recursion. */
void tri_json_value(tri_json_writer *w, const tri_json *value) {
    switch (value->kind) {
    case TRI_JSON_BOOL:
        tri_json_bool(w, value->boolean);
        break;
    case TRI_JSON_NUMBER:
        put_word(w, value->text);
        break;
    case TRI_JSON_STRING:
        tri_json_string(w, value->text);
        break;
    case TRI_JSON_ARRAY:
        tri_json_begin_array(w);
        for (int32_t i = 0; i < value->n; i++)
            tri_json_value(w, &value->items[i]);
        tri_json_end_array(w);
        break;
    case TRI_JSON_OBJECT:
        tri_json_begin_object(w);
        for (int32_t i = 0; i < value->n; i++) {
            put_key(w, value->keys[i]);
            tri_json_value(w, &value->items[i]);
        }
        tri_json_end_object(w);
        break;
    default:
        tri_json_null(w);
        break;
    }
}
