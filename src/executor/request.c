#include "executor/request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/status.h"

static tri_status copy_i32(int32_t **out, const int32_t *from, int64_t n, tri_error *err) {
    int32_t *copy = malloc(sizeof(int32_t) * (size_t)(n ? n : 1));
    if (!copy) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %" PRId64 " tokens", n);
    if (n) memcpy(copy, from, sizeof(int32_t) * (size_t)n);
    *out = copy;
    return TRI_OK;
}

static tri_status check(
    const tri_request *r, const tri_engine_info *info, int32_t max_new, tri_error *err) {
    if (r->n_input_token_ids < 1 || !r->input_token_ids) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "input_token_ids is empty; a prompt needs a token");
    }
    for (int32_t i = 0; i < r->n_input_token_ids; i++) {
        if (r->input_token_ids[i] < 0 || r->input_token_ids[i] >= info->vocab_size) {
            return TRI_FAIL(err, TRI_E_ARGUMENT, "input_token_ids[%d] is %d; the vocabulary has %d",
                i, r->input_token_ids[i], info->vocab_size);
        }
    }
    if (r->max_tokens < 0) {
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "max_tokens is %d; 0 means as many as fit", r->max_tokens);
    }
    if (max_new < 1) {
        return TRI_FAIL(err, TRI_E_LIMIT,
            "a prompt of %d tokens leaves no room to generate: a sequence may have %" PRId64
            " (max_seq_len and the KV cache)",
            r->n_input_token_ids, (int64_t)r->n_input_token_ids + max_new);
    }
    const tri_sampling_config *s = &r->sampling_config;
    if (!(s->temperature >= 0) || !isfinite(s->temperature) || s->top_k < 0 || !(s->top_p >= 0) ||
        !(s->min_p >= 0) || s->min_p > 1 || !(s->repetition_penalty >= 0) ||
        !(s->presence_penalty == s->presence_penalty) ||
        !(s->frequency_penalty == s->frequency_penalty)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "sampling_config: temperature %g, top_k %d, top_p %g, min_p %g, repetition_penalty %g: "
            "none may be negative, min_p at most 1, the temperature finite",
            (double)s->temperature, s->top_k, (double)s->top_p, (double)s->min_p,
            (double)s->repetition_penalty);
    }
    for (int32_t i = 0; i < r->n_stop_words; i++) {
        if (r->stop_word_lengths[i] < 1) {
            return TRI_FAIL(err, TRI_E_ARGUMENT, "stop_word_lengths[%d] is %d; at least 1", i,
                r->stop_word_lengths[i]);
        }
    }
    return TRI_OK;
}

static void set_end_ids(tri_pending *p, const tri_request *r, const tri_engine_info *info) {
    if (r->end_id < 0) return;
    for (int32_t i = 0; i < info->n_eos && i < 16; i++)
        p->end_ids[p->n_end_ids++] = info->eos_ids[i];
    if (r->end_id > 0) p->end_ids[p->n_end_ids++] = r->end_id;
}

tri_status tri_pending_create(tri_pending **pending, const tri_request *r,
    const tri_engine_info *info, int32_t max_new, tri_error *err) {
    TRI_TRY(check(r, info, max_new, err));
    tri_status rc = TRI_OK;
    tri_pending *p = calloc(1, sizeof *p);
    if (!p) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a request");
    p->client_id = r->client_id;
    p->n_input = r->n_input_token_ids;
    p->max_tokens = r->max_tokens ? r->max_tokens : max_new;
    p->streaming = r->streaming;
    p->sampling = r->sampling_config;
    p->output = r->output_config;
    p->priority = r->priority > 0 ? r->priority : 0.5f;
    p->enqueued_ns = tri_clock_ns();
    if (r->allotted_time_ms > 0 && r->allotted_time_ms < INT64_MAX / 2000000) {
        p->deadline_ns = p->enqueued_ns + r->allotted_time_ms * 1000000;
    }
    set_end_ids(p, r, info);

    int64_t n_stop_tokens = 0;
    for (int32_t i = 0; i < r->n_stop_words; i++)
        n_stop_tokens += r->stop_word_lengths[i];
    rc = copy_i32(&p->input, r->input_token_ids, p->n_input, err);
    if (!rc) rc = copy_i32(&p->stop_words, r->stop_words, n_stop_tokens, err);
    if (!rc) rc = copy_i32(&p->stop_lengths, r->stop_word_lengths, r->n_stop_words, err);
    if (rc) goto done;
    p->n_stop_words = r->n_stop_words;
    p->tokens = malloc(sizeof(int32_t) * (size_t)p->max_tokens);
    if (p->output.return_log_probs) p->log_probs = malloc(sizeof(float) * (size_t)p->max_tokens);
    if (p->output.return_context_logits) {
        p->context_logits = calloc((size_t)p->n_input, sizeof(float) * (size_t)info->vocab_size);
    }
    if (!p->tokens || (p->output.return_log_probs && !p->log_probs) ||
        (p->output.return_context_logits && !p->context_logits)) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for the outputs of %d tokens", p->max_tokens);
        goto done;
    }
    *pending = p;

done:
    if (rc) tri_pending_destroy(p);
    return rc;
}

void tri_pending_destroy(tri_pending *p) {
    if (!p) return;
    free(p->input);
    free(p->stop_words);
    free(p->stop_lengths);
    free(p->tokens);
    free(p->log_probs);
    free(p->context_logits);
    free(p->generation_logits);
    free(p);
}

static bool ends_with_stop_word(const tri_pending *p) {
    const int32_t *word = p->stop_words;
    for (int32_t i = 0; i < p->n_stop_words; word += p->stop_lengths[i++]) {
        int32_t n = p->stop_lengths[i];
        if (n <= p->n_tokens &&
            !memcmp(p->tokens + p->n_tokens - n, word, sizeof(int32_t) * (size_t)n)) {
            return true;
        }
    }
    return false;
}

static bool is_end_id(const tri_pending *p, int32_t token) {
    for (int32_t i = 0; i < p->n_end_ids; i++) {
        if (p->end_ids[i] == token) return true;
    }
    return false;
}

void tri_pending_finish(tri_pending *p, tri_finish_reason reason, int64_t now_ns) {
    if (p->finish_reason != TRI_NOT_FINISHED) return;
    p->finish_reason = reason;
    p->finished_ns = now_ns;
}

void tri_pending_append(tri_pending *p, int32_t token, float log_prob, int64_t now_ns) {
    TRI_ASSERT(p->n_tokens < p->max_tokens);
    if (p->log_probs) p->log_probs[p->n_tokens] = log_prob;
    p->tokens[p->n_tokens++] = token;
    if (p->n_tokens == 1) p->first_token_ns = now_ns;
    bool may_end = p->n_tokens > p->sampling.min_tokens;
    if (may_end && is_end_id(p, token)) {
        tri_pending_finish(p, TRI_FINISH_END_ID, now_ns);
    } else if (may_end && ends_with_stop_word(p)) {
        tri_pending_finish(p, TRI_FINISH_STOP_WORDS, now_ns);
    } else if (p->n_tokens == p->max_tokens) {
        tri_pending_finish(p, TRI_FINISH_LENGTH, now_ns);
    }
}

tri_status tri_pending_keep_logits(
    tri_pending *p, const float *logits, int32_t vocab_size, tri_error *err) {
    int32_t n = p->n_tokens - p->n_delivered; /* the one just appended counts */
    size_t row_bytes = sizeof(float) * (size_t)vocab_size;
    if (n > p->cap_generation_logits) {
        int32_t cap = n > 8 ? n * 2 : 16;
        float *grown = realloc(p->generation_logits, (size_t)cap * row_bytes);
        if (!grown) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d rows of logits", cap);
        p->generation_logits = grown;
        p->cap_generation_logits = cap;
    }
    memcpy(p->generation_logits + (int64_t)(n - 1) * vocab_size, logits, row_bytes);
    return TRI_OK;
}

bool tri_pending_is_ready(const tri_pending *p) {
    return p->finish_reason != TRI_NOT_FINISHED || (p->streaming && p->n_tokens > p->n_delivered);
}

tri_response *tri_pending_respond(tri_pending *p, int32_t vocab_size) {
    int32_t n = p->n_tokens - p->n_delivered;
    size_t log_prob_bytes = p->log_probs ? sizeof(float) * (size_t)n : 0;
    size_t logits_bytes = p->output.return_generation_logits && p->generation_logits
                              ? sizeof(float) * (size_t)n * (size_t)vocab_size
                              : 0;
    size_t token_bytes = sizeof(int32_t) * (size_t)n;
    tri_response *r = calloc(1, sizeof *r + token_bytes + log_prob_bytes + logits_bytes);
    if (!r) return NULL;
    char *at = (char *)(r + 1);
    memcpy(at, p->tokens + p->n_delivered, token_bytes);
    r->output_token_ids = (const int32_t *)(void *)at;
    at += token_bytes;
    if (log_prob_bytes) {
        memcpy(at, p->log_probs + p->n_delivered, log_prob_bytes);
        r->log_probs = (const float *)(void *)at;
        at += log_prob_bytes;
    }
    if (logits_bytes) {
        memcpy(at, p->generation_logits, logits_bytes);
        r->generation_logits = (const float *)(void *)at;
    }
    r->request_id = p->id;
    r->client_id = p->client_id;
    r->n_output_token_ids = n;
    r->context_logits = p->context_logits;
    p->context_logits = NULL; /* the response owns it now */
    p->n_delivered = p->n_tokens;
    r->is_final = p->finish_reason != TRI_NOT_FINISHED;
    r->finish_reason = p->finish_reason;
    memcpy(r->error_msg, p->error_msg, sizeof r->error_msg);
    if (r->is_final) {
        int64_t first = p->first_token_ns ? p->first_token_ns : p->finished_ns;
        r->perf.first_token_us = (first - p->enqueued_ns) / 1000;
        r->perf.total_us = (p->finished_ns - p->enqueued_ns) / 1000;
        r->perf.n_prompt = p->n_input;
        r->perf.n_generated = p->n_tokens;
    }
    return r;
}

void tri_response_free(tri_response *r) {
    if (!r) return;
    free((void *)(uintptr_t)r->context_logits);
    free(r);
}

const char *tri_finish_reason_name(tri_finish_reason reason) {
    static const char *const names[] = {
        "not_finished", "end_id", "stop_words", "length", "timed_out", "cancelled", "error"};
    return reason >= 0 && reason <= TRI_FINISH_ERROR ? names[reason] : "unknown";
}
