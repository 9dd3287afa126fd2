/* step_inputs.h - tokens, positions and rows of a step copied to where operands point.
 *
 * The arrays of a step stand at offsets that change from step to step, while a launch's operands
 * have fixed addresses: so the first launch of a graph that uses them copies them there. */
#ifndef TRI_KERNELS_STEP_INPUTS_H
#define TRI_KERNELS_STEP_INPUTS_H

#include "kernels/cuda/family.h"

enum { TRI_MAX_STEP_INPUTS = 3 };

typedef enum tri_step_input { TRI_STEP_TOKENS, TRI_STEP_POSITIONS, TRI_STEP_ROWS } tri_step_input;

typedef struct tri_step_inputs { /* its state, made by whoever binds it */
    int32_t n;
    tri_step_input kinds[TRI_MAX_STEP_INPUTS];
    const int32_t
        *sampled;         /* [R] tokens of the step before, on the device; NULL: never asked for */
    tri_cuda_kernel cuda; /* filled in when prepared, on CUDA */
} tri_step_inputs;

/* outputs[i] is the buffer of kinds[i]. */
extern const tri_plugin_kernel tri_step_inputs_kernel, tri_cuda_step_inputs_kernel;

/* The one for devices of this kind ("cpu", "cuda", "null"). */
const tri_plugin_kernel *tri_step_inputs_kernel_for(const char *device_kind);

/* Whether an input of this name is of the step; *kind which. */
bool tri_step_input_of(const char *name, tri_step_input *kind);

#endif
