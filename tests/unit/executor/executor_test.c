/* The executor on engines of the golden families: tokens equal transformers' greedy ones, whatever
 * the batch, the chunking, the order and the threads; requests end for the reasons they should;
 * refits take effect between steps. */
#include "unit/executor/greedy.h"

static void build(char engine[RUN_PATH_BYTES], const char *family, const char *dtype) {
    build_for(engine, family, dtype, "cpu");
}

static void check_families(const char *dtype, bool exact) {
    static const char *const families[] = {"llama_mha", "llama_rope_llama3", "llama_tied",
        "llama_bias", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"};
    static const setting settings[] = {{.max_batch_size = 4, .max_num_tokens = 512, .n_threads = 2},
        {.max_batch_size = 1, .max_num_tokens = 64, .n_threads = 1, .manual = true},
        {.max_batch_size = 3, .max_num_tokens = 7, .n_threads = 2, .reverse = true},
        {.max_batch_size = 3, .max_num_tokens = 3, .n_threads = 2, .manual = true},
        {.max_batch_size = 2,
            .max_num_tokens = 64,
            .n_threads = 3,
            .kv_tokens = 160,
            .reverse = true,
            .manual = true}};
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        char dir[RUN_PATH_BYTES];
        golden g;
        run_output first[N_SEQUENCES] = {0};
        golden_open(&g, families[f]);
        build(dir, families[f], dtype);
        tri_engine *engine = open_engine(dir);
        tri_engine_info info;
        tri_engine_get_info(engine, &info);
        for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
            run_output outputs[N_SEQUENCES] = {0};
            run(engine, &g, &settings[s], outputs);
            if (exact) check_greedy(&g, outputs);
            for (int i = 0; i < N_SEQUENCES; i++) {
                assert_int_equal(outputs[i].reason, TRI_FINISH_LENGTH);
                if (s == 0) {
                    first[i] = outputs[i];
                    continue;
                }
                assert_memory_equal(outputs[i].tokens, first[i].tokens, N_GREEDY * 4);
                assert_memory_equal(outputs[i].context_logits, first[i].context_logits,
                    sizeof(float) * (size_t)g.n_ids[i] * (size_t)info.vocab_size);
                run_output_free(&outputs[i]);
            }
        }
        for (int i = 0; i < N_SEQUENCES; i++)
            run_output_free(&first[i]);
        tri_engine_close(engine);
        golden_close(&g);
    }
}

static void test_float32_equals_transformers(void **state) {
    (void)state;
    check_families("float32", true);
}

static void test_bfloat16_does_not_depend_on_company(void **state) {
    (void)state;
    check_families("bfloat16", false);
}

static void test_two_engines_at_once(void **state) {
    (void)state;
    char dirs[2][RUN_PATH_BYTES];
    golden g[2];
    tri_engine *engines[2];
    tri_executor *executors[2] = {NULL, NULL};
    run_output outputs[2][N_SEQUENCES] = {0};
    static const char *const names[] = {"llama_mha", "gemma3"};
    for (int e = 0; e < 2; e++) {
        golden_open(&g[e], names[e]);
        build(dirs[e], names[e], "float32");
        engines[e] = open_engine(dirs[e]);
        RUN_OK(tri_executor_create(&executors[e], engines[e],
            &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
                .max_batch_size = 3,
                .max_seq_len = 128,
                .n_threads = 2},
            err));
    }
    for (int i = 0; i < N_SEQUENCES; i++) {
        for (int e = 0; e < 2; e++) {
            uint64_t id;
            RUN_OK(tri_executor_enqueue(executors[e],
                &(tri_request){.struct_size = sizeof(tri_request),
                    .input_token_ids = g[e].ids[i],
                    .n_input_token_ids = g[e].n_ids[i],
                    .max_tokens = N_GREEDY,
                    .end_id = -1,
                    .client_id = (uint64_t)i},
                &id, err));
        }
    }
    for (int e = 0; e < 2; e++) {
        run_collect(executors[e], N_SEQUENCES, g[e].n_ids, 0, false, outputs[e]);
        check_greedy(&g[e], outputs[e]);
    }
    for (int e = 0; e < 2; e++) {
        tri_executor_destroy(executors[e]);
        tri_engine_close(engines[e]);
        golden_close(&g[e]);
        for (int i = 0; i < N_SEQUENCES; i++)
            run_output_free(&outputs[e][i]);
    }
}

typedef struct fixture {
    golden g;
    tri_engine *engine;
    tri_executor *executor;
} fixture;

static fixture start(const char *family, bool manual) {
    fixture f = {0};
    char dir[RUN_PATH_BYTES];
    golden_open(&f.g, family);
    build(dir, family, "float32");
    f.engine = open_engine(dir);
    RUN_OK(tri_executor_create(&f.executor, f.engine,
        &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
            .max_batch_size = 2,
            .max_queue_size = 2,
            .max_seq_len = 128,
            .n_threads = 1,
            .manual = manual},
        err));
    return f;
}

static void stop(fixture *f) {
    tri_executor_destroy(f->executor);
    tri_engine_close(f->engine);
    golden_close(&f->g);
}

static tri_request request_of(const fixture *f, int32_t max_tokens) {
    return (tri_request){.struct_size = sizeof(tri_request),
        .input_token_ids = f->g.ids[1],
        .n_input_token_ids = f->g.n_ids[1],
        .max_tokens = max_tokens,
        .end_id = -1};
}

static tri_response *one(fixture *f, const tri_request *request) {
    uint64_t id;
    tri_response *r = NULL;
    RUN_OK(tri_executor_enqueue(f->executor, request, &id, err));
    RUN_OK(tri_executor_await(f->executor, id, 20000, &r, err));
    assert_non_null(r);
    return r;
}

static void test_how_requests_end(void **state) {
    (void)state;
    fixture f = start("llama_mha", false);
    tri_request request = request_of(&f, 20);
    const int32_t *greedy = f.g.greedy[1];

    request.end_id = greedy[4];
    int32_t at = 0;
    while (greedy[at] != greedy[4])
        at++;
    tri_response *r = one(&f, &request);
    assert_int_equal(r->finish_reason, TRI_FINISH_END_ID);
    assert_int_equal(r->n_output_token_ids, at + 1);
    tri_response_free(r);

    /* The end id is not chosen before min_tokens. */
    request.sampling_config.min_tokens = 10;
    r = one(&f, &request);
    assert_true(r->n_output_token_ids > 10);
    for (int i = 0; i < 10; i++)
        assert_true(r->output_token_ids[i] != request.end_id);
    tri_response_free(r);
    request.sampling_config.min_tokens = 0;
    request.end_id = -1;

    request.stop_words = &greedy[5];
    request.stop_word_lengths = (const int32_t[]){2};
    request.n_stop_words = 1;
    r = one(&f, &request);
    assert_int_equal(r->finish_reason, TRI_FINISH_STOP_WORDS);
    assert_true(r->n_output_token_ids <= 7);
    tri_response_free(r);
    request.n_stop_words = 0;

    request.allotted_time_ms = 1;
    request.max_tokens = 100;
    r = one(&f, &request);
    assert_true(r->finish_reason == TRI_FINISH_TIMED_OUT || r->finish_reason == TRI_FINISH_LENGTH);
    tri_response_free(r);
    stop(&f);
}

static void test_refusals(void **state) {
    (void)state;
    fixture f = start("llama_mha", true);
    tri_error err = {0};
    uint64_t id;
    tri_request request = request_of(&f, 1000);
    assert_int_equal(tri_executor_enqueue(f.executor, &request, &id, &err), TRI_E_LIMIT);
    assert_non_null(strstr(err.message, "max_seq_len"));
    request.max_tokens = 5;
    request.input_token_ids = (const int32_t[]){1 << 20};
    request.n_input_token_ids = 1;
    assert_int_equal(tri_executor_enqueue(f.executor, &request, &id, &err), TRI_E_ARGUMENT);
    request.n_input_token_ids = 0;
    assert_int_equal(tri_executor_enqueue(f.executor, &request, &id, &err), TRI_E_ARGUMENT);
    request = request_of(&f, 5);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tri_executor_enqueue(f.executor, &request, &id, &err), 0);
    assert_int_equal(tri_executor_enqueue(f.executor, &request, &id, &err), TRI_E_BUSY);
    assert_int_equal(
        tri_executor_await(f.executor, 999, 0, &(tri_response *){NULL}, &err), TRI_E_NOT_FOUND);

    /* A cancelled one ends alone. */
    assert_int_equal(tri_executor_cancel(f.executor, id, &err), 0);
    int n_cancelled = 0, n_done = 0;
    bool did_work = true;
    while (did_work)
        assert_int_equal(tri_executor_step(f.executor, &did_work, &err), 0);
    for (int i = 0; i < 4; i++) {
        tri_response *r = NULL;
        assert_int_equal(tri_executor_await(f.executor, 0, 0, &r, &err), 0);
        assert_non_null(r);
        n_cancelled += r->finish_reason == TRI_FINISH_CANCELLED;
        n_done += r->finish_reason == TRI_FINISH_LENGTH;
        tri_response_free(r);
    }
    assert_int_equal(n_cancelled, 1);
    assert_int_equal(n_done, 3);
    stop(&f);
}

static void test_sampling_is_reproducible(void **state) {
    (void)state;
    fixture f = start("qwen3", false);
    tri_request request = request_of(&f, 24);
    request.sampling_config = (tri_sampling_config){
        .temperature = 1.0f, .top_k = 50, .top_p = 0.95f, .seed = 7, .repetition_penalty = 1.2f};
    request.output_config.return_log_probs = true;
    tri_response *a = one(&f, &request), *b = one(&f, &request);
    assert_memory_equal(a->output_token_ids, b->output_token_ids, 24 * 4);
    for (int i = 0; i < 24; i++)
        assert_true(a->log_probs[i] <= 0);
    request.sampling_config.seed = 8;
    tri_response *c = one(&f, &request);
    assert_memory_not_equal(a->output_token_ids, c->output_token_ids, 24 * 4);
    tri_response_free(a);
    tri_response_free(b);
    tri_response_free(c);
    stop(&f);
}

static void copy_file(const char *from_dir, const char *to_dir, const char *name) {
    char from[RUN_PATH_BYTES + 64], to[RUN_PATH_BYTES + 64];
    tri_file_map map;
    snprintf(from, sizeof from, "%s/%s", from_dir, name);
    snprintf(to, sizeof to, "%s/%s", to_dir, name);
    RUN_OK(tri_file_map_open(&map, from, err));
    RUN_OK(tri_file_replace(to, map.data, (size_t)map.n_bytes, err));
    tri_file_map_close(&map);
}

/* llama_mha, one of whose tokens has an embedding that is not a number. */
static void make_damaged(char dir[RUN_PATH_BYTES], int32_t token) {
    char model[RUN_PATH_BYTES], path[RUN_PATH_BYTES + 64];
    tri_arena arena;
    tri_safetensors s;
    tri_arena_init(&arena, 0);
    snprintf(model, sizeof model, "%s/golden/families/llama_mha", TRI_TESTS_DIR);
    run_scratch_dir(dir, "executor_damaged_model");
    RUN_OK(tri_path_make_dirs(dir, err));
    copy_file(model, dir, "config.json");
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    RUN_OK(tri_safetensors_open(&s, path, &arena, err));
    const tri_safetensor *t = tri_safetensors_find(&s, "model.embed_tokens.weight");
    assert_non_null(t);
    uint8_t *bytes = malloc((size_t)s.map.n_bytes);
    assert_non_null(bytes);
    memcpy(bytes, s.map.data, (size_t)s.map.n_bytes);
    int64_t row_bytes = t->n_bytes / t->dims[0];
    memset(bytes + (t->data - s.map.data) + token * row_bytes, 0xFF, (size_t)row_bytes); /* NaN */
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    RUN_OK(tri_file_replace(path, bytes, (size_t)s.map.n_bytes, err));
    free(bytes);
    tri_safetensors_close(&s);
    tri_arena_deinit(&arena);
}

/* Logits without a largest: the request fails, says where, and fails alone. */
static void test_logits_that_are_not_finite(void **state) {
    (void)state;
    char model[RUN_PATH_BYTES], dir[RUN_PATH_BYTES];
    make_damaged(model, 7);
    run_scratch_dir(dir, "executor_damaged");
    RUN_OK(tri_build(&(tri_build_options){.struct_size = sizeof(tri_build_options),
                         .model_dir = model,
                         .output_dir = dir,
                         .dtype = "float32",
                         .n_threads = 1},
        err));
    tri_engine *engine = open_engine(dir);
    tri_executor *executor = NULL;
    RUN_OK(tri_executor_create(&executor, engine,
        &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
            .max_batch_size = 4,
            .max_seq_len = 64,
            .n_threads = 1,
            .manual = true},
        err));
    static const int32_t prompts[2][3] = {{5, 6, 8}, {5, 7, 8}};
    uint64_t ids[4];
    for (int i = 0; i < 4; i++) {
        RUN_OK(tri_executor_enqueue(executor,
            &(tri_request){.struct_size = sizeof(tri_request),
                .input_token_ids = prompts[i % 2],
                .n_input_token_ids = 3,
                .max_tokens = 2,
                .sampling_config = {.temperature = i < 2 ? 0 : 1},
                .end_id = -1},
            &ids[i], err));
    }
    for (bool did_work = true; did_work;)
        RUN_OK(tri_executor_step(executor, &did_work, err));
    for (int i = 0; i < 4; i++) {
        tri_response *r = NULL;
        RUN_OK(tri_executor_await(executor, ids[i], 0, &r, err));
        assert_non_null(r);
        assert_true(r->is_final);
        if (i % 2) {
            assert_int_equal(r->finish_reason, TRI_FINISH_ERROR);
            assert_int_equal(r->n_output_token_ids, 0);
            assert_non_null(strstr(r->error_msg, "not finite at token 3"));
        } else {
            assert_int_equal(r->finish_reason, TRI_FINISH_LENGTH);
        }
        tri_response_free(r);
    }
    tri_executor_destroy(executor);
    tri_engine_close(engine);
}

/* ---- a step made while the one before is under way ---- */

enum { N_OVERLAPPED = 7 };

typedef struct overlapped {
    int32_t tokens[N_GREEDY], n_tokens;
    float log_probs[N_GREEDY];
    tri_finish_reason reason;
} overlapped;

/* Greedy and drawn, with penalties, ends, stops and least lengths, one with logits, more requests
 * than there is room for. */
static void run_overlapped(tri_engine *engine, const golden *g, int32_t overlap,
    int32_t max_num_tokens, int64_t kv_tokens, overlapped *out) {
    tri_executor *executor = NULL;
    RUN_OK(tri_executor_create(&executor, engine,
        &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
            .max_batch_size = 3,
            .max_num_tokens = max_num_tokens,
            .max_seq_len = 128,
            .kv_cache_config = {.max_tokens = kv_tokens},
            .n_threads = 2,
            .overlap_scheduler = overlap},
        err));
    const int32_t stop = g->greedy[1][5], stop_length = 1;
    for (int i = 0; i < N_OVERLAPPED; i++) {
        int k = i % N_SEQUENCES;
        uint64_t id;
        RUN_OK(tri_executor_enqueue(executor,
            &(tri_request){.struct_size = sizeof(tri_request),
                .input_token_ids = g->ids[k],
                .n_input_token_ids = g->n_ids[k],
                .max_tokens = i == 3 ? 1 : N_GREEDY - i,
                .sampling_config = {.temperature = i % 2 ? 1.0f : 0,
                    .repetition_penalty = i == 4 ? 1.3f : 0,
                    .frequency_penalty = i == 5 ? 0.5f : 0,
                    .seed = (uint64_t)i,
                    .min_tokens = i == 2 ? 5 : 0},
                .output_config = {.return_log_probs = true, .return_generation_logits = i == 6},
                .end_id = i == 0 || i == 2 ? g->greedy[k][3] : -1,
                .stop_words = i == 1 ? &stop : NULL,
                .stop_word_lengths = &stop_length,
                .n_stop_words = i == 1,
                .client_id = (uint64_t)i},
            &id, err));
    }
    for (int n_final = 0; n_final < N_OVERLAPPED;) {
        tri_response *r = NULL;
        RUN_OK(tri_executor_await(executor, 0, 20000, &r, err));
        assert_non_null(r);
        overlapped *o = &out[r->client_id];
        if (r->is_final) n_final++;
        o->reason = r->finish_reason;
        if (r->finish_reason == TRI_FINISH_ERROR) fail_msg("%s", r->error_msg);
        memcpy(o->tokens, r->output_token_ids, sizeof(int32_t) * (size_t)r->n_output_token_ids);
        memcpy(o->log_probs, r->log_probs, sizeof(float) * (size_t)r->n_output_token_ids);
        o->n_tokens = r->n_output_token_ids;
        tri_response_free(r);
    }
    tri_executor_destroy(executor);
}

static void test_overlapping_steps(void **state) {
    (void)state;
    static const struct {
        int32_t max_num_tokens;
        int64_t kv_tokens;
    } settings[] = {{256, 0}, {5, 0}, {64, 160}};
    char dir[RUN_PATH_BYTES];
    golden g;
    golden_open(&g, "gemma3");
    build(dir, "gemma3", "float32");
    tri_engine *engine = open_engine(dir);
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        overlapped one[N_OVERLAPPED] = {0}, two[N_OVERLAPPED] = {0};
        run_overlapped(engine, &g, -1, settings[s].max_num_tokens, settings[s].kv_tokens, one);
        run_overlapped(engine, &g, 1, settings[s].max_num_tokens, settings[s].kv_tokens, two);
        for (int i = 0; i < N_OVERLAPPED; i++) {
            assert_int_equal(one[i].reason, two[i].reason);
            assert_int_equal(one[i].n_tokens, two[i].n_tokens);
            size_t n = (size_t)one[i].n_tokens;
            assert_memory_equal(one[i].tokens, two[i].tokens, sizeof(int32_t) * n);
            assert_memory_equal(one[i].log_probs, two[i].log_probs, sizeof(float) * n);
        }
        assert_int_equal(one[0].reason, TRI_FINISH_END_ID);
        assert_int_equal(one[3].n_tokens, 1);
    }
    tri_engine_close(engine);
    golden_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlapping_steps),
        cmocka_unit_test(test_float32_equals_transformers),
        cmocka_unit_test(test_bfloat16_does_not_depend_on_company),
        cmocka_unit_test(test_two_engines_at_once),
        cmocka_unit_test(test_how_requests_end),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sampling_is_reproducible),
        cmocka_unit_test(test_logits_that_are_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
