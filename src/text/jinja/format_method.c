/* format_method.c - str.format. */
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/format.h"
#include "text/jinja/ops.h"
#include "text/jinja/strings.h"

enum { MAX_WIDTH = 1 << 20 };

typedef struct formatter {
    const jj_args *args;
    int64_t next; /* automatic number; -1: fields are numbered */
    bool markup;
} formatter;

/* ---- the part after ":" ---- */

typedef struct spec {
    jj_str fill; /* n 0: none */
    char align;
    jj_number_format number;
    bool zero;
    int64_t width;
} spec;

static bool read_number(jj_vm *vm, const jj_str *s, size_t *at, int64_t *n) {
    for (*n = 0; *at < s->n && s->ptr[*at] >= '0' && s->ptr[*at] <= '9'; ++*at) {
        *n = *n * 10 + (s->ptr[*at] - '0');
        if (*n > MAX_WIDTH) {
            jj_limit(vm, "a width or precision of more than %d", MAX_WIDTH);
            return false;
        }
    }
    return true;
}

static char char_of(const jj_str *s, size_t at) {
    return at < s->n ? s->ptr[at] : 0;
}

static bool is_align(char c) {
    return c && strchr("<>=^", c);
}

static bool read_spec(jj_vm *vm, jj_str *s, spec *out) {
    size_t at = 0;
    int64_t n;
    *out = (spec){.number.precision = -1};
    if (s->n) {
        uint32_t c;
        size_t first = jj_point(s->ptr, s->n, &c);
        if (is_align(char_of(s, first))) {
            out->fill =
                (jj_str){.ptr = s->ptr, .n = first, .n_spans = jj_str_plain_at(s, 0) ? -1 : 0};
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
            jj_fail(vm, "Format specifier missing precision");
            return false;
        }
        out->number.precision = (int)n;
    }
    if (at < s->n) out->number.type = s->ptr[at++];
    if (at < s->n || (out->number.type && !strchr("bcdeEfFgGnosxX%", out->number.type))) {
        jj_fail(vm, "Invalid format specifier");
        return false;
    }
    if (out->number.type == 'n') out->number.type = 0;
    return true;
}

static jj_value formatted_str(jj_vm *vm, jj_str *s, const spec *f) {
    if (f->number.type && f->number.type != 's') {
        return jj_fail(vm, "Unknown format code '%c' for object of type 'str'", f->number.type);
    }
    if (f->align == '=' || f->number.sign) {
        return jj_fail(vm, "'=' alignment or a sign is not allowed in string format specifier");
    }
    if (f->number.precision < 0) return jj_of_str(s);
    return jj_of_str(jj_sub(vm, s, 0, jj_str_offset(s, f->number.precision)));
}

static jj_value formatted_number(jj_vm *vm, jj_value v, const spec *f) {
    jj_out out = {0};
    char point[4];
    int64_t i;
    if (f->number.type == 'c' && jj_as_int(v, &i)) {
        if (i < 0 || i > 0x10FFFF) return jj_fail(vm, "%%c arg not in range(0x110000)");
        jj_put(vm, &out, point, jj_put_point((uint32_t)i, point), v.plain);
        return jj_out_str(vm, &out);
    }
    bool float_type = f->number.type && strchr("eEfFgG%", f->number.type);
    if (v.kind != JJ_FLOAT && f->number.precision >= 0 && !float_type) {
        return jj_fail(vm, "Precision not allowed in integer format specifier");
    }
    if (f->number.type == 's' || f->number.type == 'c' || !jj_put_number(vm, &out, v, &f->number)) {
        if (vm->rc) return jj_error();
        return jj_fail(vm, "Unknown format code '%c' for object of type '%s'", f->number.type,
            jj_type_name(v));
    }
    return jj_out_str(vm, &out);
}

static jj_value padded(jj_vm *vm, jj_str *s, const spec *f, bool number) {
    static const jj_str space = {.ptr = " ", .n = 1}, zero = {.ptr = "0", .n = 1};
    char align = f->align ? f->align : f->zero && number ? '=' : number ? '>' : '<';
    const jj_str *fill = f->fill.n ? &f->fill : f->zero ? &zero : &space;
    if (align == '<') return jj_pad(vm, s, f->width, fill, JJ_RIGHT);
    if (align == '>') return jj_pad(vm, s, f->width, fill, JJ_LEFT);
    int64_t missing = f->width - jj_str_count(s);
    if (missing <= 0) return jj_of_str(s);
    size_t sign = s->n && strchr("+- ", s->ptr[0]) != NULL;
    if (align == '=') {
        jj_out out = {0};
        jj_put_part(vm, &out, s, 0, sign);
        jj_str *rest = jj_sub(vm, s, sign, s->n);
        jj_value v = rest ? jj_pad(vm, rest, f->width - (int64_t)sign, fill, JJ_LEFT) : jj_error();
        JJ_TRY(v);
        jj_put_str(vm, &out, v.as.s);
        return jj_out_str(vm, &out);
    }
    jj_value v = jj_pad(vm, s, f->width - (missing + 1) / 2, fill, JJ_LEFT); /* ^ */
    JJ_TRY(v);
    return jj_pad(vm, v.as.s, f->width, fill, JJ_RIGHT);
}

static jj_value format_value(jj_vm *vm, jj_value v, jj_str *text) {
    spec f;
    if (!text->n) return jj_str_of(vm, v);
    if (!read_spec(vm, text, &f)) return jj_error();
    bool number = v.kind == JJ_INT || v.kind == JJ_BOOL || v.kind == JJ_FLOAT || v.kind == JJ_BIG;
    if (!number && v.kind != JJ_STR) {
        return jj_fail(vm, "unsupported format string passed to %s.__format__",
            v.kind == JJ_NONE ? "NoneType" : jj_type_name(v));
    }
    jj_value made = number ? formatted_number(vm, v, &f) : formatted_str(vm, v.as.s, &f);
    JJ_TRY(made);
    return padded(vm, made.as.s, &f, number);
}

/* ---- the part before it ---- */

/* whole: the field is the name alone.  Only then does string.Formatter number or look for digits.
 */
static jj_value first_field(jj_vm *vm, formatter *f, jj_str *name, bool whole) {
    int64_t index = 0;
    bool number = name->n < 10;
    for (size_t i = 0; i < name->n && number; i++) {
        number = name->ptr[i] >= '0' && name->ptr[i] <= '9';
        index = index * 10 + (name->ptr[i] - '0');
    }
    if (number && (name->n || whole)) {
        if (!name->n) {
            if (f->next < 0) {
                return jj_fail(vm,
                    "cannot switch from manual field specification to automatic field numbering");
            }
            index = f->next++;
        } else if (whole) {
            if (f->next > 0) {
                return jj_fail(vm,
                    "cannot switch from automatic field numbering to manual field specification");
            }
            f->next = -1;
        }
        if (index < f->args->n) return f->args->v[index];
        return jj_fail(
            vm, "Replacement index %" PRId64 " out of range for positional args tuple", index);
    }
    for (int32_t i = 0; i < f->args->n_named; i++) {
        if (jj_str_eq(f->args->names[i], name)) return f->args->named[i];
    }
    return jj_fail(vm, "'%.*s'", JJ_SHOWN(name));
}

static jj_value rest_of_field(jj_vm *vm, jj_str *field, size_t at, jj_value v) {
    while (at < field->n) {
        bool dot = field->ptr[at] == '.';
        size_t begin = ++at;
        while (at < field->n && (dot ? !strchr(".[", field->ptr[at]) : field->ptr[at] != ']'))
            at++;
        jj_str *part = jj_sub(vm, field, begin, at);
        if (!part) return jj_error();
        if (!part->n) return jj_fail(vm, "Empty attribute in format string");
        if (dot) {
            jj_attr known;
            bool any = jj_attr_find(&known, jj_view_of(part));
            v = jj_getattr(vm, v, part, any ? &known : NULL);
        } else {
            int64_t index;
            if (at++ >= field->n) return jj_fail(vm, "expected '}' before end of string");
            bool number = part->ptr[0] != '-' && part->ptr[0] != '+' &&
                          tri_str_to_i64(jj_view_of(part), &index);
            v = jj_getitem(vm, v, number ? jj_int(index) : jj_of_str(part));
        }
        JJ_TRY(v);
    }
    return v;
}

static jj_value field_value(jj_vm *vm, formatter *f, jj_str *field) {
    size_t end = 0;
    while (end < field->n && !strchr(".[", field->ptr[end]))
        end++;
    jj_str *name = jj_sub(vm, field, 0, end);
    if (!name) return jj_error();
    jj_value v = first_field(vm, f, name, end == field->n);
    JJ_TRY(v);
    return rest_of_field(vm, field, end, v);
}

static bool put_format(jj_vm *vm, jj_out *out, formatter *f, jj_str *format, int depth);

/* One {field!r:spec}, without its braces. */
static bool put_field(jj_vm *vm, jj_out *out, formatter *f, jj_str *s, int depth) {
    size_t end = 0, brackets = 0;
    for (; end < s->n; end++) {
        if (s->ptr[end] == '[')
            brackets++;
        else if (s->ptr[end] == ']' && brackets)
            brackets--;
        else if (!brackets && (s->ptr[end] == ':' || s->ptr[end] == '!'))
            break;
    }
    jj_str *field = jj_sub(vm, s, 0, end), *text = jj_sub(vm, s, 0, 0);
    if (!field || !text) return false;
    jj_value v = field_value(vm, f, field);
    if (jj_is_error(v)) return false;
    char how = 0;
    if (end < s->n && s->ptr[end] == '!') {
        how = char_of(s, end + 1);
        end += 2;
        if (!how || !strchr("rsa", how) || (end < s->n && s->ptr[end] != ':')) {
            jj_fail(vm, "expected ':' after conversion specifier");
            return false;
        }
    }
    if (end < s->n) {
        jj_out made = {0};
        jj_str *nested = jj_sub(vm, s, end + 1, s->n);
        if (!nested || !put_format(vm, &made, f, nested, depth + 1)) return false;
        jj_value made_text = jj_out_str(vm, &made);
        if (jj_is_error(made_text)) return false;
        text = made_text.as.s;
    }
    if (how == 's') v = jj_str_of(vm, v);
    if (how == 'r' || how == 'a') {
        jj_out made = {0};
        jj_repr(vm, &made, v);
        v = jj_out_str(vm, &made);
    }
    if (!jj_is_error(v)) v = format_value(vm, v, text);
    if (!jj_is_error(v) && f->markup && !depth) v = jj_escape(vm, v);
    if (jj_is_error(v)) return false;
    jj_put_str(vm, out, v.as.s);
    return jj_step(vm, 1);
}

static bool put_format(jj_vm *vm, jj_out *out, formatter *f, jj_str *s, int depth) {
    if (depth > 1) {
        jj_fail(vm, "Max string recursion exceeded");
        return false;
    }
    for (size_t at = 0; at < s->n && !vm->rc;) {
        size_t end = at;
        while (end < s->n && s->ptr[end] != '{' && s->ptr[end] != '}')
            end++;
        jj_put_part(vm, out, s, at, end);
        if (end >= s->n) break;
        if (char_of(s, end + 1) == s->ptr[end]) {
            jj_put_part(vm, out, s, end, end + 1);
            at = end + 2;
            continue;
        }
        if (s->ptr[end] == '}') {
            jj_fail(vm, "Single '}' encountered in format string");
            return false;
        }
        size_t close = end + 1, open = 1;
        for (; close < s->n; close++) {
            open += s->ptr[close] == '{';
            if (s->ptr[close] == '}' && --open == 0) break;
        }
        if (close >= s->n) {
            jj_fail(vm, end + 1 >= s->n ? "Single '{' encountered in format string"
                                        : "expected '}' before end of string");
            return false;
        }
        jj_str *field = jj_sub(vm, s, end + 1, close);
        if (!field || !put_field(vm, out, f, field, depth)) return false;
        at = close + 1;
    }
    return !vm->rc;
}

jj_value jj_format(jj_vm *vm, jj_str *format, const jj_args *args) {
    formatter f = {.args = args, .markup = format->markup};
    jj_out out = {0};
    return put_format(vm, &out, &f, format, 0) ? jj_out_str(vm, &out) : jj_error();
}
