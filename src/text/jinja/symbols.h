/* symbols.h - the names of one scope and what they refer to (jinja2's Symbols). */
#ifndef TRI_TEXT_JINJA_SYMBOLS_H
#define TRI_TEXT_JINJA_SYMBOLS_H

#include "text/jinja/ast.h"

/* A variable is known by the nesting level of the scope that owns it and its name. */
typedef struct tri_jinja_variable {
    int32_t level;
    tri_jinja_str *name;
} tri_jinja_variable;

typedef enum tri_jinja_source {
    TRI_JINJA_FROM_PARAMETER,
    TRI_JINJA_FROM_CONTEXT,
    TRI_JINJA_FROM_OUTER,
    TRI_JINJA_FROM_NOTHING
} tri_jinja_source;

typedef struct tri_jinja_symbol_load {
    tri_jinja_str *name; /* of the variable, at the level of its scope */
    tri_jinja_source source;
    int32_t outer_level; /* FROM_OUTER: the variable of the same name there */
} tri_jinja_symbol_load;

typedef struct tri_jinja_names {
    tri_jinja_str **items;
    int32_t n, cap;
} tri_jinja_names;

typedef struct tri_jinja_frame_function { /* what becomes one activation */
    struct tri_jinja_frame_function *parent;
    tri_jinja_function *function;
    tri_jinja_variable *slots;
    int32_t n, cap;
} tri_jinja_frame_function;

typedef struct tri_jinja_symbols {
    struct tri_jinja_symbols *parent;
    tri_jinja_frame_function *owner;
    int32_t level;
    tri_jinja_names refs, stores;
    tri_jinja_symbol_load *loads;
    int32_t n_loads, cap_loads;
    tri_arena *arena;
    bool failed; /* out of memory */
} tri_jinja_symbols;

tri_jinja_symbols *tri_jinja_symbols_new(
    tri_arena *arena, tri_jinja_symbols *parent, tri_jinja_frame_function *owner);
tri_jinja_symbols *tri_jinja_symbols_copy(const tri_jinja_symbols *s);
/* The scope, from here outward, that has the name. */
tri_jinja_symbols *tri_jinja_symbols_find(tri_jinja_symbols *s, const tri_jinja_str *name);
void tri_jinja_symbols_load(tri_jinja_symbols *s, tri_jinja_str *name);
void tri_jinja_symbols_store(tri_jinja_symbols *s, tri_jinja_str *name);
void tri_jinja_symbols_parameter(tri_jinja_symbols *s, tri_jinja_str *name);
/* Takes in what the branches of an if did to their copies. */
void tri_jinja_symbols_merge(tri_jinja_symbols *s, tri_jinja_symbols *const *branches, int32_t n);

/* What the statements and expressions of a scope do to its symbols. */
void tri_jinja_track_block(tri_jinja_symbols *s, const tri_jinja_block *block);
void tri_jinja_track_expr(tri_jinja_symbols *s, const tri_jinja_node *node);
void tri_jinja_track_target(tri_jinja_symbols *s, const tri_jinja_node *target, bool parameter);

/* Does the block read one of the names before anything stores to it?  found[i] for names[i]. */
void tri_jinja_find_undeclared(
    const tri_jinja_block *block, const char *const *names, int32_t n, bool *found);

#endif
