#include "text/encode.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"
#include "text/wordlevel.h"
#include "text/wordpiece.h"

enum { LONG_TEXT = 1 << 18 }; /* bytes from which threads are worth starting */

/* ---- the pool ---- */

struct tri_encoders {
    pthread_mutex_t lock;
    tri_encoder *free;
};

tri_status tri_encoders_create(tri_encoders **encoders, tri_error *err) {
    tri_encoders *e = calloc(1, sizeof *e);
    if (!e || pthread_mutex_init(&e->lock, NULL)) {
        free(e);
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a tokenizer");
    }
    *encoders = e;
    return TRI_OK;
}

static void destroy_encoder(tri_encoder *e) {
    tri_normalize_scratch_deinit(&e->normalize);
    tri_pretokenize_scratch_deinit(&e->pretokenize);
    tri_bpe_scratch_deinit(&e->bpe);
    tri_unigram_scratch_deinit(&e->unigram);
    tri_spm_bpe_scratch_deinit(&e->spm_bpe);
    tri_buf *const buffers[] = {
        &e->wordpiece, &e->ids, &e->mended, &e->plain, &e->raw_cuts, &e->cuts};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        tri_buf_deinit(buffers[i]);
    free(e->cache);
    free(e);
}

void tri_encoders_destroy(tri_encoders *encoders) {
    if (!encoders) return;
    for (tri_encoder *e = encoders->free, *after; e; e = after) {
        after = e->after;
        destroy_encoder(e);
    }
    pthread_mutex_destroy(&encoders->lock);
    free(encoders);
}

tri_status tri_encoder_take(const tri_tokenizer *t, tri_encoder **encoder, tri_error *err) {
    pthread_mutex_lock(&t->encoders->lock);
    tri_encoder *e = t->encoders->free;
    if (e) t->encoders->free = e->after;
    pthread_mutex_unlock(&t->encoders->lock);
    if (!e) {
        e = calloc(1, sizeof *e);
        if (e) e->cache = calloc(TRI_CACHE_SLOTS, sizeof *e->cache);
        if (!e || !e->cache) {
            free(e);
            return TRI_FAIL(err, TRI_E_MEMORY, "no memory to encode text");
        }
        e->t = t;
    }
    e->ids.failed = false;
    tri_buf_clear(&e->ids);
    *encoder = e;
    return TRI_OK;
}

/* Buffers that a huge text left are not kept for the small ones after it. */
static void shrink(tri_buf *buffer) {
    if (buffer->failed || buffer->cap > 64 << 20) tri_buf_deinit(buffer);
}

void tri_encoder_give_back(tri_encoder *e) {
    tri_buf *const buffers[] = {&e->ids, &e->mended, &e->plain, &e->raw_cuts, &e->cuts,
        &e->normalize.buffers[0], &e->normalize.buffers[1]};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        shrink(buffers[i]);
    for (int i = 0; i < TRI_MAX_STEPS; i++)
        shrink(&e->pretokenize.buffers[i]);
    if (e->bpe.n_symbols > 1 << 20 || e->bpe.n_heap > 1 << 20) tri_bpe_scratch_deinit(&e->bpe);
    pthread_mutex_lock(&e->t->encoders->lock);
    e->after = e->t->encoders->free;
    e->t->encoders->free = e;
    pthread_mutex_unlock(&e->t->encoders->lock);
}

/* ---- words ---- */

static tri_status encode_uncached(tri_encoder *e, tri_str word, tri_error *err) {
    const tri_tokenizer *t = e->t;
    switch (t->model) {
    case TRI_MODEL_BPE:
        return tri_bpe_encode(t->bpe, &e->bpe, word, &e->ids, err);
    case TRI_MODEL_UNIGRAM:
        return tri_unigram_encode(t->unigram, &e->unigram, word, &e->ids, err);
    case TRI_MODEL_SPM_BPE:
        return tri_spm_bpe_encode(t->spm_bpe, &e->spm_bpe, word, &e->ids, err);
    case TRI_MODEL_WORDPIECE:
        return tri_wordpiece_encode(t->wordpiece, &e->wordpiece, word, &e->ids, err);
    case TRI_MODEL_WORDLEVEL:
        return tri_wordlevel_encode(t->wordlevel, word, &e->ids, err);
    }
    return TRI_OK;
}

static inline uint64_t load64(const char *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load32(const char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* With the length, these three words say the word's bytes: loads overlap. */
static inline void key_of(tri_str w, uint64_t key[3]) {
    size_t n = w.len;
    if (n >= 8) {
        key[0] = load64(w.ptr);
        key[1] = load64(w.ptr + n - 8);
        key[2] = n > 16 ? load64(w.ptr + 8) : 0;
        return;
    }
    const uint8_t *p = (const uint8_t *)w.ptr;
    key[0] = n >= 4 ? load32(w.ptr) | load32(w.ptr + n - 4) << 32
                    : (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
    key[1] = key[2] = 0;
}

static inline size_t slot_of(const uint64_t key[3], size_t length) {
    uint64_t h = (key[0] ^ length) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32 ^ key[1]) * 0xC2B2AE3D27D4EB4Fu;
    h = (h ^ h >> 29 ^ key[2]) * 0x165667B19E3779F9u;
    return (size_t)(h >> 40) & (TRI_CACHE_SLOTS - 1);
}

static tri_status encode_cached(tri_encoder *e, tri_str word, tri_error *err) {
    uint64_t key[3];
    key_of(word, key);
    tri_cached_word *slot = &e->cache[slot_of(key, word.len)];
    if (slot->length == word.len && slot->key[0] == key[0] && slot->key[1] == key[1] &&
        slot->key[2] == key[2]) {
        size_t n = slot->n_ids * sizeof(int32_t);
        if (e->ids.cap - e->ids.len > sizeof slot->ids) {
            memcpy(e->ids.ptr + e->ids.len, slot->ids, sizeof slot->ids);
            e->ids.len += n;
        } else {
            tri_buf_append(&e->ids, slot->ids, n);
        }
        return TRI_OK;
    }
    size_t before = e->ids.len;
    TRI_TRY(encode_uncached(e, word, err));
    size_t n = e->ids.len - before;
    if (!e->ids.failed && n <= sizeof slot->ids) {
        *slot = (tri_cached_word){.key = {key[0], key[1], key[2]},
            .length = (uint16_t)word.len,
            .n_ids = (uint16_t)(n / sizeof(int32_t))};
        if (n) memcpy(slot->ids, e->ids.ptr + before, n);
    }
    return TRI_OK;
}

size_t tri_next_metaspace_cut(tri_str text, size_t at) {
    static const char space[] = "\xE2\x96\x81";
    for (;;) {
        const char *found = memmem(text.ptr + at, text.len - at, space, 3);
        if (!found) return text.len;
        size_t cut = (size_t)(found - text.ptr);
        if (cut > 0 && !(cut >= 3 && !memcmp(found - 3, space, 3))) return cut;
        at = cut + 3;
    }
}

tri_status tri_encode_word(void *encoder, tri_str word, tri_error *err) {
    tri_encoder *e = encoder;
    if (word.len <= TRI_CACHE_WORD_BYTES) return encode_cached(e, word, err);
    if (!e->t->cut_at_metaspace) return encode_uncached(e, word, err);
    for (size_t at = 0; at < word.len;) {
        size_t end = tri_next_metaspace_cut(word, at + 1);
        tri_str part = {word.ptr + at, end - at};
        if (part.len <= TRI_CACHE_WORD_BYTES) {
            TRI_TRY(encode_cached(e, part, err));
        } else {
            TRI_TRY(encode_uncached(e, part, err));
        }
        at = end;
    }
    return TRI_OK;
}

tri_status tri_encode_stretch(
    tri_encoder *e, tri_stretch stretch, int32_t n_threads, tri_error *err) {
    if (n_threads > 1 && stretch.text.len >= LONG_TEXT) {
        return tri_encode_parallel(e, stretch, n_threads, err);
    }
    TRI_TRY(tri_pretokenize(e->t, &e->pretokenize, stretch, tri_encode_word, e, err));
    return tri_buf_status(&e->ids, err);
}

/* ---- a whole text ---- */

typedef struct request {
    const tri_encode_options *options;
    tri_text_span *plain; /* of the mended text */
    int32_t n_plain;
} request;

static size_t character_length(tri_str text) {
    return text.len ? tri_utf8_length((unsigned char)text.ptr[0]) : 0;
}

static bool touches(const request *r, size_t begin, size_t end) {
    for (int32_t i = 0; i < r->n_plain; i++) {
        if (r->plain[i].begin < end && begin < r->plain[i].end) return true;
    }
    return false;
}

/* Text between raw added tokens: normalised, then cut again by those that want normalised text.
 * There special tokens of a vouched-for text were found already, so that none is read where plain
 * text was normalised with its surroundings. */
static tri_status encode_between(
    tri_encoder *e, const request *r, tri_str text, size_t begin, size_t end, tri_error *err) {
    tri_stretch in = {{text.ptr + begin, end - begin}, 0}, out;
    if (begin == 0) in.n_zero = character_length(in.text);
    TRI_TRY(tri_normalize(e->t, &e->normalize, in, &out, err));
    int32_t n_threads = r->options->n_threads;
    if (!tri_added_may_match(e->t->added_index, TRI_ADDED_NORMALIZED)) {
        return tri_encode_stretch(e, out, n_threads, err);
    }
    tri_added_request wanted = {.pass = TRI_ADDED_NORMALIZED,
        .parse_special = r->options->parse_special && !touches(r, begin, end)};
    tri_buf_clear(&e->cuts);
    TRI_TRY(tri_added_split(e->t->added_index, &wanted, out.text, &e->cuts, err));
    const tri_added_cut *cuts = (const tri_added_cut *)(const void *)e->cuts.ptr;
    for (size_t i = 0; i < e->cuts.len / sizeof *cuts; i++) {
        tri_added_cut c = cuts[i];
        if (c.id >= 0) {
            tri_buf_append(&e->ids, &c.id, sizeof c.id);
            continue;
        }
        size_t n_zero = out.n_zero > c.begin ? out.n_zero - c.begin : 0;
        if (n_zero > c.end - c.begin) n_zero = c.end - c.begin;
        tri_stretch part = {{out.text.ptr + c.begin, c.end - c.begin}, n_zero};
        TRI_TRY(tri_encode_stretch(e, part, n_threads, err));
    }
    return TRI_OK;
}

static tri_status encode_text(tri_encoder *e, const request *r, tri_str text, tri_error *err) {
    tri_added_request wanted = {.pass = r->n_plain ? TRI_ADDED_VOUCHED : TRI_ADDED_RAW,
        .parse_special = r->options->parse_special,
        .plain = r->plain,
        .n_plain = r->n_plain};
    if (!tri_added_may_match(e->t->added_index, wanted.pass)) {
        return text.len ? encode_between(e, r, text, 0, text.len, err) : TRI_OK;
    }
    tri_buf_clear(&e->raw_cuts);
    TRI_TRY(tri_added_split(e->t->added_index, &wanted, text, &e->raw_cuts, err));
    const tri_added_cut *cuts = (const tri_added_cut *)(const void *)e->raw_cuts.ptr;
    for (size_t i = 0; i < e->raw_cuts.len / sizeof *cuts; i++) {
        if (cuts[i].id >= 0) {
            tri_buf_append(&e->ids, &cuts[i].id, sizeof cuts[i].id);
        } else {
            TRI_TRY(encode_between(e, r, text, cuts[i].begin, cuts[i].end, err));
        }
    }
    return tri_buf_status(&e->ids, err);
}

/* ---- ill-formed text ---- */

/* Where offset `at` of text, a number of bytes given so far, comes to lie: as parts are mended. */
static tri_status mend(tri_encoder *e, const tri_encode_options *o, tri_str *text, request *r,
    size_t n_valid, tri_error *err) {
    tri_buf_clear(&e->mended);
    tri_buf_clear(&e->plain);
    tri_text_span *spans =
        (tri_text_span *)(void *)tri_buf_extend(&e->plain, sizeof *spans * (size_t)o->n_plain);
    TRI_TRY(tri_buf_status(&e->plain, err));
    for (int32_t i = 0; i < o->n_plain; i++)
        spans[i] = (tri_text_span){SIZE_MAX, SIZE_MAX};
    int32_t begins = 0, ends = 0;
    for (size_t at = 0; at <= text->len;) {
        /* A span's edge inside an ill-formed part takes all of it in. */
        size_t valid =
            at ? tri_utf8_valid_prefix((tri_str){text->ptr + at, text->len - at}) : n_valid;
        size_t stop = at + valid, bad = 0;
        uint32_t code;
        if (stop < text->len) {
            bad = tri_utf8_decode(text->ptr + stop, text->len - stop, &code);
        }
        for (; begins < o->n_plain && o->plain[begins].begin < stop + bad; begins++) {
            size_t p = o->plain[begins].begin;
            spans[begins].begin = e->mended.len + (p < stop ? p - at : valid);
        }
        for (; ends < o->n_plain && o->plain[ends].end <= stop + bad; ends++) {
            size_t p = o->plain[ends].end;
            spans[ends].end = e->mended.len + (p <= stop ? p - at : valid + 3);
        }
        tri_buf_append(&e->mended, text->ptr + at, valid);
        if (bad) tri_buf_append(&e->mended, "\xEF\xBF\xBD", 3);
        at = stop + bad;
        if (at == text->len) break;
    }
    for (int32_t i = 0; i < o->n_plain; i++) {
        if (spans[i].begin > e->mended.len) spans[i].begin = e->mended.len;
        if (spans[i].end > e->mended.len) spans[i].end = e->mended.len;
    }
    *text = (tri_str){e->mended.ptr, e->mended.len};
    r->plain = spans;
    return tri_buf_status(&e->mended, err);
}

static tri_status prepare(
    tri_encoder *e, const tri_encode_options *o, tri_str *text, request *r, tri_error *err) {
    for (int32_t i = 0; i < o->n_plain; i++) {
        size_t before = i ? o->plain[i - 1].end : 0;
        if (o->plain[i].begin < before || o->plain[i].end < o->plain[i].begin ||
            o->plain[i].end > text->len) {
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "plain[%d] is [%zu, %zu): not after the one before, or past the text's %zu bytes",
                i, o->plain[i].begin, o->plain[i].end, text->len);
        }
    }
    *r = (request){.options = o, .n_plain = o->n_plain};
    size_t n_valid = tri_utf8_valid_prefix(*text);
    if (n_valid < text->len) return mend(e, o, text, r, n_valid, err);
    tri_buf_clear(&e->plain);
    if (o->n_plain) tri_buf_append(&e->plain, o->plain, sizeof *o->plain * (size_t)o->n_plain);
    r->plain = (tri_text_span *)(void *)e->plain.ptr;
    return tri_buf_status(&e->plain, err);
}

/* The sequence's ids with what the post-processor puts around. */
static tri_status finish_ids(const tri_tokenizer *t, const tri_buf *sequence, bool add_special,
    int32_t **ids, int32_t *n_ids, tri_error *err) {
    static const tri_template_item alone[] = {{.id = -1}};
    const tri_template_item *items = t->n_single ? t->single : alone;
    int32_t n_items = t->n_single ? t->n_single : 1;
    size_t n = 0;
    for (int32_t i = 0; i < n_items; i++)
        n += items[i].id < 0 ? sequence->len / sizeof(int32_t) : add_special;
    if (n > INT32_MAX) {
        return TRI_FAIL(err, TRI_E_LIMIT, "%zu tokens; at most %d", n, INT32_MAX);
    }
    int32_t *all = malloc((n + 1) * sizeof *all);
    if (!all) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %zu tokens", n);
    size_t at = 0;
    for (int32_t i = 0; i < n_items; i++) {
        if (items[i].id >= 0) {
            if (add_special) all[at++] = items[i].id;
        } else if (sequence->len) {
            memcpy(all + at, sequence->ptr, sequence->len);
            at += sequence->len / sizeof(int32_t);
        }
    }
    *ids = all;
    *n_ids = (int32_t)n;
    return TRI_OK;
}

tri_status tri_tokenizer_encode(const tri_tokenizer *t, const char *text, size_t n,
    const tri_encode_options *options, int32_t **ids, int32_t *n_ids, tri_error *err) {
    static const tri_encode_options none = {.struct_size = sizeof none};
    const tri_encode_options *o = options ? options : &none;
    tri_str whole = {n ? text : "", n};
    tri_encoder *e;
    request r;
    TRI_TRY(tri_encoder_take(t, &e, err));
    tri_status rc = prepare(e, o, &whole, &r, err);
    if (!rc) rc = encode_text(e, &r, whole, err);
    if (!rc) rc = finish_ids(t, &e->ids, o->add_special_tokens, ids, n_ids, err);
    tri_encoder_give_back(e);
    return rc;
}
