/* eval.h - runs a compiled template. */
#ifndef TRI_TEXT_JINJA_EVAL_H
#define TRI_TEXT_JINJA_EVAL_H

#include "text/jinja/ast.h"
#include "text/jinja/builtin.h"
#include "text/jinja/iter.h"
#include "text/jinja/vm.h"

typedef enum jj_flow { JJ_GO_ON, JJ_BROKE, JJ_CONTINUED, JJ_FAILED } jj_flow;

jj_value jj_eval(jj_vm *vm, const jj_node *node);
jj_value jj_eval_printed(jj_vm *vm, const jj_node *node); /* of {{ }} as a whole */
jj_flow jj_run_block(jj_vm *vm, const jj_block *block);
bool jj_enter_scope(jj_vm *vm, const jj_scope *scope); /* loads its variables */
jj_activation *jj_activate(jj_vm *vm, const jj_function *function, jj_activation *outer);
/* Stores into names, tuples of them and namespaces. */
bool jj_assign(jj_vm *vm, const jj_node *target, jj_value v);
jj_value jj_macro_call(jj_vm *vm, jj_macro *macro, const jj_args *args);
jj_value jj_loop_call(jj_vm *vm, jj_loop *loop, const jj_args *args);
jj_value jj_eval_call_block(jj_vm *vm, const jj_node *node); /* and {% generation %} */
/* below: what a filter block filtered, MISSING elsewhere. */
jj_value jj_eval_filter(jj_vm *vm, const jj_node *node, jj_value below);

#endif
