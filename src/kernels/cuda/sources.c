#include "kernels/cuda/sources.h"

#include <stddef.h>
#include <string.h>

/* The assembler includes the files: TRI_CUDA_FOLDER is this folder, set by CMake, which also
 * rebuilds this file when one of them changes. */
#define EMBED(name, path)                                                                          \
    extern const char tri_cuda_text_##name[];                                                      \
    __asm__(".pushsection .rodata\n"                                                               \
            ".global tri_cuda_text_" #name "\n"                                                    \
            ".hidden tri_cuda_text_" #name "\n"                                                    \
            "tri_cuda_text_" #name ":\n"                                                           \
            ".incbin \"" TRI_CUDA_FOLDER "/" path "\"\n"                                           \
            ".byte 0\n"                                                                            \
            ".popsection\n")

EMBED(ptx, "inc/ptx.cuh");
EMBED(elements, "inc/elements.cuh");
EMBED(linear, "inc/linear.cuh");
EMBED(sampling, "inc/sampling.cuh");
EMBED(attention, "inc/attention.cuh");
EMBED(linear_stream, "linear_stream.cu");
EMBED(linear_dot, "linear_dot.cu");
EMBED(linear_tile, "linear_tile.cu");
EMBED(linear_fma, "linear_fma.cu");
EMBED(linear_finish, "linear_finish.cu");
EMBED(linear_enter, "linear_enter.cu");
EMBED(linear_decode, "linear_decode.cu");
EMBED(linear_norm, "linear_norm.cu");
EMBED(attention_decode, "attention_decode.cu");
EMBED(attention_paged, "attention_paged.cu");
EMBED(attention_prompt, "attention_prompt.cu");
EMBED(attention_float, "attention_float.cu");
EMBED(step_plan, "step_plan.cu");
EMBED(rms_norm, "rms_norm.cu");
EMBED(embedding, "embedding.cu");
EMBED(elementwise, "elementwise.cu");
EMBED(rope, "rope.cu");
EMBED(step_inputs, "step_inputs.cu");
EMBED(count_tokens, "count_tokens.cu");
EMBED(penalties, "penalties.cu");
EMBED(mask, "mask.cu");
EMBED(sample, "sample.cu");

const char *tri_cuda_source(const char *name) {
    static const struct {
        const char *name, *text;
    } all[] = {
        {"ptx", tri_cuda_text_ptx},
        {"elements", tri_cuda_text_elements},
        {"linear", tri_cuda_text_linear},
        {"sampling", tri_cuda_text_sampling},
        {"attention", tri_cuda_text_attention},
        {"linear_stream", tri_cuda_text_linear_stream},
        {"linear_dot", tri_cuda_text_linear_dot},
        {"linear_tile", tri_cuda_text_linear_tile},
        {"linear_fma", tri_cuda_text_linear_fma},
        {"linear_finish", tri_cuda_text_linear_finish},
        {"linear_enter", tri_cuda_text_linear_enter},
        {"linear_decode", tri_cuda_text_linear_decode},
        {"linear_norm", tri_cuda_text_linear_norm},
        {"attention_decode", tri_cuda_text_attention_decode},
        {"attention_paged", tri_cuda_text_attention_paged},
        {"attention_prompt", tri_cuda_text_attention_prompt},
        {"attention_float", tri_cuda_text_attention_float},
        {"step_plan", tri_cuda_text_step_plan},
        {"rms_norm", tri_cuda_text_rms_norm},
        {"embedding", tri_cuda_text_embedding},
        {"elementwise", tri_cuda_text_elementwise},
        {"rope", tri_cuda_text_rope},
        {"step_inputs", tri_cuda_text_step_inputs},
        {"count_tokens", tri_cuda_text_count_tokens},
        {"penalties", tri_cuda_text_penalties},
        {"mask", tri_cuda_text_mask},
        {"sample", tri_cuda_text_sample},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, name) == 0) return all[i].text;
    }
    return NULL;
}
