/* value.h - what a template computes with: Python's values as far as templates can make them.
 *
 * Values are two words and passed by copy; what they point to lives in the arena of one rendering
 * (or of the compiled template, for its literals) and never changes, namespaces, loops and
 * iterators apart.  A failed operation returns the kind ERROR; the reason is in the machine. */
#ifndef TRI_TEXT_JINJA_VALUE_H
#define TRI_TEXT_JINJA_VALUE_H

#include "base/arena.h"
#include "base/buf.h"
#include "trireme/text.h"

typedef enum tri_jinja_kind {
    TRI_JINJA_ERROR,
    TRI_JINJA_MISSING, /* no value at all: an argument not given, a variable not set */
    TRI_JINJA_UNDEFINED,
    TRI_JINJA_NONE,
    TRI_JINJA_BOOL,
    TRI_JINJA_INT,
    TRI_JINJA_BIG, /* an integer beyond 64 bits, as its digits: printed and compared, not computed
                      with */
    TRI_JINJA_FLOAT,
    TRI_JINJA_STR,
    TRI_JINJA_LIST,
    TRI_JINJA_TUPLE,
    TRI_JINJA_DICT,
    TRI_JINJA_VIEW, /* of a dict: its keys, values or items */
    TRI_JINJA_RANGE,
    TRI_JINJA_ITER,
    TRI_JINJA_NAMESPACE,
    TRI_JINJA_MACRO,
    TRI_JINJA_LOOP,
    TRI_JINJA_FUNCTION,
    TRI_JINJA_METHOD,
    TRI_JINJA_CYCLER,
    TRI_JINJA_JOINER
} tri_jinja_kind;

/* Text, UTF-8. */
typedef struct tri_jinja_str {
    const char *ptr;
    size_t n;
    const tri_text_span *spans;  /* bytes that came from the inputs; may reach past n */
    int32_t n_spans;             /* -1: all bytes */
    uint32_t hash;               /* 0: not yet known */
    uint8_t ascii;               /* 0: not yet known, 1: yes, 2: no */
    bool markup;                 /* what the safe filter makes: adding to it escapes */
    struct tri_jinja_room *room; /* of the bytes, when something may be appended in place */
} tri_jinja_str;
/* For "%.*s" in messages: strings end where their length says, not at a NUL. */
#define TRI_JINJA_SHOWN(s) (int)((s)->n < 60 ? (s)->n : 60), (s)->ptr

typedef struct tri_jinja_room { /* bytes of one builder: used ones may be shared by many texts */
    size_t used, cap;
} tri_jinja_room;

typedef struct tri_jinja_value {
    uint8_t kind;
    bool plain;  /* of numbers: it came from the inputs */
    uint16_t id; /* of functions, views */
    union {
        bool b;
        int64_t i;
        double f;
        tri_jinja_str *s;
        struct tri_jinja_list *list; /* LIST, TUPLE */
        struct tri_jinja_dict *dict; /* DICT, VIEW */
        struct tri_jinja_range *range;
        struct tri_jinja_iter *iter;
        struct tri_jinja_undefined *undefined;
        struct tri_jinja_namespace *ns;
        struct tri_jinja_macro *macro;
        struct tri_jinja_loop *loop;
        struct tri_jinja_method *method;
        struct tri_jinja_cycler *cycler;
        struct tri_jinja_joiner *joiner;
        void *p;
    } as;
} tri_jinja_value;

typedef struct tri_jinja_list {
    size_t n;
    tri_jinja_value *items;
    bool plain;                /* came from the inputs as it is */
    const char *const *fields; /* names of a named tuple's items, or NULL */
} tri_jinja_list;

typedef struct tri_jinja_entry {
    tri_jinja_value key, value;
    uint32_t hash;
} tri_jinja_entry;

typedef struct tri_jinja_dict { /* in order of insertion */
    size_t n, cap;
    tri_jinja_entry *entries;
    uint32_t *slots; /* 1 + entry, 0: free; NULL while small */
    size_t n_slots;
    bool plain;
} tri_jinja_dict;

typedef struct tri_jinja_range {
    int64_t start, stop, step, n;
} tri_jinja_range;

typedef enum tri_jinja_view { TRI_JINJA_KEYS, TRI_JINJA_VALUES, TRI_JINJA_ITEMS } tri_jinja_view;

typedef enum tri_jinja_lack { /* why a value is undefined */
    TRI_JINJA_LACK_NAME,
    TRI_JINJA_LACK_ATTRIBUTE,
    TRI_JINJA_LACK_UNSAFE,
    TRI_JINJA_LACK_PARAMETER,
    TRI_JINJA_LACK_HINT
} tri_jinja_lack;

typedef struct tri_jinja_undefined {
    tri_jinja_lack lack;
    const char *hint;
    tri_jinja_value object, name;
} tri_jinja_undefined;

typedef struct tri_jinja_namespace {
    tri_jinja_dict *attrs;
    bool printing;
} tri_jinja_namespace;

typedef struct tri_jinja_activation { /* variables of one run of a function */
    struct tri_jinja_activation *parent;
    tri_jinja_value slots[];
} tri_jinja_activation;

typedef struct tri_jinja_macro {
    const struct tri_jinja_node *node;
    const struct tri_jinja_function *function;
    tri_jinja_activation *outer;
} tri_jinja_macro;

typedef struct tri_jinja_method {
    tri_jinja_value self;
    const struct tri_jinja_method_def *def;
} tri_jinja_method;

typedef struct tri_jinja_cycler {
    tri_jinja_list *items;
    size_t at;
} tri_jinja_cycler;

typedef struct tri_jinja_joiner {
    tri_jinja_value separator;
    bool used;
} tri_jinja_joiner;

static inline tri_jinja_value tri_jinja_error(void) {
    return (tri_jinja_value){.kind = TRI_JINJA_ERROR};
}
static inline tri_jinja_value tri_jinja_missing(void) {
    return (tri_jinja_value){.kind = TRI_JINJA_MISSING};
}
static inline tri_jinja_value tri_jinja_none(void) {
    return (tri_jinja_value){.kind = TRI_JINJA_NONE};
}
static inline tri_jinja_value tri_jinja_bool(bool b) {
    return (tri_jinja_value){.kind = TRI_JINJA_BOOL, .as.b = b};
}
static inline tri_jinja_value tri_jinja_int(int64_t i) {
    return (tri_jinja_value){.kind = TRI_JINJA_INT, .as.i = i};
}
static inline tri_jinja_value tri_jinja_float(double f) {
    return (tri_jinja_value){.kind = TRI_JINJA_FLOAT, .as.f = f};
}
static inline tri_jinja_value tri_jinja_of_str(tri_jinja_str *s) {
    return s ? (tri_jinja_value){.kind = TRI_JINJA_STR, .as.s = s} : tri_jinja_error();
}
static inline tri_jinja_value tri_jinja_of_list(tri_jinja_list *l) {
    return l ? (tri_jinja_value){.kind = TRI_JINJA_LIST, .as.list = l} : tri_jinja_error();
}
static inline tri_jinja_value tri_jinja_of_tuple(tri_jinja_list *l) {
    return l ? (tri_jinja_value){.kind = TRI_JINJA_TUPLE, .as.list = l} : tri_jinja_error();
}
static inline tri_jinja_value tri_jinja_of_dict(tri_jinja_dict *d) {
    return d ? (tri_jinja_value){.kind = TRI_JINJA_DICT, .as.dict = d} : tri_jinja_error();
}
static inline bool tri_jinja_is_error(tri_jinja_value v) {
    return v.kind == TRI_JINJA_ERROR;
}
static inline bool tri_jinja_given(tri_jinja_value v) {
    return v.kind != TRI_JINJA_MISSING;
}
static inline bool tri_jinja_is_str(tri_jinja_value v, const char *text) {
    return v.kind == TRI_JINJA_STR && tri_str_is((tri_str){v.as.s->ptr, v.as.s->n}, text);
}

/* Leaves the function with a failed value. */
#define TRI_JINJA_TRY(value)                                                                       \
    do {                                                                                           \
        if ((value).kind == TRI_JINJA_ERROR) return tri_jinja_error();                             \
    } while (0)

#endif
