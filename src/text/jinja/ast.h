/* ast.h - a parsed template.
 *
 * One node type for expressions and statements; which fields a kind uses is listed beside it.
 * Nodes live in the template's arena and do not change once scope.c has given the names their
 * slots. */
#ifndef TRI_TEXT_JINJA_AST_H
#define TRI_TEXT_JINJA_AST_H

#include "text/jinja/value.h"

typedef enum jj_op { /* of BINARY and COMPARE */
    JJ_ADD,
    JJ_SUB,
    JJ_MUL,
    JJ_DIV,
    JJ_FLOORDIV,
    JJ_MOD,
    JJ_POW,
    JJ_EQ,
    JJ_NE,
    JJ_LT,
    JJ_LE,
    JJ_GT,
    JJ_GE,
    JJ_IN,
    JJ_NOT_IN
} jj_op;

typedef enum jj_node_kind {
    /* expressions */
    JJ_N_CONST,   /* value */
    JJ_N_NAME,    /* name, hops, slot */
    JJ_N_NSREF,   /* name, attr, hops, slot: a.b as the target of set */
    JJ_N_TUPLE,   /* list */
    JJ_N_LISTEX,  /* list */
    JJ_N_DICTEX,  /* list: key, value, ... */
    JJ_N_COND,    /* a if b else c (may be NULL) */
    JJ_N_AND,     /* a, b */
    JJ_N_OR,      /* a, b */
    JJ_N_NOT,     /* a */
    JJ_N_NEG,     /* a */
    JJ_N_POS,     /* a */
    JJ_N_BINARY,  /* op, a, b */
    JJ_N_COMPARE, /* a, list with ops in their op */
    JJ_N_OPERAND, /* op, a: inside COMPARE */
    JJ_N_CONCAT,  /* list */
    JJ_N_GETATTR, /* a, attr, attr_id */
    JJ_N_GETITEM, /* a, b */
    JJ_N_SLICE,   /* a[b:c:d], each of b, c, d may be NULL */
    JJ_N_CALL,    /* a, call */
    JJ_N_FILTER,  /* a (NULL: the body of a block), builtin or name, call */
    JJ_N_TEST,    /* a, builtin or name, call */
    /* statements */
    JJ_N_TEXT,         /* value */
    JJ_N_OUTPUT,       /* list */
    JJ_N_IF,           /* a, body, list of ELIF, other */
    JJ_N_FOR,          /* a target, b iterable, c test, body, other, flag: recursive */
    JJ_N_MACRO,        /* name, function, hops, slot */
    JJ_N_CALL_BLOCK,   /* function, a: the call */
    JJ_N_GENERATION,   /* function */
    JJ_N_SET,          /* a target, b value */
    JJ_N_SET_BLOCK,    /* a target, b filter or NULL, body */
    JJ_N_FILTER_BLOCK, /* a filter, body */
    JJ_N_WITH,         /* list: target, value, ...; body */
    JJ_N_SCOPE,        /* body */
    JJ_N_BREAK,
    JJ_N_CONTINUE,
    JJ_N_RAISE /* value: the message of what cannot be done when it is reached */
} jj_node_kind;

typedef struct jj_block { /* statements */
    int32_t n;
    struct jj_node **items;
} jj_block;

typedef struct jj_call { /* arguments as written */
    int32_t n, n_named;
    struct jj_node **args, **named;
    jj_str **names;
    struct jj_node *star, *star_star;
} jj_call;

typedef enum jj_load_kind { JJ_LOAD_CONTEXT, JJ_LOAD_ALIAS, JJ_LOAD_NOTHING } jj_load_kind;

typedef struct jj_load { /* a variable's value when its scope is entered */
    uint8_t kind;
    int32_t slot;
    int32_t hops, from; /* ALIAS */
    jj_str *name;       /* CONTEXT */
    int32_t global;     /* CONTEXT: the function of that name, or -1 */
} jj_load;

typedef struct jj_scope {
    int32_t n_loads, n_clear;
    jj_load *loads;
    int32_t *clear; /* slots that hold nothing once it is left */
} jj_scope;

typedef struct jj_function { /* of macros, call blocks, loop filters, recursive loops, the template
                              */
    jj_str *name;            /* NULL: of a call block */
    int32_t n_slots;
    int32_t n_params, n_defaults;
    struct jj_node **params; /* NAME, stored to */
    struct jj_node **defaults;
    int32_t caller_slot, kwargs_slot, varargs_slot; /* -1: not used */
    bool explicit_caller;                           /* caller is one of the params */
    jj_scope scope;
    jj_block body;
} jj_function;

typedef struct jj_node {
    uint8_t kind, op;
    bool flag;
    uint16_t height; /* of the expression below */
    bool constant;   /* of an expression: nothing in it hangs on the inputs */
    bool slices;     /* a slice is in it */
    uint32_t at;     /* byte of the source */
    struct jj_node *a, *b, *c, *d;
    int32_t n; /* of list */
    struct jj_node **list;
    jj_value value;
    jj_str *name, *attr;
    int32_t hops, slot;
    const struct jj_builtin *builtin;
    const struct jj_attr *known; /* what Python types have of this name, or NULL */
    jj_call call;
    jj_block body, other;
    jj_scope scope, other_scope;
    jj_function *function;
    jj_function *test; /* FOR: its filter */
    int32_t loop_slot; /* FOR: -1 when the body does not name loop */
} jj_node;

#endif
