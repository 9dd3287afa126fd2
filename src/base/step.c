#include "base/step.h"

#include <math.h>
#include <string.h>

enum { MAX_ROWS_BEFORE = 1 << 20 };

/* ---- layout ---- */

/* Places n elements at the end of the block and moves the end; false past 4 GiB. */
static bool place(int64_t *end, int64_t n, int64_t elem_bytes, int64_t align, uint32_t *offset) {
    int64_t n_bytes;
    if (n < 0 || __builtin_mul_overflow(n, elem_bytes, &n_bytes)) return false;
    int64_t start = (*end + align - 1) / align * align;
    if (n_bytes > (int64_t)UINT32_MAX - 8 - start) return false;
    *offset = (uint32_t)start;
    *end = start + n_bytes;
    return true;
}

/* Fills the header of a step of this shape: the one place that knows the order of the arrays. */
static bool lay_out(const tri_step_shape *shape, tri_step *h) {
    int64_t t = shape->n_tokens, s = shape->n_sequences, r = shape->n_rows;
    int64_t p = shape->n_position_axes, end = sizeof(tri_step);
    if (t < 0 || s < 0 || r < 0 || shape->n_groups < 0 || shape->n_groups > TRI_MAX_GROUPS ||
        (p != 1 && p != 3)) {
        return false;
    }
    *h = (tri_step){.magic = TRI_STEP_MAGIC,
        .n_tokens = shape->n_tokens,
        .n_sequences = shape->n_sequences,
        .n_rows = shape->n_rows,
        .n_groups = shape->n_groups,
        .n_position_axes = shape->n_position_axes};
    bool fits = place(&end, r, sizeof(tri_step_sampling), 8, &h->sampling) &&
                place(&end, t, 4, 4, &h->tokens) && place(&end, p * t, 4, 4, &h->positions) &&
                place(&end, s + 1, 4, 4, &h->cu_seqlens) &&
                place(&end, s, 4, 4, &h->context_lens) && place(&end, s, 4, 4, &h->prompt_lens) &&
                place(&end, s, 4, 4, &h->adapter_ids) && place(&end, r, 4, 4, &h->rows);
    for (int32_t g = 0; fits && g < shape->n_groups; g++) {
        int64_t max_blocks = shape->max_blocks[g];
        h->groups[g].max_blocks = shape->max_blocks[g];
        if (max_blocks < 0) return false;
        fits = max_blocks ? place(&end, s * max_blocks, 4, 4, &h->groups[g].block_tables)
                          : place(&end, s, 4, 4, &h->groups[g].state_slots);
    }
    if (!fits) return false;
    h->n_bytes = (uint32_t)((end + 7) / 8 * 8);
    return true;
}

int64_t tri_step_bytes(const tri_step_shape *shape) {
    tri_step header;
    return lay_out(shape, &header) ? (int64_t)header.n_bytes : -1;
}

tri_step *tri_step_init(void *memory, int64_t capacity_bytes, const tri_step_shape *shape) {
    tri_step header;
    TRI_ASSERT(((uintptr_t)memory & 7) == 0);
    TRI_ASSERT(lay_out(shape, &header));
    TRI_ASSERT((int64_t)header.n_bytes <= capacity_bytes);
    memset(memory, 0, header.n_bytes);
    tri_step *step = memory;
    *step = header;
    for (int32_t g = 0; g < step->n_groups; g++) {
        size_t n = (size_t)step->n_sequences * (size_t)step->groups[g].max_blocks;
        if (n) memset((uint8_t *)memory + step->groups[g].block_tables, 0xFF, n * 4); /* -1 */
    }
    return step;
}

/* ---- check ---- */

static tri_status check_array(const tri_step *step, const char *name, uint32_t offset, int64_t n,
    int64_t elem_bytes, int64_t align, tri_error *err) {
    int64_t n_bytes;
    if (offset < sizeof(tri_step) || offset % align != 0 ||
        __builtin_mul_overflow(n, elem_bytes, &n_bytes) || offset > step->n_bytes ||
        n_bytes > (int64_t)step->n_bytes - (int64_t)offset) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "%s at %" PRIu32 ", %" PRId64 " of %" PRId64 " bytes, lies outside the step's %" PRIu32
            " bytes or is misaligned",
            name, offset, n, elem_bytes, step->n_bytes);
    }
    return TRI_OK;
}

/* An i32 array whose values lie in [low, high]. */
static tri_status check_i32(const tri_step *step, const char *name, uint32_t offset, int64_t n,
    int32_t low, int32_t high, tri_error *err) {
    TRI_TRY(check_array(step, name, offset, n, 4, 4, err));
    const int32_t *values = tri_step_at(step, offset);
    for (int64_t i = 0; i < n; i++) {
        if (values[i] < low || values[i] > high) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "%s[%" PRId64 "] is %" PRId32 ", not in [%" PRId32 ", %" PRId32 "]", name, i,
                values[i], low, high);
        }
    }
    return TRI_OK;
}

static tri_status check_header(const tri_step *step, int64_t n_bytes, tri_error *err) {
    if (n_bytes < (int64_t)sizeof(tri_step) || ((uintptr_t)step & 7) != 0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "%" PRId64 " bytes, the header needs %zu aligned to 8",
            n_bytes, sizeof(tri_step));
    }
    if (step->magic != TRI_STEP_MAGIC) {
        return TRI_FAIL(err, TRI_E_FORMAT, "magic %08" PRIx32 ", not %08x", step->magic,
            (unsigned)TRI_STEP_MAGIC);
    }
    if (step->n_bytes < sizeof(tri_step) || (int64_t)step->n_bytes > n_bytes) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "says %" PRIu32 " bytes, has %" PRId64, step->n_bytes, n_bytes);
    }
    if (step->n_rows_before < 0 || step->n_rows_before > MAX_ROWS_BEFORE)
        return TRI_FAIL(err, TRI_E_FORMAT, "n_rows_before is %" PRId32 ", not in [0, %d]",
            step->n_rows_before, MAX_ROWS_BEFORE);
    if (step->n_tokens < 0 || step->n_sequences < 0 || step->n_rows < 0 ||
        step->n_rows > step->n_tokens || step->n_groups < 0 || step->n_groups > TRI_MAX_GROUPS ||
        (step->n_position_axes != 1 && step->n_position_axes != 3)) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "extents out of range: tokens %" PRId32 ", sequences %" PRId32 ", rows %" PRId32
            " (at most the tokens), groups %" PRId32 " (at most %d), position axes %" PRId32
            " (1 or 3)",
            step->n_tokens, step->n_sequences, step->n_rows, step->n_groups, (int)TRI_MAX_GROUPS,
            step->n_position_axes);
    }
    return TRI_OK;
}

static tri_status check_sequences(const tri_step *step, tri_error *err) {
    int64_t t = step->n_tokens, s = step->n_sequences;
    TRI_TRY(check_i32(step, "cu_seqlens", step->cu_seqlens, s + 1, 0, step->n_tokens, err));
    TRI_TRY(check_i32(step, "context_lens", step->context_lens, s, 0, INT32_MAX, err));
    TRI_TRY(check_i32(step, "prompt_lens", step->prompt_lens, s, 0, INT32_MAX, err));
    TRI_TRY(check_i32(step, "adapter_ids", step->adapter_ids, s, -1, INT32_MAX, err));
    const int32_t *cu = TRI_STEP_I32(step, cu_seqlens);
    const int32_t *context = TRI_STEP_I32(step, context_lens);
    if (cu[0] != 0 || cu[s] != t) {
        return TRI_FAIL(err, TRI_E_FORMAT,
            "cu_seqlens runs from %" PRId32 " to %" PRId32 ", not from 0 to %" PRId64, cu[0], cu[s],
            t);
    }
    for (int64_t i = 0; i < s; i++) {
        int32_t n = cu[i + 1] - cu[i];
        if (n < 0 || context[i] < n) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "sequence %" PRId64 " has %" PRId32 " tokens here and a context of %" PRId32, i, n,
                context[i]);
        }
    }
    return TRI_OK;
}

static bool in_range(float x, float low) { /* false for NaN and infinity */
    return x >= low && x <= 3.4e38f;
}

static bool sampling_is_sane(const tri_step_sampling *p) {
    return in_range(p->temperature, 0) && p->top_k >= 0 && in_range(p->top_p, 0) &&
           in_range(p->min_p, 0) && in_range(p->repetition_penalty, 0) &&
           isfinite(p->presence_penalty) && isfinite(p->frequency_penalty) && p->n_logprobs >= 0 &&
           p->mask_slot >= -1;
}

static tri_status check_rows(const tri_step *step, tri_error *err) {
    TRI_TRY(check_i32(step, "rows", step->rows, step->n_rows, 0, step->n_tokens - 1, err));
    TRI_TRY(check_array(
        step, "sampling", step->sampling, step->n_rows, sizeof(tri_step_sampling), 8, err));
    const int32_t *rows = TRI_STEP_I32(step, rows), *cu = TRI_STEP_I32(step, cu_seqlens);
    const tri_step_sampling *sampling = tri_step_rows_sampling(step);
    for (int32_t i = 0; i < step->n_rows; i++) {
        int32_t s = sampling[i].sequence;
        if (i > 0 && rows[i] <= rows[i - 1]) {
            return TRI_FAIL(err, TRI_E_FORMAT, "rows[%" PRId32 "] is %" PRId32 " after %" PRId32, i,
                rows[i], rows[i - 1]);
        }
        if (s < 0 || s >= step->n_sequences || rows[i] < cu[s] || rows[i] >= cu[s + 1]) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "row %" PRId32 ", token %" PRId32 ", is not of its sequence %" PRId32, i, rows[i],
                s);
        }
        if (!sampling_is_sane(&sampling[i])) {
            return TRI_FAIL(err, TRI_E_FORMAT,
                "sampling of row %" PRId32 " is out of range: temperature %g, top_k %" PRId32
                ", top_p %g, min_p %g, penalties %g %g %g, logprobs %" PRId32 ", mask %" PRId32,
                i, (double)sampling[i].temperature, sampling[i].top_k, (double)sampling[i].top_p,
                (double)sampling[i].min_p, (double)sampling[i].repetition_penalty,
                (double)sampling[i].presence_penalty, (double)sampling[i].frequency_penalty,
                sampling[i].n_logprobs, sampling[i].mask_slot);
        }
    }
    return TRI_OK;
}

static tri_status check_group(
    const tri_step *step, int32_t group, int32_t n_blocks, tri_error *err) {
    const tri_step_group *g = &step->groups[group];
    int64_t s = step->n_sequences, n;
    tri_status rc;
    if (g->max_blocks < 0 || __builtin_mul_overflow(s, (int64_t)g->max_blocks, &n)) {
        rc = TRI_FAIL(err, TRI_E_FORMAT, "max_blocks is %" PRId32, g->max_blocks);
    } else if (g->max_blocks > 0) {
        rc = check_i32(
            step, "block_tables", g->block_tables, n, TRI_STEP_NO_BLOCK, n_blocks - 1, err);
    } else {
        rc = check_i32(step, "state_slots", g->state_slots, s, 0, n_blocks - 1, err);
    }
    if (rc) tri_error_context(err, "group %" PRId32, group);
    return rc;
}

tri_status tri_step_check(const tri_step *step, int64_t n_bytes, int32_t vocab_size,
    const int32_t n_blocks[TRI_MAX_GROUPS], tri_error *err) {
    tri_status rc = check_header(step, n_bytes, err);
    if (rc) goto done;
    int64_t t = step->n_tokens, p = step->n_position_axes;
    rc = check_i32(step, "tokens", step->tokens, t, -1 - step->n_rows_before, vocab_size - 1, err);
    if (rc) goto done;
    rc = check_i32(step, "positions", step->positions, p * t, 0, INT32_MAX, err);
    if (rc) goto done;
    rc = check_sequences(step, err);
    if (rc) goto done;
    rc = check_rows(step, err);
    for (int32_t g = 0; !rc && g < step->n_groups; g++) {
        rc = check_group(step, g, n_blocks[g], err);
    }

done:
    if (rc) tri_error_context(err, "step");
    return rc;
}
