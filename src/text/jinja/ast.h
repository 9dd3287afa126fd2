/* ast.h - a parsed template.
 *
 * One node type for expressions and statements; which fields a kind uses is listed beside it.
 * Nodes live in the template's arena and do not change once scope.c has given the names their
 * slots. */
#ifndef TRI_TEXT_JINJA_AST_H
#define TRI_TEXT_JINJA_AST_H

#include "text/jinja/value.h"

typedef enum tri_jinja_op { /* of BINARY and COMPARE */
    TRI_JINJA_ADD,
    TRI_JINJA_SUB,
    TRI_JINJA_MUL,
    TRI_JINJA_DIV,
    TRI_JINJA_FLOORDIV,
    TRI_JINJA_MOD,
    TRI_JINJA_POW,
    TRI_JINJA_EQ,
    TRI_JINJA_NE,
    TRI_JINJA_LT,
    TRI_JINJA_LE,
    TRI_JINJA_GT,
    TRI_JINJA_GE,
    TRI_JINJA_IN,
    TRI_JINJA_NOT_IN
} tri_jinja_op;

typedef enum tri_jinja_node_kind {
    /* expressions */
    TRI_JINJA_N_CONST,   /* value */
    TRI_JINJA_N_NAME,    /* name, hops, slot */
    TRI_JINJA_N_NSREF,   /* name, attr, hops, slot: a.b as the target of set */
    TRI_JINJA_N_TUPLE,   /* list */
    TRI_JINJA_N_LISTEX,  /* list */
    TRI_JINJA_N_DICTEX,  /* list: key, value, ... */
    TRI_JINJA_N_COND,    /* a if b else c (may be NULL) */
    TRI_JINJA_N_AND,     /* a, b */
    TRI_JINJA_N_OR,      /* a, b */
    TRI_JINJA_N_NOT,     /* a */
    TRI_JINJA_N_NEG,     /* a */
    TRI_JINJA_N_POS,     /* a */
    TRI_JINJA_N_BINARY,  /* op, a, b */
    TRI_JINJA_N_COMPARE, /* a, list with ops in their op */
    TRI_JINJA_N_OPERAND, /* op, a: inside COMPARE */
    TRI_JINJA_N_CONCAT,  /* list */
    TRI_JINJA_N_GETATTR, /* a, attr, attr_id */
    TRI_JINJA_N_GETITEM, /* a, b */
    TRI_JINJA_N_SLICE,   /* a[b:c:d], each of b, c, d may be NULL */
    TRI_JINJA_N_CALL,    /* a, call */
    TRI_JINJA_N_FILTER,  /* a (NULL: the body of a block), builtin or name, call */
    TRI_JINJA_N_TEST,    /* a, builtin or name, call */
    /* statements */
    TRI_JINJA_N_TEXT,         /* value */
    TRI_JINJA_N_OUTPUT,       /* list */
    TRI_JINJA_N_IF,           /* a, body, list of ELIF, other */
    TRI_JINJA_N_FOR,          /* a target, b iterable, c test, body, other, flag: recursive */
    TRI_JINJA_N_MACRO,        /* name, function, hops, slot */
    TRI_JINJA_N_CALL_BLOCK,   /* function, a: the call */
    TRI_JINJA_N_GENERATION,   /* function */
    TRI_JINJA_N_SET,          /* a target, b value */
    TRI_JINJA_N_SET_BLOCK,    /* a target, b filter or NULL, body */
    TRI_JINJA_N_FILTER_BLOCK, /* a filter, body */
    TRI_JINJA_N_WITH,         /* list: target, value, ...; body */
    TRI_JINJA_N_SCOPE,        /* body */
    TRI_JINJA_N_BREAK,
    TRI_JINJA_N_CONTINUE,
    TRI_JINJA_N_RAISE /* value: the message of what cannot be done when it is reached */
} tri_jinja_node_kind;

typedef struct tri_jinja_block { /* statements */
    int32_t n;
    struct tri_jinja_node **items;
} tri_jinja_block;

typedef struct tri_jinja_call { /* arguments as written */
    int32_t n, n_named;
    struct tri_jinja_node **args, **named;
    tri_jinja_str **names;
    struct tri_jinja_node *star, *star_star;
} tri_jinja_call;

typedef enum tri_jinja_load_kind {
    TRI_JINJA_LOAD_CONTEXT,
    TRI_JINJA_LOAD_ALIAS,
    TRI_JINJA_LOAD_NOTHING
} tri_jinja_load_kind;

typedef struct tri_jinja_load { /* a variable's value when its scope is entered */
    uint8_t kind;
    int32_t slot;
    int32_t hops, from;  /* ALIAS */
    tri_jinja_str *name; /* CONTEXT */
    int32_t global;      /* CONTEXT: the function of that name, or -1 */
} tri_jinja_load;

typedef struct tri_jinja_scope {
    int32_t n_loads, n_clear;
    tri_jinja_load *loads;
    int32_t *clear; /* slots that hold nothing once it is left */
} tri_jinja_scope;

typedef struct tri_jinja_function { /* of macros, call blocks, loop filters, recursive loops, the
                                     * template
                                     */
    tri_jinja_str *name;            /* NULL: of a call block */
    int32_t n_slots;
    int32_t n_params, n_defaults;
    struct tri_jinja_node **params; /* NAME, stored to */
    struct tri_jinja_node **defaults;
    int32_t caller_slot, kwargs_slot, varargs_slot; /* -1: not used */
    bool explicit_caller;                           /* caller is one of the params */
    tri_jinja_scope scope;
    tri_jinja_block body;
} tri_jinja_function;

typedef struct tri_jinja_node {
    uint8_t kind, op;
    bool flag;
    uint16_t height; /* of the expression below */
    bool constant;   /* of an expression: nothing in it hangs on the inputs */
    bool slices;     /* a slice is in it */
    uint32_t at;     /* byte of the source */
    struct tri_jinja_node *a, *b, *c, *d;
    int32_t n; /* of list */
    struct tri_jinja_node **list;
    tri_jinja_value value;
    tri_jinja_str *name, *attr;
    int32_t hops, slot;
    const struct tri_jinja_builtin *builtin;
    const struct tri_jinja_attr *known; /* what Python types have of this name, or NULL */
    tri_jinja_call call;
    tri_jinja_block body, other;
    tri_jinja_scope scope, other_scope;
    tri_jinja_function *function;
    tri_jinja_function *test; /* FOR: its filter */
    int32_t loop_slot;        /* FOR: -1 when the body does not name loop */
} tri_jinja_node;

#endif
