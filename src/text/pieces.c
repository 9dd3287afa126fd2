#include "text/pieces.h"

tri_status tri_pieces_init(
    tri_pieces *table, const tri_str *pieces, int32_t n, tri_arena *arena, tri_error *err) {
    size_t n_slots = 16;
    while (n_slots < (size_t)n * 2)
        n_slots *= 2;
    tri_pieces t = {.pieces = pieces, .n = n, .mask = n_slots - 1};
    t.slots = TRI_NEW_N(arena, tri_piece_slot, n_slots);
    if (!t.slots) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a table of %d pieces", n);
    for (size_t i = 0; i < n_slots; i++)
        t.slots[i].id = -1;
    for (int32_t id = 0; id < n; id++) {
        if (!pieces[id].ptr) continue;
        uint64_t hash = tri_hash64(pieces[id].ptr, pieces[id].len, 0);
        size_t i = (size_t)hash & t.mask;
        while (t.slots[i].id >= 0 && !(t.slots[i].hash == (uint32_t)(hash >> 32) &&
                                         tri_str_equal(pieces[t.slots[i].id], pieces[id]))) {
            i = (i + 1) & t.mask;
        }
        t.slots[i] = (tri_piece_slot){(uint32_t)(hash >> 32), id};
    }
    *table = t;
    return TRI_OK;
}
