/* executor.h - running an engine: requests in, tokens out, batched in flight.
 *
 * Field names are TensorRT-LLM's Executor's, in snake_case.  One thread, the executor's own, owns
 * scheduler and device state; every function here may be called from any thread. */
#ifndef TRIREME_EXECUTOR_H
#define TRIREME_EXECUTOR_H

#include "trireme/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tri_executor tri_executor;

typedef struct tri_executor_config { /* zero: the default */
    uint32_t struct_size;
    int32_t max_batch_size; /* sequences at once [the engine's hint] */
    int32_t max_num_tokens; /* tokens a step [the engine's hint] */
    int64_t max_seq_len;    /* tokens a sequence [the engine's hint] */
    int32_t max_queue_size; /* waiting requests [1024]; over it TRI_E_BUSY */
    struct {
        int64_t max_tokens; /* KV tokens [what max_batch_size sequences of max_seq_len need, but at
                               most 1 GiB on a CPU] */
    } kv_cache_config;
    bool disable_chunked_context; /* prompts over max_num_tokens are then refused */
    int32_t n_threads;            /* CPU team [all] */
    int32_t overlap_scheduler;    /* makes a step while the one before is under way: 1 always, -1
                                     never [on GPUs]; needs a single rank */
    bool profile;                 /* times every launch */
    bool manual;                  /* no thread: the caller drives with tri_executor_step */
} tri_executor_config;

TRI_API tri_status tri_executor_create(
    tri_executor **executor, tri_engine *engine, const tri_executor_config *config, tri_error *err);
/* Cancels what runs, joins the thread. */
TRI_API void tri_executor_destroy(tri_executor *executor);

typedef struct tri_sampling_config { /* zero: off, and greedy when temperature is 0 */
    int32_t top_k;
    float top_p, min_p, temperature;
    float repetition_penalty, presence_penalty, frequency_penalty;
    uint64_t seed;
    int32_t min_tokens; /* end and stop words do not end it before */
} tri_sampling_config;

typedef struct tri_output_config {
    bool return_log_probs;      /* of the sampled tokens */
    bool return_context_logits; /* of every prompt token: slow, for tests and evaluation */
    bool return_generation_logits;
    bool exclude_input_from_output; /* kept for the name; outputs never hold the input */
} tri_output_config;

typedef struct tri_request {
    uint32_t struct_size;
    const int32_t *input_token_ids; /* copied */
    int32_t n_input_token_ids;
    int32_t max_tokens; /* to generate; 0: until max_seq_len */
    bool streaming;     /* a response for each step, else one at the end */
    tri_sampling_config sampling_config;
    tri_output_config output_config;
    int32_t end_id;            /* 0: the engine's end ids; -1: none; else this one too */
    const int32_t *stop_words; /* token sequences one after the other, copied */
    const int32_t *stop_word_lengths;
    int32_t n_stop_words;
    float priority;           /* 0..1, 0 meaning 0.5; higher first */
    int64_t allotted_time_ms; /* 0: no limit */
    uint64_t client_id;       /* handed back */
} tri_request;

typedef enum tri_finish_reason {
    TRI_NOT_FINISHED = 0,
    TRI_FINISH_END_ID = 1,
    TRI_FINISH_STOP_WORDS = 2,
    TRI_FINISH_LENGTH = 3,
    TRI_FINISH_TIMED_OUT = 4,
    TRI_FINISH_CANCELLED = 5,
    TRI_FINISH_ERROR = 6
} tri_finish_reason;
TRI_API const char *tri_finish_reason_name(tri_finish_reason reason); /* "length" */

typedef struct tri_response { /* valid until tri_response_free */
    uint64_t request_id, client_id;
    const int32_t *output_token_ids; /* new since the last response of this request */
    int32_t n_output_token_ids;
    const float *log_probs;         /* beside them, when asked */
    const float *context_logits;    /* [n_input, vocab], in the first response, when asked */
    const float *generation_logits; /* [n_output_token_ids, vocab], when asked */
    bool is_final;
    tri_finish_reason finish_reason;
    char error_msg[256]; /* with TRI_FINISH_ERROR */
    struct {
        int64_t queue_us, first_token_us, total_us;
        int32_t n_prompt, n_generated;
    } perf; /* final */
} tri_response;

/* TRI_E_BUSY when the queue is full, TRI_E_LIMIT when it can never fit. */
TRI_API tri_status tri_executor_enqueue(
    tri_executor *executor, const tri_request *request, uint64_t *request_id, tri_error *err);
/* The next response of request_id (0: of any); waits at most timeout_ms (-1: for ever).  *response
 * NULL: none in time. */
TRI_API tri_status tri_executor_await(tri_executor *executor, uint64_t request_id,
    int64_t timeout_ms, tri_response **response, tri_error *err);
TRI_API void tri_response_free(tri_response *response);
TRI_API tri_status tri_executor_cancel(tri_executor *executor, uint64_t request_id, tri_error *err);

/* With config.manual: runs one iteration on the calling thread; *did_work false when nothing is
 * left to do. */
TRI_API tri_status tri_executor_step(tri_executor *executor, bool *did_work, tri_error *err);

typedef struct tri_executor_stats {
    int64_t n_iterations, n_prompt_tokens, n_generated_tokens;
    int64_t step_us; /* summed */
    int32_t n_running, n_waiting, kv_blocks_used, kv_blocks_total;
    int64_t kv_bytes, activation_bytes;
    int64_t n_preempted; /* times a sequence gave up its KV, to be computed again */
} tri_executor_stats;
TRI_API void tri_executor_get_stats(tri_executor *executor, tri_executor_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
