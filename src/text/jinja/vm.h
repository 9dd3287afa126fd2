/* vm.h - one rendering: its memory, limits, error and output. */
#ifndef TRI_TEXT_JINJA_VM_H
#define TRI_TEXT_JINJA_VM_H

#include "text/jinja/jinja.h"
#include "text/jinja/value.h"

/* Text being put together; appends after a failure do nothing. */
typedef struct tri_jinja_out {
    char *ptr;
    size_t n, cap;
    tri_text_span *spans;
    size_t n_spans, cap_spans;
} tri_jinja_out;

typedef struct tri_jinja_bindings { /* values are made when a template first asks for them */
    const tri_json *json;           /* an object or NULL */
    tri_jinja_value *made;          /* MISSING: not yet */
    bool plain;
} tri_jinja_bindings;

typedef struct tri_jinja_vm {
    const struct tri_jinja *program;
    tri_arena arena;
    tri_jinja_limits limits;
    int64_t steps;
    int32_t n_calls;  /* nested: limits.max_depth */
    int32_t n_levels; /* nested evaluations: what bounds the C stack */
    uint32_t at;      /* where in the source, for errors */
    tri_status rc;
    tri_error *err;
    tri_jinja_out *out; /* where statements write */
    tri_jinja_out *root;
    tri_jinja_activation *variables;
    tri_jinja_bindings user, model;
    int64_t now_s;
    bool folding; /* a slice of what has none is undefined: eval.c, eval_folded */
} tri_jinja_vm;

enum { TRI_JINJA_LEVELS_PER_CALL = 10 };

/* Errors: the first one counts.  fail: what jinja2 raises; limit: a limit of ours; lack: what
 * jinja2 could have done. */
tri_jinja_value tri_jinja_fail(tri_jinja_vm *vm, const char *format, ...) TRI_PRINTF(2, 3);
tri_jinja_value tri_jinja_limit(tri_jinja_vm *vm, const char *format, ...) TRI_PRINTF(2, 3);
tri_jinja_value tri_jinja_lacking(tri_jinja_vm *vm, const char *format, ...) TRI_PRINTF(2, 3);
tri_jinja_value tri_jinja_fail_undefined(tri_jinja_vm *vm, tri_jinja_value undefined);

void *tri_jinja_alloc(tri_jinja_vm *vm, size_t n_bytes); /* zeroed; NULL: the machine has failed */
void *tri_jinja_array(tri_jinja_vm *vm, size_t n, size_t elem_bytes);
#define TRI_JINJA_NEW(vm, type) ((type *)tri_jinja_alloc((vm), sizeof(type)))

bool tri_jinja_steps_over(tri_jinja_vm *vm); /* fails the machine */
/* Counts work; false when the limit is passed. */
static inline bool tri_jinja_step(tri_jinja_vm *vm, int64_t n) {
    vm->steps += n;
    return vm->steps <= vm->limits.max_steps || !tri_jinja_steps_over(vm);
}

/* One level deeper; false, and no level deeper, when that is too deep. */
bool tri_jinja_too_deep(tri_jinja_vm *vm);
static inline bool tri_jinja_enter(tri_jinja_vm *vm) {
    if (vm->n_levels >= vm->limits.max_depth * TRI_JINJA_LEVELS_PER_CALL)
        return tri_jinja_too_deep(vm);
    vm->n_levels++;
    return true;
}
static inline void tri_jinja_leave(tri_jinja_vm *vm) {
    vm->n_levels--;
}

/* ---- text ---- */

void tri_jinja_put(tri_jinja_vm *vm, tri_jinja_out *out, const char *bytes, size_t n, bool plain);
void tri_jinja_put_c(
    tri_jinja_vm *vm, tri_jinja_out *out, const char *text); /* of the template or the engine */
void tri_jinja_put_str(tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s);
void tri_jinja_put_part(
    tri_jinja_vm *vm, tri_jinja_out *out, const tri_jinja_str *s, size_t begin, size_t end);
void tri_jinja_put_value(tri_jinja_vm *vm, tri_jinja_out *out, tri_jinja_value v); /* str(v) */
tri_jinja_value tri_jinja_out_str(
    tri_jinja_vm *vm, tri_jinja_out *out); /* ERROR when the machine has failed */

tri_jinja_str *tri_jinja_str_new(
    tri_jinja_vm *vm, const char *bytes, size_t n, bool plain);        /* borrows the bytes */
tri_jinja_value tri_jinja_text(tri_jinja_vm *vm, const char *literal); /* borrows */
tri_jinja_str *tri_jinja_str_copy(tri_jinja_vm *vm, const tri_jinja_str *s);
tri_jinja_str *tri_jinja_sub(
    tri_jinja_vm *vm, tri_jinja_str *s, size_t begin, size_t end); /* bytes */
tri_jinja_value tri_jinja_concat(tri_jinja_vm *vm, tri_jinja_str *a, tri_jinja_str *b);
bool tri_jinja_str_any_plain(const tri_jinja_str *s);
bool tri_jinja_str_plain_at(const tri_jinja_str *s, size_t byte);
bool tri_jinja_str_ascii(tri_jinja_str *s);
int64_t tri_jinja_str_count(tri_jinja_str *s); /* code points */
size_t tri_jinja_str_offset(
    tri_jinja_str *s, int64_t points); /* byte of a code point, n past the end */
uint32_t tri_jinja_str_hash(tri_jinja_str *s);
bool tri_jinja_str_eq(const tri_jinja_str *a, const tri_jinja_str *b);
int tri_jinja_str_cmp(const tri_jinja_str *a, const tri_jinja_str *b);
int64_t tri_jinja_str_find(tri_jinja_vm *vm, const tri_jinja_str *s, const tri_jinja_str *what,
    size_t from); /* byte or -1 */
int64_t tri_jinja_str_rfind(
    tri_jinja_vm *vm, const tri_jinja_str *s, const tri_jinja_str *what, size_t end);
static inline tri_str tri_jinja_view_of(const tri_jinja_str *s) {
    return (tri_str){s->ptr, s->n};
}

/* Bytes that were put as the engine's came from the inputs after all. */
void tri_jinja_mark(tri_jinja_vm *vm, tri_jinja_out *out, size_t begin, size_t end);
/* A variable of the inputs, MISSING: there is none. */
tri_jinja_value tri_jinja_input(
    tri_jinja_vm *vm, tri_jinja_bindings *inputs, const tri_jinja_str *name);

/* ---- lists and dicts ---- */

tri_jinja_list *tri_jinja_list_new(tri_jinja_vm *vm, size_t n); /* n items, MISSING */
tri_jinja_value tri_jinja_pair(tri_jinja_vm *vm, tri_jinja_value a, tri_jinja_value b);

typedef struct tri_jinja_items { /* a list being put together */
    tri_jinja_value *items;
    size_t n, cap;
} tri_jinja_items;
bool tri_jinja_push(tri_jinja_vm *vm, tri_jinja_items *items, tri_jinja_value v);
tri_jinja_value tri_jinja_items_list(tri_jinja_vm *vm, const tri_jinja_items *items);

tri_jinja_dict *tri_jinja_dict_new(tri_jinja_vm *vm, size_t room);
/* After entries were filled in by hand, none twice. */
bool tri_jinja_dict_index(tri_jinja_vm *vm, tri_jinja_dict *d);
/* Adds or replaces; false when the machine has failed (also: the key cannot be one). */
bool tri_jinja_dict_put(
    tri_jinja_vm *vm, tri_jinja_dict *d, tri_jinja_value key, tri_jinja_value value);
const tri_jinja_entry *tri_jinja_dict_find(
    tri_jinja_vm *vm, const tri_jinja_dict *d, tri_jinja_value key, uint32_t hash);
const tri_jinja_entry *tri_jinja_dict_str(
    const tri_jinja_dict *d, const tri_jinja_str *key, uint32_t hash);
bool tri_jinja_hash(tri_jinja_vm *vm, tri_jinja_value v,
    uint32_t *hash); /* false: not hashable; the machine is fine */

#endif
