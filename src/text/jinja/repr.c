/* repr.c - values as text: str() and repr() of Python. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/builtin.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

/* The shortest digits that read back as f, as 17 always do. */
static int shortest(double f, char *out, size_t room) {
    /* What 15 digits or fewer make shows as that and zeros; numbers near 0 have fewer digits. */
    for (int precision = fabs(f) < 2.3e-308 ? 1 : 15; precision < 17; precision++) {
        int n = snprintf(out, room, "%.*e", precision - 1, f);
        if (strtod(out, NULL) == f) return n;
    }
    return snprintf(out, room, "%.16e", f);
}

int jj_float_repr(double f, char out[32]) {
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
void jj_repr_str(jj_vm *vm, jj_out *out, const jj_str *s) {
    bool single = s->n && memchr(s->ptr, '\'', s->n);
    char quote = single && !memchr(s->ptr, '"', s->n) ? '"' : '\'';
    bool plain = s->n_spans < 0;
    jj_put(vm, out, &quote, 1, plain);
    size_t run = 0;
    for (size_t i = 0, n; i < s->n && !vm->rc; i += n) {
        uint32_t c;
        char text[12];
        int len = 0;
        n = jj_point(s->ptr + i, s->n - i, &c);
        if (c == (uint8_t)quote || c == '\\')
            len = snprintf(text, sizeof text, "\\%c", (int)c);
        else if (c == '\n')
            len = snprintf(text, sizeof text, "\\n");
        else if (c == '\r')
            len = snprintf(text, sizeof text, "\\r");
        else if (c == '\t')
            len = snprintf(text, sizeof text, "\\t");
        else if (jj_is_printable(c))
            continue;
        else {
            len = snprintf(text, sizeof text,
                c < 0x100     ? "\\x%02x"
                : c < 0x10000 ? "\\u%04x"
                              : "\\U%08x",
                c);
        }
        jj_put_part(vm, out, s, run, i);
        jj_put(vm, out, text, (size_t)len, jj_str_plain_at(s, i));
        run = i + n;
    }
    jj_put_part(vm, out, s, run, s->n);
    jj_put(vm, out, &quote, 1, plain);
}

static void put(jj_vm *vm, jj_out *out, const char *text, bool plain) {
    jj_put(vm, out, text, strlen(text), plain);
}

static void repr_list(jj_vm *vm, jj_out *out, jj_value v) {
    const jj_list *list = v.as.list;
    put(vm, out, v.kind == JJ_TUPLE ? "(" : "[", list->plain);
    for (size_t i = 0; i < list->n && !vm->rc; i++) {
        if (i) put(vm, out, ", ", list->plain);
        jj_repr(vm, out, list->items[i]);
    }
    if (v.kind == JJ_TUPLE)
        put(vm, out, list->n == 1 ? ",)" : ")", list->plain);
    else
        put(vm, out, "]", list->plain);
}

static void repr_dict(jj_vm *vm, jj_out *out, const jj_dict *d) {
    put(vm, out, "{", d->plain);
    for (size_t i = 0; i < d->n && !vm->rc; i++) {
        if (i) put(vm, out, ", ", d->plain);
        jj_repr(vm, out, d->entries[i].key);
        put(vm, out, ": ", d->plain);
        jj_repr(vm, out, d->entries[i].value);
    }
    put(vm, out, "}", d->plain);
}

static void repr_view(jj_vm *vm, jj_out *out, jj_value v) {
    const jj_dict *d = v.as.dict;
    put(vm, out, jj_type_name(v), d->plain);
    put(vm, out, "([", d->plain);
    for (size_t i = 0; i < d->n && !vm->rc; i++) {
        if (i) put(vm, out, ", ", d->plain);
        if (v.id == JJ_ITEMS) put(vm, out, "(", d->plain);
        if (v.id != JJ_VALUES) jj_repr(vm, out, d->entries[i].key);
        if (v.id == JJ_ITEMS) put(vm, out, ", ", d->plain);
        if (v.id != JJ_KEYS) jj_repr(vm, out, d->entries[i].value);
        if (v.id == JJ_ITEMS) put(vm, out, ")", d->plain);
    }
    put(vm, out, "])", d->plain);
}

static void repr_namespace(jj_vm *vm, jj_out *out, jj_namespace *ns) {
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

static void repr_nested(jj_vm *vm, jj_out *out, jj_value v) {
    if (!jj_enter(vm)) return;
    if (v.kind == JJ_DICT)
        repr_dict(vm, out, v.as.dict);
    else if (v.kind == JJ_VIEW)
        repr_view(vm, out, v);
    else if (v.kind == JJ_NAMESPACE)
        repr_namespace(vm, out, v.as.ns);
    else
        repr_list(vm, out, v);
    jj_leave(vm);
}

void jj_repr(jj_vm *vm, jj_out *out, jj_value v) {
    char text[96];
    int n = 0;
    if (!jj_step(vm, 1)) return;
    switch ((jj_kind)v.kind) {
    case JJ_UNDEFINED:
        put(vm, out, "Undefined", false);
        return;
    case JJ_NONE:
        put(vm, out, "None", v.plain);
        return;
    case JJ_BOOL:
        put(vm, out, v.as.b ? "True" : "False", v.plain);
        return;
    case JJ_INT:
        n = snprintf(text, sizeof text, "%" PRId64, v.as.i);
        break;
    case JJ_FLOAT:
        n = jj_float_repr(v.as.f, text);
        break;
    case JJ_BIG:
        jj_put_str(vm, out, v.as.s);
        return;
    case JJ_STR:
        if (v.as.s->markup) put(vm, out, "Markup(", false);
        jj_repr_str(vm, out, v.as.s);
        if (v.as.s->markup) put(vm, out, ")", false);
        return;
    case JJ_LIST:
    case JJ_TUPLE:
    case JJ_DICT:
    case JJ_VIEW:
    case JJ_NAMESPACE:
        repr_nested(vm, out, v);
        return;
    case JJ_RANGE:
        n = snprintf(text, sizeof text,
            v.as.range->step == 1 ? "range(%" PRId64 ", %" PRId64 ")"
                                  : "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")",
            v.as.range->start, v.as.range->stop, v.as.range->step);
        break;
    case JJ_MACRO:
        if (!v.as.macro->function->name) {
            put(vm, out, "<Macro anonymous>", false);
            return;
        }
        put(vm, out, "<Macro ", false);
        jj_repr_str(vm, out, v.as.macro->function->name);
        put(vm, out, ">", false);
        return;
    case JJ_LOOP:
        n = snprintf(text, sizeof text, "<LoopContext %" PRId64 "/%" PRId64 ">",
            v.as.loop->index0 + 1, jj_loop_length(vm, v.as.loop));
        break;
    case JJ_FUNCTION:
    case JJ_METHOD:
    case JJ_ITER:
    case JJ_CYCLER:
    case JJ_JOINER:
        /* Python shows an address here, so that no template can count on it. */
        n = snprintf(text, sizeof text, "<%s object>", jj_type_name(v));
        break;
    case JJ_ERROR:
    case JJ_MISSING:
        return;
    }
    jj_put(vm, out, text, (size_t)n, v.plain);
}

jj_value jj_str_of(jj_vm *vm, jj_value v) {
    jj_out out = {0};
    if (v.kind == JJ_STR && !v.as.s->markup) return v;
    if (v.kind == JJ_STR) {
        jj_str *s = jj_str_copy(vm, v.as.s);
        if (s) s->markup = false;
        return jj_of_str(s);
    }
    jj_put_value(vm, &out, v);
    return jj_out_str(vm, &out);
}

jj_value jj_soft_str(jj_vm *vm, jj_value v) {
    return v.kind == JJ_STR ? v : jj_str_of(vm, v);
}

jj_value jj_escape(jj_vm *vm, jj_value v) {
    if (v.kind == JJ_STR && v.as.s->markup) return v;
    v = jj_str_of(vm, v);
    JJ_TRY(v);
    const jj_str *s = v.as.s;
    jj_out out = {0};
    size_t run = 0;
    for (size_t i = 0; i < s->n && !vm->rc; i++) {
        const char *entity = s->ptr[i] == '&'    ? "&amp;"
                             : s->ptr[i] == '<'  ? "&lt;"
                             : s->ptr[i] == '>'  ? "&gt;"
                             : s->ptr[i] == '\'' ? "&#39;"
                             : s->ptr[i] == '"'  ? "&#34;"
                                                 : NULL;
        if (!entity) continue;
        jj_put_part(vm, &out, s, run, i);
        jj_put(vm, &out, entity, strlen(entity), jj_str_plain_at(s, i));
        run = i + 1;
    }
    jj_put_part(vm, &out, s, run, s->n);
    jj_value escaped = jj_out_str(vm, &out);
    if (!jj_is_error(escaped)) escaped.as.s->markup = true;
    return escaped;
}
