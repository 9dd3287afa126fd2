/* decode.c - ids to text: the whole at once, or as they come (the public half of decode_chain.h).
 */
#include <stdlib.h>
#include <string.h>

#include "text/decode_chain.h"
#include "text/stop.h"

struct tri_decoder {
    const tri_tokenizer *t;
    bool skip_special, stopped;
    tri_decode_chain chain;
    tri_stop_filter filter;
    char **stops;
    int32_t n_stops;
    tri_buf piece, out;
};

static tri_status add(const tri_tokenizer *t, tri_decode_chain *chain, int32_t id,
    bool skip_special, tri_buf *out, tri_error *err) {
    if (id < 0) return TRI_FAIL(err, TRI_E_ARGUMENT, "token id %d", id);
    /* Models pad their vocabulary: ids past the tokenizer's, and its holes, are nothing. */
    if (id >= t->n_tokens || !t->tokens[id].ptr) return TRI_OK;
    if (skip_special && t->special[id]) return TRI_OK;
    return tri_decode_chain_add(chain, id, out, err);
}

tri_status tri_tokenizer_decode(const tri_tokenizer *t, const int32_t *ids, int32_t n_ids,
    bool skip_special, char **text, size_t *n, tri_error *err) {
    tri_decode_chain chain;
    tri_buf out = {0};
    tri_status rc = TRI_OK;
    tri_decode_chain_init(&chain, t);
    for (int32_t i = 0; i < n_ids && !rc; i++)
        rc = add(t, &chain, ids[i], skip_special, &out, err);
    if (!rc) rc = tri_decode_chain_finish(&chain, &out, err);
    if (!rc) {
        tri_buf_append(&out, "", 1); /* also where nothing came out */
        rc = tri_buf_status(&out, err);
    }
    tri_decode_chain_deinit(&chain);
    if (rc) {
        tri_buf_deinit(&out);
        return rc;
    }
    *text = out.ptr;
    *n = out.len - 1;
    return TRI_OK;
}

tri_status tri_decoder_create(tri_decoder **decoder, const tri_tokenizer *t, bool skip_special,
    const char *const *stops, int32_t n_stops, tri_error *err) {
    tri_decoder *d = calloc(1, sizeof *d);
    if (!d) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a decoder");
    d->t = t;
    d->skip_special = skip_special;
    tri_decode_chain_init(&d->chain, t);
    d->stops = calloc((size_t)n_stops + 1, sizeof *d->stops);
    for (int32_t i = 0; i < n_stops && d->stops; i++, d->n_stops++) {
        d->stops[i] = strdup(stops[i]);
        if (!d->stops[i]) break;
    }
    if (!d->stops || d->n_stops < n_stops) {
        tri_decoder_destroy(d);
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d stop strings", n_stops);
    }
    tri_stop_filter_init(&d->filter, (const char *const *)d->stops, n_stops);
    *decoder = d;
    return TRI_OK;
}

void tri_decoder_destroy(tri_decoder *d) {
    if (!d) return;
    tri_decode_chain_deinit(&d->chain);
    tri_stop_filter_deinit(&d->filter);
    for (int32_t i = 0; i < d->n_stops; i++)
        free(d->stops[i]);
    free(d->stops);
    tri_buf_deinit(&d->piece);
    tri_buf_deinit(&d->out);
    free(d);
}

static tri_status give(
    tri_decoder *d, tri_status rc, const char **text, size_t *n, bool *stopped, tri_error *err) {
    if (!rc) rc = tri_buf_status(&d->out, err);
    if (rc) return rc;
    *text = d->out.len ? d->out.ptr : "";
    *n = d->out.len;
    if (stopped) *stopped = d->stopped;
    return TRI_OK;
}

tri_status tri_decoder_add(
    tri_decoder *d, int32_t id, const char **text, size_t *n, bool *stopped, tri_error *err) {
    tri_status rc = TRI_OK;
    tri_buf_clear(&d->piece);
    tri_buf_clear(&d->out);
    if (!d->stopped) {
        rc = add(d->t, &d->chain, id, d->skip_special, &d->piece, err);
        if (!rc) {
            tri_str piece = {d->piece.ptr, d->piece.len};
            d->stopped = tri_stop_filter_add(&d->filter, piece, &d->out);
        }
    }
    return give(d, rc, text, n, stopped, err);
}

tri_status tri_decoder_finish(
    tri_decoder *d, const char **text, size_t *n, bool *stopped, tri_error *err) {
    tri_status rc = TRI_OK;
    tri_buf_clear(&d->piece);
    tri_buf_clear(&d->out);
    if (!d->stopped) {
        rc = tri_decode_chain_finish(&d->chain, &d->piece, err);
        if (!rc) {
            tri_str piece = {d->piece.ptr, d->piece.len};
            d->stopped = tri_stop_filter_add(&d->filter, piece, &d->out);
            if (!d->stopped) tri_stop_filter_finish(&d->filter, &d->out);
        }
    }
    return give(d, rc, text, n, stopped, err);
}

void tri_decoder_reset(tri_decoder *d) {
    tri_decode_chain_reset(&d->chain);
    tri_stop_filter_deinit(&d->filter);
    tri_stop_filter_init(&d->filter, (const char *const *)d->stops, d->n_stops);
    d->stopped = false;
}
