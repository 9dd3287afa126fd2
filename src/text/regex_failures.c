#include "text/regex_failures.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SHIFT = 4, FIRST_SLOTS = 256 };

void tri_failures_deinit(tri_failures *f) {
    free(f->slots);
    *f = (tri_failures){0};
}

void tri_failures_clear(tri_failures *f, size_t text_bytes, uint32_t n_drops) {
    if (f->n) memset(f->slots, 0, f->cap * sizeof *f->slots);
    f->n = 0;
    f->shift = FIRST_SHIFT;
    f->reach = 0;
    f->n_drops = n_drops;
    f->max_slots = FIRST_SLOTS;
    while (f->max_slots * sizeof *f->slots < text_bytes)
        f->max_slots *= 2;
}

/* Eight neighbouring blocks share a cache line: attempts go from block to block. */
static size_t slot_of(const tri_failures *f, uint64_t key) {
    uint64_t block = key >> 32;
    uint64_t h = (block >> 3 << 32 | (uint32_t)key) * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)((h >> 32) << 3 | (block & 7)) & (f->cap - 1);
    while (f->slots[i] && f->slots[i] != key)
        i = (i + 1) & (f->cap - 1);
    return i;
}

static uint64_t key_of(const tri_failures *f, size_t place, uint32_t row) {
    return (uint64_t)(place >> f->shift) << 32 | row;
}

bool tri_failures_has(const tri_failures *f, size_t place, uint32_t row) {
    if (!f->n) return false;
    uint64_t key = key_of(f, place, row);
    return f->slots[slot_of(f, key)] == key;
}

/* At the limit everything is forgotten and blocks become twice as long. */
static bool make_room(tri_failures *f) {
    if (f->cap >= f->max_slots) {
        memset(f->slots, 0, f->cap * sizeof *f->slots);
        f->n = 0;
        f->shift++;
        return false;
    }
    size_t cap = f->cap ? 2 * f->cap : FIRST_SLOTS;
    uint64_t *slots = calloc(cap, sizeof *slots), *old = f->slots;
    if (!slots) return false;
    size_t n_old = f->cap;
    f->slots = slots;
    f->cap = cap;
    for (size_t i = 0; i < n_old; i++)
        if (old[i]) slots[slot_of(f, old[i])] = old[i];
    free(old);
    return true;
}

void tri_failures_add(tri_failures *f, size_t place, uint32_t row) {
    if (2 * (f->n + 1) > f->cap && !make_room(f)) return;
    uint64_t key = key_of(f, place, row);
    size_t i = slot_of(f, key);
    f->n += f->slots[i] == 0;
    f->slots[i] = key;
}
