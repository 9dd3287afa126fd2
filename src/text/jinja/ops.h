/* ops.h - Python's operators over values. */
#ifndef TRI_TEXT_JINJA_OPS_H
#define TRI_TEXT_JINJA_OPS_H

#include "text/jinja/ast.h"
#include "text/jinja/vm.h"

const char *tri_jinja_type_name(tri_jinja_value v);
bool tri_jinja_truth(tri_jinja_vm *vm, tri_jinja_value v);
bool tri_jinja_equal(
    tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b); /* false when the machine fails */
/* a < b: 1, 0, -1: failed. */
int tri_jinja_less(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b);
tri_jinja_value tri_jinja_compare(
    tri_jinja_vm *vm, tri_jinja_op op, tri_jinja_value a, tri_jinja_value b);
tri_jinja_value tri_jinja_contains(
    tri_jinja_vm *vm, tri_jinja_value container, tri_jinja_value item);
tri_jinja_value tri_jinja_binary(
    tri_jinja_vm *vm, tri_jinja_op op, tri_jinja_value a, tri_jinja_value b);
tri_jinja_value tri_jinja_negate(tri_jinja_vm *vm, tri_jinja_value v);
tri_jinja_value tri_jinja_positive(tri_jinja_vm *vm, tri_jinja_value v);
tri_jinja_value tri_jinja_repeat(tri_jinja_vm *vm, tri_jinja_value sequence, int64_t times);

/* len(v); -1: the machine has failed.  has_length: whether it would not. */
int64_t tri_jinja_length(tri_jinja_vm *vm, tri_jinja_value v);
bool tri_jinja_has_length(tri_jinja_value v);

tri_jinja_value tri_jinja_str_of(
    tri_jinja_vm *vm, tri_jinja_value v); /* str(v): plain str, no Markup */
tri_jinja_value tri_jinja_soft_str(
    tri_jinja_vm *vm, tri_jinja_value v); /* str(v), Markup as it is */
void tri_jinja_repr(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v);
void tri_jinja_repr_str(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s);
/* As Python's repr writes a float; out holds 32. */
int tri_jinja_float_repr(double f, char out[32]);
tri_jinja_value tri_jinja_escape(tri_jinja_vm *vm, tri_jinja_value v); /* markupsafe.escape */

/* An int, or a bool as one; false for others. */
bool tri_jinja_as_int(tri_jinja_value v, int64_t *i);
bool tri_jinja_as_float(tri_jinja_value v, double *f); /* int, bool, float */

/* The string "%" values, str.format. */
tri_jinja_value tri_jinja_percent(tri_jinja_vm *vm, tri_jinja_str *format, tri_jinja_value values);

#endif
