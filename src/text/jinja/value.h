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

typedef enum jj_kind {
    JJ_ERROR,
    JJ_MISSING, /* no value at all: an argument not given, a variable not set */
    JJ_UNDEFINED,
    JJ_NONE,
    JJ_BOOL,
    JJ_INT,
    JJ_BIG, /* an integer beyond 64 bits, as its digits: printed and compared, not computed with */
    JJ_FLOAT,
    JJ_STR,
    JJ_LIST,
    JJ_TUPLE,
    JJ_DICT,
    JJ_VIEW, /* of a dict: its keys, values or items */
    JJ_RANGE,
    JJ_ITER,
    JJ_NAMESPACE,
    JJ_MACRO,
    JJ_LOOP,
    JJ_FUNCTION,
    JJ_METHOD,
    JJ_CYCLER,
    JJ_JOINER
} jj_kind;

/* Text, UTF-8. */
typedef struct jj_str {
    const char *ptr;
    size_t n;
    const tri_text_span *spans; /* bytes that came from the inputs; may reach past n */
    int32_t n_spans;            /* -1: all bytes */
    uint32_t hash;              /* 0: not yet known */
    uint8_t ascii;              /* 0: not yet known, 1: yes, 2: no */
    bool markup;                /* what the safe filter makes: adding to it escapes */
    struct jj_room *room;       /* of the bytes, when something may be appended in place */
} jj_str;
/* For "%.*s" in messages: strings end where their length says, not at a NUL. */
#define JJ_SHOWN(s) (int)((s)->n < 60 ? (s)->n : 60), (s)->ptr

typedef struct jj_room { /* bytes of one builder: used ones may be shared by many texts */
    size_t used, cap;
} jj_room;

typedef struct jj_value {
    uint8_t kind;
    bool plain;  /* of numbers: it came from the inputs */
    uint16_t id; /* of functions, views */
    union {
        bool b;
        int64_t i;
        double f;
        jj_str *s;
        struct jj_list *list; /* LIST, TUPLE */
        struct jj_dict *dict; /* DICT, VIEW */
        struct jj_range *range;
        struct jj_iter *iter;
        struct jj_undefined *undefined;
        struct jj_namespace *ns;
        struct jj_macro *macro;
        struct jj_loop *loop;
        struct jj_method *method;
        struct jj_cycler *cycler;
        struct jj_joiner *joiner;
        void *p;
    } as;
} jj_value;

typedef struct jj_list {
    size_t n;
    jj_value *items;
    bool plain;                /* came from the inputs as it is */
    const char *const *fields; /* names of a named tuple's items, or NULL */
} jj_list;

typedef struct jj_entry {
    jj_value key, value;
    uint32_t hash;
} jj_entry;

typedef struct jj_dict { /* in order of insertion */
    size_t n, cap;
    jj_entry *entries;
    uint32_t *slots; /* 1 + entry, 0: free; NULL while small */
    size_t n_slots;
    bool plain;
} jj_dict;

typedef struct jj_range {
    int64_t start, stop, step, n;
} jj_range;

typedef enum jj_view { JJ_KEYS, JJ_VALUES, JJ_ITEMS } jj_view;

typedef enum jj_lack { /* why a value is undefined */
    JJ_LACK_NAME,
    JJ_LACK_ATTRIBUTE,
    JJ_LACK_UNSAFE,
    JJ_LACK_PARAMETER,
    JJ_LACK_HINT
} jj_lack;

typedef struct jj_undefined {
    jj_lack lack;
    const char *hint;
    jj_value object, name;
} jj_undefined;

typedef struct jj_namespace {
    jj_dict *attrs;
    bool printing;
} jj_namespace;

typedef struct jj_activation { /* variables of one run of a function */
    struct jj_activation *parent;
    jj_value slots[];
} jj_activation;

typedef struct jj_macro {
    const struct jj_node *node;
    const struct jj_function *function;
    jj_activation *outer;
} jj_macro;

typedef struct jj_method {
    jj_value self;
    const struct jj_method_def *def;
} jj_method;

typedef struct jj_cycler {
    jj_list *items;
    size_t at;
} jj_cycler;

typedef struct jj_joiner {
    jj_value separator;
    bool used;
} jj_joiner;

static inline jj_value jj_error(void) {
    return (jj_value){.kind = JJ_ERROR};
}
static inline jj_value jj_missing(void) {
    return (jj_value){.kind = JJ_MISSING};
}
static inline jj_value jj_none(void) {
    return (jj_value){.kind = JJ_NONE};
}
static inline jj_value jj_bool(bool b) {
    return (jj_value){.kind = JJ_BOOL, .as.b = b};
}
static inline jj_value jj_int(int64_t i) {
    return (jj_value){.kind = JJ_INT, .as.i = i};
}
static inline jj_value jj_float(double f) {
    return (jj_value){.kind = JJ_FLOAT, .as.f = f};
}
static inline jj_value jj_of_str(jj_str *s) {
    return s ? (jj_value){.kind = JJ_STR, .as.s = s} : jj_error();
}
static inline jj_value jj_of_list(jj_list *l) {
    return l ? (jj_value){.kind = JJ_LIST, .as.list = l} : jj_error();
}
static inline jj_value jj_of_tuple(jj_list *l) {
    return l ? (jj_value){.kind = JJ_TUPLE, .as.list = l} : jj_error();
}
static inline jj_value jj_of_dict(jj_dict *d) {
    return d ? (jj_value){.kind = JJ_DICT, .as.dict = d} : jj_error();
}
static inline bool jj_is_error(jj_value v) {
    return v.kind == JJ_ERROR;
}
static inline bool jj_given(jj_value v) {
    return v.kind != JJ_MISSING;
}
static inline bool jj_is_str(jj_value v, const char *text) {
    return v.kind == JJ_STR && tri_str_is((tri_str){v.as.s->ptr, v.as.s->n}, text);
}

/* Leaves the function with a failed value. */
#define JJ_TRY(value)                                                                              \
    do {                                                                                           \
        if ((value).kind == JJ_ERROR) return jj_error();                                           \
    } while (0)

#endif
