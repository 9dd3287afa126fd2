/* bpe_encode.c - words by merges: small ones by looking for the least rank again and again, others
 * with a heap, long ones block by block. */
#include <stdlib.h>
#include <string.h>

#include "text/bpe_inside.h"
#include "text/utf8.h"

/* SMALL: a word of so few symbols is merged by looking for the least rank again and again.
 * BLOCK, MARGIN: a longer word goes in blocks; see encode_blocks. */
enum { SMALL = 48, BLOCK = 8192, MARGIN = 512, MAX_STEPS_BACK = 64 };

typedef struct tri_bpe_symbol {
    int32_t id, n_bytes;
    int32_t previous, next; /* -1: none */
    int32_t rank, merged;   /* of this symbol with the next; rank -1: they do not merge */
} tri_bpe_symbol;

/* ---- scratch ---- */

void tri_bpe_scratch_deinit(tri_bpe_scratch *scratch) {
    free(scratch->symbols);
    free(scratch->heap);
    free(scratch->ends);
    *scratch = (tri_bpe_scratch){0};
}

static tri_status grow(
    void **array, size_t *room, size_t n, size_t bytes_each, size_t limit, tri_error *err) {
    if (n <= *room) return TRI_OK;
    if (n > limit) {
        return TRI_FAIL(err, TRI_E_LIMIT, "a word of %zu symbols; at most %zu", n, limit);
    }
    size_t want = *room ? *room : 256;
    while (want < n)
        want *= 2;
    void *grown = realloc(*array, want * bytes_each);
    if (!grown) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a word of %zu symbols", n);
    *array = grown;
    *room = want;
    return TRI_OK;
}

static tri_status reserve_symbols(tri_bpe_scratch *s, size_t n, tri_error *err) {
    void *array = s->symbols;
    tri_status rc =
        grow(&array, &s->n_symbols, n, sizeof(tri_bpe_symbol), (size_t)INT32_MAX / 2, err);
    s->symbols = array;
    return rc;
}

static tri_status reserve_heap(tri_bpe_scratch *s, size_t n, tri_error *err) {
    void *array = s->heap;
    tri_status rc = grow(&array, &s->n_heap, n, sizeof(uint64_t), SIZE_MAX / 16, err);
    s->heap = array;
    return rc;
}

static tri_status reserve_ends(tri_bpe_scratch *s, size_t n, tri_error *err) {
    void *array = s->ends;
    tri_status rc = grow(&array, &s->n_ends, n, sizeof(int32_t), SIZE_MAX / 16, err);
    s->ends = array;
    return rc;
}

/* ---- a word's first symbols ---- */

typedef struct first_symbols {
    tri_bpe_symbol *to;
    int32_t n;
} first_symbols;

static inline void put(first_symbols *f, int32_t id, size_t n_bytes) {
    f->to[f->n++] = (tri_bpe_symbol){.id = id, .n_bytes = (int32_t)n_bytes, .rank = -1};
}

static void begin_bytes(const tri_bpe *bpe, tri_str word, first_symbols *f) {
    size_t unk = 0; /* bytes of the unk that waits, 0: none */
    for (size_t i = 0; i < word.len; i++) {
        int32_t id = bpe->byte_ids[(uint8_t)word.ptr[i]];
        if (id >= 0) {
            if (unk) put(f, bpe->config.unk_id, unk);
            unk = 0;
            put(f, id, 1);
        } else if (bpe->config.unk_id >= 0) {
            if (unk && !bpe->config.fuse_unk) {
                put(f, bpe->config.unk_id, unk);
                unk = 0;
            }
            unk++;
        }
    }
    if (unk) put(f, bpe->config.unk_id, unk);
}

/* A character with the affixes of its place. */
static tri_str with_affixes(const tri_bpe *bpe, tri_str c, bool first, bool last, char *room) {
    if ((first || !bpe->config.prefix.len) && (!last || !bpe->config.suffix.len)) return c;
    size_t n = 0;
    if (!first && bpe->config.prefix.len) {
        memcpy(room, bpe->config.prefix.ptr, n = bpe->config.prefix.len);
    }
    memcpy(room + n, c.ptr, c.len);
    n += c.len;
    if (last && bpe->config.suffix.len) {
        memcpy(room + n, bpe->config.suffix.ptr, bpe->config.suffix.len);
        n += bpe->config.suffix.len;
    }
    return (tri_str){room, n};
}

static bool fall_back(const tri_bpe *bpe, tri_str c, first_symbols *f) {
    if (!bpe->config.byte_fallback) return false;
    for (size_t i = 0; i < c.len; i++) {
        if (bpe->fallback_ids[(uint8_t)c.ptr[i]] < 0) return false;
    }
    for (size_t i = 0; i < c.len; i++)
        put(f, bpe->fallback_ids[(uint8_t)c.ptr[i]], 1);
    return true;
}

/* As Hugging Face's merge_word: an unk waits until a known character, or the next unk that is not
 * fused with it, or the end; bytes that a later character falls back to overtake it. */
static void begin_characters(const tri_bpe *bpe, tri_str word, first_symbols *f) {
    char room[3 * TRI_BPE_MAX_AFFIX];
    size_t unk = 0;
    for (size_t at = 0, n; at < word.len; at += n) {
        n = tri_utf8_length((uint8_t)word.ptr[at]);
        tri_str c = {word.ptr + at, n};
        int32_t id;
        if (bpe->has_affixes) {
            c = with_affixes(bpe, c, at == 0, at + n == word.len, room);
            id = tri_pieces_find(&bpe->table, c);
        } else {
            id = n == 1 ? bpe->byte_ids[(uint8_t)c.ptr[0]] : tri_pieces_find(&bpe->table, c);
        }
        if (id >= 0) {
            if (unk) put(f, bpe->config.unk_id, unk);
            unk = 0;
            put(f, id, n);
        } else if (!fall_back(bpe, c, f) && bpe->config.unk_id >= 0) {
            if (unk && !bpe->config.fuse_unk) {
                put(f, bpe->config.unk_id, unk);
                unk = 0;
            }
            unk += n;
        }
    }
    if (unk) put(f, bpe->config.unk_id, unk);
}

static int32_t begin(const tri_bpe *bpe, tri_str word, tri_bpe_symbol *to) {
    first_symbols f = {.to = to};
    if (bpe->config.bytes) {
        begin_bytes(bpe, word, &f);
    } else {
        begin_characters(bpe, word, &f);
    }
    return f.n;
}

static size_t most_symbols(const tri_bpe *bpe, tri_str word) {
    if (!bpe->has_affixes || !bpe->config.byte_fallback) return word.len;
    return word.len * (1 + bpe->config.prefix.len) + bpe->config.suffix.len;
}

/* ---- merging ---- */

static void encode_small(const tri_bpe *bpe, tri_str word, tri_buf *out) {
    tri_bpe_symbol s[SMALL + 1];
    int32_t n = begin(bpe, word, s);
    for (int32_t i = 0; i + 1 < n; i++) {
        const tri_bpe_merge *m = tri_bpe_merge_slot(bpe, s[i].id, s[i + 1].id);
        s[i].rank = m->rank;
        s[i].merged = m->id;
    }
    for (;;) {
        int32_t best = -1, rank = INT32_MAX;
        for (int32_t i = 0; i + 1 < n; i++) {
            if (s[i].rank >= 0 && s[i].rank < rank) {
                rank = s[i].rank;
                best = i;
            }
        }
        if (best < 0) break;
        s[best].id = s[best].merged;
        n--;
        memmove(&s[best + 1], &s[best + 2], sizeof *s * (size_t)(n - best - 1));
        for (int32_t i = best > 0 ? best - 1 : 0; i <= best; i++) {
            s[i].rank = -1;
            if (i + 1 >= n) continue;
            const tri_bpe_merge *m = tri_bpe_merge_slot(bpe, s[i].id, s[i + 1].id);
            s[i].rank = m->rank;
            s[i].merged = m->id;
        }
    }
    for (int32_t i = 0; i < n; i++)
        tri_buf_append(out, &s[i].id, sizeof s[i].id);
}

/* The heap holds rank << 32 | index of the left symbol: the least rank, then the leftmost. */
static void heap_push(uint64_t *heap, size_t *n, uint64_t key) {
    size_t i = (*n)++;
    while (i > 0 && key < heap[(i - 1) / 2]) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = key;
}

static void heap_sink(uint64_t *heap, size_t n, size_t i, uint64_t key) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= key) break;
        heap[i] = heap[child];
    }
    heap[i] = key;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n) {
    uint64_t top = heap[0];
    uint64_t last = heap[--*n];
    if (*n) heap_sink(heap, *n, 0, last);
    return top;
}

static void look_up(const tri_bpe *bpe, tri_bpe_symbol *s, int32_t left) {
    s[left].rank = -1;
    if (s[left].next < 0) return;
    const tri_bpe_merge *m = tri_bpe_merge_slot(bpe, s[left].id, s[s[left].next].id);
    s[left].rank = m->rank;
    s[left].merged = m->id;
}

static uint64_t key_of(const tri_bpe_symbol *s, int32_t left) {
    return (uint64_t)(uint32_t)s[left].rank << 32 | (uint32_t)left;
}

/* Leaves the word's tokens as a list in scratch->symbols from 0; *n is 0 where there are none. */
static tri_status merge(
    const tri_bpe *bpe, tri_bpe_scratch *scratch, tri_str word, int32_t *n, tri_error *err) {
    TRI_TRY(reserve_symbols(scratch, most_symbols(bpe, word) + 1, err));
    tri_bpe_symbol *s = scratch->symbols;
    *n = begin(bpe, word, s);
    for (int32_t i = 0; i < *n; i++) {
        s[i].previous = i - 1;
        s[i].next = i + 1 < *n ? i + 1 : -1;
    }
    TRI_TRY(reserve_heap(scratch, (size_t)*n + 4, err));
    size_t n_heap = 0;
    for (int32_t i = 0; i + 1 < *n; i++) {
        look_up(bpe, s, i);
        if (s[i].rank >= 0) scratch->heap[n_heap++] = key_of(s, i);
    }
    for (size_t i = n_heap / 2; i-- > 0;)
        heap_sink(scratch->heap, n_heap, i, scratch->heap[i]);
    while (n_heap) {
        uint64_t top = heap_pop(scratch->heap, &n_heap);
        int32_t left = (int32_t)(uint32_t)top;
        if (s[left].rank != (int32_t)(top >> 32)) continue; /* merged since, or with another */
        int32_t right = s[left].next;
        s[left].id = s[left].merged;
        s[left].n_bytes += s[right].n_bytes;
        s[left].next = s[right].next;
        s[right].rank = -1;
        if (s[left].next >= 0) s[s[left].next].previous = left;
        TRI_TRY(reserve_heap(scratch, n_heap + 2, err));
        if (s[left].previous >= 0) {
            look_up(bpe, s, s[left].previous);
            if (s[s[left].previous].rank >= 0) {
                heap_push(scratch->heap, &n_heap, key_of(s, s[left].previous));
            }
        }
        look_up(bpe, s, left);
        if (s[left].rank >= 0) heap_push(scratch->heap, &n_heap, key_of(s, left));
    }
    return TRI_OK;
}

static tri_status encode_whole(
    const tri_bpe *bpe, tri_bpe_scratch *scratch, tri_str word, tri_buf *out, tri_error *err) {
    int32_t n;
    TRI_TRY(merge(bpe, scratch, word, &n, err));
    for (int32_t i = n ? 0 : -1; i >= 0; i = scratch->symbols[i].next)
        tri_buf_append(out, &scratch->symbols[i].id, sizeof(int32_t));
    return TRI_OK;
}

/* ---- long words, block by block ----
 *
 * Where token a of one encoding ends and token b of another begins, the two encodings joined are
 * the encoding of the joined text if encoding a's and b's text together gives a and b again.  For
 * suppose that while the whole is merged some merge first crosses the joint, of x, which a's text
 * ends in, and y, which b's begins with.  Until then both sides went as they do alone, in which no
 * merge crosses a's left edge or b's right one; so the merges inside a and b, in the order of
 * (rank, place), are those that a and b together see, and x and y would merge there too.
 *
 * And two neighbours in any encoding do give themselves again, by the same argument.  So each block
 * starts at a token's end well inside the block before, and mostly begins with the very token that
 * followed there. */

typedef struct blocks {
    const tri_bpe *bpe;
    tri_bpe_scratch *scratch;
    tri_str word;
    tri_buf *out;
    size_t out_begin; /* out's length before this word */
    int32_t n_block;  /* tokens kept of the last block: their ends are in scratch->ends */
    size_t block_at;  /* where that block began */
    size_t at;        /* the end of the last token kept */
    int32_t follower; /* what followed it in its block */
} blocks;

static int32_t last_id(const blocks *b) {
    int32_t id;
    memcpy(&id, b->out->ptr + b->out->len - sizeof id, sizeof id);
    return id;
}

/* Takes back the last token kept: the joint moves before it. */
static bool step_back(blocks *b) {
    if (b->n_block < 2) return false;
    b->follower = last_id(b);
    b->out->len -= sizeof(int32_t);
    b->n_block--;
    b->at = b->block_at + (size_t)b->scratch->ends[b->n_block - 1];
    return true;
}

/* Whether token `first`, of n_bytes at the joint, may follow the last token kept. */
static tri_status joint_holds(
    blocks *b, int32_t first, size_t n_bytes, bool *holds, tri_error *err) {
    size_t from = b->block_at + (size_t)(b->n_block > 1 ? b->scratch->ends[b->n_block - 2] : 0);
    tri_buf ids = {0};
    int32_t expected[2] = {last_id(b), first};
    TRI_TRY(encode_whole(
        b->bpe, b->scratch, (tri_str){b->word.ptr + from, b->at + n_bytes - from}, &ids, err));
    TRI_TRY(tri_buf_status(&ids, err));
    *holds = ids.len == sizeof expected && !memcmp(ids.ptr, expected, sizeof expected);
    tri_buf_deinit(&ids);
    return TRI_OK;
}

static size_t block_length(const blocks *b) {
    size_t n = b->word.len - b->at;
    if (n <= BLOCK + MARGIN) return n;
    n = BLOCK;
    while (!b->bpe->config.bytes && ((uint8_t)b->word.ptr[b->at + n] & 0xC0) == 0x80)
        n--;
    return n;
}

/* Keeps the tokens of the block [at, at + n) that end MARGIN before its end, all at the word's. */
static tri_status keep_block(blocks *b, size_t n, tri_error *err) {
    const tri_bpe_symbol *s = b->scratch->symbols;
    bool last = b->at + n == b->word.len;
    int32_t end = 0;
    b->block_at = b->at;
    b->n_block = 0;
    for (int32_t i = 0; i >= 0; i = s[i].next) {
        b->follower = s[i].id;
        end += s[i].n_bytes;
        if (!last && b->n_block && (size_t)end > n - MARGIN) break;
        TRI_TRY(reserve_ends(b->scratch, (size_t)b->n_block + 1, err));
        b->scratch->ends[b->n_block++] = end;
        tri_buf_append(b->out, &s[i].id, sizeof s[i].id);
        b->at = b->block_at + (size_t)end;
    }
    return TRI_OK;
}

static tri_status encode_blocks(
    const tri_bpe *bpe, tri_bpe_scratch *scratch, tri_str word, tri_buf *out, tri_error *err) {
    blocks b = {.bpe = bpe, .scratch = scratch, .word = word, .out = out, .out_begin = out->len};
    for (int32_t steps_back = 0; b.at < word.len;) {
        size_t n = block_length(&b);
        int32_t n_first;
        TRI_TRY(merge(bpe, scratch, (tri_str){word.ptr + b.at, n}, &n_first, err));
        bool holds = n_first > 0;
        if (holds && b.at > 0 && scratch->symbols[0].id != b.follower) {
            size_t n_bytes = (size_t)scratch->symbols[0].n_bytes;
            TRI_TRY(joint_holds(&b, scratch->symbols[0].id, n_bytes, &holds, err));
            if (holds) {
                TRI_TRY(merge(bpe, scratch, (tri_str){word.ptr + b.at, n}, &n_first, err));
            }
        }
        /* Bytes that give no symbol make ends uncertain: such a word goes whole. */
        size_t covered = 0;
        for (int32_t i = holds ? 0 : -1; i >= 0; i = scratch->symbols[i].next)
            covered += (size_t)scratch->symbols[i].n_bytes;
        bool whole = covered != n && holds;
        if (!whole && !holds) {
            whole = b.at == 0 || ++steps_back > MAX_STEPS_BACK || !step_back(&b);
            if (!whole) continue;
        }
        if (whole) {
            out->len = b.out_begin;
            return encode_whole(bpe, scratch, word, out, err);
        }
        steps_back = 0;
        TRI_TRY(keep_block(&b, n, err));
        TRI_TRY(tri_buf_status(out, err));
    }
    return TRI_OK;
}

tri_status tri_bpe_encode(
    const tri_bpe *bpe, tri_bpe_scratch *scratch, tri_str word, tri_buf *out, tri_error *err) {
    if (word.len == 0) return TRI_OK;
    if (bpe->config.ignore_merges) {
        int32_t id = tri_pieces_find(&bpe->table, word);
        if (id >= 0) {
            tri_buf_append(out, &id, sizeof id);
            return TRI_OK;
        }
    }
    if (most_symbols(bpe, word) <= SMALL) {
        encode_small(bpe, word, out);
        return TRI_OK;
    }
    if (word.len > (size_t)2 * BLOCK && bpe->can_block) {
        return encode_blocks(bpe, scratch, word, out, err);
    }
    return encode_whole(bpe, scratch, word, out, err);
}
