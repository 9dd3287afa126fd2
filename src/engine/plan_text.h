/* plan_text.h - the plan as it is stored: one launch a line.
 *
 *     trireme.plan 1
 *     forward 0 embedding embedding_row_generic f32
 *     forward 1 linear linear_panel16_avx2 f32 k8
 *     sample 0 count_tokens count_tokens_generic
 *
 * list, index in it, op, kernel, and (the rest of the line) the kernel's numerics id.  A plan says
 * which kernel was chosen when the engine was built; opening takes it when it is still there and
 * still fits, so that an engine's numbers do not change under it. */
#ifndef TRI_ENGINE_PLAN_TEXT_H
#define TRI_ENGINE_PLAN_TEXT_H

#include "base/buf.h"
#include "engine/lower.h"

typedef struct tri_plan_line {
    const char *op, *kernel, *numerics;
} tri_plan_line;

typedef struct tri_plan_lists {
    tri_plan_line *forward, *sample;
    int32_t n_forward, n_sample;
} tri_plan_lists;

void tri_plan_print(const tri_pick *forward, int32_t n_forward, const tri_pick *sample,
    int32_t n_sample, tri_buf *out);
tri_status tri_plan_parse(tri_plan_lists *lists, tri_str text, tri_arena *arena, tri_error *err);

#endif
