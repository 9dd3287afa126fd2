#include "engine/step_inputs.h"

#include <string.h>

#include "base/step.h"

static void launch(void *state, const tri_plugin_launch *l) {
    const tri_step_inputs *inputs = state;
    const tri_step *step = l->step->step;
    if (l->thread != 0) return;
    for (int32_t i = 0; i < inputs->n; i++) {
        const int32_t *from = inputs->kinds[i] == TRI_STEP_TOKENS      ? TRI_STEP_I32(step, tokens)
                              : inputs->kinds[i] == TRI_STEP_POSITIONS ? l->step->positions
                                                                       : l->step->rows;
        int32_t n =
            inputs->kinds[i] == TRI_STEP_ROWS ? l->step->extents.n_rows : l->step->extents.n_tokens;
        if (n > 0) memcpy(l->outputs[i].data, from, (size_t)n * sizeof *from);
    }
}

const tri_plugin_kernel tri_step_inputs_kernel = {.struct_size = sizeof(tri_plugin_kernel),
    .op = "input",
    .name = "step_inputs",
    .device = "cpu",
    .numerics = "",
    .isa = "",
    .launch = launch};

bool tri_step_input_kind(const tri_node *node, tri_step_input *kind) {
    static const char *const names[] = {"tokens", "positions", "rows"};
    static const tri_step_input kinds[] = {TRI_STEP_TOKENS, TRI_STEP_POSITIONS, TRI_STEP_ROWS};
    if (node->op != TRI_OP_INPUT) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(tri_node_string(node, "name"), names[i]) == 0) {
            *kind = kinds[i];
            return true;
        }
    }
    return false;
}
