/* tokenizer.c - text to ids: added tokens are cut out first, then normalisation, words, merges. */
#include "text/tokenizer_inside.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/file.h"
#include "trireme/graph.h"

enum { MAX_TOKENIZER_BYTES = 256 << 20 };

tri_status tri_tokenizer_open(tri_tokenizer **tokenizer, const char *path, tri_error *err) {
    tri_arena scratch;
    tri_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a tokenizer");
    tri_arena_init(&t->arena, 0);
    tri_arena_init(&scratch, 0);
    tri_status rc;
    if (!tri_path_is_dir(path)) {
        rc = tri_tokenizer_load_gguf(t, path, err);
        goto done;
    }
    const char *json = tri_path_join(&scratch, path, "tokenizer.json");
    const char *gguf = tri_path_join(&scratch, path, "tokenizer.gguf");
    if (!json || !gguf) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for a path");
    } else if (tri_path_exists(json)) {
        tri_str text;
        rc = tri_file_read(json, MAX_TOKENIZER_BYTES, &scratch, &text, err);
        if (!rc) rc = tri_tokenizer_load_hf(t, text, err);
    } else if (tri_path_exists(gguf)) {
        rc = tri_tokenizer_load_gguf(t, gguf, err);
    } else {
        rc = TRI_FAIL(err, TRI_E_NOT_FOUND,
            "no tokenizer.json or tokenizer.gguf there; copy the model's tokenizer.json beside it");
    }

done:
    tri_arena_deinit(&scratch);
    if (!rc) rc = tri_tokenizer_index_added(t, err);
    if (rc) {
        tri_tokenizer_close(t);
        tri_error_context(err, "tokenizer of %s", path);
        return rc;
    }
    *tokenizer = t;
    return TRI_OK;
}

void tri_tokenizer_close(tri_tokenizer *t) {
    if (!t) return;
    tri_bpe_deinit(&t->bpe);
    tri_split_deinit(&t->split);
    tri_arena_deinit(&t->arena);
    free(t);
}

int32_t tri_tokenizer_vocab_size(const tri_tokenizer *t) {
    return t->bpe.n_pieces;
}

int32_t tri_tokenizer_find(const tri_tokenizer *t, tri_str piece) {
    for (int32_t i = 0; i < t->n_added; i++) {
        if (tri_str_equal(t->added[i].text, piece)) return t->added[i].id;
    }
    int64_t id;
    return tri_map_get(&t->bpe.ids, piece, &id) ? (int32_t)id : -1;
}

bool tri_tokenizer_is_special(const tri_tokenizer *t, int32_t id) {
    return id >= 0 && id < t->bpe.n_pieces && t->special[id];
}

/* ---- added tokens ---- */

static int by_first_byte(const void *x, const void *y) {
    const tri_added_token *a = x, *b = y;
    int first = (uint8_t)a->text.ptr[0] - (uint8_t)b->text.ptr[0];
    if (first) return first;
    if (a->text.len != b->text.len) return a->text.len > b->text.len ? -1 : 1;
    return a->id - b->id;
}

tri_status tri_tokenizer_index_added(tri_tokenizer *t, tri_error *err) {
    t->special = tri_arena_alloc(&t->arena, (size_t)t->bpe.n_pieces + 1);
    if (!t->special) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d ids", t->bpe.n_pieces);
    if (t->n_added) qsort(t->added, (size_t)t->n_added, sizeof *t->added, by_first_byte);
    for (int i = 0; i < 256; i++)
        t->added_by_byte[i] = -1;
    for (int32_t i = t->n_added - 1; i >= 0; i--) {
        t->added_by_byte[(uint8_t)t->added[i].text.ptr[0]] = i;
        if (t->added[i].special) t->special[t->added[i].id] = 1;
    }
    return TRI_OK;
}

static const tri_added_token *added_at(const tri_tokenizer *t, tri_str rest, bool parse_special) {
    int32_t i = t->added_by_byte[(uint8_t)rest.ptr[0]];
    for (; i >= 0 && i < t->n_added && t->added[i].text.ptr[0] == rest.ptr[0]; i++) {
        const tri_added_token *a = &t->added[i];
        if ((!a->special || parse_special) && a->text.len <= rest.len &&
            !memcmp(a->text.ptr, rest.ptr, a->text.len)) {
            return a;
        }
    }
    return NULL;
}

/* ---- encoding ---- */

typedef struct encoding {
    const tri_tokenizer *t;
    tri_bpe_scratch scratch;
    tri_buf ids;
} encoding;

static tri_status encode_word(void *user, tri_str word, tri_error *err) {
    encoding *e = user;
    return tri_bpe_encode(&e->t->bpe, &e->scratch, word, &e->ids, err);
}

static tri_status encode_normalised(encoding *e, tri_str text, tri_error *err) {
    if (!e->t->add_prefix_space || text.len == 0 || text.ptr[0] == ' ') {
        return tri_split_run(&e->t->split, text, encode_word, e, err);
    }
    tri_buf spaced = {0};
    tri_buf_putc(&spaced, ' ');
    tri_buf_append(&spaced, text.ptr, text.len);
    tri_status rc = tri_buf_status(&spaced, err);
    if (!rc) {
        rc = tri_split_run(&e->t->split, (tri_str){spaced.ptr, spaced.len}, encode_word, e, err);
    }
    tri_buf_deinit(&spaced);
    return rc;
}

/* Text without added tokens.  What is not UTF-8 is left unnormalised. */
static tri_status encode_plain(encoding *e, tri_str text, tri_error *err) {
    if (text.len == 0) return TRI_OK;
    utf8proc_uint8_t *composed = NULL;
    if (e->t->nfc) {
        utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text.ptr,
            (utf8proc_ssize_t)text.len, &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (n >= 0) text = (tri_str){(const char *)composed, (size_t)n};
    }
    tri_status rc = encode_normalised(e, text, err);
    free(composed);
    return rc;
}

static size_t trim_end(const char *text, size_t n) {
    while (n && strchr(" \t\n\r", text[n - 1]))
        n--;
    return n;
}

static tri_status encode_text(encoding *e, tri_str text, bool parse_special, tri_error *err) {
    size_t from = 0;
    for (size_t at = 0; at < text.len;) {
        const tri_added_token *a =
            added_at(e->t, (tri_str){text.ptr + at, text.len - at}, parse_special);
        if (!a) {
            at++;
            continue;
        }
        size_t n = at - from;
        if (a->lstrip) n = trim_end(text.ptr + from, n);
        TRI_TRY(encode_plain(e, (tri_str){text.ptr + from, n}, err));
        tri_buf_append(&e->ids, &a->id, sizeof a->id);
        at += a->text.len;
        while (a->rstrip && at < text.len && strchr(" \t\n\r", text.ptr[at]))
            at++;
        from = at;
    }
    return encode_plain(e, (tri_str){text.ptr + from, text.len - from}, err);
}

tri_status tri_tokenizer_encode(const tri_tokenizer *t, tri_str text,
    const tri_encode_options *options, int32_t **ids, int32_t *n_ids, tri_error *err) {
    encoding e = {.t = t};
    if (options->add_bos) {
        tri_buf_append(&e.ids, t->prefix, sizeof *t->prefix * (size_t)t->n_prefix);
    }
    tri_status rc = encode_text(&e, text, options->parse_special, err);
    if (options->add_bos) {
        tri_buf_append(&e.ids, t->suffix, sizeof *t->suffix * (size_t)t->n_suffix);
    }
    if (!rc) rc = tri_buf_status(&e.ids, err);
    if (!rc && e.ids.len / sizeof(int32_t) > INT32_MAX) {
        rc = TRI_FAIL(err, TRI_E_LIMIT, "%zu tokens; at most %d", e.ids.len / 4, INT32_MAX);
    }
    tri_bpe_scratch_deinit(&e.scratch);
    if (rc) {
        tri_buf_deinit(&e.ids);
        return rc;
    }
    *ids = (int32_t *)(void *)e.ids.ptr;
    *n_ids = (int32_t)(e.ids.len / sizeof(int32_t));
    return TRI_OK;
}
