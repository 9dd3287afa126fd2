/* decode.c - ids to text as they come: whole characters only, and nothing that could still be a
 * stop string. */
#include <string.h>

#include "text/tokenizer_inside.h"

/* ---- characters ---- */

static int sequence_length(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) return 3;
    if (lead >= 0xF0 && lead <= 0xF4) return 4;
    return 0;
}

/* Whether byte `next` may stand at index i of a sequence begun with `lead` (RFC 3629's table). */
static bool continues(uint8_t lead, int i, uint8_t next) {
    if (i == 1 && lead == 0xE0) return next >= 0xA0 && next <= 0xBF;
    if (i == 1 && lead == 0xED) return next >= 0x80 && next <= 0x9F;
    if (i == 1 && lead == 0xF0) return next >= 0x90 && next <= 0xBF;
    if (i == 1 && lead == 0xF4) return next >= 0x80 && next <= 0x8F;
    return (next & 0xC0) == 0x80;
}

static void put_replacement(tri_buf *out) {
    tri_buf_append(out, "\xEF\xBF\xBD", 3);
}

static void add_byte(tri_decoder *d, uint8_t byte, tri_buf *out) {
    if (d->n_held) {
        uint8_t lead = (uint8_t)d->held[0];
        if (continues(lead, d->n_held, byte)) {
            d->held[d->n_held++] = (char)byte;
            if (d->n_held == sequence_length(lead)) {
                tri_buf_append(out, d->held, (size_t)d->n_held);
                d->n_held = 0;
            }
            return;
        }
        put_replacement(out);
        d->n_held = 0;
    }
    switch (sequence_length(byte)) {
    case 0:
        put_replacement(out);
        break;
    case 1:
        tri_buf_putc(out, (char)byte);
        break;
    default:
        d->held[d->n_held++] = (char)byte;
        break;
    }
}

void tri_decoder_init(tri_decoder *d, const tri_tokenizer *t, bool skip_special) {
    *d = (tri_decoder){.tokenizer = t, .skip_special = skip_special};
}

tri_status tri_decoder_add(tri_decoder *d, int32_t id, tri_buf *out, tri_error *err) {
    const tri_tokenizer *t = d->tokenizer;
    if (id < 0) return TRI_FAIL(err, TRI_E_ARGUMENT, "token id %d", id);
    /* Models pad their vocabulary: ids past the tokenizer's are nothing. */
    if (id >= t->bpe.n_pieces || (d->skip_special && t->special[id])) return TRI_OK;
    tri_str piece = t->bpe.pieces[id];
    for (size_t i = 0; i < piece.len; i++)
        add_byte(d, (uint8_t)piece.ptr[i], out);
    return tri_buf_status(out, err);
}

void tri_decoder_finish(tri_decoder *d, tri_buf *out) {
    if (d->n_held) put_replacement(out);
    d->n_held = 0;
}

/* ---- stop strings ---- */

void tri_stop_filter_init(tri_stop_filter *f, const char *const *stops, int32_t n_stops) {
    *f = (tri_stop_filter){.stops = stops, .n_stops = n_stops};
}

void tri_stop_filter_deinit(tri_stop_filter *f) {
    tri_buf_deinit(&f->held);
}

/* Where the first stop string begins in held text, or SIZE_MAX. */
static size_t find_stop(const tri_stop_filter *f) {
    size_t best = SIZE_MAX;
    for (int32_t i = 0; i < f->n_stops; i++) {
        size_t n = strlen(f->stops[i]);
        const char *at =
            n && f->held.len >= n ? memmem(f->held.ptr, f->held.len, f->stops[i], n) : NULL;
        if (at && (size_t)(at - f->held.ptr) < best) best = (size_t)(at - f->held.ptr);
    }
    return best;
}

/* How many bytes at the end of held text are the beginning of a stop string. */
static size_t pending_bytes(const tri_stop_filter *f) {
    size_t most = 0;
    for (int32_t i = 0; i < f->n_stops; i++) {
        size_t n = strlen(f->stops[i]);
        size_t longest = n ? n - 1 : 0;
        if (longest > f->held.len) longest = f->held.len;
        for (size_t k = longest; k > most; k--) {
            if (!memcmp(f->held.ptr + f->held.len - k, f->stops[i], k)) most = k;
        }
    }
    return most;
}

bool tri_stop_filter_add(tri_stop_filter *f, tri_str text, tri_buf *out) {
    if (text.len == 0) return false;
    if (f->n_stops == 0) {
        tri_buf_append(out, text.ptr, text.len);
        return false;
    }
    tri_buf_append(&f->held, text.ptr, text.len);
    size_t stop = find_stop(f);
    if (stop != SIZE_MAX) {
        tri_buf_append(out, f->held.ptr, stop);
        tri_buf_clear(&f->held);
        return true;
    }
    size_t keep = pending_bytes(f), pass = f->held.len - keep;
    tri_buf_append(out, f->held.ptr, pass);
    memmove(f->held.ptr, f->held.ptr + pass, keep);
    f->held.len = keep;
    return false;
}

void tri_stop_filter_finish(tri_stop_filter *f, tri_buf *out) {
    if (f->held.len) tri_buf_append(out, f->held.ptr, f->held.len);
    tri_buf_clear(&f->held);
}
