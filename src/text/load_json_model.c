/* load_json_model.c - the model of tokenizer.json: its megabytes are read once, as views of the
 * file, and made into tables when all is known that decides how. */
#include <stdlib.h>
#include <string.h>

#include "text/bpe.h"
#include "text/load_json.h"
#include "text/unigram.h"
#include "text/wordlevel.h"
#include "text/wordpiece.h"

enum { MAX_MERGE_BYTES = 1 << 16 };

void tri_json_model_deinit(tri_json_model *m) {
    tri_buf_deinit(&m->pieces);
    tri_buf_deinit(&m->scores);
    tri_buf_deinit(&m->merges);
}

/* ---- reading ---- */

static tri_json_view view_of(const tri_json_event *e) {
    /* A file is smaller than 2 GB: tri_load_tokenizer_json sees to it. */
    return (tri_json_view){
        .ptr = e->raw.ptr, .len = e->raw.len & INT32_MAX, .escaped = e->escaped & 1, .id = -1};
}

static tri_status wrong(const char *what, tri_error *err) {
    return TRI_FAIL(err, TRI_E_FORMAT, "%s", what);
}

static bool read_id(const tri_json_event *e, int32_t *id) {
    int64_t value;
    if (e->kind != TRI_JSON_NUMBER || !tri_json_number_i64(e->raw, &value)) return false;
    if (value < 0 || value >= INT32_MAX) return false;
    *id = (int32_t)value;
    return true;
}

/* {"piece": id, ...} */
static tri_status read_vocab_object(tri_json_model *m, tri_json_reader *r, tri_error *err) {
    tri_json_event e;
    for (;;) {
        TRI_TRY(tri_json_next(r, &e, err));
        if (e.kind == TRI_JSON_END_OBJECT) return tri_buf_status(&m->pieces, err);
        tri_json_view piece = view_of(&e);
        TRI_TRY(tri_json_next(r, &e, err));
        if (!read_id(&e, &piece.id)) {
            return TRI_FAIL(err, TRI_E_FORMAT, "vocab: the id of '%.*s' is no number from 0 on",
                (int)(piece.len < 60 ? piece.len : 60), piece.ptr);
        }
        tri_buf_append(&m->pieces, &piece, sizeof piece);
    }
}

/* [["piece", score], ...] */
static tri_status read_vocab_list(tri_json_model *m, tri_json_reader *r, tri_error *err) {
    tri_json_event e;
    for (int32_t id = 0;; id++) {
        TRI_TRY(tri_json_next(r, &e, err));
        if (e.kind == TRI_JSON_END_ARRAY) return tri_buf_status(&m->pieces, err);
        tri_json_event piece, score, end;
        if (e.kind != TRI_JSON_ARRAY) return wrong("vocab: an item is no [piece, score]", err);
        TRI_TRY(tri_json_next(r, &piece, err));
        TRI_TRY(tri_json_next(r, &score, err));
        TRI_TRY(tri_json_next(r, &end, err));
        if (piece.kind != TRI_JSON_STRING || score.kind != TRI_JSON_NUMBER ||
            end.kind != TRI_JSON_END_ARRAY || id == INT32_MAX - 1) {
            return wrong("vocab: an item is no [piece, score]", err);
        }
        tri_json_view view = view_of(&piece);
        double value = tri_json_number_f64(score.raw);
        view.id = id;
        tri_buf_append(&m->pieces, &view, sizeof view);
        tri_buf_append(&m->scores, &value, sizeof value);
    }
}

/* ["a b", ...] or [["a", "b"], ...] */
static tri_status read_merges(tri_json_model *m, tri_json_reader *r, tri_error *err) {
    tri_json_event e;
    for (bool first = true;; first = false) {
        TRI_TRY(tri_json_next(r, &e, err));
        if (e.kind == TRI_JSON_END_ARRAY) return tri_buf_status(&m->merges, err);
        bool pair = e.kind == TRI_JSON_ARRAY;
        if (first) m->merges_are_pairs = pair;
        if (pair != m->merges_are_pairs) return wrong("merges: both strings and pairs", err);
        for (int i = 0; i < (pair ? 2 : 1); i++) {
            if (pair) TRI_TRY(tri_json_next(r, &e, err));
            if (e.kind != TRI_JSON_STRING) return wrong("merges: an item is no merge", err);
            tri_json_view view = view_of(&e);
            tri_buf_append(&m->merges, &view, sizeof view);
        }
        if (pair) {
            TRI_TRY(tri_json_next(r, &e, err));
            if (e.kind != TRI_JSON_END_ARRAY) return wrong("merges: an item is no pair", err);
        }
    }
}

static tri_status read_lists(
    tri_json_model *m, tri_json_reader *r, bool vocab, const tri_json_event *e, tri_error *err) {
    if (vocab) {
        m->pieces.len = m->scores.len = 0;
        m->has_vocab = true;
        m->is_list = e->kind == TRI_JSON_ARRAY;
        if (e->kind == TRI_JSON_OBJECT) return read_vocab_object(m, r, err);
        if (e->kind == TRI_JSON_ARRAY) return read_vocab_list(m, r, err);
        return wrong("vocab is neither an object nor a list", err);
    }
    m->merges.len = 0;
    m->has_merges = true;
    if (e->kind != TRI_JSON_ARRAY) return wrong("merges is no list", err);
    return read_merges(m, r, err);
}

static tri_status wrong_kind(tri_str key, tri_error *err) {
    return TRI_FAIL(err, TRI_E_FORMAT, "%.*s has a value of the wrong type", (int)key.len, key.ptr);
}

static tri_status read_field(
    tri_json_model *m, tri_str key, const tri_json_event *e, tri_error *err) {
    const struct {
        const char *key;
        tri_json_view *string;
        bool *boolean;
        int64_t *number;
    } fields[] = {{"unk_token", &m->unk_token, NULL, NULL},
        {"continuing_subword_prefix", &m->prefix, NULL, NULL},
        {"end_of_word_suffix", &m->suffix, NULL, NULL}, {"fuse_unk", NULL, &m->fuse_unk, NULL},
        {"byte_fallback", NULL, &m->byte_fallback, NULL},
        {"ignore_merges", NULL, &m->ignore_merges, NULL}, {"unk_id", NULL, NULL, &m->unk_id},
        {"max_input_chars_per_word", NULL, NULL, &m->max_chars}};
    if (e->kind == TRI_JSON_NULL) return TRI_OK;
    if (tri_str_is(key, "type")) {
        m->type = e->raw;
        return e->kind == TRI_JSON_STRING ? TRI_OK : wrong_kind(key, err);
    }
    if (tri_str_is(key, "dropout")) {
        m->dropout = e->kind == TRI_JSON_NUMBER ? tri_json_number_f64(e->raw) : 0;
        return e->kind == TRI_JSON_NUMBER ? TRI_OK : wrong_kind(key, err);
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!tri_str_is(key, fields[i].key)) continue;
        if (fields[i].string && e->kind == TRI_JSON_STRING) {
            *fields[i].string = view_of(e);
        } else if (fields[i].boolean && e->kind == TRI_JSON_BOOL) {
            *fields[i].boolean = e->boolean;
        } else if (!fields[i].number || e->kind != TRI_JSON_NUMBER ||
                   !tri_json_number_i64(e->raw, fields[i].number)) {
            return wrong_kind(key, err);
        }
        m->has_unk_id |= fields[i].number == &m->unk_id;
        m->has_max_chars |= fields[i].number == &m->max_chars;
        return TRI_OK;
    }
    return TRI_OK;
}

tri_status tri_json_model_read(tri_json_model *m, tri_json_reader *r, tri_error *err) {
    tri_json_event key, e;
    m->max_chars = 100;
    TRI_TRY(tri_json_next(r, &e, err));
    if (e.kind != TRI_JSON_OBJECT) return wrong("model is no object", err);
    for (;;) {
        TRI_TRY(tri_json_next(r, &key, err));
        if (key.kind == TRI_JSON_END_OBJECT) return TRI_OK;
        bool vocab = tri_str_is(key.raw, "vocab");
        tri_json_reader before = *r;
        TRI_TRY(tri_json_next(r, &e, err));
        if (vocab || tri_str_is(key.raw, "merges")) {
            TRI_TRY(read_lists(m, r, vocab, &e, err));
        } else if (e.kind == TRI_JSON_ARRAY || e.kind == TRI_JSON_OBJECT) {
            *r = before; /* nothing of ours */
            TRI_TRY(tri_json_skip(r, err));
        } else {
            TRI_TRY(read_field(m, key.raw, &e, err));
        }
    }
}

/* ---- building ---- */

static const tri_json_view *strings_of(const tri_buf *buffer, size_t *n) {
    *n = buffer->len / sizeof(tri_json_view);
    return (const tri_json_view *)(const void *)buffer->ptr;
}

static size_t unescape(const tri_json_view *s, char *out) {
    if (s->escaped) return tri_json_unescape((tri_str){s->ptr, s->len}, out);
    if (s->len) memcpy(out, s->ptr, s->len);
    return s->len;
}

/* All tokens' text in one block. */
static tri_status set_tokens(
    tri_tokenizer *t, const tri_json_model *m, int64_t n_tokens, tri_error *err) {
    size_t n, n_bytes = 0;
    const tri_json_view *pieces = strings_of(&m->pieces, &n);
    TRI_TRY(tri_tokenizer_reserve_tokens(t, n_tokens, err));
    for (size_t i = 0; i < n; i++)
        n_bytes += (size_t)pieces[i].len + 1;
    char *at = tri_arena_alloc_aligned(&t->arena, n_bytes + 1, 1);
    if (!at) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %zu pieces", n);
    for (size_t i = 0; i < n; i++) {
        size_t len = unescape(&pieces[i], at);
        at[len] = 0;
        t->tokens[pieces[i].id] = (tri_str){at, len};
        at += len + 1;
    }
    return TRI_OK;
}

/* The pieces as the model sees them: by id, out of the byte-level alphabet where it sees bytes. */
static tri_status model_pieces(tri_tokenizer *t, tri_str **pieces, tri_error *err) {
    size_t n_bytes = 0;
    for (int32_t i = 0; i < t->n_tokens; i++)
        n_bytes += t->tokens[i].len;
    *pieces = TRI_NEW_N(&t->arena, tri_str, t->n_tokens);
    char *at = t->raw_bytes ? tri_arena_alloc_aligned(&t->arena, n_bytes + 1, 1) : NULL;
    if (!*pieces || (t->raw_bytes && !at)) {
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", t->n_tokens);
    }
    for (int32_t i = 0; i < t->n_tokens; i++) {
        size_t n;
        (*pieces)[i] = t->tokens[i];
        if (!t->raw_bytes || !t->tokens[i].ptr) continue;
        /* A piece with other characters is one that no text becomes. */
        bool reachable = tri_byte_level_undo(t->tokens[i], at, &n);
        (*pieces)[i] = reachable ? (tri_str){at, n} : (tri_str){0};
        if (reachable) at += n;
    }
    return TRI_OK;
}

static tri_status copy_string(
    tri_tokenizer *t, const tri_json_view *s, tri_str *copy, tri_error *err) {
    *copy = (tri_str){0};
    if (!s->ptr) return TRI_OK;
    char *out = tri_arena_alloc(&t->arena, (size_t)s->len + 1);
    if (!out) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %u bytes", s->len);
    *copy = (tri_str){out, unescape(s, out)};
    return TRI_OK;
}

/* "a b" cut at its space, or a pair: as the model's pieces, in room.  False: no merge.  *reachable:
 * false where a part has characters that bytes never become. */
static bool merge_parts(const tri_tokenizer *t, const tri_json_view *s, bool pair, char *room,
    tri_str *left, tri_str *right, bool *reachable) {
    size_t n = unescape(s, room), n_right;
    char *second;
    if (pair) {
        second = room + n;
        n_right = unescape(s + 1, second);
    } else {
        second = memchr(room, ' ', n);
        if (!second) return false;
        second++;
        n_right = n - (size_t)(second - room);
        n = (size_t)(second - room) - 1;
        if (memchr(second, ' ', n_right)) return false;
    }
    *left = (tri_str){room, n};
    *right = (tri_str){second, n_right};
    *reachable = !t->raw_bytes || (tri_byte_level_undo(*left, room, &left->len) &&
                                      tri_byte_level_undo(*right, second, &right->len));
    return true;
}

static tri_status bad_merge(const tri_json_view *merge, int32_t rank, tri_error *err) {
    return TRI_FAIL(err, TRI_E_FORMAT, "merge %d ('%.*s') is not of pieces in the vocabulary", rank,
        (int)(merge->len < 80 ? merge->len : 80), merge->ptr);
}

static tri_status add_merges(tri_tokenizer *t, const tri_json_model *m, tri_error *err) {
    size_t n;
    const tri_json_view *merges = strings_of(&m->merges, &n);
    size_t step = m->merges_are_pairs ? 2 : 1, room_bytes = 64;
    for (size_t i = 0; i < n; i++) {
        if (merges[i].len > room_bytes) room_bytes = merges[i].len;
    }
    if (room_bytes > MAX_MERGE_BYTES) {
        return TRI_FAIL(
            err, TRI_E_LIMIT, "a merge of %zu bytes; at most %d", room_bytes, MAX_MERGE_BYTES);
    }
    /* Each merge of a batch keeps its parts in room of its own. */
    char *room = malloc(2 * room_bytes * TRI_BPE_MERGES_AT_ONCE);
    if (!room) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for merges");
    tri_status rc = tri_bpe_reserve_merges(t->bpe, (int64_t)(n / step), &t->arena, err);
    tri_bpe_merge_text batch[TRI_BPE_MERGES_AT_ONCE];
    const tri_json_view *from[TRI_BPE_MERGES_AT_ONCE];
    int32_t rank = 0, n_batch = 0;
    for (size_t i = 0; i + step <= n && !rc; i += step) {
        bool version =
            !m->merges_are_pairs && merges[i].len >= 8 && !memcmp(merges[i].ptr, "#version", 8);
        bool reachable = false;
        tri_bpe_merge_text *to = &batch[n_batch];
        from[n_batch] = &merges[i];
        if (version) continue;
        if (!merge_parts(t, &merges[i], m->merges_are_pairs,
                room + 2 * room_bytes * (size_t)n_batch, &to->left, &to->right, &reachable)) {
            rc = bad_merge(&merges[i], rank, err);
        }
        to->rank = rank++;
        n_batch += reachable;
        if (rc || n_batch < TRI_BPE_MERGES_AT_ONCE) continue;
        int32_t n_added = tri_bpe_add_merges_of(t->bpe, batch, n_batch);
        if (n_added < n_batch) rc = bad_merge(from[n_added], batch[n_added].rank, err);
        n_batch = 0;
    }
    if (!rc && n_batch) {
        int32_t n_added = tri_bpe_add_merges_of(t->bpe, batch, n_batch);
        if (n_added < n_batch) rc = bad_merge(from[n_added], batch[n_added].rank, err);
    }
    free(room);
    return rc;
}

/* unk_token's id; -1 where there is none. */
static tri_status find_unk(
    tri_tokenizer *t, const tri_json_model *m, int32_t *unk_id, tri_error *err) {
    tri_str unk;
    *unk_id = -1;
    TRI_TRY(copy_string(t, &m->unk_token, &unk, err));
    for (int32_t i = 0; unk.len && i < t->n_tokens && *unk_id < 0; i++) {
        if (t->tokens[i].ptr && tri_str_equal(t->tokens[i], unk)) *unk_id = i;
    }
    return TRI_OK;
}

static tri_status build_bpe(
    tri_tokenizer *t, const tri_json_model *m, const tri_str *pieces, tri_error *err) {
    tri_bpe_config config = {.n_pieces = t->n_tokens,
        .bytes = t->raw_bytes,
        .byte_fallback = m->byte_fallback,
        .fuse_unk = m->fuse_unk,
        .ignore_merges = m->ignore_merges};
    if (m->dropout != 0) {
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "dropout is %g: pieces would be random; set it to null", m->dropout);
    }
    TRI_TRY(find_unk(t, m, &config.unk_id, err));
    if (m->unk_token.ptr && m->unk_token.len && config.unk_id < 0) {
        return TRI_FAIL(err, TRI_E_FORMAT, "unk_token '%.*s' is not in the vocabulary",
            (int)(m->unk_token.len < 60 ? m->unk_token.len : 60), m->unk_token.ptr);
    }
    TRI_TRY(copy_string(t, &m->prefix, &config.prefix, err));
    TRI_TRY(copy_string(t, &m->suffix, &config.suffix, err));
    if (config.prefix.len > TRI_BPE_MAX_AFFIX || config.suffix.len > TRI_BPE_MAX_AFFIX) {
        return TRI_FAIL(err, TRI_E_LIMIT,
            "continuing_subword_prefix or end_of_word_suffix is longer than %d bytes",
            TRI_BPE_MAX_AFFIX);
    }
    TRI_TRY(tri_bpe_create(&t->bpe, &config, pieces, &t->arena, err));
    return add_merges(t, m, err);
}

static tri_status build_unigram(
    tri_tokenizer *t, const tri_json_model *m, const tri_str *pieces, tri_error *err) {
    size_t n;
    strings_of(&m->pieces, &n);
    tri_unigram_desc desc = {.pieces = pieces,
        .scores = (const double *)(const void *)m->scores.ptr,
        .n = (int32_t)n,
        .unk_id = m->has_unk_id ? (int32_t)m->unk_id : -1,
        .byte_fallback = m->byte_fallback};
    if (m->has_unk_id && (m->unk_id < 0 || m->unk_id >= (int64_t)n)) {
        return TRI_FAIL(err, TRI_E_FORMAT, "unk_id is %" PRId64 " of %zu pieces", m->unk_id, n);
    }
    return tri_unigram_create(&t->unigram, &desc, &t->arena, err);
}

static tri_status build_wordpiece(
    tri_tokenizer *t, const tri_json_model *m, const tri_str *pieces, tri_error *err) {
    tri_wordpiece_config config = {.n_pieces = t->n_tokens, .prefix = TRI_STR("##")};
    if (m->max_chars < 0 || m->max_chars > INT32_MAX) {
        return TRI_FAIL(err, TRI_E_FORMAT, "max_input_chars_per_word is %" PRId64, m->max_chars);
    }
    config.max_word_chars = (int32_t)m->max_chars;
    TRI_TRY(find_unk(t, m, &config.unk_id, err));
    if (m->prefix.ptr) TRI_TRY(copy_string(t, &m->prefix, &config.prefix, err));
    return tri_wordpiece_create(&t->wordpiece, &config, pieces, &t->arena, err);
}

/* Old files leave the type out. */
static tri_str type_of(const tri_json_model *m) {
    if (m->type.len) return m->type;
    if (m->is_list) return TRI_STR("Unigram");
    if (m->has_merges) return TRI_STR("BPE");
    return m->has_max_chars ? TRI_STR("WordPiece") : TRI_STR("WordLevel");
}

/* Whether ByteLevel is the last pre-tokenizer and nothing else needs its alphabet. */
static bool sees_bytes(const tri_tokenizer *t, const tri_json_model *m) {
    int32_t last = t->n_pre_tokenizers - 1;
    if (last < 0 || t->pre_tokenizers[last].kind != TRI_PRE_BYTE_LEVEL) return false;
    for (int32_t i = 0; i < last; i++) {
        if (t->pre_tokenizers[i].kind == TRI_PRE_BYTE_LEVEL) return false;
    }
    return !m->byte_fallback && !m->prefix.len && !m->suffix.len;
}

tri_status tri_json_model_build(
    tri_tokenizer *t, const tri_json_model *m, int64_t n_tokens, tri_error *err) {
    tri_str type = type_of(m), *pieces;
    bool bpe = tri_str_is(type, "BPE"), unigram = tri_str_is(type, "Unigram");
    if (!m->has_vocab || m->is_list != unigram || (bpe && !m->has_merges)) {
        return TRI_FAIL(err, TRI_E_FORMAT, "vocab%s is missing or of another kind than %.*s's",
            bpe ? " or merges" : "", (int)(type.len < 60 ? type.len : 60), type.ptr);
    }
    t->raw_bytes = bpe && sees_bytes(t, m);
    TRI_TRY(set_tokens(t, m, n_tokens, err));
    TRI_TRY(model_pieces(t, &pieces, err));
    if (bpe) {
        t->model = TRI_MODEL_BPE;
        return build_bpe(t, m, pieces, err);
    }
    if (unigram) {
        t->model = TRI_MODEL_UNIGRAM;
        return build_unigram(t, m, pieces, err);
    }
    if (tri_str_is(type, "WordPiece")) {
        t->model = TRI_MODEL_WORDPIECE;
        return build_wordpiece(t, m, pieces, err);
    }
    if (tri_str_is(type, "WordLevel")) {
        int32_t unk_id;
        t->model = TRI_MODEL_WORDLEVEL;
        TRI_TRY(find_unk(t, m, &unk_id, err));
        return tri_wordlevel_create(&t->wordlevel, pieces, t->n_tokens, unk_id, &t->arena, err);
    }
    return TRI_FAIL(err, TRI_E_UNSUPPORTED,
        "type '%.*s'; BPE, Unigram, WordPiece and WordLevel are",
        (int)(type.len < 60 ? type.len : 60), type.ptr);
}
