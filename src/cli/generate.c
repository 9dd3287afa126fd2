#include "cli/generate.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

enum { POLL_MS = 100 };

typedef struct stream {
    const tri_generate_options *options;
    tri_decoder *decoder;
    tri_generated *out;
} stream;

static void emit(stream *s, const char *text, size_t n) {
    if (!n) return;
    tri_buf_append(&s->out->text, text, n);
    if (s->options->stream) {
        fwrite(text, 1, n, stdout);
        fflush(stdout);
    }
}

/* *stopped: a stop string came. */
static tri_status take_token(stream *s, int32_t id, bool *stopped, tri_error *err) {
    const char *text;
    size_t n;
    tri_buf_append(&s->out->ids, &id, sizeof id);
    s->out->n_ids++;
    TRI_TRY(tri_decoder_add(s->decoder, id, &text, &n, stopped, err));
    emit(s, text, n);
    return TRI_OK;
}

static tri_status finish_text(stream *s, tri_error *err) {
    const char *text;
    size_t n;
    bool stopped;
    if (s->out->stopped_by_string) return TRI_OK;
    TRI_TRY(tri_decoder_finish(s->decoder, &text, &n, &stopped, err));
    emit(s, text, n);
    return TRI_OK;
}

static tri_status take_response(stream *s, const tri_response *r, tri_error *err) {
    tri_status rc = TRI_OK;
    for (int32_t i = 0; i < r->n_output_token_ids && !rc && !s->out->stopped_by_string; i++) {
        rc = take_token(s, r->output_token_ids[i], &s->out->stopped_by_string, err);
    }
    s->out->finish_reason = r->finish_reason;
    if (!rc && r->is_final && r->finish_reason == TRI_FINISH_ERROR) {
        rc = TRI_FAIL(err, TRI_E_INTERNAL, "%s", r->error_msg);
    }
    return rc;
}

/* To its final response, whatever becomes of the text: the executor keeps a request until then. */
static tri_status follow(tri_executor *executor, uint64_t id, stream *s, tri_error *err) {
    int64_t started = tri_clock_ns(), first = 0;
    bool cancelled = false, final = false;
    tri_status rc = TRI_OK;
    while (!final) {
        tri_response *r = NULL;
        TRI_TRY(tri_executor_await(executor, id, POLL_MS, &r, err));
        if (r) {
            if (r->n_output_token_ids && !first) first = tri_clock_ns();
            if (!rc) rc = take_response(s, r, err);
            final = r->is_final;
            tri_response_free(r);
        }
        if ((interrupted || rc || s->out->stopped_by_string) && !cancelled) {
            cancelled = true;
            tri_executor_cancel(executor, id, NULL);
        }
    }
    int64_t now = tri_clock_ns();
    if (!first) first = now;
    s->out->prompt_s = (double)(first - started) / 1e9;
    s->out->decode_s = (double)(now - first) / 1e9;
    return rc;
}

tri_status tri_generate(tri_executor *executor, const tri_tokenizer *tokenizer,
    const int32_t *prompt, int32_t n_prompt, const tri_generate_options *options,
    tri_generated *out, tri_error *err) {
    *out = (tri_generated){.n_prompt = n_prompt};
    uint64_t id = 0;
    stream s = {.options = options, .out = out};
    TRI_TRY(tri_decoder_create(
        &s.decoder, tokenizer, !options->show_special, options->stops, options->n_stops, err));
    tri_status rc = tri_executor_enqueue(executor,
        &(tri_request){.struct_size = sizeof(tri_request),
            .input_token_ids = prompt,
            .n_input_token_ids = n_prompt,
            .max_tokens = options->max_tokens,
            .streaming = true,
            .sampling_config = options->sampling},
        &id, err);
    if (rc) {
        tri_decoder_destroy(s.decoder);
        return rc;
    }

    struct sigaction action = {.sa_handler = on_interrupt}, old;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &old);
    rc = follow(executor, id, &s, err);
    if (!rc) rc = finish_text(&s, err);
    sigaction(SIGINT, &old, NULL);
    if (!rc) rc = tri_buf_status(&out->text, err);
    if (!rc) rc = tri_buf_status(&out->ids, err);
    tri_decoder_destroy(s.decoder);
    if (rc) tri_generated_deinit(out);
    return rc;
}

void tri_generated_deinit(tri_generated *out) {
    tri_buf_deinit(&out->text);
    tri_buf_deinit(&out->ids);
    *out = (tri_generated){0};
}

const char *tri_generated_reason(const tri_generated *out) {
    if (out->stopped_by_string) return "stop";
    switch (out->finish_reason) {
    case TRI_FINISH_END_ID:
    case TRI_FINISH_STOP_WORDS:
        return "stop";
    default:
        return tri_finish_reason_name(out->finish_reason);
    }
}
