/* bpe.h - byte-pair merging over raw bytes.
 *
 * Pieces are raw bytes here (the printable alphabet of byte-level vocabularies is undone at load),
 * so encoding never maps characters.  Merges are found by (left id, right id).  Sennrich et al.
 * 2016, arXiv:1508.07909. */
#ifndef TRI_TEXT_BPE_H
#define TRI_TEXT_BPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

typedef struct tri_bpe_merge { /* slot of the open-addressing table; key 0 with rank -1: empty */
    uint64_t pair;             /* left << 32 | right */
    int32_t rank, id;
} tri_bpe_merge;

typedef struct tri_bpe {
    int32_t n_pieces;
    tri_str *pieces;       /* by id: raw bytes; empty where an id has none */
    tri_map ids;           /* raw bytes -> id */
    int32_t byte_ids[256]; /* id of each single byte, -1: none */
    tri_bpe_merge *merges;
    size_t n_merge_slots; /* a power of two */
    bool ignore_merges;   /* a word that is a piece is taken whole */
} tri_bpe;

/* Room for n_pieces ids and n_merges merges; memory from the arena but for the id map. */
tri_status tri_bpe_init(
    tri_bpe *bpe, int32_t n_pieces, int32_t n_merges, tri_arena *arena, tri_error *err);
void tri_bpe_deinit(tri_bpe *bpe);
/* piece's bytes are borrowed (from the arena).  The first of equal pieces keeps the bytes. */
tri_status tri_bpe_set_piece(tri_bpe *bpe, int32_t id, tri_str piece, tri_error *err);
/* Call when all pieces are set. */
void tri_bpe_find_bytes(tri_bpe *bpe);
/* Merge number `rank`.  False: one of the three pieces is not in the vocabulary. */
bool tri_bpe_add_merge(tri_bpe *bpe, int32_t rank, tri_str left, tri_str right);

/* Scratch of one thread, growing to the longest word. */
typedef struct tri_bpe_scratch {
    struct tri_bpe_node *nodes;
    struct tri_bpe_candidate *heap;
    size_t cap;
} tri_bpe_scratch;

void tri_bpe_scratch_deinit(tri_bpe_scratch *scratch);
/* Appends the ids (int32_t) of one word to out.  O(n log n). */
tri_status tri_bpe_encode(
    const tri_bpe *bpe, tri_bpe_scratch *scratch, tri_str word, tri_buf *out, tri_error *err);

#endif
