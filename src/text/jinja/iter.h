/* iter.h - going through values: Python's iterators and generators, and the loop variable.
 *
 * Generators are lazy as Python's are: what fails fails when it is reached. */
#ifndef TRI_TEXT_JINJA_ITER_H
#define TRI_TEXT_JINJA_ITER_H

#include "text/jinja/ast.h"
#include "text/jinja/builtin.h"
#include "text/jinja/vm.h"

typedef enum jj_iter_kind {
    JJ_I_EMPTY,
    JJ_I_LIST,
    JJ_I_LIST_BACK,
    JJ_I_STR,
    JJ_I_DICT, /* id of source: which view */
    JJ_I_DICT_BACK,
    JJ_I_RANGE,
    JJ_I_RANGE_BACK,
    JJ_I_MAP,
    JJ_I_SELECT,
    JJ_I_UNIQUE,
    JJ_I_BATCH,
    JJ_I_SLICE,
    JJ_I_ITEMS,
    JJ_I_TEST /* a loop's "if" */
} jj_iter_kind;

typedef struct jj_iter {
    uint8_t kind;
    bool started, done;
    jj_value source;
    int64_t i, n;
    struct jj_iter *inner;
    /* of filters */
    const jj_builtin *fn;
    jj_str *fn_name;    /* set where fn is NULL: nothing has that name */
    jj_args args;       /* v[0] is the item's place */
    jj_value attribute; /* MISSING: the item itself */
    jj_value fallback;  /* instead of undefined, MISSING: none */
    const char *wrong;  /* what fails at the first item */
    jj_dict *seen;      /* UNIQUE */
    bool reject, ignore_case;
    jj_value extra[2]; /* BATCH, SLICE: count, fill */
    /* TEST */
    const jj_node *node;
    jj_activation *variables;
} jj_iter;

jj_iter *jj_iterate(jj_vm *vm, jj_value v); /* NULL: it cannot be, the machine has failed */
bool jj_iterable(jj_value v);
int jj_next(jj_vm *vm, jj_iter *it, jj_value *v); /* 1: *v is set, 0: at the end, -1: failed */
jj_iter *jj_iter_new(jj_vm *vm, jj_iter_kind kind, jj_value source);
jj_value jj_of_iter(jj_iter *it);
jj_iter *jj_reversed(jj_vm *vm, jj_value v);       /* NULL without failure: it cannot be */
jj_value jj_collect(jj_vm *vm, jj_value iterable); /* list(iterable) */

/* a.b.0 of an item, as the attribute arguments of filters go. */
jj_value jj_attribute_of(jj_vm *vm, jj_value item, jj_value attribute, jj_value fallback);

typedef struct jj_loop {
    jj_iter *iter;
    jj_value iterable;
    int64_t index0, length; /* length -1: not known yet */
    int64_t depth0;
    jj_value before, current, after; /* after: looked at already; MISSING else */
    bool has_after, ended;
    jj_value changed;    /* the last arguments of changed(), MISSING */
    const jj_node *node; /* of a recursive loop */
    jj_activation *outer;
} jj_loop;

int64_t jj_loop_length(jj_vm *vm, jj_loop *loop); /* -1: failed */
int jj_loop_next(jj_vm *vm, jj_loop *loop, jj_value *v);
jj_value jj_loop_attr(jj_vm *vm, jj_loop *loop, const jj_str *name); /* MISSING: has none */

#endif
