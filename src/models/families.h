/* families.h - every family, one file each. */
#ifndef TRI_MODELS_FAMILIES_H
#define TRI_MODELS_FAMILIES_H

#include "models/model.h"

extern const tri_model_family tri_family_llama, tri_family_mistral, tri_family_qwen2,
    tri_family_qwen3, tri_family_gemma2, tri_family_gemma3, tri_family_phi3;

/* Of llama.c: what other families have too. */
enum { TRI_LLAMA_RULES = 10 };
extern const tri_weight_rule tri_llama_rules[TRI_LLAMA_RULES];
void tri_llama_define(tri_graph *g, const tri_model_config *config, int32_t first, int32_t n);

#endif
