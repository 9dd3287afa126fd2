#include "base/map.h"

#include <stdlib.h>
#include <xxhash.h>

struct tri_map_slot {
    tri_str key; /* ptr NULL: free */
    uint64_t hash;
    int64_t value;
};

uint64_t tri_hash64(const void *bytes, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(n ? bytes : "", n, seed);
}

void tri_map_deinit(tri_map *map) {
    free(map->slots);
    *map = (tri_map){0};
}

/* The slot that holds key, or the free one where it belongs.  A free slot always exists. */
static struct tri_map_slot *find(
    struct tri_map_slot *slots, size_t n_slots, tri_str key, uint64_t hash) {
    size_t i = (size_t)hash & (n_slots - 1);
    while (slots[i].key.ptr && !(slots[i].hash == hash && tri_str_equal(slots[i].key, key))) {
        i = (i + 1) & (n_slots - 1);
    }
    return &slots[i];
}

tri_status tri_map_reserve(tri_map *map, size_t n, tri_error *err) {
    size_t n_slots = map->n_slots ? map->n_slots : 16;
    while (n > n_slots / 2) {
        if (__builtin_mul_overflow(n_slots, (size_t)2, &n_slots)) {
            return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a map of %zu entries", n);
        }
    }
    if (n_slots == map->n_slots) return TRI_OK;
    struct tri_map_slot *slots = calloc(n_slots, sizeof *slots);
    if (!slots) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a map of %zu entries", n);
    for (size_t i = 0; i < map->n_slots; i++) {
        const struct tri_map_slot *old = &map->slots[i];
        if (old->key.ptr) *find(slots, n_slots, old->key, old->hash) = *old;
    }
    free(map->slots);
    map->slots = slots;
    map->n_slots = n_slots;
    return TRI_OK;
}

tri_status tri_map_put(tri_map *map, tri_str key, int64_t value, tri_error *err) {
    TRI_TRY(tri_map_reserve(map, map->n_used + 1, err));
    if (!key.ptr) key.ptr = "";
    uint64_t hash = tri_hash64(key.ptr, key.len, 0);
    struct tri_map_slot *slot = find(map->slots, map->n_slots, key, hash);
    if (!slot->key.ptr) map->n_used++;
    *slot = (struct tri_map_slot){key, hash, value};
    return TRI_OK;
}

bool tri_map_get(const tri_map *map, tri_str key, int64_t *value) {
    if (map->n_used == 0) return false;
    uint64_t hash = tri_hash64(key.ptr, key.len, 0);
    const struct tri_map_slot *slot = find(map->slots, map->n_slots, key, hash);
    if (!slot->key.ptr) return false;
    *value = slot->value;
    return true;
}
