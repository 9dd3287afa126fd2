#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

/* Children of one unit share a block of 256, since base and base ^ c differ in the low byte alone.
 * Free units of the last blocks are in a ring; older blocks are closed, which bounds the search for
 * a base (Yata's darts-clone does so too). */
enum { BLOCK = 256, OPEN_BLOCKS = 16, NO_UNIT = -1 };

typedef struct range { /* keys [lo, hi) of the order share their first depth bytes: unit's subtree
                        */
    int32_t lo, hi;
    uint32_t unit, depth;
} range;

typedef struct builder {
    tri_trie_unit *units;
    int32_t *next, *previous; /* ring of free units */
    size_t n, cap;
    int32_t first_free;
    const tri_str *keys;
    const int32_t *values;
    int32_t *order, *scratch; /* key numbers; scratch: as many */
    range *stack;
    size_t n_stack, stack_cap;
} builder;

static void ring_remove(builder *b, int32_t unit) {
    int32_t next = b->next[unit], previous = b->previous[unit];
    b->next[previous] = next;
    b->previous[next] = previous;
    if (b->first_free == unit) b->first_free = next == unit ? NO_UNIT : next;
    b->next[unit] = NO_UNIT;
}

static void ring_append(builder *b, int32_t unit) {
    if (b->first_free == NO_UNIT) {
        b->first_free = b->next[unit] = b->previous[unit] = unit;
        return;
    }
    int32_t last = b->previous[b->first_free];
    b->next[last] = b->previous[b->first_free] = unit;
    b->next[unit] = b->first_free;
    b->previous[unit] = last;
}

static bool grow_units(builder *b) {
    size_t cap = b->cap ? b->cap * 2 : (size_t)16 * BLOCK;
    tri_trie_unit *units = realloc(b->units, cap * sizeof *units);
    if (units) b->units = units;
    int32_t *next = realloc(b->next, cap * sizeof *next);
    if (next) b->next = next;
    int32_t *previous = realloc(b->previous, cap * sizeof *previous);
    if (previous) b->previous = previous;
    if (!units || !next || !previous) return false;
    b->cap = cap;
    return true;
}

static bool add_block(builder *b) {
    if (b->n + BLOCK > b->cap && !grow_units(b)) return false;
    if (b->n >= (size_t)OPEN_BLOCKS * BLOCK) {
        size_t closed = b->n - (size_t)OPEN_BLOCKS * BLOCK;
        for (size_t i = closed; i < closed + BLOCK; i++)
            if (b->next[i] != NO_UNIT) ring_remove(b, (int32_t)i);
    }
    for (size_t i = b->n; i < b->n + BLOCK; i++) {
        b->units[i] = (tri_trie_unit){0, UINT32_MAX, -1};
        ring_append(b, (int32_t)i);
    }
    b->n += BLOCK;
    return true;
}

static bool fits(const builder *b, uint32_t base, const uint8_t *labels, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (b->next[base ^ labels[i]] == NO_UNIT) return false;
    return true;
}

/* A base under which all labels are free; UINT32_MAX: no memory. */
static uint32_t find_base(builder *b, const uint8_t *labels, int32_t n) {
    int32_t unit = b->first_free;
    while (unit != NO_UNIT) {
        uint32_t base = (uint32_t)unit ^ labels[0];
        if (fits(b, base, labels, n)) return base;
        unit = b->next[unit];
        if (unit == b->first_free) break;
    }
    size_t block = b->n;
    return add_block(b) ? (uint32_t)block ^ labels[0] : UINT32_MAX;
}

static bool push(builder *b, range r) {
    if (b->n_stack == b->stack_cap) {
        size_t cap = b->stack_cap ? b->stack_cap * 2 : 256;
        range *stack = realloc(b->stack, cap * sizeof *stack);
        if (!stack) return false;
        b->stack = stack;
        b->stack_cap = cap;
    }
    b->stack[b->n_stack++] = r;
    return true;
}

static uint8_t byte_at(const builder *b, int32_t i, uint32_t depth) {
    return (uint8_t)b->keys[b->order[i]].ptr[depth];
}

/* Keys of [lo, hi) by their byte at depth, equal ones in their order. */
static void sort_range(builder *b, int32_t lo, int32_t hi, uint32_t depth) {
    if (hi - lo <= 16) {
        for (int32_t i = lo + 1; i < hi; i++) {
            int32_t key = b->order[i], at = i;
            uint8_t byte = (uint8_t)b->keys[key].ptr[depth];
            for (; at > lo && byte_at(b, at - 1, depth) > byte; at--)
                b->order[at] = b->order[at - 1];
            b->order[at] = key;
        }
        return;
    }
    int32_t starts[257] = {0};
    for (int32_t i = lo; i < hi; i++)
        starts[byte_at(b, i, depth) + 1]++;
    for (int i = 0; i < 256; i++)
        starts[i + 1] += starts[i];
    for (int32_t i = lo; i < hi; i++)
        b->scratch[lo + starts[byte_at(b, i, depth)]++] = b->order[i];
    memcpy(b->order + lo, b->scratch + lo, (size_t)(hi - lo) * sizeof *b->order);
}

/* Keys that end at this unit give it its value; the others stand together after them. */
static int32_t take_values(builder *b, range r) {
    int32_t lo = r.lo;
    for (int32_t i = r.lo; i < r.hi; i++) {
        int32_t key = b->order[i];
        if (b->keys[key].len != r.depth) continue;
        b->units[r.unit].value = b->values[key];
        memmove(b->order + lo + 1, b->order + lo, (size_t)(i - lo) * sizeof *b->order);
        b->order[lo++] = key;
    }
    return lo;
}

static bool expand(builder *b, range r) {
    int32_t lo = take_values(b, r), n = 0;
    int32_t starts[257];
    uint8_t labels[256];
    if (lo == r.hi) return true;
    sort_range(b, lo, r.hi, r.depth);
    for (int32_t i = lo; i < r.hi; i++) {
        uint8_t byte = byte_at(b, i, r.depth);
        if (n && labels[n - 1] == byte) continue;
        starts[n] = i;
        labels[n++] = byte;
    }
    TRI_ASSERT(n > 0); /* lo < hi */
    starts[n] = r.hi;
    uint32_t base = find_base(b, labels, n);
    if (base == UINT32_MAX) return false;
    b->units[r.unit].base = base;
    for (int32_t i = 0; i < n; i++) {
        uint32_t child = base ^ labels[i];
        ring_remove(b, (int32_t)child);
        b->units[child].parent = r.unit;
    }
    for (int32_t i = n; i-- > 0;) {
        if (!push(b, (range){starts[i], starts[i + 1], base ^ labels[i], r.depth + 1}))
            return false;
    }
    return true;
}

static bool build(builder *b, int32_t n) {
    if (!add_block(b)) return false;
    ring_remove(b, 0); /* the root: nobody's child, since UINT32_MAX is no unit */
    if (!push(b, (range){0, n, 0, 0})) return false;
    while (b->n_stack) {
        if (!expand(b, b->stack[--b->n_stack])) return false;
    }
    return true;
}

tri_status tri_trie_build(tri_trie *trie, const tri_str *keys, const int32_t *values, int32_t n,
    tri_arena *arena, tri_error *err) {
    builder b = {.keys = keys, .values = values, .first_free = NO_UNIT};
    tri_trie_unit *units = NULL;
    tri_status rc = TRI_OK;
    size_t n_bytes = 0;
    int32_t n_keys = 0;

    for (int32_t i = 0; i < n; i++) {
        TRI_ASSERT(values[i] >= 0);
        if (keys[i].len > INT32_MAX / 64 || (n_bytes += keys[i].len) > INT32_MAX / 8) {
            return TRI_FAIL(err, TRI_E_LIMIT, "a vocabulary of more than %d bytes", INT32_MAX / 8);
        }
    }
    b.order = malloc(((size_t)n + 1) * sizeof *b.order);
    b.scratch = malloc(((size_t)n + 1) * sizeof *b.scratch);
    if (b.order && b.scratch) {
        for (int32_t i = 0; i < n; i++)
            if (keys[i].len) b.order[n_keys++] = i;
        if (build(&b, n_keys)) units = tri_arena_array(arena, b.n, sizeof *units);
    }
    if (units) {
        memcpy(units, b.units, b.n * sizeof *units);
        *trie = (tri_trie){units, (uint32_t)b.n};
    } else {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for a trie of %d keys", n);
    }
    free(b.units);
    free(b.next);
    free(b.previous);
    free(b.order);
    free(b.scratch);
    free(b.stack);
    return rc;
}

int32_t tri_trie_find(const tri_trie *trie, tri_str key) {
    uint32_t unit = 0;
    for (size_t i = 0; i < key.len; i++)
        if (!tri_trie_step(trie, &unit, (uint8_t)key.ptr[i])) return -1;
    return trie->units[unit].value;
}

size_t tri_trie_longest(const tri_trie *trie, tri_str text, int32_t *value) {
    uint32_t unit = 0;
    size_t longest = 0;
    for (size_t i = 0; i < text.len && tri_trie_step(trie, &unit, (uint8_t)text.ptr[i]); i++) {
        if (trie->units[unit].value < 0) continue;
        longest = i + 1;
        if (value) *value = trie->units[unit].value;
    }
    return longest;
}
