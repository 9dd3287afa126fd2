/* filters_value.c - filters of numbers and of any value; finding filters. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/filters.h"
#include "text/jinja/ops.h"
#include "text/jinja/tojson.h"
#include "text/jinja/unicode.h"
#include "text/utf8.h"

TRI_JINJA_FILTER(f_default) {
    TRI_JINJA_UNUSED;
    bool use = v[0].kind == TRI_JINJA_UNDEFINED ||
               (tri_jinja_truth_arg(vm, v[2], false) && !tri_jinja_truth(vm, v[0]));
    if (!use) return v[0];
    return tri_jinja_given(v[1]) ? v[1] : tri_jinja_text(vm, "");
}

TRI_JINJA_FILTER(f_attr) {
    TRI_JINJA_UNUSED;
    tri_jinja_attr known;
    tri_jinja_str *name = tri_jinja_str_arg(vm, v[1], "attribute name");
    if (!name) return tri_jinja_error();
    if (v[0].kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v[0]);
    bool any = tri_jinja_attr_find(&known, tri_jinja_view_of(name));
    if (v[0].kind != TRI_JINJA_DICT || (any && known.of[TRI_JINJA_DICT])) {
        return tri_jinja_getattr(vm, v[0], name, any ? &known : NULL);
    }
    return tri_jinja_undefined_of(vm, TRI_JINJA_LACK_ATTRIBUTE, v[0], v[1]);
}

TRI_JINJA_FILTER(f_abs) {
    TRI_JINJA_UNUSED;
    int64_t i;
    if (v[0].kind == TRI_JINJA_FLOAT) {
        v[0].as.f = fabs(v[0].as.f);
        return v[0];
    }
    if (v[0].kind == TRI_JINJA_BIG) {
        tri_jinja_str *digits = v[0].as.s;
        v[0].as.s = tri_jinja_sub(vm, digits, digits->ptr[0] == '-', digits->n);
        return v[0].as.s ? v[0] : tri_jinja_error();
    }
    if (!tri_jinja_as_int(v[0], &i)) {
        return tri_jinja_fail(vm, "bad operand type for abs(): '%s'", tri_jinja_type_name(v[0]));
    }
    return i < 0 ? tri_jinja_negate(vm, v[0]) : tri_jinja_positive(vm, v[0]);
}

/* ---- numbers from text ---- */

/* The characters of a number: no space around, no "_" between digits; false: none. */
static bool number_text(tri_jinja_str *s, char *out, size_t room) {
    size_t begin = 0, end = tri_jinja_rstrip(s->ptr, s->n), n = 0;
    uint32_t c;
    while (begin < end) {
        size_t len = tri_utf8_point(s->ptr + begin, end - begin, &c);
        if (!tri_jinja_is_space(c)) break;
        begin += len;
    }
    for (size_t i = begin; i < end; i++) {
        char here = s->ptr[i];
        if (here == '_') {
            bool between = i > begin && i + 1 < end && isalnum((unsigned char)s->ptr[i - 1]) &&
                           isalnum((unsigned char)s->ptr[i + 1]);
            if (!between) return false;
            continue;
        }
        if (n + 1 >= room) return false;
        out[n++] = here;
    }
    out[n] = 0;
    return n > 0;
}

/* int(text, base): 1, 0: not a number, -1: beyond 64 bits. */
static int parse_int(const char *p, int64_t base, int64_t *value) {
    bool minus = *p == '-';
    uint64_t u = 0;
    if (base != 0 && (base < 2 || base > 36)) return 0;
    if (*p == '-' || *p == '+') p++;
    if (p[0] == '0' && p[1]) {
        char mark = p[1] | 32;
        int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        if (marked && (base == marked || base == 0)) {
            base = marked;
            p += 2;
        } else if (base == 0) {
            for (const char *z = p; *z; z++) {
                if (*z != '0') return 0;
            }
        }
    }
    if (base == 0) base = 10;
    if (!*p) return 0;
    bool over = false;
    for (; *p; p++) {
        int digit = *p >= '0' && *p <= '9'                 ? *p - '0'
                    : (*p | 32) >= 'a' && (*p | 32) <= 'z' ? (*p | 32) - 'a' + 10
                                                           : 99;
        if (digit >= base) return 0;
        over |= __builtin_mul_overflow(u, (uint64_t)base, &u);
        over |= __builtin_add_overflow(u, (uint64_t)digit, &u);
    }
    if (over || u > (uint64_t)INT64_MAX) return -1;
    *value = minus ? -(int64_t)u : (int64_t)u;
    return 1;
}

static bool parse_float(tri_jinja_str *s, double *value) {
    char text[512];
    if (!number_text(s, text, sizeof text)) return false;
    for (const char *p = text; *p; p++) {
        if (*p == 'x' || *p == 'X' || *p == '(' || *p == 'p' || *p == 'P') return false;
    }
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end;
}

static tri_jinja_value truncated(
    tri_jinja_vm *vm, double f, tri_jinja_value fallback, bool forgive) {
    if (isnan(f)) return fallback;
    if (isinf(f)) {
        if (forgive) return fallback;
        return tri_jinja_fail(vm, "cannot convert float infinity to integer");
    }
    if (fabs(f) >= 9.2e18)
        return tri_jinja_limit(vm, "an integer beyond 64 bits, which are not computed with");
    return tri_jinja_int((int64_t)f);
}

TRI_JINJA_FILTER(f_int) {
    TRI_JINJA_UNUSED;
    tri_jinja_value fallback = tri_jinja_given(v[1]) ? v[1] : tri_jinja_int(0), result;
    int64_t base, i;
    double f;
    char text[512];
    if (!tri_jinja_int_arg(vm, v[2], 10, &base)) return tri_jinja_error();
    switch ((tri_jinja_kind)v[0].kind) {
    case TRI_JINJA_UNDEFINED:
        return tri_jinja_fail_undefined(vm, v[0]);
    case TRI_JINJA_BIG:
        return v[0];
    case TRI_JINJA_FLOAT:
        result = truncated(vm, v[0].as.f, fallback, false);
        break;
    case TRI_JINJA_STR: {
        int got = number_text(v[0].as.s, text, sizeof text) ? parse_int(text, base, &i) : 0;
        if (got < 0) {
            return tri_jinja_limit(vm, "an integer beyond 64 bits, which are not computed with");
        }
        if (got)
            result = tri_jinja_int(i);
        else if (parse_float(v[0].as.s, &f))
            result = truncated(vm, f, fallback, true);
        else
            return fallback;
        result.plain = tri_jinja_str_any_plain(v[0].as.s);
        return result;
    }
    default:
        if (!tri_jinja_as_int(v[0], &i)) return fallback;
        result = tri_jinja_int(i);
        break;
    }
    result.plain |= v[0].plain;
    return result;
}

TRI_JINJA_FILTER(f_float) {
    TRI_JINJA_UNUSED;
    tri_jinja_value fallback = tri_jinja_given(v[1]) ? v[1] : tri_jinja_float(0);
    double f;
    if (v[0].kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v[0]);
    if (v[0].kind == TRI_JINJA_STR ? !parse_float(v[0].as.s, &f) : !tri_jinja_as_float(v[0], &f))
        return fallback;
    tri_jinja_value result = tri_jinja_float(f);
    result.plain = v[0].kind == TRI_JINJA_STR ? tri_jinja_str_any_plain(v[0].as.s) : v[0].plain;
    return result;
}

/* round(f, digits): to even, as the decimal digits of f are. */
static tri_jinja_value round_float(tri_jinja_vm *vm, double f, int64_t digits) {
    char text[800];
    if (!isfinite(f) || digits > 320) return tri_jinja_float(f);
    if (digits < -310) return tri_jinja_float(copysign(0, f));
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, f);
        return tri_jinja_float(strtod(text, NULL));
    }
    double scale = pow(10, (double)-digits), scaled = rint(f / scale);
    double result = scaled * scale;
    return isfinite(result) ? tri_jinja_float(result)
                            : tri_jinja_fail(vm, "rounded value too large to represent");
}

static tri_jinja_value round_int(tri_jinja_vm *vm, int64_t i, int64_t digits) {
    int64_t scale = 1;
    if (digits >= 0) return tri_jinja_int(i);
    for (; digits < 0; digits++) {
        if (__builtin_mul_overflow(scale, 10, &scale)) return tri_jinja_int(0);
    }
    int64_t rest = i % scale;
    if (rest < 0) rest += scale;
    int64_t down;
    if (__builtin_sub_overflow(i, rest, &down))
        return tri_jinja_limit(vm, "an integer beyond 64 bits");
    bool up = rest > scale / 2 || (scale > 1 && rest == scale / 2 && (down / scale) % 2 != 0);
    if (up && __builtin_add_overflow(down, scale, &down)) {
        return tri_jinja_limit(vm, "an integer beyond 64 bits");
    }
    return tri_jinja_int(down);
}

TRI_JINJA_FILTER(f_round) {
    TRI_JINJA_UNUSED;
    bool ceiling = tri_jinja_given(v[2]) && tri_jinja_is_str(v[2], "ceil");
    bool floored = tri_jinja_given(v[2]) && tri_jinja_is_str(v[2], "floor");
    int64_t digits, i;
    double f;
    tri_jinja_value result;
    if (tri_jinja_given(v[2]) && !ceiling && !floored && !tri_jinja_is_str(v[2], "common")) {
        return tri_jinja_fail(vm, "method must be common, ceil or floor");
    }
    if (v[0].kind == TRI_JINJA_UNDEFINED && (ceiling || floored))
        return tri_jinja_fail_undefined(vm, v[0]);
    if (!tri_jinja_as_float(v[0], &f)) {
        return tri_jinja_fail(
            vm, "type %s doesn't define __round__ method", tri_jinja_type_name(v[0]));
    }
    bool common = !ceiling && !floored;
    if (v[0].kind == TRI_JINJA_BIG) {
        bool whole = common && (!tri_jinja_given(v[1]) || (tri_jinja_as_int(v[1], &i) && i >= 0));
        return whole
                   ? v[0]
                   : tri_jinja_limit(vm, "an integer beyond 64 bits, which are not computed with");
    }
    if (common && v[0].kind == TRI_JINJA_FLOAT && tri_jinja_given(v[1]) &&
        v[1].kind == TRI_JINJA_NONE) {
        return truncated(vm, rint(f), tri_jinja_none(), false);
    }
    if (!(common && tri_jinja_given(v[1]) && v[1].kind == TRI_JINJA_NONE) &&
        !tri_jinja_int_arg(vm, v[1], 0, &digits)) {
        return tri_jinja_error();
    }
    if (common && tri_jinja_given(v[1]) && v[1].kind == TRI_JINJA_NONE) digits = 0;
    if (common && tri_jinja_as_int(v[0], &i)) {
        result = round_int(vm, i, digits);
    } else if (common) {
        result = round_float(vm, f, digits);
    } else {
        double scale = pow(10, (double)digits), scaled = f * scale;
        if (!isfinite(scaled)) return tri_jinja_fail(vm, "cannot convert float to integer");
        result = tri_jinja_float((ceiling ? ceil(scaled) : floor(scaled)) / scale);
    }
    result.plain = v[0].plain;
    return result;
}

TRI_JINJA_FILTER(f_filesizeformat) {
    TRI_JINJA_UNUSED;
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const binary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    double f, base = tri_jinja_truth_arg(vm, v[1], false) ? 1024 : 1000;
    char text[400];
    bool parsed =
        v[0].kind == TRI_JINJA_STR ? parse_float(v[0].as.s, &f) : tri_jinja_as_float(v[0], &f);
    if (v[0].kind == TRI_JINJA_UNDEFINED) return tri_jinja_fail_undefined(vm, v[0]);
    if (!parsed) return tri_jinja_fail(vm, "could not convert to float");
    int n;
    if (f == 1) {
        n = snprintf(text, sizeof text, "1 Byte");
    } else if (f < base) {
        n = snprintf(text, sizeof text, "%.0f Bytes", trunc(f));
    } else {
        int i = 0;
        double unit = base * base;
        while (i < 7 && f >= unit) {
            unit *= base;
            i++;
        }
        n = snprintf(
            text, sizeof text, "%.1f %s", base * f / unit, (base > 1000 ? binary : decimal)[i]);
    }
    tri_jinja_out out = {0};
    tri_jinja_put(vm, &out, text, (size_t)n,
        v[0].plain || (v[0].kind == TRI_JINJA_STR && tri_jinja_str_any_plain(v[0].as.s)));
    return tri_jinja_out_str(vm, &out);
}

/* ---- JSON ---- */

static bool json_separators(tri_jinja_vm *vm, tri_jinja_value v, tri_jinja_json_options *o) {
    if (!tri_jinja_given(v) || v.kind == TRI_JINJA_NONE) return true;
    if ((v.kind != TRI_JINJA_LIST && v.kind != TRI_JINJA_TUPLE) || v.as.list->n != 2) {
        tri_jinja_fail(vm, "separators must be a pair of texts");
        return false;
    }
    o->item_separator = tri_jinja_str_arg(vm, v.as.list->items[0], "the item separator");
    o->key_separator = tri_jinja_str_arg(vm, v.as.list->items[1], "the key separator");
    return !vm->rc;
}

TRI_JINJA_FILTER(f_tojson) {
    TRI_JINJA_UNUSED;
    static const tri_jinja_str comma_space = {.ptr = ", ", .n = 2}, comma = {.ptr = ",", .n = 1},
                               colon = {.ptr = ": ", .n = 2};
    tri_jinja_json_options o = {.ascii = tri_jinja_truth_arg(vm, v[1], false),
        .sort_keys = tri_jinja_truth_arg(vm, v[4], false),
        .item_separator = &comma_space,
        .key_separator = &colon};
    int64_t width;
    if (tri_jinja_given(v[2]) && v[2].kind != TRI_JINJA_NONE) {
        tri_jinja_value indent = v[2];
        if (indent.kind != TRI_JINJA_STR) {
            if (!tri_jinja_int_arg(vm, indent, 0, &width)) return tri_jinja_error();
            indent = tri_jinja_repeat(vm, tri_jinja_text(vm, " "), width);
            TRI_JINJA_TRY(indent);
        }
        o.indent = indent.as.s;
        o.item_separator = &comma;
    }
    if (!json_separators(vm, v[3], &o)) return tri_jinja_error();
    return tri_jinja_to_json(vm, v[0], &o);
}

const tri_jinja_builtin tri_jinja_value_filters[] = {
    {"default", f_default, 1, 3, "value default_value boolean"},
    {"d", f_default, 1, 3, "value default_value boolean"},
    {"attr", f_attr, 2, 2, "obj name"},
    {"abs", f_abs, 1, 1, ""},
    {"int", f_int, 1, 3, "value default base"},
    {"float", f_float, 1, 2, "value default"},
    {"round", f_round, 1, 3, "value precision method"},
    {"filesizeformat", f_filesizeformat, 1, 2, "value binary"},
    {"tojson", f_tojson, 1, 5, "x ensure_ascii indent separators sort_keys"},
    {0},
};

const tri_jinja_builtin *tri_jinja_filter_find(tri_str name) {
    const tri_jinja_builtin *const tables[] = {
        tri_jinja_text_filters, tri_jinja_list_filters, tri_jinja_value_filters};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const tri_jinja_builtin *b = tables[t]; b->name; b++) {
            if (tri_str_is(name, b->name)) return b;
        }
    }
    return NULL;
}
