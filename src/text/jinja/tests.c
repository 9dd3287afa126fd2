/* tests.c - what follows "is". */
#include <math.h>
#include <string.h>

#include "text/jinja/attr.h"
#include "text/jinja/iter.h"
#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

#define TEST(name) static jj_value name(jj_vm *vm, jj_value *v, const jj_args *args)
#define UNUSED ((void)vm, (void)v, (void)args)

static jj_value remainder_is(jj_vm *vm, jj_value v, jj_value by, int64_t wanted) {
    jj_value rest = jj_binary(vm, JJ_MOD, v, by);
    JJ_TRY(rest);
    bool equal = jj_equal(vm, rest, jj_int(wanted));
    return vm->rc ? jj_error() : jj_bool(equal);
}

TEST(t_odd) {
    UNUSED;
    return remainder_is(vm, v[0], jj_int(2), 1);
}
TEST(t_even) {
    UNUSED;
    return remainder_is(vm, v[0], jj_int(2), 0);
}
TEST(t_divisibleby) {
    UNUSED;
    return remainder_is(vm, v[0], v[1], 0);
}
TEST(t_defined) {
    UNUSED;
    return jj_bool(v[0].kind != JJ_UNDEFINED);
}
TEST(t_undefined) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_UNDEFINED);
}
TEST(t_none) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_NONE);
}
TEST(t_boolean) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_BOOL);
}
TEST(t_false) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_BOOL && !v[0].as.b);
}
TEST(t_true) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_BOOL && v[0].as.b);
}
TEST(t_integer) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_INT || v[0].kind == JJ_BIG);
}
TEST(t_float) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_FLOAT);
}
TEST(t_number) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_INT || v[0].kind == JJ_BIG || v[0].kind == JJ_FLOAT ||
                   v[0].kind == JJ_BOOL);
}
TEST(t_string) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_STR);
}
TEST(t_mapping) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_DICT);
}
TEST(t_sequence) {
    UNUSED;
    /* What has a length and __getitem__; an undefined value passes, too. */
    return jj_bool(v[0].kind == JJ_STR || v[0].kind == JJ_LIST || v[0].kind == JJ_TUPLE ||
                   v[0].kind == JJ_DICT || v[0].kind == JJ_RANGE || v[0].kind == JJ_UNDEFINED);
}
TEST(t_iterable) {
    UNUSED;
    return jj_bool(jj_iterable(v[0]));
}
TEST(t_callable) {
    UNUSED;
    return jj_bool(jj_callable(v[0]));
}
TEST(t_escaped) {
    UNUSED;
    return jj_bool(v[0].kind == JJ_STR && v[0].as.s->markup);
}

static jj_value by_method(jj_vm *vm, jj_value v, const char *name) {
    jj_attr attr;
    jj_value text = jj_str_of(vm, v);
    JJ_TRY(text);
    jj_attr_find(&attr, tri_str_of(name));
    return jj_method_call(vm, attr.of[JJ_STR], text, &(jj_args){0});
}

TEST(t_lower) {
    UNUSED;
    return by_method(vm, v[0], "islower");
}
TEST(t_upper) {
    UNUSED;
    return by_method(vm, v[0], "isupper");
}

static jj_value known_name(jj_vm *vm, jj_value v, bool filter) {
    uint32_t hash;
    if (v.kind == JJ_STR) {
        tri_str name = jj_view_of(v.as.s);
        return jj_bool((filter ? jj_filter_find(name) : jj_test_find(name)) != NULL);
    }
    if (!jj_hash(vm, v, &hash)) return jj_fail(vm, "unhashable type: '%s'", jj_type_name(v));
    return jj_bool(false);
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
    if (v[0].kind != v[1].kind) return jj_bool(false);
    switch ((jj_kind)v[0].kind) {
    case JJ_NONE:
        return jj_bool(true);
    case JJ_BOOL:
    case JJ_INT:
    case JJ_FLOAT:
    case JJ_STR:
    case JJ_BIG:
        return jj_bool(jj_equal(vm, v[0], v[1]));
    default:
        return jj_bool(v[0].as.p == v[1].as.p);
    }
}

#define COMPARES(name, op)                                                                         \
    TEST(name) {                                                                                   \
        UNUSED;                                                                                    \
        return jj_compare(vm, op, v[0], v[1]);                                                     \
    }
COMPARES(t_in, JJ_IN)
COMPARES(t_eq, JJ_EQ)
COMPARES(t_ne, JJ_NE)
COMPARES(t_gt, JJ_GT)
COMPARES(t_ge, JJ_GE)
COMPARES(t_lt, JJ_LT)
COMPARES(t_le, JJ_LE)

static const jj_builtin tests[] = {
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

const jj_builtin *jj_test_find(tri_str name) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (tri_str_is(name, tests[i].name)) return &tests[i];
    }
    return NULL;
}
