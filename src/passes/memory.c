/* memory.c - where each activation lives.
 *
 * A buffer is one stretch of memory with a life [first, last] in node positions.  Several values
 * can share one: views (`columns`), and results that overwrite an operand which dies there, for the
 * ops whose kernels allow it.  Buffers are placed in order of birth, each into the smallest gap
 * between live ones that holds it (best fit), else past them.
 *
 *   life     from the node that defines it to its last use, both included: a result never shares
 *            memory with an operand of its node, unless in place
 *   inputs   live before the first node and all the step; outputs until it ends, for they are read
 * after it unused   results are still written, so they have a place too
 *
 * In place (result over operand, exactly): add, mul, affine, softcap, activation, penalties, mask,
 * all_reduce over their first operand that fits; linear over its accumulator.  Only a whole buffer
 * is overwritten, never a view's. */
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "passes/match.h"

enum {
    ALIGN_BYTES = 64,    /* a cache line, and the widest vector register */
    ROW_ALIGN_BYTES = 16 /* what a GPU's copies and vector loads want of every row */
};

typedef struct buffer {
    int32_t first, last;
    int64_t n_bytes, offset_bytes;
} buffer;

typedef struct place { /* of a value; buffer -1: it has no memory of its own kind here */
    int32_t buffer;
    bool view;
    int64_t rows, row_bytes;                /* of the value */
    int64_t offset_bytes, row_stride_bytes; /* inside the buffer */
} place;

typedef struct planner {
    const tri_graph *g;
    int64_t max_tokens, max_sequences, max_rows;
    place *places;     /* by value id */
    int32_t *last_use; /* by value id: node position; through views */
    buffer *buffers;
    int32_t n_buffers;
    int32_t *live; /* buffers placed and not over, by offset */
    int32_t n_live;
    int64_t total_bytes;
    tri_error *err;
} planner;

static bool is_activation(const tri_value *value) {
    return value && !value->constant && value->type.kind == TRI_TYPE_TENSOR;
}

/* ---- sizes ---- */

static int64_t extent(const planner *p, int64_t dim) {
    if (dim == TRI_DIM_T) return p->max_tokens;
    if (dim == TRI_DIM_S) return p->max_sequences;
    if (dim == TRI_DIM_R) return p->max_rows;
    return dim;
}

/* A vector [T] is T rows of one element, as the step has it. */
static tri_status measure(const planner *p, const tri_value *value, place *out) {
    const tri_type *t = &value->type;
    int64_t rows = 1, n_bytes;
    int32_t n_leading = t->n_dims > 1 ? t->n_dims - 1 : 1;
    int64_t columns = t->n_dims > 1 ? t->dims[n_leading] : 1;
    int64_t row_bytes = tri_dtype_row_bytes(t->dtype, columns);
    bool over = row_bytes < 0 || row_bytes > INT64_MAX - ROW_ALIGN_BYTES;
    int64_t stride_bytes = row_bytes;
    if (t->n_dims > 1 && !over)
        stride_bytes = (row_bytes + ROW_ALIGN_BYTES - 1) / ROW_ALIGN_BYTES * ROW_ALIGN_BYTES;
    for (int32_t i = 0; i < n_leading && !over; i++)
        over = __builtin_mul_overflow(rows, extent(p, t->dims[i]), &rows);
    over = over || __builtin_mul_overflow(rows, stride_bytes, &n_bytes) ||
           n_bytes > INT64_MAX - ALIGN_BYTES;
    if (over)
        return TRI_FAIL(p->err, TRI_E_LIMIT,
            "%%%" PRId32 " %s of %s takes more than 2^63 bytes at %" PRId64 " tokens, %" PRId64
            " sequences, %" PRId64 " rows",
            value->id, tri_type_print(t).s, tri_match_describe(value->node).s, p->max_tokens,
            p->max_sequences, p->max_rows);
    *out = (place){
        .buffer = -1, .rows = rows, .row_bytes = row_bytes, .row_stride_bytes = stride_bytes};
    return TRI_OK;
}

/* ---- lives ---- */

static void find_last_uses(planner *p) {
    const tri_graph *g = p->g;
    int32_t at = 0;
    for (const tri_node *node = g->first; node; node = node->next, at++) {
        for (int32_t i = 0; i < node->n_results; i++)
            p->last_use[node->results[i]->id] = node->op == TRI_OP_INPUT ? g->n_nodes : at;
        for (int32_t i = 0; i < node->n_operands; i++) {
            int32_t *last = node->operands[i] ? &p->last_use[node->operands[i]->id] : NULL;
            if (last && *last < at) *last = at;
        }
    }
    for (int32_t i = 0; i < g->n_outputs; i++)
        p->last_use[g->outputs[i].value->id] = g->n_nodes;
    /* A view's uses are its parent's; users stand behind, so backwards all is known. */
    for (const tri_node *node = g->last; node; node = node->previous) {
        if (node->op != TRI_OP_COLUMNS || !is_activation(node->results[0])) continue;
        int32_t *parent = &p->last_use[node->operands[0]->id];
        int32_t own = p->last_use[node->results[0]->id];
        if (*parent < own) *parent = own;
    }
}

/* Operands over which the result, of the same type, may be written: bit i for operand i. */
static uint32_t in_place_operands(const tri_node *node) {
    switch (node->op) {
    case TRI_OP_ADD:
    case TRI_OP_MUL:
        return 3;
    case TRI_OP_AFFINE:
    case TRI_OP_SOFTCAP:
    case TRI_OP_ACTIVATION:
    case TRI_OP_ALL_REDUCE:
    case TRI_OP_PENALTIES:
    case TRI_OP_MASK:
        return 1;
    case TRI_OP_LINEAR:
    case TRI_OP_LINEAR_NORM:
        return 1 << 3; /* the accumulator */
    default:
        return 0;
    }
}

/* x is read again while y is being written, unless both go element by element. */
static bool read_otherwise(const planner *p, const tri_node *node, int32_t slot) {
    int32_t own = p->places[node->operands[slot]->id].buffer;
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *other = node->operands[i];
        if (i == slot || !is_activation(other) || p->places[other->id].buffer != own) continue;
        if (node->op == TRI_OP_LINEAR || node->op == TRI_OP_LINEAR_NORM ||
            p->places[other->id].view)
            return true;
    }
    return false;
}

/* The buffer that result 0 takes over from an operand, or -1. */
static int32_t find_in_place(const planner *p, const tri_node *node, int32_t at) {
    uint32_t slots = in_place_operands(node);
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *x = node->operands[i];
        if (!(slots >> i & 1) || !is_activation(x)) continue;
        const place *from = &p->places[x->id];
        if (!from->view && p->buffers[from->buffer].last == at && !read_otherwise(p, node, i))
            return from->buffer;
    }
    return -1;
}

static void place_view(planner *p, const tri_node *node) {
    place *y = &p->places[node->results[0]->id];
    const place *x = &p->places[node->operands[0]->id];
    const tri_type *t = &node->operands[0]->type;
    y->buffer = x->buffer;
    y->view = true;
    y->offset_bytes = x->offset_bytes + tri_dtype_row_bytes(t->dtype, tri_node_int(node, "first"));
    y->row_stride_bytes = x->row_stride_bytes;
}

static tri_status assign_buffer(planner *p, const tri_node *node, int32_t result, int32_t at) {
    const tri_value *value = node->results[result];
    place *y = &p->places[value->id];
    TRI_TRY(measure(p, value, y));
    if (node->op == TRI_OP_COLUMNS) {
        place_view(p, node);
        return TRI_OK;
    }
    int32_t taken = result == 0 ? find_in_place(p, node, at) : -1;
    if (taken >= 0) {
        y->buffer = taken;
        p->buffers[taken].last = p->last_use[value->id];
        return TRI_OK;
    }
    y->buffer = p->n_buffers;
    p->buffers[p->n_buffers++] = (buffer){.first = node->op == TRI_OP_INPUT ? -1 : at,
        .last = p->last_use[value->id],
        .n_bytes = y->rows * y->row_stride_bytes};
    return TRI_OK;
}

static tri_status assign_buffers(planner *p) {
    int32_t at = 0;
    for (const tri_node *node = p->g->first; node; node = node->next, at++) {
        for (int32_t i = 0; i < node->n_results; i++) {
            p->places[node->results[i]->id].buffer = -1;
            if (is_activation(node->results[i])) TRI_TRY(assign_buffer(p, node, i, at));
        }
    }
    return TRI_OK;
}

/* ---- offsets ---- */

static void drop_dead(planner *p, int32_t at) {
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_live; i++) {
        if (p->buffers[p->live[i]].last >= at) p->live[n++] = p->live[i];
    }
    p->n_live = n;
}

static int64_t aligned(int64_t n_bytes) {
    return (n_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

/* The smallest gap between live buffers that holds n bytes, else the end of the last; *at: before
 * which live one. */
static int64_t find_gap(const planner *p, int64_t n_bytes, int32_t *at) {
    int64_t end = 0, best = -1, best_bytes = INT64_MAX;
    *at = p->n_live;
    for (int32_t i = 0; i < p->n_live; i++) {
        const buffer *b = &p->buffers[p->live[i]];
        int64_t gap = b->offset_bytes - end;
        if (gap >= n_bytes && gap < best_bytes) {
            best = end;
            best_bytes = gap;
            *at = i;
        }
        end = b->offset_bytes + aligned(b->n_bytes);
    }
    return best >= 0 ? best : end;
}

static tri_status place_buffer(planner *p, int32_t index) {
    buffer *b = &p->buffers[index];
    int32_t at;
    int64_t end;
    drop_dead(p, b->first);
    b->offset_bytes = find_gap(p, aligned(b->n_bytes), &at);
    if (__builtin_add_overflow(b->offset_bytes, aligned(b->n_bytes), &end) ||
        end > INT64_MAX - ALIGN_BYTES)
        return TRI_FAIL(p->err, TRI_E_LIMIT,
            "activations take more than 2^63 bytes at %" PRId64 " tokens, %" PRId64
            " sequences, %" PRId64 " rows",
            p->max_tokens, p->max_sequences, p->max_rows);
    memmove(&p->live[at + 1], &p->live[at], (size_t)(p->n_live - at) * sizeof *p->live);
    p->live[at] = index;
    p->n_live++;
    if (end > p->total_bytes) p->total_bytes = end;
    return TRI_OK;
}

/* Inputs first, for they live before all else; the others are in order of birth already. */
static tri_status place_buffers(planner *p) {
    for (int32_t i = 0; i < p->n_buffers; i++) {
        if (p->buffers[i].first < 0) TRI_TRY(place_buffer(p, i));
    }
    for (int32_t i = 0; i < p->n_buffers; i++) {
        if (p->buffers[i].first >= 0) TRI_TRY(place_buffer(p, i));
    }
    return TRI_OK;
}

static tri_status write_plan(planner *p, tri_arena *arena, tri_memory_plan *plan) {
    int32_t n = p->g->next_id;
    tri_placement *placements = TRI_NEW_N(arena, tri_placement, n + 1);
    if (!placements) return TRI_FAIL(p->err, TRI_E_MEMORY, "out of memory");
    for (int32_t i = 0; i < n; i++)
        placements[i].offset_bytes = -1;
    for (const tri_node *node = p->g->first; node; node = node->next) {
        for (int32_t i = 0; i < node->n_results; i++) {
            const tri_value *value = node->results[i];
            const place *at = &p->places[value->id];
            tri_placement *out = &placements[value->id];
            out->value = value;
            if (at->buffer < 0) continue;
            out->offset_bytes = p->buffers[at->buffer].offset_bytes + at->offset_bytes;
            out->row_stride_bytes = at->row_stride_bytes;
            out->n_bytes = at->rows > 0 ? (at->rows - 1) * at->row_stride_bytes + at->row_bytes : 0;
        }
    }
    *plan = (tri_memory_plan){
        .placements = placements, .n_placements = n, .total_bytes = p->total_bytes};
    return TRI_OK;
}

tri_status tri_pass_memory(const tri_graph *g, int64_t max_tokens, int64_t max_sequences,
    int64_t max_rows, tri_arena *arena, tri_memory_plan *plan, tri_error *err) {
    tri_status rc = TRI_OK;
    size_t n = (size_t)g->next_id + 1;
    planner p = {.g = g,
        .max_tokens = max_tokens,
        .max_sequences = max_sequences,
        .max_rows = max_rows,
        .places = calloc(n, sizeof *p.places),
        .last_use = calloc(n, sizeof *p.last_use),
        .buffers = calloc(n, sizeof *p.buffers),
        .live = calloc(n, sizeof *p.live),
        .err = err};
    if (!p.places || !p.last_use || !p.buffers || !p.live) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
        goto done;
    }
    if (max_tokens < 0 || max_sequences < 0 || max_rows < 0) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT,
            "limits are %" PRId64 " tokens, %" PRId64 " sequences, %" PRId64
            " rows; none can be negative",
            max_tokens, max_sequences, max_rows);
        goto done;
    }
    find_last_uses(&p);
    rc = assign_buffers(&p);
    if (!rc) rc = place_buffers(&p);
    if (!rc) rc = write_plan(&p, arena, plan);

done:
    if (rc) tri_error_context(err, "memory plan");
    free(p.places);
    free(p.last_use);
    free(p.buffers);
    free(p.live);
    return rc;
}
