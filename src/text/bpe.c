#include "text/bpe_inside.h"

#include <string.h>

/* ---- tables ---- */

static void find_bytes(tri_bpe *bpe) {
    bool all_fallbacks = true, any_fallback = false;
    for (int i = 0; i < 256; i++) {
        static const char digits[] = "0123456789ABCDEF";
        char byte = (char)i, name[6] = {'<', '0', 'x', digits[i >> 4], digits[i & 15], '>'};
        bpe->byte_ids[i] = tri_pieces_find(&bpe->table, (tri_str){&byte, 1});
        bpe->fallback_ids[i] = tri_pieces_find(&bpe->table, (tri_str){name, sizeof name});
        all_fallbacks &= bpe->fallback_ids[i] >= 0;
        any_fallback |= bpe->fallback_ids[i] >= 0;
    }
    if (!any_fallback) bpe->config.byte_fallback = false;
    bpe->has_affixes = bpe->config.prefix.len || bpe->config.suffix.len;
    /* With some of the fallback bytes an unknown character's unk waits behind the bytes after it:
     * what a block gives would depend on the block before. */
    bool unk_waits = bpe->config.byte_fallback && !all_fallbacks && bpe->config.unk_id >= 0;
    bpe->can_block = !bpe->has_affixes && !unk_waits;
}

tri_status tri_bpe_create(tri_bpe **bpe, const tri_bpe_config *config, const tri_str *pieces,
    tri_arena *arena, tri_error *err) {
    tri_bpe *b = TRI_NEW(arena, tri_bpe);
    if (!b) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a BPE model");
    TRI_ASSERT(!config->bytes || (!config->prefix.len && !config->suffix.len));
    b->config = *config;
    TRI_TRY(tri_pieces_init(&b->table, pieces, config->n_pieces, arena, err));
    find_bytes(b);
    TRI_TRY(tri_bpe_reserve_merges(b, 0, arena, err));
    *bpe = b;
    return TRI_OK;
}

int32_t tri_bpe_find(const tri_bpe *bpe, tri_str piece) {
    return piece.len ? tri_pieces_find(&bpe->table, piece) : -1;
}

bool tri_bpe_cuts_before(const tri_bpe *bpe, tri_str c) {
    if (bpe->config.bytes || bpe->has_affixes || bpe->config.ignore_merges) return false;
    if (tri_bpe_find(bpe, c) < 0) return false;
    for (int32_t id = 0; id < bpe->config.n_pieces; id++) {
        tri_str piece = bpe->table.pieces[id];
        if (piece.len <= c.len) continue;
        const char *from = piece.ptr, *end = piece.ptr + piece.len;
        for (const char *at; (at = memmem(from, (size_t)(end - from), c.ptr, c.len)) != NULL;
             from = at + c.len) {
            if (at != from) return false;
        }
    }
    return true;
}

tri_status tri_bpe_reserve_merges(tri_bpe *bpe, int64_t n, tri_arena *arena, tri_error *err) {
    size_t n_slots = 16;
    int32_t bits = 4;
    while (n_slots < (size_t)n * 2) {
        n_slots *= 2;
        bits++;
    }
    tri_bpe_merge *merges = TRI_NEW_N(arena, tri_bpe_merge, n_slots);
    if (!merges) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %" PRId64 " merges", n);
    for (size_t i = 0; i < n_slots; i++)
        merges[i].rank = -1;
    bpe->merges = merges;
    bpe->merge_mask = n_slots - 1;
    bpe->merge_shift = 64 - bits;
    return TRI_OK;
}

/* A free slot's pair is 0, which is that of ids 0 and 0 too: its rank of -1 is right for both. */
void tri_bpe_add_merge(tri_bpe *bpe, int32_t rank, int32_t left, int32_t right, int32_t merged) {
    TRI_ASSERT(rank >= 0 && left >= 0 && right >= 0 && merged >= 0);
    *tri_bpe_merge_slot(bpe, left, right) =
        (tri_bpe_merge){tri_bpe_pair_of(left, right), rank, merged};
}

/* Vocabularies list what merges make in the merges' order: the last one's piece or its neighbour is
 * the likely one, and needs no look-up. */
static int32_t find_merged(const tri_bpe *bpe, tri_str piece) {
    for (int32_t id = bpe->last_merged; id <= bpe->last_merged + 1; id++) {
        if (id >= 0 && id < bpe->config.n_pieces && bpe->table.pieces[id].ptr &&
            tri_str_equal(bpe->table.pieces[id], piece)) {
            return id;
        }
    }
    return tri_bpe_find(bpe, piece);
}

/* The piece that a hash most likely means, or -1. */
static int32_t likely_piece(const tri_pieces *t, uint64_t hash) {
    for (size_t i = (size_t)hash & t->mask;; i = (i + 1) & t->mask) {
        if (t->slots[i].id < 0 || t->slots[i].hash == (uint32_t)(hash >> 32)) return t->slots[i].id;
    }
}

static void prefetch_pieces(const tri_bpe *bpe, const uint64_t *hashes, int32_t n) {
    const tri_pieces *t = &bpe->table;
    int32_t ids[2 * TRI_BPE_MERGES_AT_ONCE];
    for (int32_t i = 0; i < n; i++)
        __builtin_prefetch(&t->slots[hashes[i] & t->mask]);
    for (int32_t i = 0; i < n; i++) {
        ids[i] = likely_piece(t, hashes[i]);
        if (ids[i] >= 0) __builtin_prefetch(&t->pieces[ids[i]]);
    }
    for (int32_t i = 0; i < n; i++) {
        if (ids[i] >= 0) __builtin_prefetch(t->pieces[ids[i]].ptr);
    }
}

/* The ids of a merge's parts, given their hashes, and of what it makes.  False: one is no piece. */
static bool find_merge(tri_bpe *bpe, const tri_bpe_merge_text *m, const uint64_t hashes[2],
    int32_t *left, int32_t *right, int32_t *merged) {
    char joined[2048];
    size_t skip = bpe->config.prefix.len, n = m->left.len + m->right.len - skip;
    if (m->right.len < skip || n > sizeof joined) return false;
    memcpy(joined, m->left.ptr, m->left.len);
    memcpy(joined + m->left.len, m->right.ptr + skip, m->right.len - skip);
    *left = tri_pieces_find_hashed(&bpe->table, m->left, hashes[0]);
    *right = tri_pieces_find_hashed(&bpe->table, m->right, hashes[1]);
    *merged = find_merged(bpe, (tri_str){joined, n});
    if (*left < 0 || *right < 0 || *merged < 0) return false;
    bpe->last_merged = *merged;
    return true;
}

int32_t tri_bpe_add_merges_of(tri_bpe *bpe, const tri_bpe_merge_text *merges, int32_t n) {
    uint64_t hashes[TRI_BPE_MERGES_AT_ONCE][2];
    int32_t ids[TRI_BPE_MERGES_AT_ONCE][3], n_found = 0;
    TRI_ASSERT(n <= TRI_BPE_MERGES_AT_ONCE);
    for (int32_t i = 0; i < n; i++) {
        hashes[i][0] = tri_pieces_hash(merges[i].left);
        hashes[i][1] = tri_pieces_hash(merges[i].right);
    }
    prefetch_pieces(bpe, hashes[0], 2 * n);
    while (n_found < n && find_merge(bpe, &merges[n_found], hashes[n_found], &ids[n_found][0],
                              &ids[n_found][1], &ids[n_found][2])) {
        __builtin_prefetch(&bpe->merges[tri_bpe_first_slot(
            bpe, tri_bpe_pair_of(ids[n_found][0], ids[n_found][1]))]);
        n_found++;
    }
    for (int32_t i = 0; i < n_found; i++)
        tri_bpe_add_merge(bpe, merges[i].rank, ids[i][0], ids[i][1], ids[i][2]);
    return n_found;
}

bool tri_bpe_add_merge_of(tri_bpe *bpe, int32_t rank, tri_str left, tri_str right) {
    return tri_bpe_add_merges_of(bpe, &(tri_bpe_merge_text){rank, left, right}, 1) == 1;
}

tri_status tri_bpe_derive_merges(
    tri_bpe *bpe, const int32_t *ranks, tri_arena *arena, tri_error *err) {
    typedef struct triple {
        int32_t left, right, merged;
    } triple;
    tri_buf found = {0};
    for (int32_t id = 0; id < bpe->config.n_pieces; id++) {
        tri_str piece = bpe->table.pieces[id];
        if (!piece.ptr || ranks[id] < 0 || tri_bpe_find(bpe, piece) != id) continue;
        for (size_t n = 1; n < piece.len; n++) {
            int32_t left = tri_bpe_find(bpe, (tri_str){piece.ptr, n});
            if (left < 0) continue;
            int32_t right = tri_bpe_find(bpe, (tri_str){piece.ptr + n, piece.len - n});
            if (right < 0) continue;
            triple t = {left, right, id};
            tri_buf_append(&found, &t, sizeof t);
        }
    }
    tri_status rc = tri_buf_status(&found, err);
    int64_t n = (int64_t)(found.len / sizeof(triple));
    const triple *all = (const triple *)(const void *)found.ptr;
    if (!rc) rc = tri_bpe_reserve_merges(bpe, n, arena, err);
    for (int64_t i = 0; !rc && i < n; i++) {
        tri_bpe_add_merge(bpe, ranks[all[i].merged], all[i].left, all[i].right, all[i].merged);
    }
    tri_buf_deinit(&found);
    return rc;
}
