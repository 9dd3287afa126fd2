#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "data/model_config.h"

typedef struct {
    tri_arena arena;
    tri_error err;
    tri_model_config config;
    char warnings[512];
} fixture;

static void keep_warning(void *user, tri_log_level level, const char *line) {
    fixture *f = user;
    if (level == TRI_LOG_WARN) snprintf(f->warnings, sizeof f->warnings, "%s", line);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    tri_log_configure(TRI_LOG_WARN, keep_warning, f);
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    tri_arena_deinit(&f->arena);
    free(f);
    return 0;
}

static tri_status parse(fixture *f, const char *json, const char *generation) {
    tri_status rc = tri_model_config_from_hf(
        &f->config, tri_str_of(json), tri_str_of(generation), &f->arena, &f->err);
    return rc;
}

static void accept(fixture *f, const char *json) {
    if (parse(f, json, NULL)) fail_msg("%s\n%s", f->err.message, json);
}

static void refuse(fixture *f, const char *json, tri_status status, const char *message) {
    tri_model_config before = f->config;
    f->err.message[0] = 0;
    tri_status rc = parse(f, json, NULL);
    if (rc != status) fail_msg("%s: %s\n%s", tri_status_name(rc), f->err.message, json);
    if (!strstr(f->err.message, message)) fail_msg("%s\nlacks: %s", f->err.message, message);
    assert_memory_equal(&before, &f->config, sizeof before);
}

#define LLAMA "\"architectures\":[\"LlamaForCausalLM\"]"
#define QWEN2 "\"architectures\":[\"Qwen2ForCausalLM\"]"
#define PHI3 "\"architectures\":[\"Phi3ForCausalLM\"]"
#define MISTRAL "\"architectures\":[\"MistralForCausalLM\"]"
#define GEMMA2 "\"architectures\":[\"Gemma2ForCausalLM\"]"
#define GEMMA3 "\"architectures\":[\"Gemma3ForCausalLM\"]"

/* ---- files of well-known models ---- */

static void reads_llama_3_1(void **state) {
    fixture *f = *state;
    assert_int_equal(
        parse(f,
            "{" LLAMA ",\"attention_bias\":false,\"attention_dropout\":0.0,"
            "\"bos_token_id\":128000,\"eos_token_id\":[128001,128008,128009],"
            "\"hidden_act\":\"silu\",\"hidden_size\":4096,\"initializer_range\":0.02,"
            "\"intermediate_size\":14336,\"max_position_embeddings\":131072,\"mlp_bias\":false,"
            "\"model_type\":\"llama\",\"num_attention_heads\":32,\"num_hidden_layers\":32,"
            "\"num_key_value_heads\":8,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,"
            "\"rope_scaling\":{\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
            "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"},"
            "\"rope_theta\":500000.0,\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
            "\"transformers_version\":\"4.42.3\",\"use_cache\":true,\"vocab_size\":128256}",
            "{\"bos_token_id\":128000,\"do_sample\":true,"
            "\"eos_token_id\":[128001,128008,128009,128010],\"temperature\":0.6}"),
        TRI_OK);
    const tri_model_config *c = &f->config;
    assert_int_equal(c->head_size, 128);
    assert_int_equal(c->n_kv_heads, 8);
    assert_int_equal(c->dtype, TRI_BF16);
    assert_int_equal(c->rope[0].type, TRI_ROPE_LLAMA3);
    assert_int_equal(c->rope[0].original_max_positions, 8192);
    assert_int_equal(c->bos_id, 128000);
    assert_int_equal(c->pad_id, -1);
    assert_int_equal(c->n_eos, 4);
    assert_int_equal(c->eos_ids[3], 128010);
    assert_string_equal(f->warnings, "");
}

/* The multimodal file of Gemma 3 leaves out all that equals a default. */
static void reads_the_text_half_of_gemma_3(void **state) {
    fixture *f = *state;
    accept(f, "{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"boi_token_index\":255999,"
              "\"eoi_token_index\":256000,\"eos_token_id\":[1,106],\"image_token_index\":262144,"
              "\"initializer_range\":0.02,\"mm_tokens_per_image\":256,\"model_type\":\"gemma3\","
              "\"text_config\":{\"hidden_size\":2560,\"intermediate_size\":10240,"
              "\"model_type\":\"gemma3_text\",\"num_hidden_layers\":34,"
              "\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"},"
              "\"sliding_window\":1024},\"torch_dtype\":\"bfloat16\","
              "\"vision_config\":{\"hidden_size\":1152}}");
    const tri_model_config *c = &f->config;
    assert_string_equal(c->architecture, "Gemma3ForCausalLM");
    assert_int_equal(c->vocab_size, 262208);
    assert_int_equal(c->n_heads, 8);
    assert_int_equal(c->n_kv_heads, 4);
    assert_int_equal(c->head_size, 256);
    assert_int_equal(c->max_position_embeddings, 131072);
    assert_int_equal(c->dtype, TRI_BF16);
    assert_true(c->tie_word_embeddings && c->qk_layernorm);
    assert_true(c->query_scale == 0.0625);
    assert_true(c->embedding_scale == sqrt(2560));
    assert_true(c->final_logit_softcap == 0 && c->attn_logit_softcap == 0);
    assert_int_equal(c->n_ropes, 2);
    assert_int_equal(c->rope[0].type, TRI_ROPE_LINEAR);
    assert_true(c->rope[0].base == 1000000 && c->rope[0].factor == 8);
    assert_int_equal(c->rope[1].type, TRI_ROPE_DEFAULT);
    assert_true(c->rope[1].base == 10000);
    assert_int_equal(c->sliding_window, 1024);
    for (int i = 0; i < 34; i++)
        assert_int_equal(c->layer_is_sliding[i], i % 6 != 5);
    assert_int_equal(c->n_eos, 2);
    assert_int_equal(c->eos_ids[1], 106);
    assert_string_equal(f->warnings, "");
}

static void reads_defaults_of_classes(void **state) {
    fixture *f = *state;
    accept(f, "{" MISTRAL "}");
    assert_int_equal(f->config.sliding_window, 4096);
    assert_int_equal(f->config.n_kv_heads, 8);
    assert_int_equal(f->config.max_position_embeddings, 131072);
    accept(f, "{" MISTRAL ",\"sliding_window\":null,\"num_key_value_heads\":null}");
    assert_int_equal(f->config.sliding_window, 0);
    assert_int_equal(f->config.n_kv_heads, 32);
    accept(f, "{" GEMMA2 "}");
    assert_true(f->config.attn_logit_softcap == 50 && f->config.final_logit_softcap == 30);
    assert_true(f->config.layer_is_sliding[0] && !f->config.layer_is_sliding[1]);
    accept(f, "{" GEMMA2 ",\"attn_logit_softcapping\":null,\"final_logit_softcapping\":null}");
    assert_true(f->config.attn_logit_softcap == 0 && f->config.final_logit_softcap == 0);
    accept(f, "{" QWEN2 ",\"sliding_window\":131072,\"max_window_layers\":21}");
    assert_int_equal(f->config.sliding_window, 0);
    assert_false(f->config.layer_is_sliding[31]);
    assert_true(f->config.attn_bias && !f->config.attn_dense_bias);
    accept(f, "{\"model_type\":\"qwen3\"}");
    assert_string_equal(f->config.architecture, "Qwen3ForCausalLM");
    assert_int_equal(f->config.head_size, 128);
    accept(f, "{\"model_type\":\"qwen3\",\"head_dim\":null,\"hidden_size\":2048}");
    assert_int_equal(f->config.head_size, 64);
    accept(f, "{" GEMMA3 ",\"sliding_window_pattern\":3}");
    assert_true(f->config.layer_is_sliding[1] && !f->config.layer_is_sliding[2]);
}

/* ---- rope ---- */

static void reads_every_rope(void **state) {
    fixture *f = *state;
    const tri_rope_desc *rope = &f->config.rope[0];
    accept(f, "{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}}");
    assert_int_equal(rope->type, TRI_ROPE_LINEAR);
    assert_true(rope->factor == 4);
    accept(f, "{" LLAMA ",\"rope_parameters\":{\"rope_theta\":123.0}}");
    assert_int_equal(rope->type, TRI_ROPE_DEFAULT);
    assert_true(rope->base == 123);
    accept(f, "{" QWEN2 ",\"max_position_embeddings\":32768,\"rope_theta\":1000000.0,"
              "\"rope_scaling\":{\"factor\":4.0,\"original_max_position_embeddings\":16384,"
              "\"type\":\"yarn\"}}");
    assert_int_equal(rope->type, TRI_ROPE_YARN);
    assert_true(rope->beta_fast == 32 && rope->beta_slow == 1 && rope->base == 1000000);
    assert_int_equal(rope->original_max_positions, 16384);
    /* 0.1 ln 4 + 1 */
    assert_true(fabs(rope->attention_factor - 1.138629436111989) < 1e-15);
    /* DeepSeek's way: (0.0707 ln 40 + 1) / (0.1 ln 40 + 1) */
    accept(f, "{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":40,\"mscale\":0.707,"
              "\"mscale_all_dim\":1.0,\"beta_fast\":16,\"beta_slow\":2}}");
    assert_true(fabs(rope->attention_factor - 0.9210423553163399) < 1e-15);
    assert_true(rope->beta_fast == 16 && rope->beta_slow == 2);
    assert_int_equal(rope->original_max_positions, 2048);
    accept(f, "{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":40,"
              "\"attention_factor\":0.5}}");
    assert_true(rope->attention_factor == 0.5);
    for (int i = 0; i < 3; i++) {
        const char *names[] = {"su", "yarn", "longrope"};
        char json[512];
        snprintf(json, sizeof json,
            "{" PHI3 ",\"hidden_size\":16,\"num_attention_heads\":4,\"num_key_value_heads\":4,"
            "\"max_position_embeddings\":131072,\"original_max_position_embeddings\":4096,"
            "\"rope_scaling\":{\"type\":\"%s\",\"short_factor\":[1.0,1.5],"
            "\"long_factor\":[2,3]}}",
            names[i]);
        accept(f, json);
        assert_int_equal(rope->type, TRI_ROPE_LONGROPE);
        assert_true(f->config.short_factors[1] == 1.5 && f->config.long_factors[1] == 3);
        assert_true(rope->factor == 32);
        /* sqrt(1 + ln 32 / ln 4096) = sqrt(1 + 5 / 12) */
        assert_true(fabs(rope->attention_factor - 1.1902380714238083) < 1e-15);
    }
}

static void refuses_bad_ropes(void **state) {
    fixture *f = *state;
#define ROPE(text) "{" LLAMA ",\"rope_scaling\":" text "}"
    refuse(f, ROPE("{\"type\":\"dynamic\",\"factor\":2}"), TRI_E_UNSUPPORTED, "dynamic");
    refuse(f, ROPE("{\"type\":\"mrope\",\"factor\":2}"), TRI_E_UNSUPPORTED, "mrope");
    refuse(f, ROPE("{\"factor\":2}"), TRI_E_FORMAT, "no rope_type");
    refuse(f, ROPE("{\"type\":\"linear\"}"), TRI_E_FORMAT, "no factor");
    refuse(f, ROPE("{\"type\":\"linear\",\"factor\":0}"), TRI_E_FORMAT, "factor is 0");
    refuse(f, ROPE("{\"type\":\"linear\",\"factor\":NaN}"), TRI_E_FORMAT, "factor");
    refuse(f, ROPE("{\"type\":\"linear\",\"factor\":\"2\"}"), TRI_E_FORMAT, "factor");
    refuse(f,
        ROPE("{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
             "\"high_freq_factor\":4}"),
        TRI_E_FORMAT, "high_freq_factor 4 must be above");
    refuse(f, ROPE("{\"type\":\"yarn\",\"factor\":8,\"truncate\":false}"), TRI_E_UNSUPPORTED,
        "truncate");
    refuse(f, ROPE("{\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1]}"),
        TRI_E_FORMAT, "list of 64 numbers");
    refuse(f, ROPE("3"), TRI_E_FORMAT, "neither an object");
    refuse(f, "{" LLAMA ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1.0}}}",
        TRI_E_UNSUPPORTED, "rotates all layers alike");
    refuse(f,
        "{" GEMMA3 ",\"rope_parameters\":{\"sliding_attention\":{\"rope_type\":\"linear\","
        "\"factor\":2}}}",
        TRI_E_UNSUPPORTED, "sliding_attention is scaled");
    refuse(f, "{" LLAMA ",\"rope_theta\":-1}", TRI_E_FORMAT, "rope_theta");
    refuse(f, "{" LLAMA ",\"rope_theta\":1e39}", TRI_E_FORMAT, "rope_theta is 1e+39");
    refuse(f, ROPE("{\"type\":\"linear\",\"factor\":1e39}"), TRI_E_FORMAT, "rope factor is 1e+39");
    refuse(
        f, "{" LLAMA ",\"partial_rotary_factor\":0.5}", TRI_E_UNSUPPORTED, "partial_rotary_factor");
    refuse(f, "{" PHI3 ",\"partial_rotary_factor\":1.5}", TRI_E_FORMAT, "at most 1");
    refuse(f, "{" PHI3 ",\"partial_rotary_factor\":1e-9}", TRI_E_FORMAT, "leave 2");
}

/* ---- what is refused, what is passed over ---- */

static void refuses_what_we_lack(void **state) {
    fixture *f = *state;
    refuse(f, "{\"architectures\":[\"MambaForCausalLM\"],\"model_type\":\"mamba\"}",
        TRI_E_UNSUPPORTED, "MambaForCausalLM");
    assert_non_null(strstr(f->err.message, "Qwen3ForCausalLM"));
    refuse(f, "{\"model_type\":\"mamba\"}", TRI_E_UNSUPPORTED, "mamba");
    refuse(f, "{" LLAMA ",\"hidden_act\":\"tanh\"}", TRI_E_UNSUPPORTED, "hidden_act \"tanh\"");
    refuse(f, "{" MISTRAL ",\"attention_bias\":true}", TRI_E_UNSUPPORTED, "attention_bias true");
    refuse(f, "{" QWEN2 ",\"mlp_bias\":true}", TRI_E_UNSUPPORTED, "mlp_bias true");
    refuse(f, "{" LLAMA ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}}",
        TRI_E_UNSUPPORTED, "gptq");
    refuse(f, "{" LLAMA ",\"num_local_experts\":8}", TRI_E_UNSUPPORTED, "num_local_experts 8");
    refuse(f, "{" LLAMA ",\"embedding_multiplier\":12.0}", TRI_E_UNSUPPORTED,
        "embedding_multiplier 12");
    refuse(f, "{" LLAMA ",\"final_logit_softcapping\":30.0}", TRI_E_UNSUPPORTED,
        "final_logit_softcapping 30");
    refuse(f, "{" GEMMA3 ",\"use_bidirectional_attention\":true}", TRI_E_UNSUPPORTED,
        "use_bidirectional_attention");
    refuse(f, "{" LLAMA ",\"no_rope_layers\":[1,1,0]}", TRI_E_UNSUPPORTED, "no_rope_layers");
    refuse(f, "{" LLAMA ",\"torch_dtype\":\"int8\"}", TRI_E_UNSUPPORTED, "torch_dtype \"int8\"");
    refuse(f,
        "{" QWEN2 ",\"num_hidden_layers\":2,\"layer_types\":[\"full_attention\","
        "\"linear_attention\"]}",
        TRI_E_UNSUPPORTED, "layer_types[1] is \"linear_attention\"");
    refuse(f,
        "{" LLAMA ",\"num_hidden_layers\":2,\"layer_types\":[\"full_attention\","
        "\"sliding_attention\"]}",
        TRI_E_UNSUPPORTED, "layer_types[1]");
}

static void refuses_impossible_values(void **state) {
    fixture *f = *state;
    refuse(f, "{", TRI_E_FORMAT, "config.json");
    refuse(f, "[]", TRI_E_FORMAT, "not a JSON object");
    refuse(f, "{}", TRI_E_FORMAT, "architectures");
    refuse(f, "{" LLAMA ",\"hidden_size\":0}", TRI_E_FORMAT, "hidden_size");
    refuse(f, "{" LLAMA ",\"hidden_size\":-4096}", TRI_E_FORMAT, "hidden_size");
    refuse(f, "{" LLAMA ",\"hidden_size\":4294971392}", TRI_E_FORMAT, "hidden_size");
    refuse(f, "{" LLAMA ",\"hidden_size\":\"4096\"}", TRI_E_FORMAT, "hidden_size");
    refuse(f, "{" LLAMA ",\"num_hidden_layers\":1025}", TRI_E_FORMAT, "num_hidden_layers");
    refuse(f, "{" LLAMA ",\"num_attention_heads\":0}", TRI_E_FORMAT, "num_attention_heads");
    refuse(f, "{" LLAMA ",\"num_key_value_heads\":5}", TRI_E_FORMAT, "not a multiple");
    refuse(f, "{" LLAMA ",\"head_dim\":63}", TRI_E_FORMAT, "63 of the 63");
    refuse(f, "{" LLAMA ",\"rms_norm_eps\":-1e-5}", TRI_E_FORMAT, "rms_norm_eps");
    refuse(f, "{" LLAMA ",\"eos_token_id\":[1,\"x\"]}", TRI_E_FORMAT, "entry 1 of eos_token_id");
    refuse(f, "{" LLAMA ",\"eos_token_id\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}",
        TRI_E_LIMIT, "16");
    refuse(f, "{" GEMMA2 ",\"query_pre_attn_scalar\":0}", TRI_E_FORMAT, "query_pre_attn_scalar");
    refuse(f, "{" GEMMA3 ",\"sliding_window_pattern\":0}", TRI_E_FORMAT, "sliding_window_pattern");
    refuse(f, "{" GEMMA3 ",\"layer_types\":[]}", TRI_E_FORMAT, "list of 26");
    refuse(f, "{" LLAMA ",\"rotary_pct\":0.25}", TRI_E_UNSUPPORTED, "rotary_pct 0.25");
    refuse(
        f, "{" LLAMA ",\"norm_type\":\"layernorm\"}", TRI_E_UNSUPPORTED, "norm_type \"layernorm\"");
    refuse(f, "{" LLAMA ",\"norm_type\":1}", TRI_E_UNSUPPORTED, "norm_type 1");
    refuse(f, "{" LLAMA ",\"alibi\":true}", TRI_E_UNSUPPORTED, "alibi");
    refuse(f, "{" LLAMA ",\"vision_config\":{\"hidden_size\":1152}}", TRI_E_UNSUPPORTED,
        "vision_config");
    assert_int_equal(parse(f, "{" LLAMA "}", "[]"), TRI_E_FORMAT);
    assert_non_null(strstr(f->err.message, "generation_config.json"));
}

static void passes_over_what_does_not_matter(void **state) {
    fixture *f = *state;
    accept(f,
        "{" LLAMA ",\"attention_dropout\":0.1,\"_name_or_path\":\"x\",\"num_experts\":0,"
        "\"logit_scale\":1.0,\"quantization_config\":null,\"mlp_bias\":null,"
        "\"rotary_pct\":1.0,\"norm_type\":\"rms_norm\",\"alibi\":false,\"vision_config\":{}}");
    assert_string_equal(f->warnings, "");
    accept(f, "{" LLAMA ",\"flux_capacitor\":1,\"attention_dropout\":0.1}");
    assert_non_null(strstr(f->warnings, "flux_capacitor"));
    assert_null(strstr(f->warnings, "attention_dropout"));
    accept(f, "{" GEMMA3 ",\"attn_logit_softcapping\":50.0}");
    assert_true(f->config.attn_logit_softcap == 0);
    /* Ids outside the vocabulary are never sampled. */
    accept(f, "{" LLAMA ",\"pad_token_id\":32000,\"eos_token_id\":[2,99999],\"bos_token_id\":-1}");
    assert_int_equal(f->config.pad_id, -1);
    assert_int_equal(f->config.bos_id, -1);
    assert_int_equal(f->config.n_eos, 1);
    assert_non_null(strstr(f->warnings, "99999"));
    accept(f, "{" LLAMA ",\"eos_token_id\":null}");
    assert_int_equal(f->config.n_eos, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(reads_llama_3_1),
        CASE(reads_the_text_half_of_gemma_3),
        CASE(reads_defaults_of_classes),
        CASE(reads_every_rope),
        CASE(refuses_bad_ropes),
        CASE(refuses_what_we_lack),
        CASE(refuses_impossible_values),
        CASE(passes_over_what_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
