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
EMBED(linear, "inc/linear.cuh");
EMBED(linear_stream, "linear_stream.cu");
EMBED(linear_dot, "linear_dot.cu");
EMBED(linear_tile, "linear_tile.cu");
EMBED(linear_fma, "linear_fma.cu");
EMBED(linear_finish, "linear_finish.cu");
EMBED(linear_enter, "linear_enter.cu");
EMBED(linear_norm, "linear_norm.cu");
EMBED(attention_decode, "attention_decode.cu");
EMBED(step_plan, "step_plan.cu");
EMBED(rms_norm, "rms_norm.cu");
EMBED(embedding, "embedding.cu");
EMBED(rope_kv_write, "rope_kv_write.cu");
EMBED(step_inputs, "step_inputs.cu");

const char *tri_cuda_source(const char *name) {
    static const struct {
        const char *name, *text;
    } all[] = {
        {"ptx", tri_cuda_text_ptx},
        {"linear", tri_cuda_text_linear},
        {"linear_stream", tri_cuda_text_linear_stream},
        {"linear_dot", tri_cuda_text_linear_dot},
        {"linear_tile", tri_cuda_text_linear_tile},
        {"linear_fma", tri_cuda_text_linear_fma},
        {"linear_finish", tri_cuda_text_linear_finish},
        {"linear_enter", tri_cuda_text_linear_enter},
        {"linear_norm", tri_cuda_text_linear_norm},
        {"attention_decode", tri_cuda_text_attention_decode},
        {"step_plan", tri_cuda_text_step_plan},
        {"rms_norm", tri_cuda_text_rms_norm},
        {"embedding", tri_cuda_text_embedding},
        {"rope_kv_write", tri_cuda_text_rope_kv_write},
        {"step_inputs", tri_cuda_text_step_inputs},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, name) == 0) return all[i].text;
    }
    return NULL;
}
