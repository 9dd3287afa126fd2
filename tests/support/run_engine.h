/* run_engine.h - for tests: builds engines of golden models and runs prompts through the executor.
 */
#ifndef TRI_TESTS_RUN_ENGINE_H
#define TRI_TESTS_RUN_ENGINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "trireme/executor.h"

#define RUN_OK(call)                                                                               \
    do {                                                                                           \
        tri_error run_err = {0};                                                                   \
        tri_error *err = &run_err;                                                                 \
        if (call) fail_msg("%s", run_err.message);                                                 \
    } while (0)

enum { RUN_PATH_BYTES = 4096 };

typedef struct run_output {
    int32_t *tokens;
    int32_t n_tokens;
    float *context_logits; /* [n_prompt, vocab] */
    tri_finish_reason reason;
} run_output;

static inline void run_output_free(run_output *out) {
    free(out->tokens);
    free(out->context_logits);
    *out = (run_output){0};
}

/* A fresh directory under the build directory. */
static inline void run_scratch_dir(char path[RUN_PATH_BYTES], const char *name) {
    snprintf(path, RUN_PATH_BYTES, "%s/scratch/%s", TRI_BUILD_DIR, name);
    tri_path_remove_tree(path, NULL);
    RUN_OK(tri_path_make_dirs(path, err));
}

/* Collects whatever comes until all n requests are final.  Requests are told apart by client_id =
 * index. */
static inline void run_collect(tri_executor *executor, int32_t n, const int32_t *n_prompt,
    int32_t vocab_size, bool manual, run_output *outputs) {
    for (int32_t n_final = 0; n_final < n;) {
        tri_response *r = NULL;
        bool did_work;
        if (manual) RUN_OK(tri_executor_step(executor, &did_work, err));
        RUN_OK(tri_executor_await(executor, 0, manual ? 0 : 20000, &r, err));
        if (!r) continue;
        run_output *out = &outputs[r->client_id];
        out->tokens = realloc(
            out->tokens, sizeof(int32_t) * (size_t)(out->n_tokens + r->n_output_token_ids + 1));
        assert_non_null(out->tokens);
        memcpy(out->tokens + out->n_tokens, r->output_token_ids,
            sizeof(int32_t) * (size_t)r->n_output_token_ids);
        out->n_tokens += r->n_output_token_ids;
        if (r->context_logits) {
            size_t bytes = sizeof(float) * (size_t)n_prompt[r->client_id] * (size_t)vocab_size;
            out->context_logits = malloc(bytes);
            assert_non_null(out->context_logits);
            memcpy(out->context_logits, r->context_logits, bytes);
        }
        if (r->is_final) {
            out->reason = r->finish_reason;
            if (r->finish_reason == TRI_FINISH_ERROR) fail_msg("%s", r->error_msg);
            n_final++;
        }
        tri_response_free(r);
    }
}

#endif
