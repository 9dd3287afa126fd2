#include "text/spm_bpe.h"

#include <stdlib.h>
#include <string.h>

#include "text/spm.h"

enum {
    PAIR_BITS = 20,
    MAX_PIECE_BYTES = 8000,
    WINDOW_SYMBOLS = 512
}; /* SentencePiece's limit; a set of 128 KiB */
static const uint32_t no_unit = UINT32_MAX;

struct tri_spm_bpe {
    tri_trie trie;         /* pieces that joining may make */
    tri_trie user_defined; /* those taken whole from the text; no units: none */
    const float *scores;
    int32_t unk_id;
    int32_t byte_ids[256]; /* all -1 without byte fallback */
    uint64_t *pairs;       /* hashes of characters that stand side by side in a piece */
    int32_t n, window;
    const bool *unused; /* by id; NULL: no piece is unused */
};

typedef struct tri_spm_symbol {
    uint32_t length;        /* bytes; 0: joined to the symbol before */
    uint32_t unit;          /* of the trie, where its bytes lead; no_unit: nowhere, or frozen */
    int32_t previous, next; /* -1: none */
    uint32_t begin : 31, frozen : 1;
} symbol;

typedef struct tri_spm_candidate {
    float score;
    int32_t left;
    uint32_t length; /* of both, to see whether they are as they were */
    uint32_t unit;   /* of both joined */
} candidate;

/* ---- creation ---- */

static size_t char_bytes(tri_str text, size_t at) {
    uint8_t first = (uint8_t)text.ptr[at];
    size_t n = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    return n < text.len - at ? n : text.len - at;
}

static uint32_t pack_char(tri_str text, size_t at, size_t n) {
    uint32_t c = 0;
    memcpy(&c, text.ptr + at, n);
    return c;
}

static uint32_t pair_hash(uint32_t left, uint32_t right) {
    uint64_t both = (uint64_t)left << 32 | right;
    return (uint32_t)((both * 0x9E3779B97F4A7C15u) >> (64 - PAIR_BITS));
}

static void add_pairs(tri_spm_bpe *b, tri_str piece) {
    uint32_t left = 0;
    for (size_t at = 0; at < piece.len;) {
        size_t n = char_bytes(piece, at);
        uint32_t right = pack_char(piece, at, n);
        if (at) {
            uint32_t h = pair_hash(left, right);
            b->pairs[h / 64] |= 1ull << (h % 64);
        }
        left = right;
        at += n;
    }
}

static bool may_join(const tri_spm_bpe *b, uint32_t left, uint32_t right) {
    uint32_t h = pair_hash(left, right);
    return b->pairs[h / 64] >> (h % 64) & 1;
}

static bool is_joined(uint8_t type) {
    return type == TRI_PIECE_NORMAL || type == TRI_PIECE_USER_DEFINED || type == TRI_PIECE_UNUSED;
}

static tri_status build_trie(
    tri_spm_bpe *b, const tri_spm_bpe_desc *d, tri_arena *arena, tri_error *err) {
    tri_str *keys = malloc(((size_t)d->n + 1) * sizeof *keys);
    int32_t *ids = malloc(((size_t)d->n + 1) * sizeof *ids);
    tri_status rc = TRI_OK;
    int32_t n = 0;
    if (!keys || !ids) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", d->n);
        goto done;
    }
    for (int32_t id = 0; id < d->n; id++) {
        if (!is_joined(d->types[id])) continue;
        if (!d->characters) add_pairs(b, d->pieces[id]);
        keys[n] = d->pieces[id];
        ids[n++] = id;
    }
    rc = tri_trie_build(&b->trie, keys, ids, n, arena, err);

done:
    free(keys);
    free(ids);
    return rc;
}

tri_status tri_spm_bpe_create(
    tri_spm_bpe **bpe, const tri_spm_bpe_desc *d, tri_arena *arena, tri_error *err) {
    tri_spm_bpe *b = TRI_NEW(arena, tri_spm_bpe);
    float *scores = TRI_NEW_N(arena, float, d->n);
    bool *unused = TRI_NEW_N(arena, bool, d->n), any_unused = false;
    if (b) b->pairs = TRI_NEW_N(arena, uint64_t, (1 << PAIR_BITS) / 64);
    if (!b || !b->pairs || (d->n && (!scores || !unused))) {
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", d->n);
    }
    if (d->unk_id >= d->n) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "the unknown piece is %d; there are %d pieces", d->unk_id, d->n);
    }
    b->n = d->n;
    b->window = d->window_symbols > 1 ? d->window_symbols : WINDOW_SYMBOLS;
    b->unk_id = d->unk_id;
    for (int i = 0; i < 256; i++)
        b->byte_ids[i] = -1;
    for (int32_t id = 0; id < d->n; id++) {
        scores[id] = d->scores[id];
        if (d->pieces[id].len > MAX_PIECE_BYTES) {
            return TRI_FAIL(err, TRI_E_LIMIT, "piece %d has %zu bytes; at most %d", id,
                d->pieces[id].len, MAX_PIECE_BYTES);
        }
        unused[id] = d->types[id] == TRI_PIECE_UNUSED && !d->characters;
        any_unused |= unused[id];
        int32_t byte = d->types[id] == TRI_PIECE_BYTE ? tri_spm_byte_of(d->pieces[id]) : -1;
        if (byte >= 0 && d->byte_fallback) b->byte_ids[byte] = id;
    }
    b->scores = scores;
    b->unused = any_unused ? unused : NULL;
    TRI_TRY(build_trie(b, d, arena, err));
    TRI_TRY(tri_spm_user_defined(&b->user_defined, d->pieces, d->types, d->n, arena, err));
    *bpe = b;
    return TRI_OK;
}

int32_t tri_spm_bpe_find(const tri_spm_bpe *bpe, tri_str piece) {
    return tri_trie_find(&bpe->trie, piece);
}

/* ---- the candidates, best first ---- */

static bool comes_first(const candidate *a, const candidate *b) {
    return a->score != b->score ? a->score > b->score : a->left < b->left;
}

static void heap_push(candidate *heap, size_t *n, candidate c) {
    size_t i = (*n)++;
    while (i > 0 && comes_first(&c, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = c;
}

static candidate heap_pop(candidate *heap, size_t *n) {
    candidate top = heap[0], last = heap[--*n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && comes_first(&heap[child + 1], &heap[child])) child++;
        if (!comes_first(&heap[child], &last)) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* ---- one stretch ---- */

void tri_spm_bpe_scratch_deinit(tri_spm_bpe_scratch *scratch) {
    free(scratch->symbols);
    free(scratch->heap);
    free(scratch->splits);
    *scratch = (tri_spm_bpe_scratch){0};
}

static tri_status reserve_symbols(tri_spm_bpe_scratch *s, size_t n, tri_error *err) {
    if (n <= s->symbol_cap) return TRI_OK;
    size_t cap = s->symbol_cap ? s->symbol_cap * 2 : 256;
    symbol *symbols = realloc(s->symbols, cap * sizeof *symbols);
    if (!symbols) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %zu symbols of a text", cap);
    s->symbols = symbols;
    s->symbol_cap = cap;
    return TRI_OK;
}

static tri_status reserve_heap(tri_spm_bpe_scratch *s, size_t n, tri_error *err) {
    if (n <= s->heap_cap) return TRI_OK;
    size_t cap = s->heap_cap ? s->heap_cap : 256;
    while (cap < n)
        cap *= 2;
    candidate *heap = realloc(s->heap, cap * sizeof *heap);
    if (!heap) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %zu pairs of a text", cap);
    s->heap = heap;
    s->heap_cap = cap;
    return TRI_OK;
}

static uint32_t walk(const tri_trie *trie, uint32_t unit, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!tri_trie_step(trie, &unit, (uint8_t)bytes[i])) return no_unit;
    return unit;
}

/* A stretch being joined.  Where the text goes on after its symbols, those from `open` on are not
 * settled: what comes may be joined to them first. */
typedef struct stretch {
    tri_str text;
    int32_t n;
    int32_t open; /* n: all are settled */
    size_t n_heap;
} stretch;

/* The best score of a piece that is left and then text from right on: the earliest that left could
 * be joined to what its unsettled neighbour has become by then. */
static bool best_continuation(
    const tri_spm_bpe *b, const symbol *left, const symbol *right, tri_str text, float *score) {
    uint32_t unit = left->unit;
    bool found = false;
    if (unit == no_unit || left->frozen) return false;
    for (size_t i = right->begin; i < text.len; i++) {
        if (!tri_trie_step(&b->trie, &unit, (uint8_t)text.ptr[i])) break;
        int32_t id = b->trie.units[unit].value;
        if (id < 0 || (found && b->scores[id] <= *score)) continue;
        *score = b->scores[id];
        found = true;
    }
    return found;
}

/* left and the symbol after it, when they make a piece; or, when that one is not settled, could. */
static void consider(const tri_spm_bpe *b, tri_spm_bpe_scratch *s, stretch *st, int32_t left) {
    if (left < 0 || left >= st->open || s->symbols[left].next < 0) return;
    const symbol *l = &s->symbols[left], *r = &s->symbols[l->next];
    float score = 0;
    if (l->next >= st->open) {
        if (best_continuation(b, l, r, st->text, &score))
            heap_push(s->heap, &st->n_heap, (candidate){score, left, l->length, no_unit});
        return;
    }
    if (l->frozen || r->frozen || l->unit == no_unit) return;
    uint32_t unit = walk(&b->trie, l->unit, st->text.ptr + r->begin, r->length);
    int32_t id = unit == no_unit ? -1 : b->trie.units[unit].value;
    if (id < 0) return;
    if (b->unused && b->unused[id]) s->splits[id] = (int32_t)l->length;
    heap_push(s->heap, &st->n_heap, (candidate){b->scores[id], left, l->length + r->length, unit});
}

static tri_status join(const tri_spm_bpe *b, tri_spm_bpe_scratch *s, stretch *st, tri_error *err) {
    TRI_TRY(reserve_heap(s, (size_t)st->n + 2, err));
    for (int32_t i = 0; i + 1 < st->n; i++)
        consider(b, s, st, i);
    while (st->n_heap) {
        candidate c = heap_pop(s->heap, &st->n_heap);
        symbol *left = &s->symbols[c.left];
        if (left->length == 0 || left->next < 0 || c.left >= st->open) continue;
        TRI_TRY(reserve_heap(s, st->n_heap + 2, err));
        if (c.unit == no_unit) {
            if (left->length != c.length || left->next < st->open) continue;
            st->open = c.left;
            consider(b, s, st, left->previous);
            continue;
        }
        symbol *right = &s->symbols[left->next];
        if (left->next >= st->open || left->length + right->length != c.length) continue;
        left->length = c.length;
        left->unit = c.unit;
        left->next = right->next;
        if (right->next >= 0) s->symbols[right->next].previous = c.left;
        right->length = 0;
        consider(b, s, st, left->previous);
        consider(b, s, st, c.left);
    }
    return TRI_OK;
}

static void append_id(tri_buf *out, int32_t id) {
    tri_buf_append(out, &id, sizeof id);
}

/* A stretch of the text that is no piece: its bytes, or one unknown for a run of such. */
static void append_unknown(const tri_spm_bpe *b, tri_str bytes, bool *after_unknown, tri_buf *out) {
    bool all = true;
    for (size_t i = 0; i < bytes.len; i++)
        all &= b->byte_ids[(uint8_t)bytes.ptr[i]] >= 0;
    if (all) {
        for (size_t i = 0; i < bytes.len; i++)
            append_id(out, b->byte_ids[(uint8_t)bytes.ptr[i]]);
    } else if (!*after_unknown && b->unk_id >= 0) {
        append_id(out, b->unk_id);
    }
    *after_unknown = !all;
}

/* An unused piece is taken apart again as it could have been put together last. */
static void append_piece(const tri_spm_bpe *b, const tri_spm_bpe_scratch *s, tri_str bytes,
    int32_t id, bool *after_unknown, tri_buf *out) {
    while (id >= 0 && b->unused && b->unused[id] && s->splits[id] > 0) {
        tri_str left = {bytes.ptr, (size_t)s->splits[id]};
        append_piece(b, s, left, tri_trie_find(&b->trie, left), after_unknown, out);
        bytes = (tri_str){bytes.ptr + left.len, bytes.len - left.len};
        id = tri_trie_find(&b->trie, bytes);
    }
    if (id < 0) {
        append_unknown(b, bytes, after_unknown, out);
        return;
    }
    *after_unknown = false;
    append_id(out, id);
}

/* Symbols from `at` up to where nothing can be joined, or at most `window` of them. */
static tri_status take_stretch(const tri_spm_bpe *b, tri_spm_bpe_scratch *s, size_t at,
    int32_t window, stretch *st, tri_error *err) {
    tri_str text = st->text;
    uint32_t left = 0;
    bool cut = false;
    int32_t n = 0;
    while (at < text.len && (n < window || b->unused)) {
        tri_str rest = {text.ptr + at, text.len - at};
        size_t length =
            b->user_defined.n_units ? tri_trie_longest(&b->user_defined, rest, NULL) : 0;
        bool frozen = length > 0;
        if (!frozen) length = char_bytes(text, at);
        uint32_t packed = frozen ? 0 : pack_char(text, at, length);
        cut = n > 0 && !b->unused &&
              (frozen || s->symbols[n - 1].frozen || !may_join(b, left, packed));
        if (cut) break;
        TRI_TRY(reserve_symbols(s, (size_t)n + 1, err));
        s->symbols[n] = (symbol){.length = (uint32_t)length,
            .previous = n - 1,
            .next = n + 1,
            .unit = walk(&b->trie, 0, text.ptr + at, length),
            .begin = (uint32_t)at & INT32_MAX,
            .frozen = frozen};
        left = packed;
        n++;
        at += length;
    }
    s->symbols[n - 1].next = -1;
    st->n = n;
    st->open = cut || at == text.len ? n : n - 1;
    st->n_heap = 0;
    return TRI_OK;
}

tri_status tri_spm_bpe_encode(
    const tri_spm_bpe *b, tri_spm_bpe_scratch *s, tri_str text, tri_buf *out, tri_error *err) {
    bool after_unknown = false;
    int32_t window = b->window;
    stretch st = {.text = text};
    if (text.len > INT32_MAX) {
        return TRI_FAIL(err, TRI_E_LIMIT, "a text of %zu bytes; at most %d", text.len, INT32_MAX);
    }
    if (b->unused) {
        if (!s->splits) s->splits = malloc((size_t)b->n * sizeof *s->splits);
        if (!s->splits) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d pieces", b->n);
        memset(s->splits, 0, (size_t)b->n * sizeof *s->splits);
    }
    for (size_t at = 0; at < text.len;) {
        TRI_TRY(take_stretch(b, s, at, window, &st, err));
        if (st.n > 1) TRI_TRY(join(b, s, &st, err));
        /* Too little settled for the work of joining all: a wider window from here on. */
        if (st.open < st.n / 2) window = window < INT32_MAX / 2 ? window * 2 : INT32_MAX;
        for (int32_t i = 0; i >= 0 && i < st.open; i = s->symbols[i].next) {
            const symbol *sym = &s->symbols[i];
            int32_t id = sym->unit == no_unit ? -1 : b->trie.units[sym->unit].value;
            tri_str bytes = {text.ptr + sym->begin, sym->length};
            append_piece(b, s, bytes, id, &after_unknown, out);
            at = sym->begin + sym->length;
        }
    }
    return tri_buf_status(out, err);
}
