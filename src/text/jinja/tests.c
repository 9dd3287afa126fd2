/* tests.c - what follows "is". */
#include <math.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

#define TEST(name)                                                                                 \
    static tri_jinja_value name(tri_jinja_vm *vm, tri_jinja_value *v, const tri_jinja_args *args)
#define UNUSED ((void)vm, (void)v, (void)args)

static tri_jinja_value remainder_is(
    tri_jinja_vm *vm, tri_jinja_value v, tri_jinja_value by, int64_t wanted) {
    tri_jinja_value rest = tri_jinja_binary(vm, TRI_JINJA_MOD, v, by);
    TRI_JINJA_TRY(rest);
    bool equal = tri_jinja_equal(vm, rest, tri_jinja_int(wanted));
    return vm->rc ? tri_jinja_error() : tri_jinja_bool(equal);
}

TEST(t_odd) {
    UNUSED;
    return remainder_is(vm, v[0], tri_jinja_int(2), 1);
}
TEST(t_even) {
    UNUSED;
    return remainder_is(vm, v[0], tri_jinja_int(2), 0);
}
TEST(t_divisibleby) {
    UNUSED;
    return remainder_is(vm, v[0], v[1], 0);
}
TEST(t_defined) {
    UNUSED;
    return tri_jinja_bool(v[0].kind != TRI_JINJA_UNDEFINED);
}
TEST(t_undefined) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_UNDEFINED);
}
TEST(t_none) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_NONE);
}
TEST(t_boolean) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_BOOL);
}
TEST(t_false) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_BOOL && !v[0].as.b);
}
TEST(t_true) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_BOOL && v[0].as.b);
}
TEST(t_integer) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_INT || v[0].kind == TRI_JINJA_BIG);
}
TEST(t_float) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_FLOAT);
}
TEST(t_number) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_INT || v[0].kind == TRI_JINJA_BIG ||
                          v[0].kind == TRI_JINJA_FLOAT || v[0].kind == TRI_JINJA_BOOL);
}
TEST(t_string) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_STR);
}
TEST(t_mapping) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_DICT);
}
TEST(t_sequence) {
    UNUSED;
    /* What has a length and __getitem__; an undefined value passes, too. */
    return tri_jinja_bool(v[0].kind == TRI_JINJA_STR || v[0].kind == TRI_JINJA_LIST ||
                          v[0].kind == TRI_JINJA_TUPLE || v[0].kind == TRI_JINJA_DICT ||
                          v[0].kind == TRI_JINJA_RANGE || v[0].kind == TRI_JINJA_UNDEFINED);
}
TEST(t_iterable) {
    UNUSED;
    return tri_jinja_bool(tri_jinja_iterable(v[0]));
}
TEST(t_callable) {
    UNUSED;
    return tri_jinja_bool(tri_jinja_callable(v[0]));
}
TEST(t_escaped) {
    UNUSED;
    return tri_jinja_bool(v[0].kind == TRI_JINJA_STR && v[0].as.s->markup);
}

static tri_jinja_value by_method(tri_jinja_vm *vm, tri_jinja_value v, const char *name) {
    tri_jinja_attr attr;
    tri_jinja_value text = tri_jinja_str_of(vm, v);
    TRI_JINJA_TRY(text);
    tri_jinja_attr_find(&attr, tri_str_of(name));
    return tri_jinja_method_call(vm, attr.of[TRI_JINJA_STR], text, &(tri_jinja_args){0});
}

TEST(t_lower) {
    UNUSED;
    return by_method(vm, v[0], "islower");
}
TEST(t_upper) {
    UNUSED;
    return by_method(vm, v[0], "isupper");
}

static tri_jinja_value known_name(tri_jinja_vm *vm, tri_jinja_value v, bool filter) {
    uint32_t hash;
    if (v.kind == TRI_JINJA_STR) {
        tri_str name = tri_jinja_view_of(v.as.s);
        return tri_jinja_bool(
            (filter ? tri_jinja_filter_find(name) : tri_jinja_test_find(name)) != NULL);
    }
    if (!tri_jinja_hash(vm, v, &hash))
        return tri_jinja_fail(vm, "unhashable type: '%s'", tri_jinja_type_name(v));
    return tri_jinja_bool(false);
}

TEST(t_filter) {
    UNUSED;
    return known_name(vm, v[0], true);
}
TEST(t_test) {
    UNUSED;
    return known_name(vm, v[0], false);
}

TEST(t_sameas) {
    UNUSED;
    if (v[0].kind != v[1].kind) return tri_jinja_bool(false);
    switch ((tri_jinja_kind)v[0].kind) {
    case TRI_JINJA_NONE:
        return tri_jinja_bool(true);
    case TRI_JINJA_BOOL:
    case TRI_JINJA_INT:
    case TRI_JINJA_FLOAT:
    case TRI_JINJA_STR:
    case TRI_JINJA_BIG:
        return tri_jinja_bool(tri_jinja_equal(vm, v[0], v[1]));
    default:
        return tri_jinja_bool(v[0].as.p == v[1].as.p);
    }
}

#define COMPARES(name, op)                                                                         \
    TEST(name) {                                                                                   \
        UNUSED;                                                                                    \
        return tri_jinja_compare(vm, op, v[0], v[1]);                                              \
    }
COMPARES(t_in, TRI_JINJA_IN)
COMPARES(t_eq, TRI_JINJA_EQ)
COMPARES(t_ne, TRI_JINJA_NE)
COMPARES(t_gt, TRI_JINJA_GT)
COMPARES(t_ge, TRI_JINJA_GE)
COMPARES(t_lt, TRI_JINJA_LT)
COMPARES(t_le, TRI_JINJA_LE)

static const tri_jinja_builtin tests[] = {
    {"odd", t_odd, 1, 1, "value"},
    {"even", t_even, 1, 1, "value"},
    {"divisibleby", t_divisibleby, 2, 2, "value num"},
    {"defined", t_defined, 1, 1, "value"},
    {"undefined", t_undefined, 1, 1, "value"},
    {"filter", t_filter, 1, 1, "value"},
    {"test", t_test, 1, 1, "value"},
    {"none", t_none, 1, 1, "value"},
    {"boolean", t_boolean, 1, 1, "value"},
    {"false", t_false, 1, 1, "value"},
    {"true", t_true, 1, 1, "value"},
    {"integer", t_integer, 1, 1, "value"},
    {"float", t_float, 1, 1, "value"},
    {"lower", t_lower, 1, 1, "value"},
    {"upper", t_upper, 1, 1, "value"},
    {"string", t_string, 1, 1, "value"},
    {"mapping", t_mapping, 1, 1, "value"},
    {"number", t_number, 1, 1, "value"},
    {"sequence", t_sequence, 1, 1, "value"},
    {"iterable", t_iterable, 1, 1, "value"},
    {"callable", t_callable, 1, 1, ""},
    {"sameas", t_sameas, 2, 2, "value other"},
    {"escaped", t_escaped, 1, 1, "value"},
    {"in", t_in, 2, 2, "value seq"},
    {"==", t_eq, 2, 2, ""},
    {"eq", t_eq, 2, 2, ""},
    {"equalto", t_eq, 2, 2, ""},
    {"!=", t_ne, 2, 2, ""},
    {"ne", t_ne, 2, 2, ""},
    {">", t_gt, 2, 2, ""},
    {"gt", t_gt, 2, 2, ""},
    {"greaterthan", t_gt, 2, 2, ""},
    {"ge", t_ge, 2, 2, ""},
    {">=", t_ge, 2, 2, ""},
    {"<", t_lt, 2, 2, ""},
    {"lt", t_lt, 2, 2, ""},
    {"lessthan", t_lt, 2, 2, ""},
    {"<=", t_le, 2, 2, ""},
    {"le", t_le, 2, 2, ""},
};

const tri_jinja_builtin *tri_jinja_test_find(tri_str name) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (tri_str_is(name, tests[i].name)) return &tests[i];
    }
    return NULL;
}
