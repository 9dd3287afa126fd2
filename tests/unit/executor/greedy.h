/* greedy.h - requests on engines of the golden families, and transformers' greedy answers to them.
 */
#ifndef TESTS_EXECUTOR_GREEDY_H
#define TESTS_EXECUTOR_GREEDY_H

#include "support/run_engine.h"

#include "base/arena.h"
#include "base/file.h"
#include "data/safetensors.h"

enum { N_SEQUENCES = 3, N_GREEDY = 32 };

typedef struct golden {
    tri_arena arena;
    tri_safetensors file;
    const int32_t *ids[N_SEQUENCES], *greedy[N_SEQUENCES];
    const float *margin[N_SEQUENCES];
    int32_t n_ids[N_SEQUENCES];
} golden;

static inline void golden_open(golden *g, const char *family) {
    char path[RUN_PATH_BYTES], name[32];
    *g = (golden){0};
    tri_arena_init(&g->arena, 0);
    snprintf(
        path, sizeof path, "%s/golden/families/%s/expected.safetensors", TRI_TESTS_DIR, family);
    RUN_OK(tri_safetensors_open(&g->file, path, &g->arena, err));
    for (int i = 0; i < N_SEQUENCES; i++) {
        const tri_safetensor *t;
        snprintf(name, sizeof name, "seq%d.input_ids", i);
        assert_non_null(t = tri_safetensors_find(&g->file, name));
        g->ids[i] = (const int32_t *)(const void *)t->data;
        g->n_ids[i] = (int32_t)(t->n_bytes / 4);
        snprintf(name, sizeof name, "seq%d.greedy", i);
        assert_non_null(t = tri_safetensors_find(&g->file, name));
        assert_int_equal(t->n_bytes, N_GREEDY * 4);
        g->greedy[i] = (const int32_t *)(const void *)t->data;
        snprintf(name, sizeof name, "seq%d.margin", i);
        assert_non_null(t = tri_safetensors_find(&g->file, name));
        g->margin[i] = (const float *)(const void *)t->data;
    }
}

static inline void golden_close(golden *g) {
    tri_safetensors_close(&g->file);
    tri_arena_deinit(&g->arena);
}

static inline void build_for(
    char engine[RUN_PATH_BYTES], const char *family, const char *dtype, const char *target) {
    char model[RUN_PATH_BYTES], name[128];
    snprintf(model, sizeof model, "%s/golden/families/%s", TRI_TESTS_DIR, family);
    snprintf(name, sizeof name, "executor_%s_%s_%s", family, dtype, target);
    run_scratch_dir(engine, name);
    RUN_OK(tri_build(&(tri_build_options){.struct_size = sizeof(tri_build_options),
                         .model_dir = model,
                         .output_dir = engine,
                         .dtype = dtype,
                         .target = target,
                         .max_seq_len = 256,
                         .n_threads = 2},
        err));
}

typedef struct setting {
    int32_t max_batch_size, max_num_tokens, n_threads;
    int64_t kv_tokens;
    bool reverse, manual, no_logits;
    int32_t overlap;
} setting;

static inline void run(tri_engine *engine, const golden *g, const setting *s, run_output *outputs) {
    tri_executor *executor = NULL;
    tri_engine_info info;
    tri_engine_get_info(engine, &info);
    RUN_OK(tri_executor_create(&executor, engine,
        &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
            .max_batch_size = s->max_batch_size,
            .max_num_tokens = s->max_num_tokens,
            .max_seq_len = 128,
            .kv_cache_config = {.max_tokens = s->kv_tokens},
            .n_threads = s->n_threads,
            .overlap_scheduler = s->overlap,
            .manual = s->manual},
        err));
    for (int k = 0; k < N_SEQUENCES; k++) {
        int i = s->reverse ? N_SEQUENCES - 1 - k : k;
        uint64_t id;
        RUN_OK(tri_executor_enqueue(executor,
            &(tri_request){.struct_size = sizeof(tri_request),
                .input_token_ids = g->ids[i],
                .n_input_token_ids = g->n_ids[i],
                .max_tokens = N_GREEDY,
                .streaming = k % 2 == 0,
                .output_config = {.return_context_logits = !s->no_logits},
                .end_id = -1,
                .client_id = (uint64_t)i},
            &id, err));
    }
    run_collect(executor, N_SEQUENCES, g->n_ids, info.vocab_size, s->manual, outputs);
    tri_executor_destroy(executor);
}

static inline tri_engine *open_engine(const char *dir) {
    tri_engine *engine = NULL;
    RUN_OK(tri_engine_open(&engine, dir,
        &(tri_engine_options){.struct_size = sizeof(tri_engine_options), .trust_engine_code = true},
        err));
    return engine;
}

/* A step may differ only where transformers' two best logits are within 1e-3: sums in another order
 * move a logit by some 1e-5. */
static inline void check_greedy(const golden *g, const run_output *outputs) {
    for (int i = 0; i < N_SEQUENCES; i++) {
        assert_int_equal(outputs[i].n_tokens, N_GREEDY);
        for (int t = 0; t < N_GREEDY; t++) {
            if (outputs[i].tokens[t] == g->greedy[i][t]) continue;
            if (g->margin[i][t] >= 1e-3f) {
                fail_msg("sequence %d, token %d: %d, transformers has %d with margin %g", i, t,
                    outputs[i].tokens[t], g->greedy[i][t], (double)g->margin[i][t]);
            }
            break;
        }
    }
}

#endif
