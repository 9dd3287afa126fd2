/* request.h - one request from enqueue to its last response.
 *
 * Made on the caller's thread with room for all it may generate, so that the executor's thread only
 * appends. Responses are made on the awaiting thread from what has come since the last one.  Fields
 * under "shared" are guarded by the executor's lock. */
#ifndef TRI_EXECUTOR_REQUEST_H
#define TRI_EXECUTOR_REQUEST_H

#include "trireme/executor.h"

typedef struct tri_pending { /* a request inside the executor */
    uint64_t id, client_id;
    int32_t *input;
    int32_t n_input, max_tokens;
    bool streaming;
    tri_sampling_config sampling;
    tri_output_config output;
    int32_t end_ids[17];
    int32_t n_end_ids;
    int32_t *stop_words, *stop_lengths;
    int32_t n_stop_words;
    float priority;
    int64_t enqueued_ns, first_token_ns, deadline_ns; /* deadline 0: none */

    /* shared */
    int32_t *tokens;  /* [max_tokens] generated */
    float *log_probs; /* [max_tokens], when asked */
    int32_t n_tokens, n_delivered;
    float *context_logits; /* [n_input, vocab], when asked; handed to the first response */
    float *
        generation_logits; /* [cap, vocab] of those not yet delivered; grows, for evaluation only */
    int32_t cap_generation_logits;
    int64_t finished_ns;
    tri_finish_reason finish_reason; /* TRI_NOT_FINISHED while it runs */
    char error_msg[256];
    bool cancelled, added; /* added: the scheduler has it */
    struct tri_pending *next;
} tri_pending;

/* Copies and checks the request; max_new is the most it may generate here. */
tri_status tri_pending_create(tri_pending **pending, const tri_request *request,
    const tri_engine_info *info, int32_t max_new, tri_error *err);
void tri_pending_destroy(tri_pending *pending);

/* Appends a sampled token and decides whether that ends the request. */
void tri_pending_append(tri_pending *pending, int32_t token, float log_prob, int64_t now_ns);
/* Keeps one row of logits of the token just appended. */
tri_status tri_pending_keep_logits(
    tri_pending *pending, const float *logits, int32_t vocab_size, tri_error *err);
void tri_pending_finish(tri_pending *pending, tri_finish_reason reason, int64_t now_ns);

bool tri_pending_is_ready(const tri_pending *pending); /* something to deliver */
/* What has come since the last response; NULL when out of memory (nothing is lost). */
tri_response *tri_pending_respond(tri_pending *pending, int32_t vocab_size);

#endif
