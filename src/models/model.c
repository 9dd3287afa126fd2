#include "models/model.h"

#include <string.h>

#include "models/families.h"

static const tri_model_family *const families[] = {&tri_family_llama, &tri_family_mistral,
    &tri_family_qwen2, &tri_family_qwen3, &tri_family_gemma2, &tri_family_gemma3, &tri_family_phi3};

const tri_model_family *tri_model_find(const char *architecture) {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (strcmp(families[i]->architecture, architecture) == 0) return families[i];
    return NULL;
}

const tri_model_family *tri_model_find_gguf(const char *gguf_architecture) {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const char *name = families[i]->gguf_architecture;
        if (name && strcmp(name, gguf_architecture) == 0) return families[i];
    }
    return NULL;
}

void tri_model_weight_dims(
    const tri_model_config *c, const char *module, int64_t *rows, int64_t *columns) {
    int64_t hidden = c->hidden_size, head = c->head_size, inner = c->intermediate_size;
    int64_t q = c->n_heads * head, kv = c->n_kv_heads * head;
    const struct {
        const char *module;
        int64_t rows, columns;
    } dims[] = {
        {"transformer.vocab_embedding", c->vocab_size, hidden},
        {"attention.qkv", q + 2 * kv, hidden},
        {"attention.q", q, hidden},
        {"attention.k", kv, hidden},
        {"attention.v", kv, hidden},
        {"attention.q_layernorm", head, 0},
        {"attention.k_layernorm", head, 0},
        {"attention.dense", hidden, q},
        {"mlp.fc", inner, hidden},
        {"mlp.gate", inner, hidden},
        {"mlp.proj", hidden, inner},
        {"lm_head", c->vocab_size, hidden},
    };
    *rows = hidden; /* every other module is a norm of the residual stream */
    *columns = 0;
    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
        if (strcmp(dims[i].module, module) != 0) continue;
        *rows = dims[i].rows;
        *columns = dims[i].columns;
    }
}

static tri_status unknown_architecture(const char *architecture, tri_error *err) {
    char known[512] = "";
    size_t len = 0;
    for (const char *const *a = tri_architectures; *a; a++) {
        size_t n = strlen(*a);
        if (len + n + 2 >= sizeof(known)) break;
        if (len) known[len++] = ' ';
        memcpy(known + len, *a, n + 1);
        len += n;
    }
    return TRI_FAIL(
        err, TRI_E_UNSUPPORTED, "architecture %s is not known; these are: %s", architecture, known);
}

/* The factors of LongRoPE depend on how long sequences may become: the short ones up to the length
 * the model was first trained for, the long ones for everything once they may be longer. */
static void choose_longrope(tri_rope_desc *rope, const tri_model_config *c, int64_t max_seq_len) {
    if (rope->type != TRI_ROPE_LONGROPE) return;
    bool is_long = max_seq_len > rope->original_max_positions;
    rope->frequency_factors = is_long ? c->long_factors : c->short_factors;
}

tri_status tri_model_define(tri_graph *g, const tri_model_config *config, int32_t pp_rank,
    int64_t max_seq_len, tri_error *err) {
    const tri_model_family *family = tri_model_find(config->architecture);
    if (!family) return unknown_architecture(config->architecture, err);
    int32_t first = 0, n = 0;
    TRI_TRY(tri_model_config_stage(config, pp_rank, &first, &n, err));

    tri_model_config chosen = *config;
    for (int32_t i = 0; i < chosen.n_ropes; i++)
        choose_longrope(&chosen.rope[i], &chosen, max_seq_len);
    family->define(g, &chosen, first, n);
    tri_status rc = tri_graph_finish(g, err);
    if (rc) tri_error_context(err, "%s", config->architecture);
    return rc;
}
