/* builtin.h - filters, tests, global functions and methods, and how they take arguments. */
#ifndef TRI_TEXT_JINJA_BUILTIN_H
#define TRI_TEXT_JINJA_BUILTIN_H

#include "text/jinja/vm.h"

typedef struct tri_jinja_args { /* as given */
    int32_t n, n_named;
    tri_jinja_value *v, *named;
    tri_jinja_str *const *names;
} tri_jinja_args;

enum { TRI_JINJA_MAX_PARAMS = 8 };

/* v: the arguments by parameter, MISSING where not given; of functions that take any, NULL. */
typedef tri_jinja_value (*tri_jinja_function_fn)(
    tri_jinja_vm *vm, tri_jinja_value *v, const tri_jinja_args *args);

typedef struct tri_jinja_builtin {
    const char *name;
    tri_jinja_function_fn fn;
    int8_t min, max;    /* arguments; max -1: any */
    const char *params; /* names, with a space between; "/": the one before it has none */
} tri_jinja_builtin;

const tri_jinja_builtin *tri_jinja_filter_find(tri_str name); /* NULL: none */
const tri_jinja_builtin *tri_jinja_test_find(tri_str name);
extern const tri_jinja_builtin tri_jinja_globals[];
int32_t tri_jinja_global_find(tri_str name); /* -1: none */
tri_jinja_value tri_jinja_global(int32_t index);

tri_jinja_value tri_jinja_builtin_call(
    tri_jinja_vm *vm, const tri_jinja_builtin *b, const tri_jinja_args *args);
/* Arguments to parameters; false when they do not fit. */
bool tri_jinja_bind(tri_jinja_vm *vm, const char *what, const char *params, int min, int max,
    const tri_jinja_args *args, tri_jinja_value *v);

/* Anything that can be called. */
tri_jinja_value tri_jinja_call_value(
    tri_jinja_vm *vm, tri_jinja_value callee, const tri_jinja_args *args);
bool tri_jinja_callable(tri_jinja_value v);

/* ---- arguments with a type ---- */

/* v, or the default when it was not given; fails when it is none. */
bool tri_jinja_int_arg(tri_jinja_vm *vm, tri_jinja_value v, int64_t fallback, int64_t *i);
tri_jinja_str *tri_jinja_str_arg(
    tri_jinja_vm *vm, tri_jinja_value v, const char *what); /* NULL: failed */
bool tri_jinja_truth_arg(tri_jinja_vm *vm, tri_jinja_value v, bool fallback);

#endif
