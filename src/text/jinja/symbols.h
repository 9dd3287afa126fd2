/* symbols.h - the names of one scope and what they refer to (jinja2's Symbols). */
#ifndef TRI_TEXT_JINJA_SYMBOLS_H
#define TRI_TEXT_JINJA_SYMBOLS_H

#include "text/jinja/ast.h"

/* A variable is known by the nesting level of the scope that owns it and its name. */
typedef struct jj_variable {
    int32_t level;
    jj_str *name;
} jj_variable;

typedef enum jj_source {
    JJ_FROM_PARAMETER,
    JJ_FROM_CONTEXT,
    JJ_FROM_OUTER,
    JJ_FROM_NOTHING
} jj_source;

typedef struct jj_symbol_load {
    jj_str *name; /* of the variable, at the level of its scope */
    jj_source source;
    int32_t outer_level; /* FROM_OUTER: the variable of the same name there */
} jj_symbol_load;

typedef struct jj_names {
    jj_str **items;
    int32_t n, cap;
} jj_names;

typedef struct jj_frame_function { /* what becomes one activation */
    struct jj_frame_function *parent;
    jj_function *function;
    jj_variable *slots;
    int32_t n, cap;
} jj_frame_function;

typedef struct jj_symbols {
    struct jj_symbols *parent;
    jj_frame_function *owner;
    int32_t level;
    jj_names refs, stores;
    jj_symbol_load *loads;
    int32_t n_loads, cap_loads;
    tri_arena *arena;
    bool failed; /* out of memory */
} jj_symbols;

jj_symbols *jj_symbols_new(tri_arena *arena, jj_symbols *parent, jj_frame_function *owner);
jj_symbols *jj_symbols_copy(const jj_symbols *s);
/* The scope, from here outward, that has the name. */
jj_symbols *jj_symbols_find(jj_symbols *s, const jj_str *name);
void jj_symbols_load(jj_symbols *s, jj_str *name);
void jj_symbols_store(jj_symbols *s, jj_str *name);
void jj_symbols_parameter(jj_symbols *s, jj_str *name);
/* Takes in what the branches of an if did to their copies. */
void jj_symbols_merge(jj_symbols *s, jj_symbols *const *branches, int32_t n);

/* What the statements and expressions of a scope do to its symbols. */
void jj_track_block(jj_symbols *s, const jj_block *block);
void jj_track_expr(jj_symbols *s, const jj_node *node);
void jj_track_target(jj_symbols *s, const jj_node *target, bool parameter);

/* Does the block read one of the names before anything stores to it?  found[i] for names[i]. */
void jj_find_undeclared(const jj_block *block, const char *const *names, int32_t n, bool *found);

#endif
