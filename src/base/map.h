/* map.h - string keys to int64 values, open addressing, xxHash.
 *
 * Keys are borrowed: they must outlive the map. */
#ifndef TRI_BASE_MAP_H
#define TRI_BASE_MAP_H

#include "base/buf.h"

typedef struct tri_map {
    struct tri_map_slot *slots;
    size_t n_slots, n_used;
} tri_map;

void tri_map_deinit(tri_map *map);
/* Room for n entries without growing. */
tri_status tri_map_reserve(tri_map *map, size_t n, tri_error *err);
/* Adds or replaces.  TRI_E_MEMORY at most. */
tri_status tri_map_put(tri_map *map, tri_str key, int64_t value, tri_error *err);
bool tri_map_get(const tri_map *map, tri_str key, int64_t *value); /* false: absent */

uint64_t tri_hash64(const void *bytes, size_t n, uint64_t seed); /* XXH3, 64 bit */

#endif
