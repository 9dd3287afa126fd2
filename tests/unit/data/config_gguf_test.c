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
#include "unit/data/gguf_build.h"

/* A model's file: keys and tensors are added, then counted into the header. */
typedef struct {
    tri_buf keys, tensors, data;
    uint64_t n_keys, n_tensors;
    const char *architecture;
    tri_arena arena;
    tri_error err;
    tri_model_config config;
} fixture;

static int set_up(void **state) {
    *state = calloc(1, sizeof(fixture));
    return 0;
}

static void clear(fixture *f) {
    tri_buf_deinit(&f->keys);
    tri_buf_deinit(&f->tensors);
    tri_buf_deinit(&f->data);
    f->n_keys = f->n_tensors = 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    clear(f);
    tri_arena_deinit(&f->arena);
    free(f);
    return 0;
}

static void add_text(fixture *f, const char *key, const char *value) {
    put_key_text(&f->keys, key, value);
    f->n_keys++;
}

static const char *with_architecture(fixture *f, const char *name) {
    return tri_arena_printf(&f->arena, "%s.%s", f->architecture, name);
}

static void add_u32(fixture *f, const char *name, uint32_t value) {
    put_key_u32(&f->keys, with_architecture(f, name), value);
    f->n_keys++;
}

static void add_f32(fixture *f, const char *name, float value) {
    put_key_f32(&f->keys, with_architecture(f, name), value);
    f->n_keys++;
}

static void add_token(fixture *f, const char *name, uint32_t id) {
    put_key_u32(&f->keys, tri_arena_printf(&f->arena, "tokenizer.ggml.%s_token_id", name), id);
    f->n_keys++;
}

/* float32, [rows, columns] or, without rows, [columns]; all values alike. */
static void add_tensor(fixture *f, const char *name, uint64_t rows, uint64_t columns, float value) {
    put_data(&f->data, 0);
    put_tensor(&f->tensors, name, rows ? 2 : 1, (uint64_t[]){columns, rows}, 0, f->data.len);
    for (uint64_t i = 0; i < (rows ? rows : 1) * columns; i++)
        tri_buf_append(&f->data, &value, sizeof value);
    f->n_tensors++;
}

/* What no file lacks; 100 tokens, 32 wide, 4 heads of 8 over 2, 6 layers. */
static void start(fixture *f, const char *architecture) {
    clear(f);
    f->architecture = architecture;
    add_text(f, "general.architecture", architecture);
    add_u32(f, "context_length", 4096);
    add_u32(f, "embedding_length", 32);
    add_u32(f, "block_count", 6);
    add_u32(f, "feed_forward_length", 48);
    add_u32(f, "attention.head_count", 4);
    add_u32(f, "attention.head_count_kv", 2);
    add_f32(f, "attention.layer_norm_rms_epsilon", 0.25f);
    add_tensor(f, "token_embd.weight", 100, 32, 0);
}

static tri_status read_it(fixture *f) {
    tri_buf b = {0};
    tri_gguf g;
    put_header(&b, f->n_tensors, f->n_keys);
    tri_buf_append(&b, f->keys.ptr, f->keys.len);
    tri_buf_append(&b, f->tensors.ptr, f->tensors.len);
    put_data(&b, 0);
    tri_buf_append(&b, f->data.ptr, f->data.len);
    tri_status rc = tri_gguf_parse(&g, (uint8_t *)b.ptr, (int64_t)b.len, &f->arena, &f->err);
    if (rc) fail_msg("%s", f->err.message);
    rc = tri_model_config_from_gguf(&f->config, &g, &f->arena, &f->err);
    tri_gguf_close(&g);
    tri_buf_deinit(&b);
    return rc;
}

static void accept(fixture *f) {
    if (read_it(f)) fail_msg("%s", f->err.message);
}

static void refuse(fixture *f, tri_status status, const char *message) {
    tri_model_config before = f->config;
    tri_status rc = read_it(f);
    if (rc != status) fail_msg("%s: %s", tri_status_name(rc), f->err.message);
    if (!strstr(f->err.message, message)) fail_msg("%s\nlacks: %s", f->err.message, message);
    assert_memory_equal(&before, &f->config, sizeof before);
}

static void reads_a_file_of_the_gguf_package(void **state) {
    fixture *f = *state;
    tri_gguf g;
    assert_int_equal(
        tri_gguf_open(&g, TRI_TESTS_DIR "/golden/gguf/tiny_llama.gguf", &f->arena, &f->err),
        TRI_OK);
    if (tri_model_config_from_gguf(&f->config, &g, &f->arena, &f->err))
        fail_msg("%s", f->err.message);
    tri_gguf_close(&g);
    const tri_model_config *c = &f->config;
    assert_string_equal(c->architecture, "LlamaForCausalLM");
    assert_int_equal(c->vocab_size, 303);
    assert_int_equal(c->hidden_size, 256);
    assert_int_equal(c->n_layers, 2);
    assert_int_equal(c->n_heads, 8);
    assert_int_equal(c->n_kv_heads, 2);
    assert_int_equal(c->head_size, 32);
    assert_int_equal(c->intermediate_size, 512);
    assert_int_equal(c->max_position_embeddings, 512);
    assert_true(c->norm_epsilon == (double)1e-5f);
    assert_string_equal(c->hidden_act, "silu");
    assert_int_equal(c->rope[0].type, TRI_ROPE_DEFAULT);
    assert_true(c->rope[0].base == 20000);
    assert_int_equal(c->rope[0].rotary_dim, 32);
    assert_false(c->rope[0].interleaved);
    assert_int_equal(c->sliding_window, 0);
    assert_int_equal(c->bos_id, 1);
    assert_int_equal(c->pad_id, 2);
    assert_int_equal(c->n_eos, 1);
    assert_int_equal(c->eos_ids[0], 2);
    assert_int_equal(c->quantization.kind, TRI_QUANT_NONE);
}

static void reads_llama(void **state) {
    fixture *f = *state;
    const tri_model_config *c = &f->config;
    start(f, "llama");
    accept(f);
    assert_true(c->tie_word_embeddings);
    assert_int_equal(c->dtype, TRI_F32);
    assert_int_equal(c->head_size, 8);
    assert_true(c->rope[0].base == 10000 && c->norm_epsilon == 0.25);
    assert_int_equal(c->n_eos, 0);
    assert_int_equal(c->bos_id, -1);
    add_tensor(f, "output.weight", 100, 32, 0);
    add_tensor(f, "blk.0.attn_q.bias", 0, 32, 0);
    add_tensor(f, "blk.0.ffn_down.bias", 0, 32, 0);
    add_u32(f, "attention.key_length", 16);
    add_u32(f, "attention.value_length", 16);
    add_u32(f, "rope.dimension_count", 12);
    add_token(f, "eos", 7);
    add_token(f, "eot", 8);
    add_token(f, "bos", 100); /* not in the vocabulary */
    accept(f);
    assert_false(c->tie_word_embeddings);
    assert_true(c->attn_bias && !c->attn_dense_bias && c->mlp_bias);
    assert_int_equal(c->head_size, 16);
    assert_int_equal(c->rope[0].rotary_dim, 12);
    assert_int_equal(c->n_eos, 2);
    assert_int_equal(c->eos_ids[1], 8);
    assert_int_equal(c->bos_id, -1);
    /* Mistral comes as llama. */
    add_u32(f, "attention.sliding_window", 1000);
    accept(f);
    assert_int_equal(c->sliding_window, 1000);
    assert_true(c->layer_is_sliding[0] && c->layer_is_sliding[5] && !c->layer_is_sliding[6]);
}

static void reads_rope_scaling(void **state) {
    fixture *f = *state;
    const tri_rope_desc *rope = &f->config.rope[0];
    start(f, "llama");
    add_tensor(f, "rope_freqs.weight", 0, 4, 8.0f);
    accept(f);
    assert_int_equal(rope->type, TRI_ROPE_LONGROPE);
    assert_true(rope->attention_factor == 1);
    assert_ptr_equal(f->config.long_factors, f->config.short_factors);
    for (int i = 0; i < 4; i++)
        assert_true(f->config.short_factors[i] == 8);
    add_text(f, "llama.rope.scaling.type", "yarn");
    add_f32(f, "rope.scaling.factor", 2);
    refuse(f, TRI_E_UNSUPPORTED, "beside rope_freqs.weight");

    start(f, "llama");
    add_text(f, "llama.rope.scaling.type", "linear");
    add_f32(f, "rope.scaling.factor", 4);
    accept(f);
    assert_int_equal(rope->type, TRI_ROPE_LINEAR);
    assert_true(rope->factor == 4);

    start(f, "llama");
    add_f32(f, "rope.scale_linear", 2);
    accept(f);
    assert_int_equal(rope->type, TRI_ROPE_LINEAR);
    assert_true(rope->factor == 2);

    start(f, "qwen2");
    add_text(f, "qwen2.rope.scaling.type", "yarn");
    add_f32(f, "rope.scaling.factor", 4);
    add_u32(f, "rope.scaling.original_context_length", 1024);
    accept(f);
    assert_int_equal(rope->type, TRI_ROPE_YARN);
    assert_int_equal(rope->original_max_positions, 1024);
    assert_true(rope->beta_fast == 32 && rope->beta_slow == 1);
    assert_true(fabs(rope->attention_factor - 1.138629436111989) < 1e-15); /* 0.1 ln 4 + 1 */
    assert_true(f->config.attn_bias && !f->config.attn_dense_bias);

    start(f, "llama");
    add_text(f, "llama.rope.scaling.type", "none");
    add_f32(f, "rope.scaling.factor", 4);
    accept(f);
    assert_int_equal(rope->type, TRI_ROPE_DEFAULT);
}

static void reads_phi3(void **state) {
    fixture *f = *state;
    const tri_rope_desc *rope = &f->config.rope[0];
    start(f, "phi3");
    add_u32(f, "rope.dimension_count", 6);
    add_u32(f, "rope.scaling.original_context_length", 64);
    add_u32(f, "attention.sliding_window", 2047);
    add_tensor(f, "rope_factors_long.weight", 0, 3, 3.0f);
    add_tensor(f, "rope_factors_short.weight", 0, 3, 1.5f);
    add_tensor(f, "blk.0.attn_qkv.bias", 0, 64, 0);
    accept(f);
    assert_string_equal(f->config.architecture, "Phi3ForCausalLM");
    assert_int_equal(rope->type, TRI_ROPE_LONGROPE);
    assert_int_equal(rope->rotary_dim, 6);
    assert_int_equal(rope->original_max_positions, 64);
    assert_true(f->config.long_factors[2] == 3 && f->config.short_factors[2] == 1.5);
    /* sqrt(1 + ln 64 / ln 64) */
    assert_true(fabs(rope->attention_factor - sqrt(2)) < 1e-15);
    assert_int_equal(f->config.sliding_window, 2047);
    assert_true(f->config.layer_is_sliding[5]);
    assert_true(f->config.attn_bias);
    add_f32(f, "rope.scaling.attn_factor", 1.25f);
    accept(f);
    assert_true(rope->attention_factor == 1.25);
    start(f, "phi3");
    add_tensor(f, "rope_factors_long.weight", 0, 3, 3.0f);
    refuse(f, TRI_E_FORMAT, "rope_factors_short.weight must hold 4");
    start(f, "phi3");
    add_tensor(f, "rope_factors_short.weight", 0, 4, 0.0f);
    add_tensor(f, "rope_factors_long.weight", 0, 4, 3.0f);
    refuse(f, TRI_E_FORMAT, "rope_factors_short.weight[0] is 0");
}

static void reads_gemma(void **state) {
    fixture *f = *state;
    const tri_model_config *c = &f->config;
    start(f, "gemma2");
    add_u32(f, "attention.key_length", 16);
    accept(f);
    assert_string_equal(c->hidden_act, "gelu_pytorch_tanh");
    assert_true(c->embedding_scale == sqrt(32) && c->query_scale == 0.25);
    assert_true(c->attn_logit_softcap == 50 && c->final_logit_softcap == 30);
    assert_int_equal(c->sliding_window, 4096);
    assert_true(c->layer_is_sliding[0] && !c->layer_is_sliding[1] && c->layer_is_sliding[4]);
    assert_int_equal(c->n_ropes, 1);
    add_f32(f, "attn_logit_softcapping", 7);
    add_f32(f, "final_logit_softcapping", 9);
    add_u32(f, "attention.sliding_window", 128);
    accept(f);
    assert_true(c->attn_logit_softcap == 7 && c->final_logit_softcap == 9);
    assert_int_equal(c->sliding_window, 128);

    start(f, "gemma3");
    add_u32(f, "attention.key_length", 16);
    add_f32(f, "rope.freq_base", 1000000);
    add_text(f, "gemma3.rope.scaling.type", "linear");
    add_f32(f, "rope.scaling.factor", 8);
    accept(f);
    assert_int_equal(c->sliding_window, 0);
    assert_true(c->qk_layernorm && c->attn_logit_softcap == 0 && c->final_logit_softcap == 0);
    assert_int_equal(c->n_ropes, 2);
    assert_int_equal(c->rope[0].type, TRI_ROPE_LINEAR);
    assert_int_equal(c->rope[1].type, TRI_ROPE_DEFAULT);
    assert_true(c->rope[0].base == 1000000 && c->rope[1].base == 10000);
    add_u32(f, "attention.sliding_window", 512);
    accept(f);
    assert_int_equal(c->sliding_window, 512);
    assert_true(c->layer_is_sliding[4] && !c->layer_is_sliding[5]);
    add_u32(f, "attention.sliding_window_pattern", 3);
    add_f32(f, "rope.freq_base_swa", 5000);
    accept(f);
    assert_true(c->layer_is_sliding[1] && !c->layer_is_sliding[2]);
    assert_true(c->rope[1].base == 5000);
}

/* Gemma 2 27B: 46 layers, 4608 wide, 32 heads of 128; its scalar is 144. */
static void scales_queries_of_the_27b(void **state) {
    fixture *f = *state;
    f->architecture = "gemma2";
    add_text(f, "general.architecture", "gemma2");
    add_u32(f, "context_length", 8192);
    add_u32(f, "embedding_length", 4608);
    add_u32(f, "block_count", 46);
    add_u32(f, "feed_forward_length", 36864);
    add_u32(f, "attention.head_count", 32);
    add_u32(f, "attention.head_count_kv", 16);
    add_u32(f, "attention.key_length", 128);
    add_f32(f, "attention.layer_norm_rms_epsilon", 1e-6f);
    add_u32(f, "vocab_size", 256000);
    accept(f);
    assert_true(f->config.query_scale == 1.0 / 12);
    assert_int_equal(f->config.vocab_size, 256000);
}

static void put_flags(fixture *f, const char *name, const char *flags) {
    put_key(&f->keys, with_architecture(f, name), TRI_GGUF_ARRAY);
    put_u32(&f->keys, TRI_GGUF_BOOL);
    put_u64(&f->keys, strlen(flags));
    for (const char *c = flags; *c; c++)
        tri_buf_putc(&f->keys, *c == 's');
    f->n_keys++;
}

static void put_i32s(fixture *f, const char *name, const int32_t *values, uint64_t n) {
    put_key(&f->keys, with_architecture(f, name), TRI_GGUF_ARRAY);
    put_u32(&f->keys, TRI_GGUF_I32);
    put_u64(&f->keys, n);
    tri_buf_append(&f->keys, values, n * sizeof *values);
    f->n_keys++;
}

static void reads_one_value_a_layer(void **state) {
    fixture *f = *state;
    start(f, "gemma3");
    add_u32(f, "attention.sliding_window", 512);
    put_flags(f, "attention.sliding_window_pattern", "ssfsff");
    accept(f);
    for (int i = 0; i < 6; i++)
        assert_int_equal(f->config.layer_is_sliding[i], "ssfsff"[i] == 's');
    start(f, "gemma3");
    add_u32(f, "attention.sliding_window", 512);
    put_flags(f, "attention.sliding_window_pattern", "ssf");
    refuse(f, TRI_E_FORMAT, "3 entries for 6 layers");
    start(f, "qwen3");
    put_i32s(f, "attention.key_length", (int32_t[]){8, 8, 8, 8, 8, 8}, 6);
    accept(f);
    assert_int_equal(f->config.head_size, 8);
    start(f, "qwen3");
    put_i32s(f, "attention.key_length", (int32_t[]){8, 8, 16}, 3);
    refuse(f, TRI_E_UNSUPPORTED, "differs between layers (8, 16)");
    start(f, "qwen3");
    put_i32s(f, "attention.key_length", NULL, 0);
    refuse(f, TRI_E_FORMAT, "key_length is 0");
}

/* Chat files of older converters have but one end-of-sequence id. */
static void finds_ends_of_turns_by_text(void **state) {
    fixture *f = *state;
    const char *tokens[] = {"a", "<|eot_id|>", "<end_of_turn>", "<|im_end|>"};
    start(f, "llama");
    add_token(f, "eos", 9);
    put_key(&f->keys, "tokenizer.ggml.tokens", TRI_GGUF_ARRAY);
    put_u32(&f->keys, TRI_GGUF_STRING);
    put_u64(&f->keys, 4);
    for (int i = 0; i < 4; i++)
        put_text(&f->keys, tokens[i]);
    f->n_keys++;
    f->architecture = "tokenizer.ggml";
    put_i32s(f, "token_type", (int32_t[]){1, 3, 1, 4}, 4); /* the third is ordinary text */
    accept(f);
    assert_int_equal(f->config.n_eos, 3);
    assert_int_equal(f->config.eos_ids[0], 9);
    assert_int_equal(f->config.eos_ids[1], 1);
    assert_int_equal(f->config.eos_ids[2], 3);
}

static void refuses_what_we_lack(void **state) {
    fixture *f = *state;
    start(f, "mamba");
    refuse(f, TRI_E_UNSUPPORTED, "mamba");
    clear(f);
    refuse(f, TRI_E_FORMAT, "general.architecture");
    start(f, "llama");
    add_u32(f, "expert_count", 8);
    refuse(f, TRI_E_UNSUPPORTED, "llama.expert_count is 8");
    start(f, "llama");
    put_key_u32(&f->keys, "split.count", 3);
    f->n_keys++;
    refuse(f, TRI_E_UNSUPPORTED, "3 parts");
    start(f, "llama");
    add_f32(f, "logit_scale", 0.5f);
    refuse(f, TRI_E_UNSUPPORTED, "llama.logit_scale is 0.5");
    start(f, "llama");
    put_key(&f->keys, "llama.attention.causal", TRI_GGUF_BOOL);
    tri_buf_putc(&f->keys, 0);
    f->n_keys++;
    refuse(f, TRI_E_UNSUPPORTED, "causal");
    start(f, "llama");
    add_u32(f, "attention.value_length", 16);
    refuse(f, TRI_E_UNSUPPORTED, "value_length 16");
    start(f, "llama");
    add_text(f, "llama.rope.scaling.type", "longrope");
    add_f32(f, "rope.scaling.factor", 4);
    refuse(f, TRI_E_UNSUPPORTED, "longrope");
}

static void refuses_impossible_values(void **state) {
    fixture *f = *state;
    f->architecture = "llama";
    add_text(f, "general.architecture", "llama");
    refuse(f, TRI_E_FORMAT, "vocabulary of 0");
    add_u32(f, "vocab_size", 10);
    refuse(f, TRI_E_FORMAT, "no key llama.embedding_length");
    start(f, "llama");
    add_u32(f, "rope.dimension_count", 9);
    refuse(f, TRI_E_FORMAT, "9 of the 8");
    start(f, "llama");
    add_f32(f, "rope.freq_base", -1);
    refuse(f, TRI_E_FORMAT, "llama.rope.freq_base is -1");
    start(f, "llama");
    add_f32(f, "rope.freq_base", NAN);
    refuse(f, TRI_E_FORMAT, "llama.rope.freq_base");
    start(f, "llama");
    add_u32(f, "attention.key_length", UINT32_MAX);
    refuse(f, TRI_E_FORMAT, "llama.attention.key_length is 4294967295");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(reads_a_file_of_the_gguf_package),
        CASE(reads_llama),
        CASE(reads_rope_scaling),
        CASE(reads_phi3),
        CASE(reads_gemma),
        CASE(scales_queries_of_the_27b),
        CASE(reads_one_value_a_layer),
        CASE(finds_ends_of_turns_by_text),
        CASE(refuses_what_we_lack),
        CASE(refuses_impossible_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
