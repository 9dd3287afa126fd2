/* format_method.c - str.format. */
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/format.h"
#include "text/jinja/ops.h"
#include "text/jinja/strings.h"
#include "text/utf8.h"

enum { MAX_WIDTH = 1 << 20 };

typedef struct formatter {
    const tri_jinja_args *args;
    int64_t next; /* automatic number; -1: fields are numbered */
    bool markup;
} formatter;

/* ---- the part after ":" ---- */

typedef struct spec {
    tri_jinja_str fill; /* n 0: none */
    char align;
    tri_jinja_number_format number;
    bool zero;
    int64_t width;
} spec;

static bool read_number(tri_jinja_vm *vm, const tri_jinja_str *s, size_t *at, int64_t *n) {
    for (*n = 0; *at < s->n && s->ptr[*at] >= '0' && s->ptr[*at] <= '9'; ++*at) {
        *n = *n * 10 + (s->ptr[*at] - '0');
        if (*n > MAX_WIDTH) {
            tri_jinja_limit(vm, "a width or precision of more than %d", MAX_WIDTH);
            return false;
        }
    }
    return true;
}

static char char_of(const tri_jinja_str *s, size_t at) {
    return at < s->n ? s->ptr[at] : 0;
}

static bool is_align(char c) {
    return c && strchr("<>=^", c);
}

static bool read_spec(tri_jinja_vm *vm, tri_jinja_str *s, spec *out) {
    size_t at = 0;
    int64_t n;
    *out = (spec){.number.precision = -1};
    if (s->n) {
        uint32_t c;
        size_t first = tri_utf8_point(s->ptr, s->n, &c);
        if (is_align(char_of(s, first))) {
            out->fill = (tri_jinja_str){
                .ptr = s->ptr, .n = first, .n_spans = tri_jinja_str_plain_at(s, 0) ? -1 : 0};
            out->align = s->ptr[first];
            at = first + 1;
        } else if (is_align(s->ptr[0])) {
            out->align = s->ptr[0];
            at = 1;
        }
    }
    if (char_of(s, at) && strchr("+- ", s->ptr[at])) out->number.sign = s->ptr[at++];
    if (char_of(s, at) == '#') {
        out->number.alternate = true;
        at++;
    }
    if (char_of(s, at) == '0') {
        out->zero = true;
        at++;
    }
    if (!read_number(vm, s, &at, &out->width)) return false;
    if (char_of(s, at) == ',' || char_of(s, at) == '_') out->number.group = s->ptr[at++];
    if (char_of(s, at) == '.') {
        size_t start = ++at;
        if (!read_number(vm, s, &at, &n)) return false;
        if (at == start) {
            tri_jinja_fail(vm, "Format specifier missing precision");
            return false;
        }
        out->number.precision = (int)n;
    }
    if (at < s->n) out->number.type = s->ptr[at++];
    if (at < s->n || (out->number.type && !strchr("bcdeEfFgGnosxX%", out->number.type))) {
        tri_jinja_fail(vm, "Invalid format specifier");
        return false;
    }
    if (out->number.type == 'n') out->number.type = 0;
    return true;
}

static tri_jinja_value formatted_str(tri_jinja_vm *vm, tri_jinja_str *s, const spec *f) {
    if (f->number.type && f->number.type != 's') {
        return tri_jinja_fail(
            vm, "Unknown format code '%c' for object of type 'str'", f->number.type);
    }
    if (f->align == '=' || f->number.sign) {
        return tri_jinja_fail(
            vm, "'=' alignment or a sign is not allowed in string format specifier");
    }
    if (f->number.precision < 0) return tri_jinja_of_str(s);
    return tri_jinja_of_str(tri_jinja_sub(vm, s, 0, tri_jinja_str_offset(s, f->number.precision)));
}

static tri_jinja_value formatted_number(tri_jinja_vm *vm, tri_jinja_value v, const spec *f) {
    tri_jinja_out out = {0};
    char point[4];
    int64_t i;
    if (f->number.type == 'c' && tri_jinja_as_int(v, &i)) {
        if (i < 0 || i > 0x10FFFF) return tri_jinja_fail(vm, "%%c arg not in range(0x110000)");
        tri_jinja_put(vm, &out, point, tri_jinja_put_code((uint32_t)i, point), v.plain);
        return tri_jinja_out_str(vm, &out);
    }
    bool float_type = f->number.type && strchr("eEfFgG%", f->number.type);
    if (v.kind != TRI_JINJA_FLOAT && f->number.precision >= 0 && !float_type) {
        return tri_jinja_fail(vm, "Precision not allowed in integer format specifier");
    }
    if (f->number.type == 's' || f->number.type == 'c' ||
        !tri_jinja_put_number(vm, &out, v, &f->number)) {
        if (vm->rc) return tri_jinja_error();
        return tri_jinja_fail(vm, "Unknown format code '%c' for object of type '%s'",
            f->number.type, tri_jinja_type_name(v));
    }
    return tri_jinja_out_str(vm, &out);
}

static tri_jinja_value padded(tri_jinja_vm *vm, tri_jinja_str *s, const spec *f, bool number) {
    static const tri_jinja_str space = {.ptr = " ", .n = 1}, zero = {.ptr = "0", .n = 1};
    char align = f->align ? f->align : f->zero && number ? '=' : number ? '>' : '<';
    const tri_jinja_str *fill = f->fill.n ? &f->fill : f->zero ? &zero : &space;
    if (align == '<') return tri_jinja_pad(vm, s, f->width, fill, TRI_JINJA_RIGHT);
    if (align == '>') return tri_jinja_pad(vm, s, f->width, fill, TRI_JINJA_LEFT);
    int64_t missing = f->width - tri_jinja_str_count(s);
    if (missing <= 0) return tri_jinja_of_str(s);
    size_t sign = s->n && strchr("+- ", s->ptr[0]) != NULL;
    if (align == '=') {
        tri_jinja_out out = {0};
        tri_jinja_put_part(vm, &out, s, 0, sign);
        tri_jinja_str *rest = tri_jinja_sub(vm, s, sign, s->n);
        tri_jinja_value v =
            rest ? tri_jinja_pad(vm, rest, f->width - (int64_t)sign, fill, TRI_JINJA_LEFT)
                 : tri_jinja_error();
        TRI_JINJA_TRY(v);
        tri_jinja_put_str(vm, &out, v.as.s);
        return tri_jinja_out_str(vm, &out);
    }
    tri_jinja_value v =
        tri_jinja_pad(vm, s, f->width - (missing + 1) / 2, fill, TRI_JINJA_LEFT); /* ^ */
    TRI_JINJA_TRY(v);
    return tri_jinja_pad(vm, v.as.s, f->width, fill, TRI_JINJA_RIGHT);
}

static tri_jinja_value format_value(tri_jinja_vm *vm, tri_jinja_value v, tri_jinja_str *text) {
    spec f;
    if (!text->n) return tri_jinja_str_of(vm, v);
    if (!read_spec(vm, text, &f)) return tri_jinja_error();
    bool number = v.kind == TRI_JINJA_INT || v.kind == TRI_JINJA_BOOL ||
                  v.kind == TRI_JINJA_FLOAT || v.kind == TRI_JINJA_BIG;
    if (!number && v.kind != TRI_JINJA_STR) {
        return tri_jinja_fail(vm, "unsupported format string passed to %s.__format__",
            v.kind == TRI_JINJA_NONE ? "NoneType" : tri_jinja_type_name(v));
    }
    tri_jinja_value made = number ? formatted_number(vm, v, &f) : formatted_str(vm, v.as.s, &f);
    TRI_JINJA_TRY(made);
    return padded(vm, made.as.s, &f, number);
}

/* ---- the part before it ---- */

/* whole: the field is the name alone.  Only then does string.Formatter number or look for digits.
 */
static tri_jinja_value first_field(
    tri_jinja_vm *vm, formatter *f, tri_jinja_str *name, bool whole) {
    int64_t index = 0;
    bool number = name->n < 10;
    for (size_t i = 0; i < name->n && number; i++) {
        number = name->ptr[i] >= '0' && name->ptr[i] <= '9';
        index = index * 10 + (name->ptr[i] - '0');
    }
    if (number && (name->n || whole)) {
        if (!name->n) {
            if (f->next < 0) {
                return tri_jinja_fail(vm,
                    "cannot switch from manual field specification to automatic field numbering");
            }
            index = f->next++;
        } else if (whole) {
            if (f->next > 0) {
                return tri_jinja_fail(vm,
                    "cannot switch from automatic field numbering to manual field specification");
            }
            f->next = -1;
        }
        if (index < f->args->n) return f->args->v[index];
        return tri_jinja_fail(
            vm, "Replacement index %" PRId64 " out of range for positional args tuple", index);
    }
    for (int32_t i = 0; i < f->args->n_named; i++) {
        if (tri_jinja_str_eq(f->args->names[i], name)) return f->args->named[i];
    }
    return tri_jinja_fail(vm, "'%.*s'", TRI_JINJA_SHOWN(name));
}

static tri_jinja_value rest_of_field(
    tri_jinja_vm *vm, tri_jinja_str *field, size_t at, tri_jinja_value v) {
    while (at < field->n) {
        bool dot = field->ptr[at] == '.';
        size_t begin = ++at;
        while (at < field->n && (dot ? !strchr(".[", field->ptr[at]) : field->ptr[at] != ']'))
            at++;
        tri_jinja_str *part = tri_jinja_sub(vm, field, begin, at);
        if (!part) return tri_jinja_error();
        if (!part->n) return tri_jinja_fail(vm, "Empty attribute in format string");
        if (dot) {
            tri_jinja_attr known;
            bool any = tri_jinja_attr_find(&known, tri_jinja_view_of(part));
            v = tri_jinja_getattr(vm, v, part, any ? &known : NULL);
        } else {
            int64_t index;
            if (at++ >= field->n) return tri_jinja_fail(vm, "expected '}' before end of string");
            bool number = part->ptr[0] != '-' && part->ptr[0] != '+' &&
                          tri_str_to_i64(tri_jinja_view_of(part), &index);
            v = tri_jinja_getitem(vm, v, number ? tri_jinja_int(index) : tri_jinja_of_str(part));
        }
        TRI_JINJA_TRY(v);
    }
    return v;
}

static tri_jinja_value field_value(tri_jinja_vm *vm, formatter *f, tri_jinja_str *field) {
    size_t end = 0;
    while (end < field->n && !strchr(".[", field->ptr[end]))
        end++;
    tri_jinja_str *name = tri_jinja_sub(vm, field, 0, end);
    if (!name) return tri_jinja_error();
    tri_jinja_value v = first_field(vm, f, name, end == field->n);
    TRI_JINJA_TRY(v);
    return rest_of_field(vm, field, end, v);
}

static bool put_format(
    tri_jinja_vm *vm, tri_jinja_out *out, formatter *f, tri_jinja_str *format, int depth);

/* One {field!r:spec}, without its braces. */
static bool put_field(
    tri_jinja_vm *vm, tri_jinja_out *out, formatter *f, tri_jinja_str *s, int depth) {
    size_t end = 0, brackets = 0;
    for (; end < s->n; end++) {
        if (s->ptr[end] == '[')
            brackets++;
        else if (s->ptr[end] == ']' && brackets)
            brackets--;
        else if (!brackets && (s->ptr[end] == ':' || s->ptr[end] == '!'))
            break;
    }
    tri_jinja_str *field = tri_jinja_sub(vm, s, 0, end), *text = tri_jinja_sub(vm, s, 0, 0);
    if (!field || !text) return false;
    tri_jinja_value v = field_value(vm, f, field);
    if (tri_jinja_is_error(v)) return false;
    char how = 0;
    if (end < s->n && s->ptr[end] == '!') {
        how = char_of(s, end + 1);
        end += 2;
        if (!how || !strchr("rsa", how) || (end < s->n && s->ptr[end] != ':')) {
            tri_jinja_fail(vm, "expected ':' after conversion specifier");
            return false;
        }
    }
    if (end < s->n) {
        tri_jinja_out made = {0};
        tri_jinja_str *nested = tri_jinja_sub(vm, s, end + 1, s->n);
        if (!nested || !put_format(vm, &made, f, nested, depth + 1)) return false;
        tri_jinja_value made_text = tri_jinja_out_str(vm, &made);
        if (tri_jinja_is_error(made_text)) return false;
        text = made_text.as.s;
    }
    if (how == 's') v = tri_jinja_str_of(vm, v);
    if (how == 'r' || how == 'a') {
        tri_jinja_out made = {0};
        tri_jinja_repr(vm, &made, v);
        v = tri_jinja_out_str(vm, &made);
    }
    if (!tri_jinja_is_error(v)) v = format_value(vm, v, text);
    if (!tri_jinja_is_error(v) && f->markup && !depth) v = tri_jinja_escape(vm, v);
    if (tri_jinja_is_error(v)) return false;
    tri_jinja_put_str(vm, out, v.as.s);
    return tri_jinja_step(vm, 1);
}

static bool put_format(
    tri_jinja_vm *vm, tri_jinja_out *out, formatter *f, tri_jinja_str *s, int depth) {
    if (depth > 1) {
        tri_jinja_fail(vm, "Max string recursion exceeded");
        return false;
    }
    for (size_t at = 0; at < s->n && !vm->rc;) {
        size_t end = at;
        while (end < s->n && s->ptr[end] != '{' && s->ptr[end] != '}')
            end++;
        tri_jinja_put_part(vm, out, s, at, end);
        if (end >= s->n) break;
        if (char_of(s, end + 1) == s->ptr[end]) {
            tri_jinja_put_part(vm, out, s, end, end + 1);
            at = end + 2;
            continue;
        }
        if (s->ptr[end] == '}') {
            tri_jinja_fail(vm, "Single '}' encountered in format string");
            return false;
        }
        size_t close = end + 1, open = 1;
        for (; close < s->n; close++) {
            open += s->ptr[close] == '{';
            if (s->ptr[close] == '}' && --open == 0) break;
        }
        if (close >= s->n) {
            tri_jinja_fail(vm, end + 1 >= s->n ? "Single '{' encountered in format string"
                                               : "expected '}' before end of string");
            return false;
        }
        tri_jinja_str *field = tri_jinja_sub(vm, s, end + 1, close);
        if (!field || !put_field(vm, out, f, field, depth)) return false;
        at = close + 1;
    }
    return !vm->rc;
}

tri_jinja_value tri_jinja_format(
    tri_jinja_vm *vm, tri_jinja_str *format, const tri_jinja_args *args) {
    formatter f = {.args = args, .markup = format->markup};
    tri_jinja_out out = {0};
    return put_format(vm, &out, &f, format, 0) ? tri_jinja_out_str(vm, &out) : tri_jinja_error();
}
