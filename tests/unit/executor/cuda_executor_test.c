/* The executor on a GPU: float32 engines answer as transformers does, whatever the batch, the
 * chunking and the order, one step at a time or one ahead.  Passed over where there is no GPU. */
#include "unit/executor/greedy.h"

#include "device/device.h"

static const char *const families[] = {"llama_mha", "llama_rope_llama3", "llama_tied", "llama_bias",
    "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"};

static const setting settings[] = {{.max_batch_size = 4, .max_num_tokens = 512},
    {.max_batch_size = 4, .max_num_tokens = 512, .no_logits = true, .overlap = 1},
    {.max_batch_size = 1, .max_num_tokens = 64, .manual = true, .no_logits = true, .overlap = -1},
    {.max_batch_size = 3, .max_num_tokens = 7, .reverse = true, .no_logits = true},
    {.max_batch_size = 3, .max_num_tokens = 3, .manual = true, .overlap = -1},
    {.max_batch_size = 2,
        .max_num_tokens = 64,
        .kv_tokens = 160,
        .reverse = true,
        .manual = true,
        .no_logits = true}};

static void skip_without_gpu(void) {
    tri_plugin_device facts;
    char arch[16];
    if (!tri_device_probe("cuda", 0, &facts, arch)) skip();
}

static void test_float32_equals_transformers(void **state) {
    (void)state;
    skip_without_gpu();
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        char dir[RUN_PATH_BYTES];
        golden g;
        golden_open(&g, families[f]);
        build_for(dir, families[f], "float32", "cuda");
        tri_engine *engine = open_engine(dir);
        for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
            run_output outputs[N_SEQUENCES] = {0};
            run(engine, &g, &settings[s], outputs);
            check_greedy(&g, outputs);
            for (int i = 0; i < N_SEQUENCES; i++)
                run_output_free(&outputs[i]);
        }
        tri_engine_close(engine);
        golden_close(&g);
    }
}

/* Few tokens a step: all of them through the same kernels (kernels/cuda/linear_product.c says from
 * how many on others are used), so that tokens do not depend on company either. */
static void test_bfloat16_does_not_depend_on_company(void **state) {
    (void)state;
    skip_without_gpu();
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        char dir[RUN_PATH_BYTES];
        golden g;
        run_output first[N_SEQUENCES] = {0};
        golden_open(&g, families[f]);
        build_for(dir, families[f], "bfloat16", "cuda");
        tri_engine *engine = open_engine(dir);
        for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
            run_output outputs[N_SEQUENCES] = {0};
            setting small = settings[s];
            if (small.max_num_tokens > 32) small.max_num_tokens = 32;
            run(engine, &g, &small, outputs);
            for (int i = 0; i < N_SEQUENCES; i++) {
                assert_int_equal(outputs[i].reason, TRI_FINISH_LENGTH);
                if (s == 0)
                    first[i] = outputs[i];
                else {
                    assert_memory_equal(outputs[i].tokens, first[i].tokens, N_GREEDY * 4);
                    run_output_free(&outputs[i]);
                }
            }
        }
        for (int i = 0; i < N_SEQUENCES; i++)
            run_output_free(&first[i]);
        tri_engine_close(engine);
        golden_close(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_float32_equals_transformers),
        cmocka_unit_test(test_bfloat16_does_not_depend_on_company)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
