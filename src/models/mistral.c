/* mistral.c - Mistral (arXiv:2310.06825): Llama, with attention over a sliding window in the first
 * release.  GGUF files call it llama, and are read as such. */
#include "models/families.h"

const tri_model_family tri_family_mistral = {
    .architecture = "MistralForCausalLM",
    .gguf_architecture = NULL,
    .rules = tri_llama_rules,
    .n_rules = TRI_LLAMA_RULES,
    .define = tri_llama_define,
};
