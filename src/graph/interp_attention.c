/* interp_attention.c - rope, paged caches, attention.
 *
 * rope       angle = position * frequency, cos and sin times magnitude, all in double.  Pair i of a
 *            head is (i, i + n), n frequencies (GPT-NeoX), or (2i, 2i + 1) when interleaved
 * (GPT-J); columns past 2n stay. caches     a block holds K [heads, tokens_per_block, head_size],
 * then V the same, in the cache's dtype: written values are rounded to it. attention  of the token
 * at position p over positions max(0, p - window + 1) .. p of its sequence; a token's place in its
 * sequence follows from the step's lengths.  Logits are scale * q . k, then softcap * tanh(logit /
 * softcap) when softcap > 0; scale 0 means 1 / sqrt(head_size).  Softmax and sums in double, one
 * rounding. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "graph/interp_state.h"

/* ---- rope ---- */

typedef struct rotation {
    const int32_t *positions;
    const float *frequencies;
    int64_t n_frequencies, head_size;
    bool interleaved;
    double magnitude;
} rotation;

static rotation rotation_of(const tri_interp *in, const tri_node *node) {
    const tri_interp_slot *frequencies = tri_interp_operand(in, node, "frequencies");
    return (rotation){.positions = tri_interp_operand(in, node, "positions")->i,
        .frequencies = frequencies->f,
        .n_frequencies = frequencies->rows * frequencies->columns,
        .head_size = tri_node_int(node, "head_size"),
        .interleaved = tri_node_int(node, "interleaved") != 0,
        .magnitude = tri_node_float(node, "magnitude")};
}

/* In place. */
static void rotate_head(const rotation *r, float *head, int32_t position) {
    for (int64_t i = 0; i < r->n_frequencies; i++) {
        double angle = (double)position * (double)r->frequencies[i];
        double c = cos(angle) * r->magnitude, s = sin(angle) * r->magnitude;
        float *a = &head[r->interleaved ? 2 * i : i];
        float *b = &head[r->interleaved ? 2 * i + 1 : i + r->n_frequencies];
        double x = (double)*a, y = (double)*b;
        *a = (float)(x * c - y * s);
        *b = (float)(y * c + x * s);
    }
}

static void rotate(const rotation *r, float *x, int64_t rows, int64_t columns) {
    for (int64_t t = 0; t < rows; t++) {
        for (int64_t h = 0; h < columns; h += r->head_size)
            rotate_head(r, x + t * columns + h, r->positions[t]);
    }
}

TRI_INTERP_RULE(rope) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    rotation r = rotation_of(in, node);
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    memcpy(y, x->f, (size_t)(x->rows * x->columns) * sizeof *y);
    rotate(&r, y, x->rows, x->columns);
    return TRI_OK;
}

/* ---- caches ---- */

typedef struct paged { /* one cache during a step */
    const tri_interp_memory *memory;
    const tri_step *step;
    tri_dtype dtype;
    int64_t n_heads, head_size, row_bytes;
    int32_t tokens_per_block;
} paged;

static paged paged_of(const tri_interp *in, const tri_node *node) {
    const tri_value *cache = tri_node_operand(node, "cache");
    const tri_interp_memory *memory = tri_interp_memory_of(in, cache);
    return (paged){.memory = memory,
        .step = in->step,
        .dtype = cache->type.dtype,
        .n_heads = cache->type.dims[0],
        .head_size = cache->type.dims[1],
        .row_bytes = tri_dtype_row_bytes(cache->type.dtype, cache->type.dims[1]),
        .tokens_per_block = in->g->groups[memory->group].tokens_per_block};
}

/* Where K (V, when `value`) of head h at `position` lies. */
static tri_status locate(const paged *p, int32_t sequence, int32_t position, int64_t head,
    bool value, uint8_t **at, tri_error *err) {
    const tri_step_group *group = &p->step->groups[p->memory->group];
    int32_t entry = position / p->tokens_per_block;
    int32_t block = entry < group->max_blocks
                        ? tri_step_block_table(p->step, p->memory->group, sequence)[entry]
                        : TRI_STEP_NO_BLOCK;
    if (block < 0)
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "position %" PRId32 " of sequence %" PRId32 " has no block in group %" PRId32, position,
            sequence, p->memory->group);
    int64_t row =
        ((value ? p->n_heads : 0) + head) * p->tokens_per_block + position % p->tokens_per_block;
    *at = p->memory->bytes + block * p->memory->block_bytes + row * p->row_bytes;
    return TRI_OK;
}

static tri_status write_tokens(
    const paged *p, const float *k, const float *v, int64_t n_tokens, tri_error *err) {
    for (int32_t t = 0; t < n_tokens; t++) {
        int32_t s = tri_interp_sequence(p->step, t);
        int32_t position = tri_interp_position(p->step, s, t);
        for (int64_t h = 0; h < p->n_heads; h++) {
            int64_t column = (t * p->n_heads + h) * p->head_size;
            uint8_t *at;
            TRI_TRY(locate(p, s, position, h, false, &at, err));
            tri_codec_encode(p->dtype, k + column, at, p->head_size);
            TRI_TRY(locate(p, s, position, h, true, &at, err));
            tri_codec_encode(p->dtype, v + column, at, p->head_size);
        }
    }
    return TRI_OK;
}

TRI_INTERP_RULE(kv_write) {
    const tri_interp_slot *k = tri_interp_operand(in, node, "k");
    const tri_interp_slot *v = tri_interp_operand(in, node, "v");
    paged p = paged_of(in, node);
    return write_tokens(&p, k->f, v->f, k->rows, err);
}

TRI_INTERP_RULE(rope_kv_write) {
    const tri_interp_slot *q = tri_interp_operand(in, node, "q");
    const tri_interp_slot *k = tri_interp_operand(in, node, "k");
    const tri_interp_slot *v = tri_interp_operand(in, node, "v");
    const tri_interp_slot *q_norm = tri_interp_operand(in, node, "q_norm");
    const tri_interp_slot *k_norm = tri_interp_operand(in, node, "k_norm");
    double eps = tri_node_float(node, "eps");
    rotation r = rotation_of(in, node);
    paged p = paged_of(in, node);
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    size_t k_bytes = (size_t)(k->rows * k->columns) * sizeof *y;
    float *rotated = malloc(k_bytes + 1);
    if (!rotated) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    memcpy(y, q->f, (size_t)(q->rows * q->columns) * sizeof *y);
    memcpy(rotated, k->f, k_bytes);
    if (q_norm) tri_interp_normalise(y, q_norm->f, q->rows, q->columns, r.head_size, eps, y);
    if (k_norm)
        tri_interp_normalise(rotated, k_norm->f, k->rows, k->columns, r.head_size, eps, rotated);
    rotate(&r, y, q->rows, q->columns);
    rotate(&r, rotated, k->rows, k->columns);
    tri_status rc = write_tokens(&p, rotated, v->f, k->rows, err);
    free(rotated);
    return rc;
}

/* ---- attention ---- */

typedef struct attending { /* one head of one token */
    double scale, softcap;
    int64_t head_size;
    double *logits; /* one a position */
} attending;

/* y = softmax(scale * q K^T) V over n rows of K and V. */
static void attend(const attending *a, const float *q, const double *keys, const double *values,
    int64_t n, float *y) {
    double max = -HUGE_VAL, total = 0.0;
    for (int64_t j = 0; j < n; j++) {
        double logit = 0.0;
        for (int64_t d = 0; d < a->head_size; d++)
            logit += (double)q[d] * keys[j * a->head_size + d];
        logit *= a->scale;
        if (a->softcap > 0.0) logit = a->softcap * tanh(logit / a->softcap);
        a->logits[j] = logit;
        max = fmax(max, logit);
    }
    for (int64_t j = 0; j < n; j++) {
        a->logits[j] = exp(a->logits[j] - max);
        total += a->logits[j];
    }
    for (int64_t d = 0; d < a->head_size; d++) {
        double sum = 0.0;
        for (int64_t j = 0; j < n; j++)
            sum += a->logits[j] * values[j * a->head_size + d];
        y[d] = (float)(sum / total);
    }
}

/* Rows [first, last) of a sequence's K or V of one head, decoded. */
static tri_status gather(const paged *p, int32_t sequence, int64_t head, bool value, int32_t first,
    int32_t last, float *row, double *out, tri_error *err) {
    for (int32_t position = first; position < last; position++) {
        uint8_t *at;
        TRI_TRY(locate(p, sequence, position, head, value, &at, err));
        tri_codec_decode(p->dtype, at, row, p->head_size);
        for (int64_t d = 0; d < p->head_size; d++)
            out[(position - first) * p->head_size + d] = (double)row[d];
    }
    return TRI_OK;
}

static int32_t first_seen(int32_t position, int64_t window) {
    return window > 0 && position + 1 > window ? (int32_t)(position + 1 - window) : 0;
}

/* All query heads of one sequence that share one key head. */
static tri_status attend_sequence(const tri_node *node, const paged *p, int32_t s, int64_t kv_head,
    const float *q, float *y, tri_error *err) {
    const int32_t *cu = TRI_STEP_I32(p->step, cu_seqlens);
    int64_t n_heads = tri_node_int(node, "n_heads"), window = tri_node_int(node, "window");
    int64_t shared = n_heads / p->n_heads, width = n_heads * p->head_size, d = p->head_size;
    double scale = tri_node_float(node, "scale");
    tri_status rc = TRI_OK;
    if (cu[s + 1] == cu[s]) return TRI_OK;
    int32_t end = TRI_STEP_I32(p->step, context_lens)[s];
    int32_t first = first_seen(tri_interp_position(p->step, s, cu[s]), window);
    TRI_ASSERT(first < end); /* the step's queries end where its context does */
    size_t n = (size_t)(end - first);
    double *keys = malloc((2 * n * (size_t)d + n) * sizeof *keys);
    float *row = malloc((size_t)d * sizeof *row);
    if (!keys || !row) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory for %zu positions", n);
        goto done;
    }
    double *values = keys + n * (size_t)d;
    attending a = {.scale = scale > 0.0 ? scale : 1.0 / sqrt((double)d),
        .softcap = tri_node_float(node, "softcap"),
        .head_size = d,
        .logits = values + n * (size_t)d};
    rc = gather(p, s, kv_head, false, first, end, row, keys, err);
    if (!rc) rc = gather(p, s, kv_head, true, first, end, row, values, err);
    for (int32_t t = cu[s]; !rc && t < cu[s + 1]; t++) {
        int32_t position = tri_interp_position(p->step, s, t);
        int64_t from = first_seen(position, window) - first;
        for (int64_t h = kv_head * shared; h < (kv_head + 1) * shared; h++)
            attend(&a, q + t * width + h * d, keys + from * d, values + from * d,
                position + 1 - first - from, y + t * width + h * d);
    }

done:
    free(keys);
    free(row);
    return rc;
}

TRI_INTERP_RULE(attention) {
    const tri_interp_slot *q = tri_interp_operand(in, node, "q");
    paged p = paged_of(in, node);
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    for (int32_t s = 0; s < in->step->n_sequences; s++) {
        for (int64_t h = 0; h < p.n_heads; h++)
            TRI_TRY(attend_sequence(node, &p, s, h, q->f, y, err));
    }
    return TRI_OK;
}
