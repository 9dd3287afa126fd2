/* Any bytes as a step: refused, or every index in it is safe to follow. */
#include <stdlib.h>
#include <string.h>

#include "base/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile int64_t sink;

static void follow(const tri_step *step) {
    const int32_t *cu = TRI_STEP_I32(step, cu_seqlens), *tokens = TRI_STEP_I32(step, tokens);
    const int32_t *positions = TRI_STEP_I32(step, positions), *rows = TRI_STEP_I32(step, rows);
    int64_t sum = 0;
    for (int32_t s = 0; s < step->n_sequences; s++) {
        TRI_ASSERT(cu[s] >= 0 && cu[s] <= cu[s + 1] && cu[s + 1] <= step->n_tokens);
        for (int32_t t = cu[s]; t < cu[s + 1]; t++)
            sum += tokens[t] + positions[t];
        for (int32_t g = 0; g < step->n_groups; g++) {
            for (int32_t b = 0; b < step->groups[g].max_blocks; b++) {
                sum += tri_step_block_table(step, g, s)[b];
            }
        }
    }
    for (int32_t r = 0; r < step->n_rows; r++) {
        TRI_ASSERT(rows[r] >= 0 && rows[r] < step->n_tokens);
        sum += tri_step_rows_sampling(step)[r].sequence;
    }
    sink = sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int32_t n_blocks[TRI_MAX_GROUPS] = {4, 4, 4, 4, 4, 4, 4, 4};
    uint64_t *copy = malloc(size + 8); /* steps are 8-byte aligned */
    if (!copy) return 0;
    memcpy(copy, data, size);
    tri_error err = {0};
    const tri_step *step = (const tri_step *)(const void *)copy;
    if (size >= sizeof *step && !tri_step_check(step, (int64_t)size, 100, n_blocks, &err))
        follow(step);
    free(copy);
    return 0;
}
