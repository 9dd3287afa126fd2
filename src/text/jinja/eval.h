/* eval.h - runs a compiled template. */
#ifndef TRI_TEXT_JINJA_EVAL_H
#define TRI_TEXT_JINJA_EVAL_H

#include "text/jinja/ast.h"
#include "text/jinja/builtin.h"
#include "text/jinja/iter.h"
#include "text/jinja/vm.h"

typedef enum tri_jinja_flow {
    TRI_JINJA_GO_ON,
    TRI_JINJA_BROKE,
    TRI_JINJA_CONTINUED,
    TRI_JINJA_FAILED
} tri_jinja_flow;

tri_jinja_value tri_jinja_eval(tri_jinja_vm *vm, const tri_jinja_node *node);
tri_jinja_value tri_jinja_eval_printed(
    tri_jinja_vm *vm, const tri_jinja_node *node); /* of {{ }} as a whole */
tri_jinja_flow tri_jinja_run_block(tri_jinja_vm *vm, const tri_jinja_block *block);
bool tri_jinja_enter_scope(
    tri_jinja_vm *vm, const tri_jinja_scope *scope); /* loads its variables */
tri_jinja_activation *tri_jinja_activate(
    tri_jinja_vm *vm, const tri_jinja_function *function, tri_jinja_activation *outer);
/* Stores into names, tuples of them and namespaces. */
bool tri_jinja_assign(tri_jinja_vm *vm, const tri_jinja_node *target, tri_jinja_value v);
tri_jinja_value tri_jinja_macro_call(
    tri_jinja_vm *vm, tri_jinja_macro *macro, const tri_jinja_args *args);
tri_jinja_value tri_jinja_loop_call(
    tri_jinja_vm *vm, tri_jinja_loop *loop, const tri_jinja_args *args);
tri_jinja_value tri_jinja_eval_call_block(
    tri_jinja_vm *vm, const tri_jinja_node *node); /* and {% generation %} */
/* below: what a filter block filtered, MISSING elsewhere. */
tri_jinja_value tri_jinja_eval_filter(
    tri_jinja_vm *vm, const tri_jinja_node *node, tri_jinja_value below);

#endif
