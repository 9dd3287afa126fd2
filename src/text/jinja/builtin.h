/* builtin.h - filters, tests, global functions and methods, and how they take arguments. */
#ifndef TRI_TEXT_JINJA_BUILTIN_H
#define TRI_TEXT_JINJA_BUILTIN_H

#include "text/jinja/vm.h"

typedef struct jj_args { /* as given */
    int32_t n, n_named;
    jj_value *v, *named;
    jj_str *const *names;
} jj_args;

enum { JJ_MAX_PARAMS = 8 };

/* v: the arguments by parameter, MISSING where not given; of functions that take any, NULL. */
typedef jj_value (*jj_function_fn)(jj_vm *vm, jj_value *v, const jj_args *args);

typedef struct jj_builtin {
    const char *name;
    jj_function_fn fn;
    int8_t min, max;    /* arguments; max -1: any */
    const char *params; /* names, with a space between; "/": the one before it has none */
} jj_builtin;

const jj_builtin *jj_filter_find(tri_str name); /* NULL: none */
const jj_builtin *jj_test_find(tri_str name);
extern const jj_builtin jj_globals[];
int32_t jj_global_find(tri_str name); /* -1: none */
jj_value jj_global(int32_t index);

jj_value jj_builtin_call(jj_vm *vm, const jj_builtin *b, const jj_args *args);
/* Arguments to parameters; false when they do not fit. */
bool jj_bind(jj_vm *vm, const char *what, const char *params, int min, int max, const jj_args *args,
    jj_value *v);

/* Anything that can be called. */
jj_value jj_call_value(jj_vm *vm, jj_value callee, const jj_args *args);
bool jj_callable(jj_value v);

/* ---- arguments with a type ---- */

/* v, or the default when it was not given; fails when it is none. */
bool jj_int_arg(jj_vm *vm, jj_value v, int64_t fallback, int64_t *i);
jj_str *jj_str_arg(jj_vm *vm, jj_value v, const char *what); /* NULL: failed */
bool jj_truth_arg(jj_vm *vm, jj_value v, bool fallback);

#endif
