#include "kernels/step_inputs.h"

#include <string.h>

#include "base/step.h"

/* ---- CPU ---- */

static int32_t count_of(const tri_plugin_launch *l, tri_step_input kind) {
    return kind == TRI_STEP_ROWS ? l->step->extents.n_rows : l->step->extents.n_tokens;
}

static void take_sampled(const tri_step_inputs *inputs, int32_t *tokens, int32_t n) {
    for (int32_t t = 0; t < n && inputs->sampled; t++) {
        int32_t row = tri_step_row_of_token(tokens[t]);
        if (row >= 0) tokens[t] = inputs->sampled[row];
    }
}

static void launch(void *state, const tri_plugin_launch *l) {
    const tri_step_inputs *inputs = state;
    const tri_step *step = l->step->step;
    if (l->thread != 0) return;
    for (int32_t i = 0; i < inputs->n; i++) {
        const int32_t *from = inputs->kinds[i] == TRI_STEP_TOKENS      ? TRI_STEP_I32(step, tokens)
                              : inputs->kinds[i] == TRI_STEP_POSITIONS ? l->step->positions
                                                                       : l->step->rows;
        int32_t n = count_of(l, inputs->kinds[i]), *to = l->outputs[i].data;
        if (n > 0) memcpy(to, from, (size_t)n * sizeof *from);
        if (inputs->kinds[i] == TRI_STEP_TOKENS) take_sampled(inputs, to, n);
    }
}

const tri_plugin_kernel tri_step_inputs_kernel = {.struct_size = sizeof(tri_plugin_kernel),
    .op = "input",
    .name = "step_inputs",
    .device = "cpu",
    .numerics = "",
    .isa = "",
    .launch = launch};

/* ---- CUDA ---- */

enum { THREADS = 256 };

typedef struct step_inputs_arguments { /* of step_inputs.cu */
    uint64_t step, sampled, to[TRI_MAX_STEP_INPUTS];
    int32_t offsets[TRI_MAX_STEP_INPUTS], n[TRI_MAX_STEP_INPUTS];
} step_inputs_arguments;

/* Where in the header the offset of an array stands. */
static size_t offset_of(tri_step_input kind) {
    static const size_t offsets[] = {[TRI_STEP_TOKENS] = offsetof(tri_step, tokens),
        [TRI_STEP_POSITIONS] = offsetof(tri_step, positions),
        [TRI_STEP_ROWS] = offsetof(tri_step, rows)};
    return offsets[kind];
}

static void cuda_launch(void *state, const tri_plugin_launch *l) {
    tri_step_inputs *inputs = state;
    tri_cuda_queue *queue = l->team;
    if (queue->preparing) {
        inputs->cuda.program = (tri_cuda_program){.entry = "step_inputs"};
        tri_cuda_define(&inputs->cuda.program, "P_THREADS", THREADS);
        tri_cuda_define(&inputs->cuda.program, "P_ARRAYS", TRI_MAX_STEP_INPUTS);
        tri_cuda_kernel_prepare(&inputs->cuda, queue);
        return;
    }
    step_inputs_arguments a = {
        .step = tri_cuda_address(l->step->step), .sampled = tri_cuda_address(inputs->sampled)};
    int32_t most = 1;
    for (int32_t i = 0; i < inputs->n; i++) {
        a.to[i] = tri_cuda_address(l->outputs[i].data);
        a.offsets[i] = (int32_t)offset_of(inputs->kinds[i]);
        a.n[i] = count_of(l, inputs->kinds[i]);
        if (a.n[i] > most) most = a.n[i];
    }
    const tri_cuda_grid grid = {.grid_x = (uint32_t)((most + THREADS - 1) / THREADS),
        .grid_y = TRI_MAX_STEP_INPUTS,
        .block = THREADS};
    tri_cuda_kernel_enqueue(&inputs->cuda, queue, &grid, &a);
}

const tri_plugin_kernel tri_cuda_step_inputs_kernel = {
    TRI_CUDA_KERNEL("input", "step_inputs_cuda", "sm_80", ""), .launch = cuda_launch};

/* ---- either ---- */

const tri_plugin_kernel *tri_step_inputs_kernel_for(const char *device_kind) {
    return strcmp(device_kind, "cuda") == 0 ? &tri_cuda_step_inputs_kernel
                                            : &tri_step_inputs_kernel;
}

bool tri_step_input_of(const char *name, tri_step_input *kind) {
    static const char *const names[] = {"tokens", "positions", "rows"};
    static const tri_step_input kinds[] = {TRI_STEP_TOKENS, TRI_STEP_POSITIONS, TRI_STEP_ROWS};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *kind = kinds[i];
            return true;
        }
    }
    return false;
}
