/* regex_failures.h - where an automaton's state is known to lead to no match.
 *
 * A search that tries one place after another may read the same far text again and again.  A state
 * that was in at a place and found no match after it never will: such facts, noted once a block of
 * text, stop a later attempt within one block, which makes all attempts together linear in the text
 * (times the states that differ at one place).  Forgetting facts costs time only. */
#ifndef TRI_TEXT_REGEX_FAILURES_H
#define TRI_TEXT_REGEX_FAILURES_H

#include "base/status.h"

typedef struct tri_failures {
    uint64_t *slots; /* block << 32 | row, 0: free */
    size_t n, cap, max_slots;
    uint32_t shift;   /* a block is 1 << shift bytes */
    size_t reach;     /* the end of the text that was read in vain */
    uint32_t n_drops; /* of the automaton whose rows these are */
} tri_failures;

void tri_failures_deinit(tri_failures *f);
void tri_failures_clear(tri_failures *f, size_t text_bytes, uint32_t n_drops);
bool tri_failures_has(const tri_failures *f, size_t place, uint32_t row);
void tri_failures_add(tri_failures *f, size_t place, uint32_t row);

#endif
