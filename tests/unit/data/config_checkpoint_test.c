#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/model_config.h"

typedef struct {
    tri_arena arena;
    tri_error err;
    tri_model_config config;
    tri_buf text;
} fixture;

static int set_up(void **state) {
    *state = calloc(1, sizeof(fixture));
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    tri_arena_deinit(&f->arena);
    tri_buf_deinit(&f->text);
    free(f);
    return 0;
}

static void accept(fixture *f, const char *json) {
    tri_status rc =
        tri_model_config_from_checkpoint(&f->config, tri_str_of(json), &f->arena, &f->err);
    if (rc) fail_msg("%s\n%s", f->err.message, json);
}

static void refuse(fixture *f, const char *json, tri_status status, const char *message) {
    tri_model_config before = f->config;
    tri_status rc =
        tri_model_config_from_checkpoint(&f->config, tri_str_of(json), &f->arena, &f->err);
    if (rc != status) fail_msg("%s: %s\n%s", tri_status_name(rc), f->err.message, json);
    if (!strstr(f->err.message, message)) fail_msg("%s\nlacks: %s", f->err.message, message);
    assert_memory_equal(&before, &f->config, sizeof before);
}

static const char *written(fixture *f) {
    tri_json_writer w;
    tri_buf_clear(&f->text);
    tri_json_writer_init(&w, &f->text, 0);
    tri_model_config_write(&f->config, &w);
    assert_int_equal(tri_buf_status(&f->text, NULL), TRI_OK);
    return f->text.ptr;
}

/* What is read from a written text is written alike. */
static void expect_stable(fixture *f) {
    char *first = tri_arena_strdup(&f->arena, written(f));
    accept(f, first);
    assert_string_equal(written(f), first);
}

/* The example of the format's description, with what is quantised there left out. */
static const char llama_3_1[] =
    "{\"architecture\":\"LlamaForCausalLM\",\"dtype\":\"bfloat16\",\"logits_dtype\":\"float32\","
    "\"vocab_size\":128256,\"hidden_size\":4096,\"num_hidden_layers\":32,"
    "\"num_attention_heads\":32,\"num_key_value_heads\":8,\"head_size\":128,"
    "\"qk_layernorm\":false,\"hidden_act\":\"silu\",\"intermediate_size\":14336,"
    "\"norm_epsilon\":1e-05,\"max_position_embeddings\":131072,"
    "\"position_embedding_type\":\"rope_gpt_neox\",\"rotary_base\":500000.0,"
    "\"rotary_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
    "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192},"
    "\"use_parallel_embedding\":true,\"embedding_sharding_dim\":0,\"attn_bias\":false,"
    "\"mlp_bias\":false,\"residual_mlp\":false,\"disable_weight_only_quant_plugin\":false,"
    "\"remove_duplicated_kv_heads\":false,"
    "\"moe\":{\"num_experts\":0,\"top_k\":0,\"normalization_mode\":null,\"tp_mode\":0},"
    "\"mapping\":{\"world_size\":8,\"tp_size\":4,\"pp_size\":2,\"cp_size\":1,\"moe_tp_size\":1,"
    "\"moe_ep_size\":1,\"gpus_per_node\":8},"
    "\"quantization\":{\"quant_algo\":null,\"kv_cache_quant_algo\":null,\"group_size\":128,"
    "\"smoothquant_val\":0.5,\"clamp_val\":null,\"has_zero_point\":false,"
    "\"pre_quant_scale\":false,\"exclude_modules\":null}";

static void writes_the_old_keys_in_order(void **state) {
    fixture *f = *state;
    char *whole = tri_arena_printf(&f->arena, "%s}", llama_3_1);
    accept(f, whole);
    const tri_model_config *c = &f->config;
    assert_string_equal(c->architecture, "LlamaForCausalLM");
    assert_int_equal(c->dtype, TRI_BF16);
    assert_int_equal(c->vocab_size, 128256);
    assert_int_equal(c->intermediate_size, 14336);
    assert_int_equal(c->rope[0].type, TRI_ROPE_LLAMA3);
    assert_true(c->rope[0].base == 500000 && c->rope[0].high_freq_factor == 4);
    assert_int_equal(c->mapping.tp_size, 4);
    assert_int_equal(c->mapping.pp_size, 2);
    assert_true(c->use_parallel_embedding);
    assert_int_equal(c->bos_id, -1);
    assert_int_equal(c->n_eos, 0);
    assert_int_equal(c->n_ropes, 1);
    char *expected = tri_arena_printf(&f->arena, "%s,\"tie_word_embeddings\":false}", llama_3_1);
    const char *got = written(f);
    /* 1e-05 may be written in any way that reads back. */
    const char *eps = strstr(got, "\"norm_epsilon\":"), *after = strstr(eps, ",");
    assert_memory_equal(got, expected, (size_t)(eps - got));
    assert_string_equal(after, strstr(strstr(expected, "\"norm_epsilon\":"), ","));
    assert_true(strtod(eps + 15, NULL) == 1e-5);
}

#define SMALL(architecture, more)                                                                  \
    "{\"architecture\":\"" architecture "\",\"dtype\":\"float16\",\"vocab_size\":100,"             \
    "\"hidden_size\":64,\"num_hidden_layers\":4,\"num_attention_heads\":4,"                        \
    "\"hidden_act\":\"silu\",\"position_embedding_type\":\"rope_gpt_neox\"" more "}"

static void takes_the_documented_defaults(void **state) {
    fixture *f = *state;
    accept(f, SMALL("LlamaForCausalLM", ""));
    const tri_model_config *c = &f->config;
    assert_int_equal(c->n_kv_heads, 4);
    assert_int_equal(c->head_size, 16);
    assert_int_equal(c->intermediate_size, 256);
    assert_true(c->norm_epsilon == 1e-5);
    assert_true(c->rope[0].base == 10000);
    assert_int_equal(c->rope[0].rotary_dim, 16);
    assert_int_equal(c->mapping.tp_size, 1);
    assert_int_equal(c->mapping.pp_size, 1);
    assert_int_equal(c->quantization.kind, TRI_QUANT_NONE);
    assert_false(c->tie_word_embeddings);
    expect_stable(f);
    accept(f, SMALL("LlamaForCausalLM", ",\"moe_num_experts\":0,\"moe_top_k\":0,\"moe_tp_mode\":2,"
                                        "\"moe_normalization_mode\":1"));
    accept(f, SMALL("Qwen2ForCausalLM", ""));
    assert_true(c->attn_bias && !c->attn_dense_bias);
    expect_stable(f);
    accept(f, SMALL("Qwen2ForCausalLM", ",\"attn_dense_bias\":true"));
    expect_stable(f);
    assert_true(c->attn_bias && c->attn_dense_bias);
    accept(f, SMALL("LlamaForCausalLM", ",\"attn_bias\":true"));
    assert_true(c->attn_bias && c->attn_dense_bias);
    expect_stable(f);
    accept(f, SMALL("Gemma3ForCausalLM", ""));
    assert_true(c->tie_word_embeddings && c->qk_layernorm && c->embedding_scale == 8);
    assert_int_equal(c->n_ropes, 2);
    expect_stable(f);
}

/* As the old tools wrote Phi-3's longrope. */
static void reads_old_longrope(void **state) {
    fixture *f = *state;
    accept(f,
        "{\"architecture\":\"Phi3ForCausalLM\",\"dtype\":\"float16\",\"vocab_size\":100,"
        "\"hidden_size\":64,\"num_hidden_layers\":4,\"num_attention_heads\":4,"
        "\"hidden_act\":\"swiglu\",\"position_embedding_type\":\"long_rope\",\"rotary_pct\":0.5,"
        "\"rotary_scaling\":null,\"max_position_embeddings\":131072,"
        "\"original_max_position_embeddings\":4096,\"tie_word_embeddings\":false,"
        "\"longrope_scaling_short_factors\":[1,1.25,1.5,2],"
        "\"longrope_scaling_long_factors\":[1,2,3,4.5]}");
    const tri_rope_desc *rope = &f->config.rope[0];
    assert_string_equal(f->config.hidden_act, "silu");
    assert_int_equal(rope->type, TRI_ROPE_LONGROPE);
    assert_int_equal(rope->rotary_dim, 8);
    assert_int_equal(rope->original_max_positions, 4096);
    assert_true(rope->factor == 32);
    assert_true(fabs(rope->attention_factor - sqrt(1 + 5.0 / 12)) < 1e-15);
    assert_true(f->config.long_factors[3] == 4.5 && f->config.short_factors[1] == 1.25);
    expect_stable(f);
}

static void keeps_what_the_old_tools_had_no_key_for(void **state) {
    fixture *f = *state;
    const tri_model_config *c = &f->config;
    accept(f, SMALL("Gemma2ForCausalLM",
                  ",\"query_pre_attn_scalar\":144,\"attn_logit_softcapping\":50.0,"
                  "\"final_logit_softcapping\":30.0,\"sliding_window\":16,"
                  "\"layer_types\":[\"sliding_attention\",\"full_attention\","
                  "\"sliding_attention\",\"full_attention\"],\"bos_token_id\":2,"
                  "\"pad_token_id\":0,\"eos_token_id\":[1,99],\"attn_dense_bias\":true,"
                  "\"rotary_dim\":12,\"embedding_multiplier\":1.5"));
    for (int pass = 0; pass < 2; pass++) {
        assert_true(c->query_scale == 1.0 / 12);
        assert_true(c->attn_logit_softcap == 50 && c->final_logit_softcap == 30);
        assert_int_equal(c->sliding_window, 16);
        assert_true(c->layer_is_sliding[2] && !c->layer_is_sliding[3]);
        assert_int_equal(c->bos_id, 2);
        assert_int_equal(c->pad_id, 0);
        assert_int_equal(c->n_eos, 2);
        assert_int_equal(c->eos_ids[1], 99);
        assert_true(c->attn_dense_bias && !c->attn_bias);
        assert_int_equal(c->rope[0].rotary_dim, 12);
        assert_true(c->embedding_scale == 1.5);
        expect_stable(f);
    }
    f->config.embedding_scale = 0;
    accept(f, tri_arena_strdup(&f->arena, written(f)));
    assert_true(c->embedding_scale == 1); /* and not what the family would default to */
    /* Scales of no whole number survive to the last bit. */
    for (int i = 1; i < 200; i++) {
        double scale = 1 / sqrt(7.3 * i);
        f->config.query_scale = scale;
        expect_stable(f);
        assert_true(c->query_scale == scale);
    }
}

static void reads_quantisation(void **state) {
    fixture *f = *state;
    const tri_model_config *c = &f->config;
    accept(f, SMALL("LlamaForCausalLM", ",\"quantization\":{\"quant_algo\":\"W8A16\"}"));
    assert_int_equal(c->quantization.kind, TRI_QUANT_W8A16);
    expect_stable(f);
    accept(f, SMALL("LlamaForCausalLM",
                  ",\"quantization\":{\"quant_algo\":\"W4A16\",\"group_size\":64}"));
    assert_int_equal(c->quantization.kind, TRI_QUANT_W4A16);
    assert_int_equal(c->quantization.group_size, 64);
    expect_stable(f);
    accept(
        f, SMALL("LlamaForCausalLM",
               ",\"quantization\":{\"quant_algo\":\"GGUF\",\"gguf_types\":"
               "{\"lm_head.weight\":\"q6_k\",\"transformer.layers.0.mlp.fc.weight\":\"q4_0\"}}"));
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(c->quantization.kind, TRI_QUANT_GGUF);
        assert_int_equal(c->quantization.n_gguf_types, 2);
        assert_string_equal(c->quantization.gguf_types[0].name, "lm_head.weight");
        assert_int_equal(c->quantization.gguf_types[0].dtype, TRI_Q6_K);
        assert_int_equal(c->quantization.gguf_types[1].dtype, TRI_Q4_0);
        expect_stable(f);
    }
#define QUANT(text) SMALL("LlamaForCausalLM", ",\"quantization\":{" text "}")
    refuse(f, QUANT("\"quant_algo\":\"FP8\""), TRI_E_UNSUPPORTED, "FP8");
    refuse(f, QUANT("\"quant_algo\":\"W4A16_AWQ\""), TRI_E_UNSUPPORTED, "W4A16_AWQ");
    refuse(f, QUANT("\"kv_cache_quant_algo\":\"INT8\""), TRI_E_UNSUPPORTED, "INT8");
    refuse(f, QUANT("\"quant_algo\":\"GGUF\""), TRI_E_FORMAT, "gguf_types");
    refuse(f, QUANT("\"quant_algo\":\"GGUF\",\"gguf_types\":{\"a\":\"float16\"}"), TRI_E_FORMAT,
        "not a block type");
    refuse(f, QUANT("\"quant_algo\":\"GGUF\",\"gguf_types\":{\"a\":3}"), TRI_E_FORMAT, "a is");
}

static void refuses_what_we_lack(void **state) {
    fixture *f = *state;
    refuse(f, SMALL("BloomForCausalLM", ""), TRI_E_UNSUPPORTED, "BloomForCausalLM");
    refuse(f, SMALL("LlamaForCausalLM", ",\"moe\":{\"num_experts\":8}"), TRI_E_UNSUPPORTED,
        "num_experts is 8");
    refuse(f, SMALL("LlamaForCausalLM", ",\"moe_num_experts\":8"), TRI_E_UNSUPPORTED,
        "num_experts is 8");
    refuse(
        f, SMALL("LlamaForCausalLM", ",\"residual_mlp\":true"), TRI_E_UNSUPPORTED, "residual_mlp");
    refuse(f, SMALL("LlamaForCausalLM", ",\"mapping\":{\"cp_size\":2}"), TRI_E_UNSUPPORTED,
        "cp_size 2");
    refuse(f,
        "{\"architecture\":\"LlamaForCausalLM\",\"dtype\":\"float16\",\"vocab_size\":100,"
        "\"hidden_size\":64,\"num_hidden_layers\":4,\"num_attention_heads\":4,"
        "\"hidden_act\":\"silu\"}",
        TRI_E_UNSUPPORTED, "learned_absolute");
}

static void refuses_impossible_values(void **state) {
    fixture *f = *state;
    refuse(f, "[]", TRI_E_FORMAT, "not a JSON object");
    refuse(f, "{}", TRI_E_FORMAT, "no architecture");
    refuse(f, "{\"architecture\":\"LlamaForCausalLM\"}", TRI_E_FORMAT, "no dtype");
    refuse(f, SMALL("LlamaForCausalLM", ",\"hidden_size\":1e30"), TRI_E_FORMAT, "hidden_size");
    refuse(f, SMALL("LlamaForCausalLM", ",\"hidden_size\":16777216"), TRI_E_FORMAT,
        "intermediate_size");
    refuse(f, SMALL("LlamaForCausalLM", ",\"mapping\":{\"tp_size\":0}"), TRI_E_FORMAT, "tp_size");
    refuse(f, SMALL("LlamaForCausalLM", ",\"mapping\":{\"tp_size\":2,\"world_size\":4}"),
        TRI_E_FORMAT, "world_size 4");
    refuse(f, SMALL("LlamaForCausalLM", ",\"rotary_dim\":32"), TRI_E_FORMAT, "32 of the 16");
    refuse(f, SMALL("LlamaForCausalLM", ",\"sliding_window\":4,\"layer_types\":[]"), TRI_E_FORMAT,
        "list of 4");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(writes_the_old_keys_in_order),
        CASE(takes_the_documented_defaults),
        CASE(reads_old_longrope),
        CASE(keeps_what_the_old_tools_had_no_key_for),
        CASE(reads_quantisation),
        CASE(refuses_what_we_lack),
        CASE(refuses_impossible_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
