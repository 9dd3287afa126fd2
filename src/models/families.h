/* families.h - every family, one file each. */
#ifndef TRI_MODELS_FAMILIES_H
#define TRI_MODELS_FAMILIES_H

#include "models/model.h"

extern const tri_model_family tri_family_llama, tri_family_mistral, tri_family_qwen2,
    tri_family_qwen3, tri_family_gemma2, tri_family_gemma3, tri_family_phi3;

#endif
