/* format.c - "%" formatting and str.format, as CPython's. */
#include "text/jinja/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/ops.h"
#include "text/jinja/strings.h"
#include "text/utf8.h"

enum { MAX_PRECISION = 400, MAX_WIDTH = 1 << 20 };

/* ---- numbers ---- */

static size_t digits_of(uint64_t u, unsigned base, bool upper, char out[72]) {
    static const char lower_digits[] = "0123456789abcdef", upper_digits[] = "0123456789ABCDEF";
    char back[72];
    size_t n = 0;
    do {
        back[n++] = (upper ? upper_digits : lower_digits)[u % base];
        u /= base;
    } while (u);
    for (size_t i = 0; i < n; i++)
        out[i] = back[n - 1 - i];
    return n;
}

static void put_grouped(tri_jinja_vm *vm, tri_jinja_out *out, const char *digits, size_t n,
    char group, size_t every, bool plain) {
    for (size_t i = 0; i < n; i++) {
        if (i && group && (n - i) % every == 0) tri_jinja_put(vm, out, &group, 1, plain);
        tri_jinja_put(vm, out, digits + i, 1, plain);
    }
}

static void put_sign(tri_jinja_vm *vm, tri_jinja_out *out, bool minus, char sign, bool plain) {
    if (minus)
        tri_jinja_put(vm, out, "-", 1, plain);
    else if (sign == '+' || sign == ' ')
        tri_jinja_put(vm, out, &sign, 1, plain);
}

static bool put_integer(
    tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v, const tri_jinja_number_format *f) {
    int64_t i = 0;
    char digits[72];
    tri_jinja_as_int(v, &i);
    unsigned base = f->type == 'x' || f->type == 'X' ? 16
                    : f->type == 'o'                 ? 8
                    : f->type == 'b'                 ? 2
                                                     : 10;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    size_t n = digits_of(u, base, f->type == 'X', digits);
    put_sign(vm, out, i < 0, f->sign, v.plain);
    if (f->alternate && base != 10) {
        char prefix[2] = {'0', f->type};
        tri_jinja_put(vm, out, prefix, 2, v.plain);
    }
    for (int k = (int)n; k < f->precision; k++)
        tri_jinja_put(vm, out, "0", 1, v.plain);
    put_grouped(vm, out, digits, n, f->group, base == 10 ? 3 : 4, v.plain);
    return true;
}

static bool put_float(
    tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v, const tri_jinja_number_format *f) {
    double value = 0;
    char text[800], spec[16];
    tri_jinja_as_float(v, &value);
    int precision = f->precision < 0 ? 6 : f->precision;
    if (precision > MAX_PRECISION) {
        tri_jinja_limit(vm, "a precision of %d digits is more than %d", precision, MAX_PRECISION);
        return false;
    }
    bool percent = f->type == '%';
    if (percent) value *= 100;
    bool minus = signbit(value) && !isnan(value);
    put_sign(vm, out, minus, f->sign, v.plain);
    value = fabs(value);
    int n;
    if (!isfinite(value)) {
        bool upper = f->type == 'E' || f->type == 'F' || f->type == 'G';
        n = snprintf(text, sizeof text, "%s",
            isnan(value) ? upper ? "NAN" : "nan"
            : upper      ? "INF"
                         : "inf");
    } else if (!f->type && f->precision < 0) {
        n = tri_jinja_float_repr(value, text);
    } else {
        char type = percent ? 'f' : f->type ? f->type : 'g';
        snprintf(spec, sizeof spec, "%%%s.*%c", f->alternate ? "#" : "", type);
        n = snprintf(text, sizeof text, spec, precision, value); /* type is one of eEfFgG */
        if (!f->type && !strpbrk(text, ".en")) n += snprintf(text + n, 4, ".0");
    }
    size_t whole = 0;
    while (text[whole] >= '0' && text[whole] <= '9')
        whole++;
    put_grouped(vm, out, text, whole, f->group, 3, v.plain);
    tri_jinja_put(vm, out, text + whole, (size_t)n - whole, v.plain);
    if (percent) tri_jinja_put(vm, out, "%", 1, v.plain);
    return true;
}

bool tri_jinja_put_number(
    tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v, const tri_jinja_number_format *f) {
    bool integral = v.kind == TRI_JINJA_INT || v.kind == TRI_JINJA_BOOL;
    if (v.kind == TRI_JINJA_BIG) {
        if (f->type && f->type != 'd') return false;
        tri_jinja_put_str(vm, out, v.as.s);
        return true;
    }
    if (f->type && strchr("dxXob", f->type)) return integral && put_integer(vm, out, v, f);
    if (!f->type && integral) return put_integer(vm, out, v, f);
    return put_float(vm, out, v, f);
}

/* ---- a % b ---- */

typedef struct conversion {
    bool left, zero, alternate;
    char sign;
    int64_t width;
    int precision;
    char type;
} conversion;

typedef struct percent {
    tri_jinja_str *format;
    size_t at;
    tri_jinja_value values;
    size_t next; /* of a tuple */
} percent;

static bool next_value(tri_jinja_vm *vm, percent *p, tri_jinja_value *v) {
    size_t n = p->values.kind == TRI_JINJA_TUPLE ? p->values.as.list->n : 1;
    if (p->next >= n) {
        tri_jinja_fail(vm, "not enough arguments for format string");
        return false;
    }
    *v = p->values.kind == TRI_JINJA_TUPLE ? p->values.as.list->items[p->next] : p->values;
    p->next++;
    return true;
}

static char format_char(const percent *p) {
    return p->at < p->format->n ? p->format->ptr[p->at] : 0;
}

static bool read_star(tri_jinja_vm *vm, percent *p, int64_t *n) {
    tri_jinja_value v;
    if (format_char(p) == '*') {
        p->at++;
        if (!next_value(vm, p, &v)) return false;
        if (!tri_jinja_as_int(v, n)) {
            tri_jinja_fail(vm, "* wants int");
            return false;
        }
    } else {
        for (*n = 0; format_char(p) >= '0' && format_char(p) <= '9' && *n < INT32_MAX; p->at++) {
            *n = *n * 10 + (format_char(p) - '0');
        }
    }
    if (*n > MAX_WIDTH || *n < -MAX_WIDTH) {
        tri_jinja_limit(vm, "a width of %" PRId64 " is more than %d", *n, MAX_WIDTH);
        return false;
    }
    return true;
}

static bool read_conversion(tri_jinja_vm *vm, percent *p, conversion *c) {
    int64_t n;
    *c = (conversion){.precision = -1};
    for (char f; (f = format_char(p)) && strchr("-+ #0", f); p->at++) {
        c->left |= f == '-';
        c->zero |= f == '0';
        c->alternate |= f == '#';
        if (f == '+' || (f == ' ' && !c->sign)) c->sign = f;
    }
    if (!read_star(vm, p, &c->width)) return false;
    if (c->width < 0) {
        c->left = true;
        c->width = -c->width;
    }
    if (format_char(p) == '.') {
        p->at++;
        if (!read_star(vm, p, &n)) return false;
        c->precision = n < 0 ? 0 : (int)n;
    }
    while (format_char(p) && strchr("hlL", format_char(p)))
        p->at++;
    c->type = format_char(p);
    if (!c->type) {
        tri_jinja_fail(vm, "incomplete format");
        return false;
    }
    p->at++;
    return true;
}

static tri_jinja_value converted_number(tri_jinja_vm *vm, const conversion *c, tri_jinja_value v) {
    tri_jinja_number_format f = {
        .type = c->type, .sign = c->sign, .alternate = c->alternate, .precision = c->precision};
    tri_jinja_out out = {0};
    bool integer = strchr("diu", c->type) != NULL;
    if (integer) f.type = 'd';
    if (integer && v.kind == TRI_JINJA_FLOAT) {
        if (!(fabs(v.as.f) < 9.2e18)) return tri_jinja_fail(vm, "cannot convert float to integer");
        bool plain = v.plain;
        v = tri_jinja_int((int64_t)v.as.f);
        v.plain = plain;
    }
    double unused;
    if (!tri_jinja_as_float(v, &unused)) {
        if (v.kind == TRI_JINJA_UNDEFINED && !integer) return tri_jinja_fail_undefined(vm, v);
        return tri_jinja_fail(
            vm, "%%%c format: a real number is required, not %s", c->type, tri_jinja_type_name(v));
    }
    if (!tri_jinja_put_number(vm, &out, v, &f) && !vm->rc) {
        return tri_jinja_fail(
            vm, "%%%c format: an integer is required, not %s", c->type, tri_jinja_type_name(v));
    }
    return tri_jinja_out_str(vm, &out);
}

static tri_jinja_value converted(
    tri_jinja_vm *vm, percent *p, const conversion *c, tri_jinja_value v) {
    tri_jinja_out out = {0};
    char point[4];
    int64_t i;
    tri_jinja_value text;
    switch (c->type) {
    case 's':
        text = p->format->markup ? tri_jinja_escape(vm, v) : tri_jinja_str_of(vm, v);
        break;
    case 'r':
    case 'a':
        tri_jinja_repr(vm, &out, v);
        text = tri_jinja_out_str(vm, &out);
        if (!tri_jinja_is_error(text) && p->format->markup) text = tri_jinja_escape(vm, text);
        break;
    case 'c':
        if (v.kind == TRI_JINJA_STR && tri_jinja_str_count(v.as.s) == 1) return v;
        if (!tri_jinja_as_int(v, &i)) return tri_jinja_fail(vm, "%%c requires int or char");
        if (i < 0 || i > 0x10FFFF) return tri_jinja_fail(vm, "%%c arg not in range(0x110000)");
        tri_jinja_put(vm, &out, point, tri_jinja_put_code((uint32_t)i, point), v.plain);
        return tri_jinja_out_str(vm, &out);
    default:
        if (!strchr("diuoxXeEfFgG", c->type)) {
            return tri_jinja_fail(vm, "unsupported format character '%c' (0x%x) at index %zu",
                c->type, (unsigned)(uint8_t)c->type, p->at - 1);
        }
        return converted_number(vm, c, v);
    }
    TRI_JINJA_TRY(text);
    if (c->precision < 0) return text;
    return tri_jinja_of_str(
        tri_jinja_sub(vm, text.as.s, 0, tri_jinja_str_offset(text.as.s, c->precision)));
}

static bool put_conversion(
    tri_jinja_vm *vm, tri_jinja_out *out, percent *p, const conversion *c, tri_jinja_value v) {
    static const tri_jinja_str space = {.ptr = " ", .n = 1}, zero = {.ptr = "0", .n = 1};
    v = converted(vm, p, c, v);
    if (tri_jinja_is_error(v)) return false;
    tri_jinja_str *s = v.as.s;
    if (c->zero && !c->left && !strchr("srac", c->type)) {
        size_t sign = s->n && strchr("+- ", s->ptr[0]) != NULL;
        if (s->n > sign + 1 && s->ptr[sign] == '0' && strchr("xXob", s->ptr[sign + 1])) sign += 2;
        tri_jinja_put_part(vm, out, s, 0, sign);
        tri_jinja_str *rest = tri_jinja_sub(vm, s, sign, s->n);
        if (!rest) return false;
        v = tri_jinja_pad(vm, rest, c->width - (int64_t)sign, &zero, TRI_JINJA_LEFT);
    } else {
        v = tri_jinja_pad(vm, s, c->width, &space, c->left ? TRI_JINJA_RIGHT : TRI_JINJA_LEFT);
    }
    if (tri_jinja_is_error(v)) return false;
    tri_jinja_put_str(vm, out, v.as.s);
    return true;
}

static bool mapping_key(tri_jinja_vm *vm, percent *p, tri_jinja_value *v) {
    size_t begin = ++p->at, depth = 1;
    for (; p->at < p->format->n; p->at++) {
        depth += format_char(p) == '(';
        if (format_char(p) == ')' && --depth == 0) break;
    }
    if (p->at >= p->format->n) {
        tri_jinja_fail(vm, "incomplete format key");
        return false;
    }
    tri_jinja_str *key = tri_jinja_sub(vm, p->format, begin, p->at++);
    if (!key) return false;
    if (p->values.kind != TRI_JINJA_DICT) {
        tri_jinja_fail(vm, "format requires a mapping");
        return false;
    }
    const tri_jinja_entry *e = tri_jinja_dict_str(p->values.as.dict, key, tri_jinja_str_hash(key));
    if (!e) {
        tri_jinja_fail(vm, "'%.*s'", TRI_JINJA_SHOWN(key));
        return false;
    }
    *v = e->value;
    return true;
}

tri_jinja_value tri_jinja_percent(tri_jinja_vm *vm, tri_jinja_str *format, tri_jinja_value values) {
    percent p = {.format = format, .values = values};
    tri_jinja_out out = {0};
    bool mapped = false;
    while (p.at < format->n && !vm->rc) {
        const char *hit = memchr(format->ptr + p.at, '%', format->n - p.at);
        size_t end = hit ? (size_t)(hit - format->ptr) : format->n;
        tri_jinja_put_part(vm, &out, format, p.at, end);
        p.at = end + 1;
        if (!hit) break;
        if (format_char(&p) == '%') {
            tri_jinja_put_part(vm, &out, format, p.at, p.at + 1);
            p.at++;
            continue;
        }
        conversion c;
        tri_jinja_value v = tri_jinja_missing();
        if (format_char(&p) == '(') {
            if (!mapping_key(vm, &p, &v)) return tri_jinja_error();
            mapped = true;
        }
        if (!read_conversion(vm, &p, &c)) return tri_jinja_error();
        if (c.type == '%') {
            tri_jinja_put_c(vm, &out, "%");
            continue;
        }
        if (!tri_jinja_given(v) && !next_value(vm, &p, &v)) return tri_jinja_error();
        if (!put_conversion(vm, &out, &p, &c, v) || !tri_jinja_step(vm, 1))
            return tri_jinja_error();
    }
    bool takes_any = values.kind == TRI_JINJA_DICT || values.kind == TRI_JINJA_LIST ||
                     values.kind == TRI_JINJA_RANGE || values.kind == TRI_JINJA_UNDEFINED || mapped;
    size_t given = values.kind == TRI_JINJA_TUPLE ? values.as.list->n : 1;
    if (!takes_any && p.next < given) {
        return tri_jinja_fail(vm, "not all arguments converted during string formatting");
    }
    tri_jinja_value text = tri_jinja_out_str(vm, &out);
    if (!tri_jinja_is_error(text)) text.as.s->markup = format->markup;
    return text;
}
