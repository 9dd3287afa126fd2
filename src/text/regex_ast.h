/* regex_ast.h - a pattern as a tree, in the few kinds of node that an automaton needs.
 *
 * Look-around is made into assertions while the tree is built, from the inside out: of one code
 * point, into a set that the next (previous) one must be in; any other, into a numbered look whose
 * answer at every place of a text one pass over it gives.  Possessive repeats and atomic groups are
 * made into look-ahead.  Nodes are never changed once built, so that subtrees may be shared. */
#ifndef TRI_TEXT_REGEX_AST_H
#define TRI_TEXT_REGEX_AST_H

#include "base/buf.h"
#include "text/regex_class.h"

enum {
    TRI_REGEX_MAX_DEPTH = 250,   /* of nodes */
    TRI_REGEX_MAX_REPEAT = 4096, /* {n} */
    TRI_REGEX_MAX_SETS = 1024,
    TRI_REGEX_MAX_LOOKS = 6,
    TRI_REGEX_MAX_PATTERN_BYTES = 1 << 16
};

typedef enum tri_node_kind {
    TRI_NODE_EMPTY,
    TRI_NODE_SET,  /* one code point of the set */
    TRI_NODE_NEXT, /* the next code point is in the set, or none is left and set_edge */
    TRI_NODE_PREV, /* the same of the one before */
    TRI_NODE_LOOK, /* look number `set` holds here (or does not: negated) */
    TRI_NODE_CAT,
    TRI_NODE_ALT,
    TRI_NODE_REPEAT /* of a: min to max times, max < 0: without end */
} tri_node_kind;

typedef struct tri_node {
    tri_node_kind kind;
    int32_t set;   /* index into sets, or looks */
    bool negated;  /* LOOK */
    bool lazy;     /* REPEAT */
    bool nullable; /* may match nothing */
    bool sure;     /* matches at every place, if only nothing */
    bool single;   /* at most one way to match at a place, and no preference to lose */
    int32_t depth;
    int32_t min, max;
    struct tri_node *a, *b; /* CAT, ALT: both; REPEAT: a */
} tri_node;

typedef struct tri_pattern_set { /* what one step can ask about a code point */
    tri_code_set codes;
    bool edge; /* assertions: holds at the edge of the text as well */
} tri_pattern_set;

typedef struct tri_look {
    const tri_node *node;
    bool behind;
} tri_look;

typedef struct tri_ast {
    tri_arena *arena;
    tri_pattern_set sets[TRI_REGEX_MAX_SETS];
    int32_t n_sets;
    tri_look looks[TRI_REGEX_MAX_LOOKS]; /* inner before outer */
    int32_t n_looks;
    const tri_node *root;
    size_t at;         /* place in the pattern, for errors */
    tri_status status; /* the first failure of a tri_node_...; they return NULL then, and take it */
    tri_error *err;
} tri_ast;

tri_node *tri_node_empty(tri_ast *ast);
tri_node *tri_node_set(tri_ast *ast, const tri_code_set *codes); /* normalized */
tri_node *tri_node_assert(
    tri_ast *ast, tri_node_kind next_or_prev, const tri_code_set *codes, bool edge);
tri_node *tri_node_cat(tri_ast *ast, tri_node *a, tri_node *b);
tri_node *tri_node_alt(tri_ast *ast, tri_node *a, tri_node *b);
tri_node *tri_node_repeat(tri_ast *ast, tri_node *a, int32_t min, int32_t max, bool lazy);
tri_node *tri_node_look(tri_ast *ast, tri_node *body, bool behind, bool negated);
tri_node *tri_node_atomic(tri_ast *ast, tri_node *body);
tri_node *tri_node_word_boundary(tri_ast *ast, const tri_code_set *word, bool negated);

#endif
