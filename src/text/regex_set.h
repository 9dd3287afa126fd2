/* regex_set.h - sets of code points, as sorted ranges.
 *
 * Memory is the arena's.  A failed allocation marks the set; whoever finishes with it checks
 * `failed` once. */
#ifndef TRI_TEXT_REGEX_SET_H
#define TRI_TEXT_REGEX_SET_H

#include "base/arena.h"
#include "text/unicode_tables.h"

typedef struct tri_code_set {
    tri_code_range *ranges; /* sorted and apart after tri_code_set_normalize */
    int32_t n, cap;
    bool failed;
} tri_code_set;

void tri_code_set_add(tri_code_set *set, uint32_t first, uint32_t last, tri_arena *arena);
void tri_code_set_add_set(tri_code_set *set, const tri_code_set *other, tri_arena *arena);
void tri_code_set_normalize(tri_code_set *set);
/* Of normalized sets. */
void tri_code_set_negate(tri_code_set *set, tri_arena *arena);
void tri_code_set_intersect(tri_code_set *set, const tri_code_set *other, tri_arena *arena);
bool tri_code_set_equal(const tri_code_set *a, const tri_code_set *b);
bool tri_code_set_has(const tri_code_set *set, uint32_t code);

/* Code points that differ in case only, made at first use. */
typedef struct tri_fold_pair {
    uint32_t folded, code;
} tri_fold_pair;
typedef struct tri_fold_table { /* zeroed at first */
    tri_fold_pair *pairs;       /* by folded */
    int32_t n;
} tri_fold_table;

/* Adds what differs from a member in case only (simple case folding). */
void tri_code_set_fold(tri_code_set *set, tri_fold_table *table, tri_arena *arena);

#endif
