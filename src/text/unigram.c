#include "text/unigram.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "text/spm.h"

/* What an unknown character costs beside the least likely piece: both libraries' constant. */
static const double unknown_penalty = 10.0;

struct tri_unigram {
    tri_trie trie;
    const double *scores; /* by id: what a match adds */
    int32_t unk_id;
    int32_t byte_ids[256]; /* -1: none */
    bool byte_fallback, sentencepiece;
    double unk_score;
    size_t max_bytes;        /* of a piece */
    size_t ring_mask;        /* of the scores ahead: a power of two past max_bytes, less one */
    const uint32_t *lengths; /* by id: bytes */
};

/* ---- creation ---- */

static bool is_matched(const tri_unigram_desc *d, int32_t id) {
    if (!d->types) return true;
    return d->types[id] == TRI_PIECE_NORMAL || d->types[id] == TRI_PIECE_USER_DEFINED;
}

static void find_bytes(tri_unigram *u, const tri_unigram_desc *d) {
    for (int i = 0; i < 256; i++)
        u->byte_ids[i] = -1;
    for (int32_t id = 0; id < d->n; id++) {
        int32_t byte = tri_spm_byte_of(d->pieces[id]);
        if (byte >= 0 && (!d->types || d->types[id] == TRI_PIECE_BYTE)) u->byte_ids[byte] = id;
    }
}

/* Hugging Face: the least score of all, in double.  SentencePiece: of the normal pieces, in float;
 * a user-defined piece gets 0.1 for each byte but the first (as of 0.2.2; before that it was
 * -0.1, and sums were compared before they were rounded to float). */
static void set_scores(tri_unigram *u, const tri_unigram_desc *d, double *scores) {
    double least = 0;
    float least_normal = FLT_MAX;
    for (int32_t id = 0; id < d->n; id++) {
        scores[id] = d->scores[id];
        if (id == 0 || d->scores[id] < least) least = d->scores[id];
        if (!d->types) continue;
        float score = (float)d->scores[id];
        scores[id] = (double)score;
        if (d->types[id] == TRI_PIECE_USER_DEFINED)
            scores[id] = (double)(0.1f * ((float)d->pieces[id].len - 1));
        if (d->types[id] == TRI_PIECE_NORMAL && score < least_normal) least_normal = score;
    }
    u->unk_score = least - unknown_penalty;
    if (d->types) u->unk_score = (double)(least_normal - (float)unknown_penalty);
}

tri_status tri_unigram_create(
    tri_unigram **unigram, const tri_unigram_desc *d, tri_arena *arena, tri_error *err) {
    if (d->unk_id >= d->n) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "unk_id is %d; the vocabulary has %d pieces", d->unk_id, d->n);
    }
    tri_unigram *u = TRI_NEW(arena, tri_unigram);
    double *scores = TRI_NEW_N(arena, double, d->n);
    uint32_t *lengths = TRI_NEW_N(arena, uint32_t, d->n);
    tri_str *keys = malloc(((size_t)d->n + 1) * sizeof *keys);
    int32_t *values = malloc(((size_t)d->n + 1) * sizeof *values);
    tri_status rc = TRI_OK;
    int32_t n = 0;
    if (!u || (d->n && (!scores || !lengths)) || !keys || !values) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", d->n);
        goto done;
    }
    *u = (tri_unigram){.scores = scores,
        .lengths = lengths,
        .unk_id = d->unk_id,
        .byte_fallback = d->byte_fallback,
        .sentencepiece = d->types != NULL,
        .max_bytes = 4};
    for (int32_t id = 0; id < d->n; id++) {
        if (!is_matched(d, id)) continue;
        keys[n] = d->pieces[id];
        values[n++] = id;
        lengths[id] = (uint32_t)d->pieces[id].len;
        if (d->pieces[id].len > u->max_bytes) u->max_bytes = d->pieces[id].len;
    }
    rc = tri_trie_build(&u->trie, keys, values, n, arena, err);
    if (rc) goto done;
    u->ring_mask = 7;
    while (u->ring_mask <= u->max_bytes)
        u->ring_mask = u->ring_mask * 2 + 1;
    set_scores(u, d, scores);
    find_bytes(u, d);
    *unigram = u;

done:
    free(keys);
    free(values);
    return rc;
}

int32_t tri_unigram_find(const tri_unigram *unigram, tri_str piece) {
    return tri_trie_find(&unigram->trie, piece);
}

/* ---- encoding ---- */

void tri_unigram_scratch_deinit(tri_unigram_scratch *scratch) {
    free(scratch->steps);
    free(scratch->scores);
    *scratch = (tri_unigram_scratch){0};
}

static tri_status reserve(const tri_unigram *u, tri_unigram_scratch *s, size_t n, tri_error *err) {
    if (s->n_steps < n) {
        size_t wanted = n < SIZE_MAX / 16 ? n + n / 2 : n;
        int32_t *steps = realloc(s->steps, wanted * sizeof *steps);
        if (!steps) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a text of %zu bytes", n);
        s->steps = steps;
        s->n_steps = wanted;
    }
    if (s->n_scores < u->ring_mask + 1) {
        double *scores = realloc(s->scores, (u->ring_mask + 1) * sizeof *scores);
        if (!scores) {
            return TRI_FAIL(err, TRI_E_MEMORY, "no memory for pieces of %zu bytes", u->max_bytes);
        }
        s->scores = scores;
        s->n_scores = u->ring_mask + 1;
    }
    return TRI_OK;
}

/* Bytes of the character that starts so, as far as its first byte tells. */
static size_t char_bytes(uint8_t first) {
    if (first < 0xC0) return 1;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The step that ends at each place of the best way there: 0 none, id + 1, or less the bytes of an
 * unknown character. */
static void consider(
    const tri_unigram *u, tri_unigram_scratch *s, size_t end, int32_t step, double score) {
    double *best = &s->scores[end & u->ring_mask];
    if (u->sentencepiece) score = (double)(float)score;
    if (s->steps[end] != 0 && !(score > *best)) return;
    *best = score;
    s->steps[end] = step;
}

static void forward(const tri_unigram *u, tri_unigram_scratch *s, tri_str text) {
    memset(s->steps, 0, (text.len + 1) * sizeof *s->steps);
    s->scores[0] = 0;
    for (size_t at = 0; at < text.len;) {
        size_t n = char_bytes((uint8_t)text.ptr[at]);
        if (n > text.len - at) n = text.len - at;
        double here = s->scores[at & u->ring_mask];
        bool single = false;
        uint32_t unit = 0;
        for (size_t i = at; i < text.len && tri_trie_step(&u->trie, &unit, (uint8_t)text.ptr[i]);) {
            int32_t id = u->trie.units[unit].value;
            i++;
            if (id < 0) continue;
            consider(u, s, i, id + 1, u->scores[id] + here);
            if (i - at == n) single = true;
        }
        if (!single) consider(u, s, at + n, -(int32_t)n, u->unk_score + here);
        at += n;
    }
}

static bool append_bytes(const tri_unigram *u, tri_str text, tri_buf *out) {
    for (size_t i = 0; i < text.len; i++)
        if (u->byte_ids[(uint8_t)text.ptr[i]] < 0) return false;
    for (size_t i = 0; i < text.len; i++)
        tri_buf_append(out, &u->byte_ids[(uint8_t)text.ptr[i]], sizeof(int32_t));
    return true;
}

/* A run of unknown characters. */
static tri_status append_unknown(const tri_unigram *u, tri_str run, tri_buf *out, tri_error *err) {
    int32_t id = u->sentencepiece ? -1 : tri_trie_find(&u->trie, run);
    if (id < 0) {
        if (u->byte_fallback && append_bytes(u, run, out)) return TRI_OK;
        id = u->unk_id;
    }
    if (id < 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "the text has characters outside the vocabulary, which has no unknown token");
    }
    tri_buf_append(out, &id, sizeof id);
    return TRI_OK;
}

static size_t step_bytes(const tri_unigram *u, int32_t step) {
    return step < 0 ? (size_t)-step : u->lengths[step - 1];
}

static bool is_unknown(const tri_unigram *u, int32_t step) {
    return step < 0 || step - 1 == u->unk_id;
}

tri_status tri_unigram_encode(
    const tri_unigram *u, tri_unigram_scratch *s, tri_str word, tri_buf *out, tri_error *err) {
    if (word.len == 0) return TRI_OK;
    if (word.len > INT32_MAX) {
        return TRI_FAIL(err, TRI_E_LIMIT, "a text of %zu bytes; at most %d", word.len, INT32_MAX);
    }
    TRI_TRY(reserve(u, s, word.len + 1, err));
    forward(u, s, word);

    /* The steps of the best way, last first, into the end of the same array: each covers a byte at
     * least, so that none is overwritten before it is read. */
    size_t first = word.len + 1, at = word.len;
    while (at > 0) {
        int32_t step = s->steps[at];
        at -= step_bytes(u, step);
        s->steps[--first] = step;
    }
    for (size_t i = first; i <= word.len;) {
        int32_t step = s->steps[i];
        size_t n = step_bytes(u, step);
        if (!is_unknown(u, step)) {
            int32_t id = step - 1;
            tri_buf_append(out, &id, sizeof id);
            i++;
        } else {
            for (i++; i <= word.len && is_unknown(u, s->steps[i]); i++)
                n += step_bytes(u, s->steps[i]);
            TRI_TRY(append_unknown(u, (tri_str){word.ptr + at, n}, out, err));
        }
        at += n;
    }
    return tri_buf_status(out, err);
}
