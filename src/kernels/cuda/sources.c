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
EMBED(linear_stream, "linear_stream.cu");
EMBED(attention_decode, "attention_decode.cu");
EMBED(attention_paged, "attention_paged.cu");
EMBED(attention_prompt, "attention_prompt.cu");
EMBED(attention_float, "attention_float.cu");
EMBED(step_plan, "step_plan.cu");
EMBED(rms_norm, "rms_norm.cu");
EMBED(embedding, "embedding.cu");
EMBED(rope_kv_write, "rope_kv_write.cu");

const char *tri_cuda_source(const char *name) {
    static const struct {
        const char *name, *text;
    } all[] = {
        {"ptx", tri_cuda_text_ptx},
        {"linear_stream", tri_cuda_text_linear_stream},
        {"attention_decode", tri_cuda_text_attention_decode},
        {"attention_paged", tri_cuda_text_attention_paged},
        {"attention_prompt", tri_cuda_text_attention_prompt},
        {"attention_float", tri_cuda_text_attention_float},
        {"step_plan", tri_cuda_text_step_plan},
        {"rms_norm", tri_cuda_text_rms_norm},
        {"embedding", tri_cuda_text_embedding},
        {"rope_kv_write", tri_cuda_text_rope_kv_write},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, name) == 0) return all[i].text;
    }
    return NULL;
}
