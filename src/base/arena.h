/* arena.h - memory by lifetime: allocate piecemeal, free at once.
 *
 * One thread at a time.  Allocation failure returns NULL only past the arena's limit or when the
 * system has no memory. */
#ifndef TRI_BASE_ARENA_H
#define TRI_BASE_ARENA_H

#include <stdarg.h>

#include "base/status.h"

typedef struct tri_arena {
    struct tri_arena_chunk *chunks; /* newest first */
    size_t used_bytes;              /* over all chunks */
    size_t limit_bytes;             /* 0: none */
} tri_arena;

void tri_arena_init(tri_arena *arena, size_t limit_bytes);
void tri_arena_deinit(tri_arena *arena); /* frees everything; the arena may be used again */

/* Zeroed, aligned to 16 (or `align`, a power of two <= 4096).  NULL on failure or overflow. */
void *tri_arena_alloc(tri_arena *arena, size_t n_bytes);
void *tri_arena_alloc_aligned(tri_arena *arena, size_t n_bytes, size_t align);
void *tri_arena_array(tri_arena *arena, size_t n, size_t elem_bytes); /* checks n * elem_bytes */
char *tri_arena_strdup(tri_arena *arena, const char *text);
char *tri_arena_strndup(tri_arena *arena, const char *text, size_t n); /* adds the NUL */
char *tri_arena_printf(tri_arena *arena, const char *format, ...) TRI_PRINTF(2, 3);

#define TRI_NEW(arena, type) ((type *)tri_arena_alloc((arena), sizeof(type)))
#define TRI_NEW_N(arena, type, n) ((type *)tri_arena_array((arena), (size_t)(n), sizeof(type)))

#endif
