/* fold.c - which tensors the engine stores, what they are called and whether they can be undone.
 *
 * A stored tensor is a constant that a run-time op uses.  Equal expressions are one tensor.  Names:
 *
 *   X.weight                       of X.weight, cast or packed
 *   A.fc+gate.weight               of A.fc.weight and A.gate.weight together
 *   X.weight.scales, .rows, ...    of an expression through another op: its name is added,
 * shortened rope_frequencies               of what comes from no weight
 *   ....2, ....3                   when a name is taken, in order of use
 *
 * Lossless: each step can be undone.  pack, concat_rows and tie always; cast when every value of
 * the source type is a value of the target; slice_rows when the rest of the rows is stored too,
 * without loss.  quantize, quantize_scales, affine and other arithmetic round, so they are not. */
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "passes/match.h"

enum { MAX_ROOTS = 64 };

typedef struct folder {
    tri_graph *g;
    tri_arena *arena;
    tri_stored *stored;
    int32_t n, cap;
    tri_map names, derivations;
} folder;

/* ---- names ---- */

typedef struct roots {
    int32_t n;
    const char *names[MAX_ROOTS];
} roots;

static void collect_roots(const tri_value *value, roots *r) {
    const tri_node *node = value->node;
    if (node->op == TRI_OP_WEIGHT) {
        const char *name = tri_node_string(node, "name");
        for (int32_t i = 0; i < r->n; i++) {
            if (strcmp(r->names[i], name) == 0) return;
        }
        if (r->n < MAX_ROOTS) r->names[r->n++] = name;
    }
    for (int32_t i = 0; i < node->n_operands; i++) {
        if (node->operands[i]) collect_roots(node->operands[i], r);
    }
}

/* Bytes that all names begin with, up to and with a dot; or end with, from a dot on. */
static size_t common_prefix(const roots *r) {
    size_t n = 0;
    for (size_t i = 0; r->names[0][i]; i++) {
        for (int32_t k = 1; k < r->n; k++) {
            if (r->names[k][i] != r->names[0][i]) return n;
        }
        if (r->names[0][i] == '.') n = i + 1;
    }
    return n;
}

static size_t common_suffix(const roots *r, size_t prefix) {
    size_t n = 0, length = strlen(r->names[0]);
    for (size_t i = 1; i <= length - prefix; i++) {
        char c = r->names[0][length - i];
        for (int32_t k = 1; k < r->n; k++) {
            size_t other = strlen(r->names[k]);
            if (i > other - prefix || r->names[k][other - i] != c) return n;
        }
        if (c == '.') n = i;
    }
    return n;
}

/* "a.fc.weight" and "a.gate.weight" -> "a.fc+gate.weight" */
static void join_names(const roots *r, tri_buf *out) {
    size_t prefix = r->n > 1 ? common_prefix(r) : 0;
    size_t suffix = r->n > 1 ? common_suffix(r, prefix) : 0;
    tri_buf_append(out, r->names[0], prefix);
    for (int32_t i = 0; i < r->n; i++) {
        if (i > 0) tri_buf_putc(out, '+');
        tri_buf_append(out, r->names[i] + prefix, strlen(r->names[i]) - prefix - suffix);
    }
    tri_buf_puts(out, r->names[0] + strlen(r->names[0]) - suffix);
}

/* What an op adds to a name, or NULL. */
static const char *op_suffix(tri_op op) {
    switch (op) {
    case TRI_OP_QUANTIZE_SCALES:
        return ".scales";
    case TRI_OP_SLICE_ROWS:
        return ".rows";
    default:
        return NULL;
    }
}

static void add_suffixes(const tri_value *value, tri_buf *out) {
    const tri_node *node = value->node;
    /* Of a joined tensor, the first part's: all parts went the same way. */
    if (node->n_operands > 0 && node->operands[0]) add_suffixes(node->operands[0], out);
    if (op_suffix(node->op)) tri_buf_puts(out, op_suffix(node->op));
}

/* The scope, and the op where there is no weight. */
static void name_without_weight(const tri_value *value, tri_buf *out) {
    while (value->node->op == TRI_OP_PACK || value->node->op == TRI_OP_CAST)
        value = value->node->operands[0];
    tri_buf_puts(out, tri_op_get(value->node->op)->name);
}

static tri_status make_name(folder *f, const tri_value *value, const char **name, tri_error *err) {
    tri_buf text = {0};
    roots r = {0};
    int64_t taken;
    collect_roots(value, &r);
    if (r.n > 0)
        join_names(&r, &text);
    else
        name_without_weight(value, &text);
    add_suffixes(value, &text);
    size_t n = text.len;
    for (int64_t i = 2; tri_map_get(&f->names, (tri_str){text.ptr, text.len}, &taken); i++) {
        text.len = n;
        tri_buf_printf(&text, ".%" PRId64, i);
        if (text.failed) break;
    }
    tri_status rc = tri_buf_status(&text, err);
    const char *kept = rc ? NULL : tri_arena_strndup(f->arena, text.ptr, text.len);
    if (!rc && !kept) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    if (!rc) rc = tri_map_put(&f->names, tri_str_of(kept), f->n, err);
    if (!rc) *name = kept;
    tri_buf_deinit(&text);
    return rc;
}

/* ---- losses ---- */

/* Explicit significand bits, least and largest exponents: what a type can hold. */
typedef struct float_form {
    int32_t bits, least, largest;
} float_form;

static bool get_form(tri_dtype dtype, float_form *form) {
    switch (dtype) {
    case TRI_F64:
        *form = (float_form){52, -1074, 1023};
        return true;
    case TRI_F32:
        *form = (float_form){23, -149, 127};
        return true;
    case TRI_F16:
        *form = (float_form){10, -24, 15};
        return true;
    case TRI_BF16:
        *form = (float_form){7, -133, 127};
        return true;
    case TRI_F8_E4M3:
        *form = (float_form){3, -9, 8};
        return true;
    case TRI_F8_E5M2:
        *form = (float_form){2, -16, 15};
        return true;
    default:
        return false;
    }
}

/* Every value of `from` is one of `to`: more bits, and an exponent range around. */
static bool widens(tri_dtype from, tri_dtype to) {
    float_form a, b;
    if (from == to) return true;
    if (!get_form(from, &a) || !get_form(to, &b)) return false;
    return b.bits >= a.bits && b.least <= a.least && b.largest >= a.largest;
}

/* Ops that hold each of their operands whole, so that it can be got back. */
static bool keeps_operands(const tri_node *node) {
    switch (node->op) {
    case TRI_OP_CONCAT_ROWS:
    case TRI_OP_PACK:
    case TRI_OP_TIE:
        return true;
    case TRI_OP_CAST:
        return widens(tri_node_operand(node, "x")->type.dtype, node->results[0]->type.dtype);
    default:
        return false;
    }
}

/* Moves *rows on when `value` holds more of the leading rows of x than [0, *rows). */
static void extend_rows(const tri_value *value, const tri_value *x, int64_t *rows) {
    const tri_node *node = value->node;
    if (value == x) *rows = x->type.dims[0];
    if (node->op == TRI_OP_SLICE_ROWS && node->operands[0] == x) {
        int64_t first = tri_node_int(node, "first"), end = first + tri_node_int(node, "n");
        if (first <= *rows && *rows < end) *rows = end;
    }
    if (!keeps_operands(node)) return;
    for (int32_t i = 0; i < node->n_operands; i++)
        extend_rows(node->operands[i], x, rows);
}

/* Whether all stored tensors together hold x. */
static bool is_covered(const folder *f, const tri_value *x) {
    int64_t rows = 0, before;
    do {
        before = rows;
        for (int32_t i = 0; i < f->n; i++)
            extend_rows(f->stored[i].value, x, &rows);
    } while (rows > before && rows < x->type.dims[0]);
    return rows == x->type.dims[0];
}

/* The first step, from the weights on, that cannot be undone; NULL: none. */
static const char *find_lossy_step(const folder *f, const tri_value *value) {
    const tri_node *node = value->node;
    for (int32_t i = 0; i < node->n_operands; i++) {
        const char *step = node->operands[i] ? find_lossy_step(f, node->operands[i]) : NULL;
        if (step) return step;
    }
    if (node->n_operands == 0 || keeps_operands(node)) return NULL;
    if (node->op == TRI_OP_SLICE_ROWS && is_covered(f, tri_node_operand(node, "x"))) return NULL;
    return node->plugin ? node->plugin : tri_op_get(node->op)->name;
}

/* ---- collecting ---- */

static tri_status print_derivation(
    folder *f, const tri_value *value, const char **derivation, tri_error *err) {
    tri_buf text = {0};
    tri_value_print_expression(value, &text);
    tri_status rc = tri_buf_status(&text, err);
    if (!rc) {
        *derivation = tri_arena_strndup(f->arena, text.ptr, text.len);
        if (!*derivation) rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    }
    tri_buf_deinit(&text);
    return rc;
}

/* Gives the use the stored tensor with its derivation, a new one when there is none.  The text
 * comes first: its size limit is also what keeps the walks over the expression short. */
static tri_status fold_use(folder *f, tri_node *node, int32_t slot, tri_error *err) {
    tri_value *value = node->operands[slot];
    const char *derivation = NULL, *name = NULL;
    int64_t index;
    for (int32_t i = 0; i < f->n; i++) {
        if (f->stored[i].value == value) return TRI_OK;
    }
    TRI_TRY(print_derivation(f, value, &derivation, err));
    if (tri_map_get(&f->derivations, tri_str_of(derivation), &index)) {
        node->operands[slot] = f->stored[index].value;
        return TRI_OK;
    }
    TRI_ASSERT(f->n < f->cap);
    TRI_TRY(make_name(f, value, &name, err));
    TRI_TRY(tri_map_put(&f->derivations, tri_str_of(derivation), f->n, err));
    f->stored[f->n++] =
        (tri_stored){.name = name, .value = value, .derivation = derivation, .lossless = true};
    return TRI_OK;
}

static bool is_fold_use(const tri_node *node, int32_t slot) {
    const tri_value *value = node->operands[slot];
    bool run_time = node->n_results == 0 || !node->results[0]->constant;
    return run_time && value && value->constant && value->type.kind == TRI_TYPE_TENSOR;
}

static int32_t count_uses(const tri_graph *g) {
    int32_t n = 0;
    for (const tri_node *node = g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++)
            n += is_fold_use(node, i);
    }
    return n;
}

static tri_status fold(folder *f, tri_error *err) {
    f->cap = count_uses(f->g);
    f->stored = TRI_NEW_N(f->arena, tri_stored, f->cap + 1);
    if (!f->stored) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    for (tri_node *node = f->g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_operands; i++) {
            if (is_fold_use(node, i)) TRI_TRY(fold_use(f, node, i, err));
        }
    }
    for (int32_t i = 0; i < f->n; i++) {
        f->stored[i].lossy_step = find_lossy_step(f, f->stored[i].value);
        f->stored[i].lossless = !f->stored[i].lossy_step;
    }
    return TRI_OK;
}

tri_status tri_pass_fold(
    tri_graph *g, tri_arena *arena, tri_stored **stored, int32_t *n_stored, tri_error *err) {
    folder f = {.g = g, .arena = arena};
    tri_status rc = fold(&f, err);
    tri_map_deinit(&f.names);
    tri_map_deinit(&f.derivations);
    if (rc) {
        tri_error_context(err, "fold");
        return rc;
    }
    TRI_TRY(tri_match_finish(g, "fold", err));
    *stored = f.stored;
    *n_stored = f.n;
    return TRI_OK;
}
