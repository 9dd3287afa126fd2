/* rope.c - kernels of rope, kv_write and rope_kv_write (fused: norms per head, rope of q and k, k
 * and v into their places).
 *
 *     x, q, k, v   [T, heads * D] float32, any row stride
 *     rope         pairs (i, i + n), or (2i, 2i + 1) when interleaved; columns past 2n stay
 *     place        by the token's position in its sequence (from lengths), rounded to the cache's
 * dtype
 *
 * Share    (token, head) pairs: one token has work for all threads
 * Bound    memory */
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/kv_cache.h"
#include "kernels/cpu/rotate.h"
#include "kernels/cpu/rows.h"

enum { MAX_HEAD = TRI_MAX_ROTATED_HEAD };

typedef struct rope {
    const tri_rotate_functions *rotate;
    const tri_rows_functions *rows;
    int64_t head_size, n_frequencies, n_q_heads, n_kv_heads;
    bool interleaved, has_q_norm, has_k_norm;
    float magnitude, eps;
} rope;

/* ---- what is asked ---- */

static int32_t check_head(int64_t head_size, char *reason, size_t reason_bytes) {
    if (head_size < 1 || head_size > MAX_HEAD) {
        return tri_reject(reason, reason_bytes, "heads of %d columns, at most %d are possible",
            (int)head_size, MAX_HEAD);
    }
    return 0;
}

static int32_t check_cache(const tri_plugin_type *cache, char *reason, size_t reason_bytes) {
    if (tri_cache_elem_bytes(cache->dtype) == 0) {
        return tri_reject(reason, reason_bytes, "caches are float32, float16 or bfloat16");
    }
    return check_head(cache->dims[1], reason, reason_bytes);
}

enum { ROPE_X, ROPE_POSITIONS, ROPE_FREQUENCIES };
enum { WRITE_K, WRITE_V, WRITE_CACHE };
enum { Q, K, V, CACHE, POSITIONS, FREQUENCIES, Q_NORM, K_NORM };

static int32_t supports_rope(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return tri_require_f32(desc, ROPE_X, reason, reason_bytes) ||
           tri_require_f32(desc, ROPE_FREQUENCIES, reason, reason_bytes) ||
           check_head(tri_desc_int(desc, "head_size", 0), reason, reason_bytes);
}

static int32_t supports_write(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return tri_require_f32(desc, WRITE_K, reason, reason_bytes) ||
           tri_require_f32(desc, WRITE_V, reason, reason_bytes) ||
           check_cache(&desc->inputs[WRITE_CACHE], reason, reason_bytes);
}

static int32_t supports_fused(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    static const int32_t f32[] = {Q, K, V, FREQUENCIES, Q_NORM, K_NORM};
    for (size_t i = 0; i < sizeof f32 / sizeof f32[0]; i++) {
        if (tri_require_f32(desc, f32[i], reason, reason_bytes)) return 1;
    }
    return check_cache(&desc->inputs[CACHE], reason, reason_bytes);
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    double columns = 0;
    for (int32_t i = 0; i < desc->n_inputs; i++) {
        const tri_plugin_type *type = tri_desc_input(desc, i);
        if (type && type->n_dims == 2 && type->dims[0] == TRI_DIM_T) {
            columns += (double)type->dims[1];
        }
    }
    double elements = columns * (double)extents->n_tokens;
    *c = (tri_plugin_cost){.bytes = 8 * elements, .flops = 4 * elements};
}

static int32_t create(const tri_plugin_desc *desc, bool avx2, void **state) {
    rope *r = calloc(1, sizeof *r);
    if (!r) return 1;
    r->rotate = avx2 ? &tri_rotate_avx2 : &tri_rotate_generic;
    r->rows = avx2 ? &tri_rows_avx2 : &tri_rows_generic;
    r->head_size = tri_desc_int(desc, "head_size", 0);
    r->interleaved = tri_desc_int(desc, "interleaved", 0) != 0;
    r->magnitude = (float)tri_desc_float(desc, "magnitude", 1.0);
    r->eps = (float)tri_desc_float(desc, "eps", 1e-5);
    if (strcmp(desc->op, "rope") == 0) {
        r->n_q_heads = desc->inputs[ROPE_X].dims[1] / r->head_size;
        r->n_frequencies = tri_plugin_columns(&desc->inputs[ROPE_FREQUENCIES]);
    } else if (strcmp(desc->op, "kv_write") == 0) {
        r->n_kv_heads = desc->inputs[WRITE_CACHE].dims[0];
        r->head_size = desc->inputs[WRITE_CACHE].dims[1];
    } else {
        r->n_q_heads = desc->inputs[Q].dims[1] / r->head_size;
        r->n_kv_heads = desc->inputs[CACHE].dims[0];
        r->n_frequencies = tri_plugin_columns(&desc->inputs[FREQUENCIES]);
        r->has_q_norm = tri_desc_input(desc, Q_NORM) != NULL;
        r->has_k_norm = tri_desc_input(desc, K_NORM) != NULL;
    }
    *state = r;
    return 0;
}

static int32_t create_avx2(const tri_plugin_desc *desc, void **state) {
    return create(desc, true, state);
}
static int32_t create_generic(const tri_plugin_desc *desc, void **state) {
    return create(desc, false, state);
}

/* ---- launch ---- */

typedef struct turning { /* the angles of the token being worked on */
    const int32_t *positions;
    const float *frequencies;
    int64_t token; /* -1: none yet */
    float c[MAX_HEAD / 2], s[MAX_HEAD / 2];
} turning;

static void turn_to(const rope *r, turning *t, int64_t token) {
    if (t->token == token) return;
    t->token = token;
    r->rotate->angles(
        t->positions[token], t->frequencies, r->n_frequencies, r->magnitude, t->c, t->s);
}

static void rope_launch(void *state, const tri_plugin_launch *launch) {
    const rope *r = state;
    turning t = {.positions = launch->inputs[ROPE_POSITIONS].data,
        .frequencies = launch->inputs[ROPE_FREQUENCIES].data,
        .token = -1};
    int64_t first, last;
    tri_launch_share(launch, (int64_t)launch->step->extents.n_tokens * r->n_q_heads, &first, &last);
    for (int64_t item = first; item < last; item++) {
        int64_t token = item / r->n_q_heads, column = item % r->n_q_heads * r->head_size;
        turn_to(r, &t, token);
        r->rotate->turn(tri_row_f32(&launch->inputs[ROPE_X], token) + column,
            tri_row_f32(&launch->outputs[0], token) + column, r->head_size, r->n_frequencies,
            r->interleaved, t.c, t.s);
    }
}

static void write_head(const tri_plugin_cache *cache, const float *head, uint8_t *to) {
    if (to) tri_codec_encode((tri_dtype)cache->dtype, head, to, cache->head_size);
}

static void kv_write_launch(void *state, const tri_plugin_launch *launch) {
    const rope *r = state;
    const tri_plugin_cache *cache = launch->caches[WRITE_CACHE];
    tri_token_walk walk = {.step = launch->step};
    int64_t first, last;
    tri_launch_share(
        launch, (int64_t)launch->step->extents.n_tokens * r->n_kv_heads, &first, &last);
    for (int64_t item = first; item < last; item++) {
        int64_t token = item / r->n_kv_heads, head = item % r->n_kv_heads;
        int32_t position = tri_walk_to(&walk, token);
        uint8_t *at = tri_cache_at(cache, walk.sequence, position, head);
        int64_t column = head * r->head_size;
        write_head(cache, tri_row_f32(&launch->inputs[WRITE_K], token) + column, at);
        write_head(cache, tri_row_f32(&launch->inputs[WRITE_V], token) + column,
            at ? at + cache->v_offset_bytes : NULL);
    }
}

/* head, normalised when there is a norm, then turned, in out. */
static void prepare_head(
    const rope *r, const turning *t, const float *head, const float *norm, float *out) {
    float normalised[MAX_HEAD];
    if (norm) {
        r->rows->rms_norm(head, norm, normalised, r->head_size, r->head_size, r->eps);
        head = normalised;
    }
    r->rotate->turn(head, out, r->head_size, r->n_frequencies, r->interleaved, t->c, t->s);
}

static void rope_kv_write_launch(void *state, const tri_plugin_launch *launch) {
    const rope *r = state;
    const tri_plugin_cache *cache = launch->caches[CACHE];
    const float *q_norm = r->has_q_norm ? launch->inputs[Q_NORM].data : NULL;
    const float *k_norm = r->has_k_norm ? launch->inputs[K_NORM].data : NULL;
    turning t = {.positions = launch->inputs[POSITIONS].data,
        .frequencies = launch->inputs[FREQUENCIES].data,
        .token = -1};
    tri_token_walk walk = {.step = launch->step};
    int64_t n_heads = r->n_q_heads + r->n_kv_heads, first, last;
    tri_launch_share(launch, launch->step->extents.n_tokens * n_heads, &first, &last);
    for (int64_t item = first; item < last; item++) {
        int64_t token = item / n_heads, head = item % n_heads;
        turn_to(r, &t, token);
        if (head < r->n_q_heads) {
            int64_t column = head * r->head_size;
            prepare_head(r, &t, tri_row_f32(&launch->inputs[Q], token) + column, q_norm,
                tri_row_f32(&launch->outputs[0], token) + column);
            continue;
        }
        head -= r->n_q_heads;
        int32_t position = tri_walk_to(&walk, token);
        uint8_t *at = tri_cache_at(cache, walk.sequence, position, head);
        int64_t column = head * r->head_size;
        float turned[MAX_HEAD];
        prepare_head(r, &t, tri_row_f32(&launch->inputs[K], token) + column, k_norm, turned);
        write_head(cache, turned, at);
        write_head(cache, tri_row_f32(&launch->inputs[V], token) + column,
            at ? at + cache->v_offset_bytes : NULL);
    }
}

/* ---- registration ---- */

#define ROPE_KERNEL(op, variant, isa_, supports_)                                                  \
    static const tri_plugin_kernel op##_##variant = {                                              \
        TRI_CPU_KERNEL(#op, #op "_" #variant, isa_, "f32"), .supports = supports_, .cost = cost,   \
        .create = create_##variant, .destroy = free, .launch = op##_launch};
ROPE_KERNEL(rope, avx2, "avx2", supports_rope)
ROPE_KERNEL(rope, generic, "", supports_rope)
ROPE_KERNEL(kv_write, generic, "", supports_write)
ROPE_KERNEL(rope_kv_write, avx2, "avx2", supports_fused)
ROPE_KERNEL(rope_kv_write, generic, "", supports_fused)

const tri_plugin_kernel *const tri_rope_kernels[] = {&rope_avx2, &rope_generic, &kv_write_generic,
    &rope_kv_write_avx2, &rope_kv_write_generic, NULL};
