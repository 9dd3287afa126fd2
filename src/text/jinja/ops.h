/* ops.h - Python's operators over values. */
#ifndef TRI_TEXT_JINJA_OPS_H
#define TRI_TEXT_JINJA_OPS_H

#include "text/jinja/ast.h"
#include "text/jinja/vm.h"

const char *jj_type_name(jj_value v);
bool jj_truth(jj_vm *vm, jj_value v);
bool jj_equal(jj_vm *vm, jj_value a, jj_value b); /* false when the machine fails */
/* a < b: 1, 0, -1: failed. */
int jj_less(jj_vm *vm, jj_value a, jj_value b);
jj_value jj_compare(jj_vm *vm, jj_op op, jj_value a, jj_value b);
jj_value jj_contains(jj_vm *vm, jj_value container, jj_value item);
jj_value jj_binary(jj_vm *vm, jj_op op, jj_value a, jj_value b);
jj_value jj_negate(jj_vm *vm, jj_value v);
jj_value jj_positive(jj_vm *vm, jj_value v);
jj_value jj_repeat(jj_vm *vm, jj_value sequence, int64_t times);

/* len(v); -1: the machine has failed.  has_length: whether it would not. */
int64_t jj_length(jj_vm *vm, jj_value v);
bool jj_has_length(jj_value v);

jj_value jj_str_of(jj_vm *vm, jj_value v);   /* str(v): plain str, no Markup */
jj_value jj_soft_str(jj_vm *vm, jj_value v); /* str(v), Markup as it is */
void jj_repr(jj_vm *vm, jj_out *out, jj_value v);
void jj_repr_str(jj_vm *vm, jj_out *out, const jj_str *s);
/* As Python's repr writes a float; out holds 32. */
int jj_float_repr(double f, char out[32]);
jj_value jj_escape(jj_vm *vm, jj_value v); /* markupsafe.escape */

/* An int, or a bool as one; false for others. */
bool jj_as_int(jj_value v, int64_t *i);
bool jj_as_float(jj_value v, double *f); /* int, bool, float */

/* The string "%" values, str.format. */
jj_value jj_percent(jj_vm *vm, jj_str *format, jj_value values);

#endif
