/* scope.h - gives each name of a parsed template the variable it means.
 *
 * jinja2 decides this before anything runs, from the order in which a scope reads and writes its
 * names; chat templates rely on it (what a loop sets is gone with the turn, a macro sees what its
 * own scope sees), so its rules (jinja2/idtracking.py, jinja2/compiler.py) are followed step by
 * step: symbols of a scope, with what to load into each when the scope is entered. */
#ifndef TRI_TEXT_JINJA_SCOPE_H
#define TRI_TEXT_JINJA_SCOPE_H

#include "text/jinja/ast.h"

/* Also reports what jinja2 finds when it compiles: unknown filters, break outside a loop. */
tri_status tri_jinja_resolve(
    tri_jinja_function *root, tri_str source, tri_arena *arena, tri_error *err);

#endif
