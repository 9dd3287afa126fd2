/* The config.json files that transformers 4 and 5 wrote for the models under tests/golden: every
 * field that says something, against what the models were made with. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/model_config.h"

#define FAMILIES TRI_TESTS_DIR "/golden/families/"

/* One fixture: what all share is filled in by expect_model. */
typedef struct {
    const char *dir, *architecture, *hidden_act;
    tri_dtype dtype;
    int32_t vocab_size, hidden_size, n_layers, n_heads, n_kv_heads, head_size, intermediate_size;
    double norm_epsilon;
    bool attn_bias, attn_dense_bias, mlp_bias, qk_layernorm, tied;
    tri_rope_desc rope, local_rope;
    int32_t sliding_window;
    const char *layers; /* s, f */
    double attn_softcap, final_softcap, query_pre_attn_scalar;
    bool scales_embedding;
} model;

static const model models[] = {
    {
        .dir = "llama_mha",
        .architecture = "LlamaForCausalLM",
        .vocab_size = 261,
        .hidden_size = 64,
        .n_layers = 3,
        .n_heads = 4,
        .n_kv_heads = 4,
        .head_size = 16,
        .intermediate_size = 160,
        .rope = {.base = 10000},
        .layers = "fff",
    },
    {
        .dir = "llama_bias",
        .architecture = "LlamaForCausalLM",
        .dtype = TRI_F16,
        .hidden_size = 64,
        .n_layers = 3,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 24,
        .attn_bias = true,
        .attn_dense_bias = true,
        .mlp_bias = true,
        .rope = {.type = TRI_ROPE_LINEAR, .base = 10000, .factor = 2.5},
        .layers = "fff",
    },
    {
        .dir = "llama_rope_llama3",
        .architecture = "LlamaForCausalLM",
        .hidden_size = 96,
        .n_layers = 3,
        .n_heads = 6,
        .n_kv_heads = 2,
        .head_size = 16,
        .rope = {.type = TRI_ROPE_LLAMA3,
            .base = 20000,
            .factor = 8,
            .low_freq_factor = 1,
            .high_freq_factor = 4,
            .original_max_positions = 64},
        .layers = "fff",
    },
    {
        .dir = "llama_tied",
        .architecture = "LlamaForCausalLM",
        .hidden_size = 96,
        .n_layers = 3,
        .n_heads = 3,
        .n_kv_heads = 1,
        .head_size = 32,
        .tied = true,
        .rope = {.base = 5000},
        .layers = "fff",
    },
    {
        .dir = "mistral",
        .architecture = "MistralForCausalLM",
        .hidden_size = 64,
        .n_layers = 3,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 32,
        .rope = {.base = 30000},
        .sliding_window = 9,
        .layers = "sss",
    },
    {
        .dir = "qwen2",
        .architecture = "Qwen2ForCausalLM",
        .hidden_size = 64,
        .n_layers = 4,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 16,
        .attn_bias = true,
        .rope = {.base = 10000},
        .sliding_window = 11,
        .layers = "ffss",
    },
    {
        .dir = "qwen3",
        .architecture = "Qwen3ForCausalLM",
        .hidden_size = 64,
        .n_layers = 3,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 32,
        .qk_layernorm = true,
        .tied = true,
        .rope = {.base = 10000},
        .layers = "fff",
    },
    {
        .dir = "qwen3_bias",
        .architecture = "Qwen3ForCausalLM",
        .dtype = TRI_F32,
        .hidden_size = 48,
        .n_layers = 3,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 24,
        .attn_bias = true,
        .attn_dense_bias = true,
        .qk_layernorm = true,
        .rope = {.base = 10000},
        .sliding_window = 10,
        .layers = "fss",
    },
    {
        .dir = "gemma2",
        .architecture = "Gemma2ForCausalLM",
        .hidden_act = "gelu_pytorch_tanh",
        .hidden_size = 64,
        .n_layers = 4,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 24,
        .norm_epsilon = 0.03,
        .tied = true,
        .rope = {.base = 10000},
        .sliding_window = 8,
        .layers = "sfsf",
        .attn_softcap = 5,
        .final_softcap = 15,
        .query_pre_attn_scalar = 20,
        .scales_embedding = true,
    },
    {
        .dir = "gemma3",
        .architecture = "Gemma3ForCausalLM",
        .hidden_act = "gelu_pytorch_tanh",
        .hidden_size = 48,
        .n_layers = 7,
        .n_heads = 4,
        .n_kv_heads = 1,
        .head_size = 16,
        .intermediate_size = 112,
        .qk_layernorm = true,
        .tied = true,
        .rope = {.type = TRI_ROPE_LINEAR, .base = 50000, .factor = 2},
        .local_rope = {.base = 1000},
        .sliding_window = 8,
        .layers = "sssssfs",
        .final_softcap = 15,
        .query_pre_attn_scalar = 20,
        .scales_embedding = true,
    },
    {
        .dir = "phi3",
        .architecture = "Phi3ForCausalLM",
        .hidden_size = 96,
        .n_layers = 3,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 24,
        .rope = {.base = 10000, .rotary_dim = 12},
        .sliding_window = 19,
        .layers = "sss",
    },
    {
        .dir = "phi3_longrope",
        .architecture = "Phi3ForCausalLM",
        .hidden_size = 96,
        .n_layers = 3,
        .n_heads = 4,
        .n_kv_heads = 2,
        .head_size = 24,
        .rope = {.type = TRI_ROPE_LONGROPE,
            .base = 10000,
            .rotary_dim = 18,
            .factor = 4, /* 256 / 64 */
            .original_max_positions = 64,
            .attention_factor = 1.1547005383792515}, /* sqrt(1 + ln 4 / ln 64) = sqrt(4 / 3) */
        .layers = "fff",
    },
};

static void expect_rope(const tri_rope_desc *got, const tri_rope_desc *want, int32_t head_size) {
    assert_int_equal(got->type, want->type);
    assert_int_equal(got->rotary_dim, want->rotary_dim ? want->rotary_dim : head_size);
    assert_false(got->interleaved);
    assert_true(got->base == want->base);
    assert_true(got->factor == want->factor);
    assert_true(got->low_freq_factor == want->low_freq_factor);
    assert_true(got->high_freq_factor == want->high_freq_factor);
    assert_int_equal(got->original_max_positions, want->original_max_positions);
    /* One rounding of the last bit. */
    assert_true(fabs(got->attention_factor - want->attention_factor) < 1e-15);
}

static void expect_model(const tri_model_config *c, const model *m) {
    assert_string_equal(c->architecture, m->architecture);
    bool states_dtype = m->dtype == TRI_F16 || strcmp(m->dir, "qwen3_bias") == 0;
    assert_int_equal(c->dtype, states_dtype ? m->dtype : TRI_BF16);
    assert_int_equal(c->vocab_size, m->vocab_size ? m->vocab_size : 288);
    assert_int_equal(c->hidden_size, m->hidden_size);
    assert_int_equal(c->n_layers, m->n_layers);
    assert_int_equal(c->n_heads, m->n_heads);
    assert_int_equal(c->n_kv_heads, m->n_kv_heads);
    assert_int_equal(c->head_size, m->head_size);
    assert_int_equal(c->intermediate_size, m->intermediate_size ? m->intermediate_size : 144);
    assert_int_equal(c->max_position_embeddings, 256);
    assert_true(c->norm_epsilon == (m->norm_epsilon > 0 ? m->norm_epsilon : 0.01));
    assert_string_equal(c->hidden_act, m->hidden_act ? m->hidden_act : "silu");
    assert_int_equal(c->attn_bias, m->attn_bias);
    assert_int_equal(c->attn_dense_bias, m->attn_dense_bias);
    assert_int_equal(c->mlp_bias, m->mlp_bias);
    assert_int_equal(c->qk_layernorm, m->qk_layernorm);
    assert_int_equal(c->tie_word_embeddings, m->tied);
    assert_int_equal(c->n_ropes, m->local_rope.base > 0 ? 2 : 1);
    expect_rope(&c->rope[0], &m->rope, m->head_size);
    if (c->n_ropes == 2) expect_rope(&c->rope[1], &m->local_rope, m->head_size);
    assert_int_equal(c->sliding_window, m->sliding_window);
    for (int32_t i = 0; i < m->n_layers; i++)
        assert_int_equal(c->layer_is_sliding[i], m->layers[i] == 's');
    assert_true(c->attn_logit_softcap == m->attn_softcap);
    assert_true(c->final_logit_softcap == m->final_softcap);
    double scale = m->query_pre_attn_scalar > 0 ? 1 / sqrt(m->query_pre_attn_scalar) : 0;
    assert_true(c->query_scale == scale);
    assert_true(c->embedding_scale == (m->scales_embedding ? sqrt(m->hidden_size) : 0));
    assert_int_equal(c->mapping.tp_size, 1);
    assert_int_equal(c->mapping.pp_size, 1);
    assert_int_equal(c->quantization.kind, TRI_QUANT_NONE);
    assert_int_equal(c->bos_id, 1);
    assert_int_equal(c->pad_id, 0);
    assert_int_equal(c->n_eos, 1);
    assert_int_equal(c->eos_ids[0], 2);
}

static tri_str read_text(tri_arena *arena, const char *dir, const char *name) {
    tri_str text;
    char path[512];
    snprintf(path, sizeof path, FAMILIES "%s/%s", dir, name);
    assert_int_equal(tri_file_read(path, 1 << 20, arena, &text, NULL), TRI_OK);
    return text;
}

static tri_str written(tri_buf *buf, const tri_model_config *config) {
    tri_json_writer w;
    tri_json_writer_init(&w, buf, 2);
    tri_model_config_write(config, &w);
    assert_int_equal(tri_buf_status(buf, NULL), TRI_OK);
    return (tri_str){buf->ptr, buf->len};
}

/* As HF's own text, and after a round through a checkpoint's config. */
static void expect_file(const model *m, const char *name) {
    tri_arena arena = {0};
    tri_error err = {0};
    tri_model_config c, again;
    tri_buf first = {0}, second = {0};
    tri_status rc = tri_model_config_from_hf(&c, read_text(&arena, m->dir, name),
        read_text(&arena, m->dir, "generation_config.json"), &arena, &err);
    if (rc) fail_msg("%s/%s: %s", m->dir, name, err.message);
    expect_model(&c, m);
    tri_str text = written(&first, &c);
    rc = tri_model_config_from_checkpoint(&again, text, &arena, &err);
    if (rc) fail_msg("%s/%s: %s\n%s", m->dir, name, err.message, text.ptr);
    expect_model(&again, m);
    assert_string_equal(written(&second, &again).ptr, text.ptr);
    tri_buf_deinit(&first);
    tri_buf_deinit(&second);
    tri_arena_deinit(&arena);
}

static void reads_what_transformers_4_writes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        expect_file(&models[i], "config.json");
}

static void reads_what_transformers_5_writes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        expect_file(&models[i], "config.v5.json");
}

static void reads_longrope_factors(void **state) {
    (void)state;
    const double short_factors[] = {1.0, 1.05, 1.1, 1.2, 1.3, 1.45, 1.6, 1.8, 2.0};
    const double long_factors[] = {1.1, 1.3, 1.7, 2.2, 3.0, 4.5, 6.5, 9.0, 12.0};
    tri_arena arena = {0};
    tri_model_config c, again;
    tri_buf text = {0};
    tri_str none = {0};
    assert_int_equal(tri_model_config_from_hf(
                         &c, read_text(&arena, "phi3_longrope", "config.json"), none, &arena, NULL),
        TRI_OK);
    assert_memory_equal(c.short_factors, short_factors, sizeof short_factors);
    assert_memory_equal(c.long_factors, long_factors, sizeof long_factors);
    assert_int_equal(
        tri_model_config_from_checkpoint(&again, written(&text, &c), &arena, NULL), TRI_OK);
    assert_memory_equal(again.short_factors, short_factors, sizeof short_factors);
    assert_memory_equal(again.long_factors, long_factors, sizeof long_factors);
    tri_buf_deinit(&text);
    tri_arena_deinit(&arena);
}

/* A fixture that this table does not know would go unread. */
static void knows_every_fixture(void **state) {
    (void)state;
    tri_arena arena = {0};
    char **names;
    int32_t n;
    assert_int_equal(tri_path_list(FAMILIES, &arena, &names, &n, NULL), TRI_OK);
    for (int32_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t m = 0; m < sizeof models / sizeof *models; m++)
            known |= strcmp(models[m].dir, names[i]) == 0;
        if (!known) fail_msg("tests/golden/families/%s is not read", names[i]);
    }
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_transformers_4_writes),
        cmocka_unit_test(reads_what_transformers_5_writes),
        cmocka_unit_test(reads_longrope_factors),
        cmocka_unit_test(knows_every_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
