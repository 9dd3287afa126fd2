/* vm.h - one rendering: its memory, limits, error and output. */
#ifndef TRI_TEXT_JINJA_VM_H
#define TRI_TEXT_JINJA_VM_H

#include "text/jinja/jinja.h"
#include "text/jinja/value.h"

/* Text being put together; appends after a failure do nothing. */
typedef struct jj_out {
    char *ptr;
    size_t n, cap;
    tri_text_span *spans;
    size_t n_spans, cap_spans;
} jj_out;

typedef struct jj_inputs { /* values are made when a template first asks for them */
    const tri_json *json;  /* an object or NULL */
    jj_value *made;        /* MISSING: not yet */
    bool plain;
} jj_inputs;

typedef struct jj_vm {
    const struct tri_jinja *program;
    tri_arena arena;
    tri_jinja_limits limits;
    int64_t steps;
    int32_t n_calls;  /* nested: limits.max_depth */
    int32_t n_levels; /* nested evaluations: what bounds the C stack */
    uint32_t at;      /* where in the source, for errors */
    tri_status rc;
    tri_error *err;
    jj_out *out; /* where statements write */
    jj_out *root;
    jj_activation *variables;
    jj_inputs user, model;
    int64_t now_s;
    bool folding; /* a slice of what has none is undefined: eval.c, eval_folded */
} jj_vm;

enum { JJ_LEVELS_PER_CALL = 10 };

/* Errors: the first one counts.  fail: what jinja2 raises; limit: a limit of ours; lack: what
 * jinja2 could have done. */
jj_value jj_fail(jj_vm *vm, const char *format, ...) TRI_PRINTF(2, 3);
jj_value jj_limit(jj_vm *vm, const char *format, ...) TRI_PRINTF(2, 3);
jj_value jj_lacking(jj_vm *vm, const char *format, ...) TRI_PRINTF(2, 3);
jj_value jj_fail_undefined(jj_vm *vm, jj_value undefined);

void *jj_alloc(jj_vm *vm, size_t n_bytes); /* zeroed; NULL: the machine has failed */
void *jj_array(jj_vm *vm, size_t n, size_t elem_bytes);
#define JJ_NEW(vm, type) ((type *)jj_alloc((vm), sizeof(type)))

bool jj_steps_over(jj_vm *vm); /* fails the machine */
/* Counts work; false when the limit is passed. */
static inline bool jj_step(jj_vm *vm, int64_t n) {
    vm->steps += n;
    return vm->steps <= vm->limits.max_steps || !jj_steps_over(vm);
}

/* One level deeper; false, and no level deeper, when that is too deep. */
bool jj_too_deep(jj_vm *vm);
static inline bool jj_enter(jj_vm *vm) {
    if (vm->n_levels >= vm->limits.max_depth * JJ_LEVELS_PER_CALL) return jj_too_deep(vm);
    vm->n_levels++;
    return true;
}
static inline void jj_leave(jj_vm *vm) {
    vm->n_levels--;
}

/* ---- text ---- */

void jj_put(jj_vm *vm, jj_out *out, const char *bytes, size_t n, bool plain);
void jj_put_c(jj_vm *vm, jj_out *out, const char *text); /* of the template or the engine */
void jj_put_str(jj_vm *vm, jj_out *out, const jj_str *s);
void jj_put_part(jj_vm *vm, jj_out *out, const jj_str *s, size_t begin, size_t end);
void jj_put_value(jj_vm *vm, jj_out *out, jj_value v); /* str(v) */
jj_value jj_out_str(jj_vm *vm, jj_out *out);           /* ERROR when the machine has failed */

jj_str *jj_str_new(jj_vm *vm, const char *bytes, size_t n, bool plain); /* borrows the bytes */
jj_value jj_text(jj_vm *vm, const char *literal);                       /* borrows */
jj_str *jj_str_copy(jj_vm *vm, const jj_str *s);
jj_str *jj_sub(jj_vm *vm, jj_str *s, size_t begin, size_t end); /* bytes */
jj_value jj_concat(jj_vm *vm, jj_str *a, jj_str *b);
bool jj_str_any_plain(const jj_str *s);
bool jj_str_plain_at(const jj_str *s, size_t byte);
bool jj_str_ascii(jj_str *s);
int64_t jj_str_count(jj_str *s);                 /* code points */
size_t jj_str_offset(jj_str *s, int64_t points); /* byte of a code point, n past the end */
uint32_t jj_str_hash(jj_str *s);
bool jj_str_eq(const jj_str *a, const jj_str *b);
int jj_str_cmp(const jj_str *a, const jj_str *b);
int64_t jj_str_find(jj_vm *vm, const jj_str *s, const jj_str *what, size_t from); /* byte or -1 */
int64_t jj_str_rfind(jj_vm *vm, const jj_str *s, const jj_str *what, size_t end);
static inline tri_str jj_view_of(const jj_str *s) {
    return (tri_str){s->ptr, s->n};
}

/* Bytes that were put as the engine's came from the inputs after all. */
void jj_mark(jj_vm *vm, jj_out *out, size_t begin, size_t end);
/* A variable of the inputs, MISSING: there is none. */
jj_value jj_input(jj_vm *vm, jj_inputs *inputs, const jj_str *name);

/* ---- lists and dicts ---- */

jj_list *jj_list_new(jj_vm *vm, size_t n); /* n items, MISSING */
jj_value jj_pair(jj_vm *vm, jj_value a, jj_value b);

typedef struct jj_items { /* a list being put together */
    jj_value *items;
    size_t n, cap;
} jj_items;
bool jj_push(jj_vm *vm, jj_items *items, jj_value v);
jj_value jj_items_list(jj_vm *vm, const jj_items *items);

jj_dict *jj_dict_new(jj_vm *vm, size_t room);
/* After entries were filled in by hand, none twice. */
bool jj_dict_index(jj_vm *vm, jj_dict *d);
/* Adds or replaces; false when the machine has failed (also: the key cannot be one). */
bool jj_dict_put(jj_vm *vm, jj_dict *d, jj_value key, jj_value value);
const jj_entry *jj_dict_find(jj_vm *vm, const jj_dict *d, jj_value key, uint32_t hash);
const jj_entry *jj_dict_str(const jj_dict *d, const jj_str *key, uint32_t hash);
bool jj_hash(jj_vm *vm, jj_value v, uint32_t *hash); /* false: not hashable; the machine is fine */

#endif
