/* trie.h - byte strings to numbers: a double array, walked byte by byte.
 *
 * One indexed load a byte and no hashing.  Immutable once built, in the arena: shared by threads.
 */
#ifndef TRI_TEXT_TRIE_H
#define TRI_TEXT_TRIE_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct tri_trie_unit {
    uint32_t base;   /* the child by byte c, if there, is unit base ^ c */
    uint32_t parent; /* whose child this unit is; UINT32_MAX: free */
    int32_t value;   /* of the string that ends here; -1: none */
} tri_trie_unit;

typedef struct tri_trie {
    const tri_trie_unit *units; /* the root is unit 0 */
    uint32_t n_units;           /* a multiple of 256: no walk leaves the array */
} tri_trie;

/* Values must be >= 0.  Empty keys are left out; of equal keys the last one's value stays.  Work
 * and memory are linear in the bytes of the keys. */
tri_status tri_trie_build(tri_trie *trie, const tri_str *keys, const int32_t *values, int32_t n,
    tri_arena *arena, tri_error *err);

/* From *unit by one byte.  False, and *unit left alone: no key goes on so. */
static inline bool tri_trie_step(const tri_trie *trie, uint32_t *unit, uint8_t byte) {
    uint32_t child = trie->units[*unit].base ^ byte;
    if (trie->units[child].parent != *unit) return false;
    *unit = child;
    return true;
}

/* The value of exactly this key, or -1. */
int32_t tri_trie_find(const tri_trie *trie, tri_str key);
/* The longest key that text starts with: its length (0: none) and, where value is not NULL, its
 * value. */
size_t tri_trie_longest(const tri_trie *trie, tri_str text, int32_t *value);

#endif
