/* repr.c - values as text: str() and repr() of Python. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/builtin.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

/* The shortest digits that read back as f, as 17 always do. */
static int shortest(double f, char *out, size_t room) {
    /* What 15 digits or fewer make shows as that and zeros; numbers near 0 have fewer digits. */
    for (int precision = fabs(f) < 2.3e-308 ? 1 : 15; precision < 17; precision++) {
        int n = snprintf(out, room, "%.*e", precision - 1, f);
        if (strtod(out, NULL) == f) return n;
    }
    return snprintf(out, room, "%.16e", f);
}

int tri_jinja_float_repr(double f, char out[32]) {
    char text[40], digits[20] = {0};
    if (isnan(f)) return snprintf(out, 32, "nan");
    if (isinf(f)) return snprintf(out, 32, f < 0 ? "-inf" : "inf");
    shortest(f, text, sizeof text);
    const char *p = text;
    int n = 0, at = 0;
    bool minus = *p == '-';
    for (p += minus; *p && *p != 'e'; p++) {
        if (*p != '.' && *p != ',') digits[n++] = *p;
    }
    int exponent = (int)strtol(p + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (minus) out[at++] = '-';
    if (exponent < -4 || exponent >= 16) {
        out[at++] = digits[0];
        if (n > 1) out[at++] = '.';
        for (int i = 1; i < n; i++)
            out[at++] = digits[i];
        return at + snprintf(out + at, (size_t)(32 - at), "e%c%02d", exponent < 0 ? '-' : '+',
                        abs(exponent));
    }
    if (exponent < 0) {
        out[at++] = '0';
        out[at++] = '.';
        for (int i = -1; i > exponent; i--)
            out[at++] = '0';
        for (int i = 0; i < n; i++)
            out[at++] = digits[i];
    } else {
        for (int i = 0; i <= exponent; i++)
            out[at++] = i < n ? digits[i] : '0';
        out[at++] = '.';
        for (int i = exponent + 1; i < n; i++)
            out[at++] = digits[i];
        if (n <= exponent + 1) out[at++] = '0';
    }
    out[at] = 0;
    return at;
}

/* A run of characters that stand for themselves, else one escape. */
void tri_jinja_repr_str(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s) {
    bool single = s->n && memchr(s->ptr, '\'', s->n);
    char quote = single && !memchr(s->ptr, '"', s->n) ? '"' : '\'';
    bool plain = s->n_spans < 0;
    tri_jinja_put(vm, out, &quote, 1, plain);
    size_t run = 0;
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        char text[12];
        int len = 0;
        n = tri_utf8_point(s->ptr + i, s->n - i, &c);
        if (c == (uint8_t)quote || c == '\\')
            len = snprintf(text, sizeof text, "\\%c", (int)c);
        else if (c == '\n')
            len = snprintf(text, sizeof text, "\\n");
        else if (c == '\r')
            len = snprintf(text, sizeof text, "\\r");
        else if (c == '\t')
            len = snprintf(text, sizeof text, "\\t");
        else if (tri_jinja_is_printable(c))
            continue;
        else {
            len = snprintf(text, sizeof text,
                c < 0x100     ? "\\x%02x"
                : c < 0x10000 ? "\\u%04x"
                              : "\\U%08x",
                c);
        }
        tri_jinja_put_part(vm, out, s, run, i);
        tri_jinja_put(vm, out, text, (size_t)len, tri_jinja_str_plain_at(s, i));
        run = i + n;
    }
    tri_jinja_put_part(vm, out, s, run, s->n);
    tri_jinja_put(vm, out, &quote, 1, plain);
}

static void put(tri_jinja_vm *vm, tri_jinja_out *out, const char *text, bool plain) {
    tri_jinja_put(vm, out, text, strlen(text), plain);
}

static void repr_list(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v) {
    const tri_jinja_list *list = v.as.list;
    put(vm, out, v.kind == TRI_JINJA_TUPLE ? "(" : "[", list->plain);
    for (size_t i = 0; i < list->n && !vm->rc; i++) {
        if (i) put(vm, out, ", ", list->plain);
        tri_jinja_repr(vm, out, list->items[i]);
    }
    if (v.kind == TRI_JINJA_TUPLE)
        put(vm, out, list->n == 1 ? ",)" : ")", list->plain);
    else
        put(vm, out, "]", list->plain);
}

static void repr_dict(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_dict *d) {
    put(vm, out, "{", d->plain);
    for (size_t i = 0; i < d->n && !vm->rc; i++) {
        if (i) put(vm, out, ", ", d->plain);
        tri_jinja_repr(vm, out, d->entries[i].key);
        put(vm, out, ": ", d->plain);
        tri_jinja_repr(vm, out, d->entries[i].value);
    }
    put(vm, out, "}", d->plain);
}

static void repr_view(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v) {
    const tri_jinja_dict *d = v.as.dict;
    put(vm, out, tri_jinja_type_name(v), d->plain);
    put(vm, out, "([", d->plain);
    for (size_t i = 0; i < d->n && !vm->rc; i++) {
        if (i) put(vm, out, ", ", d->plain);
        if (v.id == TRI_JINJA_ITEMS) put(vm, out, "(", d->plain);
        if (v.id != TRI_JINJA_VALUES) tri_jinja_repr(vm, out, d->entries[i].key);
        if (v.id == TRI_JINJA_ITEMS) put(vm, out, ", ", d->plain);
        if (v.id != TRI_JINJA_KEYS) tri_jinja_repr(vm, out, d->entries[i].value);
        if (v.id == TRI_JINJA_ITEMS) put(vm, out, ")", d->plain);
    }
    put(vm, out, "])", d->plain);
}

static void repr_namespace(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_namespace *ns) {
    put(vm, out, "<Namespace ", false);
    if (ns->printing) {
        put(vm, out, "{...}", false);
    } else {
        ns->printing = true;
        repr_dict(vm, out, ns->attrs);
        ns->printing = false;
    }
    put(vm, out, ">", false);
}

static void repr_nested(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v) {
    if (!tri_jinja_enter(vm)) return;
    if (v.kind == TRI_JINJA_DICT)
        repr_dict(vm, out, v.as.dict);
    else if (v.kind == TRI_JINJA_VIEW)
        repr_view(vm, out, v);
    else if (v.kind == TRI_JINJA_NAMESPACE)
        repr_namespace(vm, out, v.as.ns);
    else
        repr_list(vm, out, v);
    tri_jinja_leave(vm);
}

void tri_jinja_repr(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v) {
    char text[96];
    int n = 0;
    if (!tri_jinja_step(vm, 1)) return;
    switch ((tri_jinja_kind)v.kind) {
    case TRI_JINJA_UNDEFINED:
        put(vm, out, "Undefined", false);
        return;
    case TRI_JINJA_NONE:
        put(vm, out, "None", v.plain);
        return;
    case TRI_JINJA_BOOL:
        put(vm, out, v.as.b ? "True" : "False", v.plain);
        return;
    case TRI_JINJA_INT:
        n = snprintf(text, sizeof text, "%" PRId64, v.as.i);
        break;
    case TRI_JINJA_FLOAT:
        n = tri_jinja_float_repr(v.as.f, text);
        break;
    case TRI_JINJA_BIG:
        tri_jinja_put_str(vm, out, v.as.s);
        return;
    case TRI_JINJA_STR:
        if (v.as.s->markup) put(vm, out, "Markup(", false);
        tri_jinja_repr_str(vm, out, v.as.s);
        if (v.as.s->markup) put(vm, out, ")", false);
        return;
    case TRI_JINJA_LIST:
    case TRI_JINJA_TUPLE:
    case TRI_JINJA_DICT:
    case TRI_JINJA_VIEW:
    case TRI_JINJA_NAMESPACE:
        repr_nested(vm, out, v);
        return;
    case TRI_JINJA_RANGE:
        n = snprintf(text, sizeof text,
            v.as.range->step == 1 ? "range(%" PRId64 ", %" PRId64 ")"
                                  : "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")",
            v.as.range->start, v.as.range->stop, v.as.range->step);
        break;
    case TRI_JINJA_MACRO:
        if (!v.as.macro->function->name) {
            put(vm, out, "<Macro anonymous>", false);
            return;
        }
        put(vm, out, "<Macro ", false);
        tri_jinja_repr_str(vm, out, v.as.macro->function->name);
        put(vm, out, ">", false);
        return;
    case TRI_JINJA_LOOP:
        n = snprintf(text, sizeof text, "<LoopContext %" PRId64 "/%" PRId64 ">",
            v.as.loop->index0 + 1, tri_jinja_loop_length(vm, v.as.loop));
        break;
    case TRI_JINJA_FUNCTION:
    case TRI_JINJA_METHOD:
    case TRI_JINJA_ITER:
    case TRI_JINJA_CYCLER:
    case TRI_JINJA_JOINER:
        /* Python shows an address here, so that no template can count on it. */
        n = snprintf(text, sizeof text, "<%s object>", tri_jinja_type_name(v));
        break;
    case TRI_JINJA_ERROR:
    case TRI_JINJA_MISSING:
        return;
    }
    tri_jinja_put(vm, out, text, (size_t)n, v.plain);
}

tri_jinja_value tri_jinja_str_of(tri_jinja_vm *vm, tri_jinja_value v) {
    tri_jinja_out out = {0};
    if (v.kind == TRI_JINJA_STR && !v.as.s->markup) return v;
    if (v.kind == TRI_JINJA_STR) {
        tri_jinja_str *s = tri_jinja_str_copy(vm, v.as.s);
        if (s) s->markup = false;
        return tri_jinja_of_str(s);
    }
    tri_jinja_put_value(vm, &out, v);
    return tri_jinja_out_str(vm, &out);
}

tri_jinja_value tri_jinja_soft_str(tri_jinja_vm *vm, tri_jinja_value v) {
    return v.kind == TRI_JINJA_STR ? v : tri_jinja_str_of(vm, v);
}

tri_jinja_value tri_jinja_escape(tri_jinja_vm *vm, tri_jinja_value v) {
    if (v.kind == TRI_JINJA_STR && v.as.s->markup) return v;
    v = tri_jinja_str_of(vm, v);
    TRI_JINJA_TRY(v);
    const tri_jinja_str *s = v.as.s;
    tri_jinja_out out = {0};
    size_t run = 0;
    for (size_t i = 0; i < s->n && !vm->rc; i++) {
        const char *entity = s->ptr[i] == '&'    ? "&amp;"
                             : s->ptr[i] == '<'  ? "&lt;"
                             : s->ptr[i] == '>'  ? "&gt;"
                             : s->ptr[i] == '\'' ? "&#39;"
                             : s->ptr[i] == '"'  ? "&#34;"
                                                 : NULL;
        if (!entity) continue;
        tri_jinja_put_part(vm, &out, s, run, i);
        tri_jinja_put(vm, &out, entity, strlen(entity), tri_jinja_str_plain_at(s, i));
        run = i + 1;
    }
    tri_jinja_put_part(vm, &out, s, run, s->n);
    tri_jinja_value escaped = tri_jinja_out_str(vm, &out);
    if (!tri_jinja_is_error(escaped)) escaped.as.s->markup = true;
    return escaped;
}
