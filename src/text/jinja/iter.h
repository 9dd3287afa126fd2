/* iter.h - going through values: Python's iterators and generators, and the loop variable.
 *
 * Generators are lazy as Python's are: what fails fails when it is reached. */
#ifndef TRI_TEXT_JINJA_ITER_H
#define TRI_TEXT_JINJA_ITER_H

#include "text/jinja/ast.h"
#include "text/jinja/builtin.h"
#include "text/jinja/vm.h"

typedef enum tri_jinja_iter_kind {
    TRI_JINJA_I_EMPTY,
    TRI_JINJA_I_LIST,
    TRI_JINJA_I_LIST_BACK,
    TRI_JINJA_I_STR,
    TRI_JINJA_I_DICT, /* id of source: which view */
    TRI_JINJA_I_DICT_BACK,
    TRI_JINJA_I_RANGE,
    TRI_JINJA_I_RANGE_BACK,
    TRI_JINJA_I_MAP,
    TRI_JINJA_I_SELECT,
    TRI_JINJA_I_UNIQUE,
    TRI_JINJA_I_BATCH,
    TRI_JINJA_I_SLICE,
    TRI_JINJA_I_ITEMS,
    TRI_JINJA_I_TEST /* a loop's "if" */
} tri_jinja_iter_kind;

typedef struct tri_jinja_iter {
    uint8_t kind;
    bool started, done;
    tri_jinja_value source;
    int64_t i, n;
    struct tri_jinja_iter *inner;
    /* of filters */
    const tri_jinja_builtin *fn;
    tri_jinja_str *fn_name;    /* set where fn is NULL: nothing has that name */
    tri_jinja_args args;       /* v[0] is the item's place */
    tri_jinja_value attribute; /* MISSING: the item itself */
    tri_jinja_value fallback;  /* instead of undefined, MISSING: none */
    const char *wrong;         /* what fails at the first item */
    tri_jinja_dict *seen;      /* UNIQUE */
    bool reject, ignore_case;
    tri_jinja_value extra[2]; /* BATCH, SLICE: count, fill */
    /* TEST */
    const tri_jinja_node *node;
    tri_jinja_activation *variables;
} tri_jinja_iter;

tri_jinja_iter *tri_jinja_iterate(
    tri_jinja_vm *vm, tri_jinja_value v); /* NULL: it cannot be, the machine has failed */
bool tri_jinja_iterable(tri_jinja_value v);
int tri_jinja_next(tri_jinja_vm *vm, tri_jinja_iter *it,
    tri_jinja_value *v); /* 1: *v is set, 0: at the end, -1: failed */
tri_jinja_iter *tri_jinja_iter_new(
    tri_jinja_vm *vm, tri_jinja_iter_kind kind, tri_jinja_value source);
tri_jinja_value tri_jinja_of_iter(tri_jinja_iter *it);
tri_jinja_iter *tri_jinja_reversed(
    tri_jinja_vm *vm, tri_jinja_value v); /* NULL without failure: it cannot be */
tri_jinja_value tri_jinja_collect(tri_jinja_vm *vm, tri_jinja_value iterable); /* list(iterable) */

/* a.b.0 of an item, as the attribute arguments of filters go. */
tri_jinja_value tri_jinja_attribute_of(
    tri_jinja_vm *vm, tri_jinja_value item, tri_jinja_value attribute, tri_jinja_value fallback);

typedef struct tri_jinja_loop {
    tri_jinja_iter *iter;
    tri_jinja_value iterable;
    int64_t index0, length; /* length -1: not known yet */
    int64_t depth0;
    tri_jinja_value before, current, after; /* after: looked at already; MISSING else */
    bool has_after, ended;
    tri_jinja_value changed;    /* the last arguments of changed(), MISSING */
    const tri_jinja_node *node; /* of a recursive loop */
    tri_jinja_activation *outer;
} tri_jinja_loop;

int64_t tri_jinja_loop_length(tri_jinja_vm *vm, tri_jinja_loop *loop); /* -1: failed */
int tri_jinja_loop_next(tri_jinja_vm *vm, tri_jinja_loop *loop, tri_jinja_value *v);
tri_jinja_value tri_jinja_loop_attr(
    tri_jinja_vm *vm, tri_jinja_loop *loop, const tri_jinja_str *name); /* MISSING: has none */

#endif
