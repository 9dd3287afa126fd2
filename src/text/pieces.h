/* pieces.h - from a piece's bytes to its id: open addressing over borrowed pieces, sized once. */
#ifndef TRI_TEXT_PIECES_H
#define TRI_TEXT_PIECES_H

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

typedef struct tri_piece_slot {
    uint32_t hash;
    int32_t id; /* -1: free */
} tri_piece_slot;

typedef struct tri_pieces {
    const tri_str *pieces; /* by id, borrowed; ptr NULL where an id has none */
    int32_t n;
    tri_piece_slot *slots;
    size_t mask;
} tri_pieces;

/* Of equal pieces the last id is found. */
tri_status tri_pieces_init(
    tri_pieces *table, const tri_str *pieces, int32_t n, tri_arena *arena, tri_error *err);

static inline uint64_t tri_pieces_hash(tri_str piece) {
    return tri_hash64(piece.ptr, piece.len, 0);
}

static inline int32_t tri_pieces_find_hashed(const tri_pieces *t, tri_str piece, uint64_t hash) {
    for (size_t i = (size_t)hash & t->mask;; i = (i + 1) & t->mask) {
        const tri_piece_slot *slot = &t->slots[i];
        if (slot->id < 0) return -1;
        if (slot->hash == (uint32_t)(hash >> 32) && t->pieces[slot->id].len == piece.len &&
            !memcmp(t->pieces[slot->id].ptr, piece.ptr, piece.len)) {
            return slot->id;
        }
    }
}

static inline int32_t tri_pieces_find(const tri_pieces *t, tri_str piece) { /* -1: none */
    return tri_pieces_find_hashed(t, piece, tri_pieces_hash(piece));
}

#endif
