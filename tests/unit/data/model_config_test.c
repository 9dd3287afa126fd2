#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "data/model_config.h"

static tri_model_config sane(void) {
    return (tri_model_config){.architecture = "LlamaForCausalLM",
        .dtype = TRI_BF16,
        .vocab_size = 1000,
        .hidden_size = 64,
        .n_layers = 6,
        .n_heads = 8,
        .n_kv_heads = 2,
        .head_size = 8,
        .intermediate_size = 96,
        .max_position_embeddings = 128,
        .norm_epsilon = 1e-5,
        .hidden_act = "silu",
        .rope = {{.base = 10000}},
        .n_ropes = 1,
        .mapping = {1, 1},
        .bos_id = -1,
        .pad_id = -1};
}

static void refuse(const tri_model_config *c, tri_status status, const char *message) {
    tri_error err = {0};
    assert_int_equal(tri_model_config_check(c, &err), status);
    if (!strstr(err.message, message)) fail_msg("%s\nlacks: %s", err.message, message);
}

/* Sets one field of a sane config and expects this refusal. */
#define REFUSE(field, value, message)                                                              \
    do {                                                                                           \
        tri_model_config c = sane();                                                               \
        c.field = (value);                                                                         \
        refuse(&c, TRI_E_FORMAT, message);                                                         \
    } while (0)

static void accepts_sane_configs(void **state) {
    (void)state;
    tri_model_config c = sane();
    assert_int_equal(tri_model_config_check(&c, NULL), TRI_OK);
    c.mapping.tp_size = 8; /* kv heads are duplicated */
    c.mapping.pp_size = 3;
    assert_int_equal(tri_model_config_check(&c, NULL), TRI_OK);
    c.mapping.tp_size = 1;
    c.sliding_window = 4;
    c.layer_is_sliding[5] = true;
    assert_int_equal(tri_model_config_check(&c, NULL), TRI_OK);
}

static void refuses_values_out_of_range(void **state) {
    (void)state;
    REFUSE(vocab_size, 0, "vocab_size");
    REFUSE(vocab_size, INT32_MAX, "vocab_size");
    REFUSE(hidden_size, -64, "hidden_size");
    REFUSE(n_layers, 0, "num_hidden_layers");
    REFUSE(n_layers, TRI_MAX_LAYERS + 1, "num_hidden_layers");
    REFUSE(n_heads, 0, "num_attention_heads");
    REFUSE(n_kv_heads, 0, "num_key_value_heads");
    REFUSE(head_size, 1 << 20, "head_size");
    REFUSE(max_position_embeddings, 0, "max_position_embeddings");
    REFUSE(sliding_window, -1, "sliding_window");
    REFUSE(mapping.tp_size, 0, "tp_size");
    REFUSE(embedding_sharding_dim, 2, "embedding_sharding_dim");
    REFUSE(n_ropes, 3, "ropes");
    REFUSE(bos_id, 1000, "bos_token_id");
    REFUSE(n_eos, 17, "eos_token_id");
    REFUSE(norm_epsilon, NAN, "norm_epsilon");
    REFUSE(embedding_scale, INFINITY, "embeddings");
    REFUSE(query_scale, -1, "queries");
    REFUSE(rope[0].base, 0, "rope_theta");
    REFUSE(rope[0].rotary_dim, 7, "even");
    REFUSE(rope[0].rotary_dim, 10, "10 of the 8");
    REFUSE(rope[0].type, TRI_ROPE_LINEAR, "factor");
    REFUSE(layer_is_sliding[3], true, "layer 3");
    tri_model_config c = sane();
    c.n_eos = 1;
    c.eos_ids[0] = 1000;
    refuse(&c, TRI_E_FORMAT, "eos_token_id 1000");
    c = sane();
    c.layer_is_sliding[7] = true; /* past the last layer */
    assert_int_equal(tri_model_config_check(&c, NULL), TRI_OK);
}

static void refuses_names(void **state) {
    (void)state;
    tri_model_config c = sane();
    c.architecture = "Llama";
    refuse(&c, TRI_E_UNSUPPORTED, "Qwen2ForCausalLM");
    c.architecture = NULL;
    refuse(&c, TRI_E_UNSUPPORTED, "Qwen2ForCausalLM");
    c = sane();
    c.hidden_act = "tanh";
    refuse(&c, TRI_E_UNSUPPORTED, "tanh");
    c = sane();
    c.dtype = TRI_F64;
    refuse(&c, TRI_E_UNSUPPORTED, "f64");
}

static void refuses_what_does_not_divide(void **state) {
    (void)state;
    REFUSE(n_kv_heads, 3, "num_attention_heads 8 is not a multiple of num_key_value_heads 3");
    REFUSE(mapping.tp_size, 3, "num_attention_heads 8 is not a multiple of tp_size 3");
    REFUSE(mapping.pp_size, 4, "num_hidden_layers 6 is not a multiple of pp_size 4");
    tri_model_config c = sane();
    c.mapping.tp_size = 2;
    c.intermediate_size = 97;
    refuse(&c, TRI_E_FORMAT, "intermediate_size 97");
    c = sane();
    c.n_heads = 12;
    c.n_kv_heads = 6;
    c.mapping.tp_size = 4;
    refuse(&c, TRI_E_FORMAT, "num_key_value_heads 6 and tp_size 4");
    c = sane();
    c.use_parallel_embedding = true;
    c.embedding_sharding_dim = 1;
    c.hidden_size = 65;
    c.mapping.tp_size = 2;
    refuse(&c, TRI_E_FORMAT, "hidden_size 65");
}

static void gives_stages(void **state) {
    (void)state;
    tri_model_config c = sane();
    tri_error err = {0};
    int32_t first = -1, n = -1;
    c.mapping.pp_size = 3;
    for (int32_t rank = 0; rank < 3; rank++) {
        assert_int_equal(tri_model_config_stage(&c, rank, &first, &n, &err), TRI_OK);
        assert_int_equal(first, 2 * rank);
        assert_int_equal(n, 2);
    }
    assert_int_equal(tri_model_config_stage(&c, 3, &first, &n, &err), TRI_E_ARGUMENT);
    assert_int_equal(tri_model_config_stage(&c, -1, &first, &n, &err), TRI_E_ARGUMENT);
    c.mapping.pp_size = 4;
    assert_int_equal(tri_model_config_stage(&c, 0, &first, &n, &err), TRI_E_FORMAT);
    assert_int_equal(first, 4); /* untouched */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_sane_configs),
        cmocka_unit_test(refuses_values_out_of_range),
        cmocka_unit_test(refuses_names),
        cmocka_unit_test(refuses_what_does_not_divide),
        cmocka_unit_test(gives_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
