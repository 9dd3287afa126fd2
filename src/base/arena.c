#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#    define ARENA_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define ARENA_ASAN 1
#    endif
#endif
#ifdef ARENA_ASAN
#    include <sanitizer/asan_interface.h>
#else
#    define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#    define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

enum { ARENA_ALIGN = 16, ARENA_CHUNK_MIN = 4096, ARENA_CHUNK_MAX = 1 << 20, ARENA_GAP = 8 };

/* Zeroed by calloc when made; memory is handed out once, so it is zero still. */
struct tri_arena_chunk {
    struct tri_arena_chunk *next;
    size_t n_bytes, used;
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

void tri_arena_init(tri_arena *arena, size_t limit_bytes) {
    *arena = (tri_arena){.limit_bytes = limit_bytes};
}

void tri_arena_deinit(tri_arena *arena) {
    for (struct tri_arena_chunk *c = arena->chunks, *next; c; c = next) {
        next = c->next;
        ASAN_UNPOISON_MEMORY_REGION(c->data, c->n_bytes);
        free(c);
    }
    *arena = (tri_arena){.limit_bytes = arena->limit_bytes};
}

/* A chunk with room for n bytes at any offset of `align`; a large one goes behind the current chunk
 * so that the rest of that one stays in use. */
static struct tri_arena_chunk *add_chunk(tri_arena *arena, size_t n, size_t align) {
    struct tri_arena_chunk *head = arena->chunks;
    size_t n_bytes = head ? head->n_bytes * 2 : ARENA_CHUNK_MIN;
    if (n_bytes > ARENA_CHUNK_MAX) n_bytes = ARENA_CHUNK_MAX;
    size_t need;
    if (__builtin_add_overflow(n, align, &need)) return NULL;
    bool apart = head && need > n_bytes / 4;
    if (apart || need > n_bytes) n_bytes = need;
    size_t total;
    if (__builtin_add_overflow(n_bytes, sizeof(struct tri_arena_chunk), &total)) return NULL;
    struct tri_arena_chunk *chunk = calloc(1, total);
    if (!chunk) return NULL;
    chunk->n_bytes = n_bytes;
    ASAN_POISON_MEMORY_REGION(chunk->data, n_bytes);
    if (apart) {
        chunk->next = head->next;
        head->next = chunk;
    } else {
        chunk->next = head;
        arena->chunks = chunk;
    }
    return chunk;
}

static void *take(struct tri_arena_chunk *chunk, size_t n, size_t align) {
    uintptr_t base = (uintptr_t)chunk->data;
    size_t start = (size_t)(((base + chunk->used + align - 1) & ~(uintptr_t)(align - 1)) - base);
    if (start > chunk->n_bytes || n > chunk->n_bytes - start) return NULL;
    chunk->used = start + n;
#ifdef ARENA_ASAN
    /* A gap after each piece, so that running past its end is seen. */
    if (chunk->n_bytes - chunk->used >= ARENA_GAP) chunk->used += ARENA_GAP;
#endif
    ASAN_UNPOISON_MEMORY_REGION(chunk->data + start, n);
    return chunk->data + start;
}

void *tri_arena_alloc_aligned(tri_arena *arena, size_t n_bytes, size_t align) {
    TRI_ASSERT(align && align <= 4096 && (align & (align - 1)) == 0);
    size_t used;
    if (__builtin_add_overflow(arena->used_bytes, n_bytes, &used)) return NULL;
    if (arena->limit_bytes && used > arena->limit_bytes) return NULL;
    void *at = arena->chunks ? take(arena->chunks, n_bytes, align) : NULL;
    if (!at) {
        struct tri_arena_chunk *chunk = add_chunk(arena, n_bytes, align);
        at = chunk ? take(chunk, n_bytes, align) : NULL;
    }
    if (at) arena->used_bytes = used;
    return at;
}

void *tri_arena_alloc(tri_arena *arena, size_t n_bytes) {
    return tri_arena_alloc_aligned(arena, n_bytes, ARENA_ALIGN);
}

void *tri_arena_array(tri_arena *arena, size_t n, size_t elem_bytes) {
    size_t n_bytes;
    if (__builtin_mul_overflow(n, elem_bytes, &n_bytes)) return NULL;
    return tri_arena_alloc(arena, n_bytes);
}

char *tri_arena_strndup(tri_arena *arena, const char *text, size_t n) {
    size_t n_bytes;
    if (__builtin_add_overflow(n, 1, &n_bytes)) return NULL;
    char *copy = tri_arena_alloc_aligned(arena, n_bytes, 1);
    if (copy && n) memcpy(copy, text, n);
    return copy;
}

char *tri_arena_strdup(tri_arena *arena, const char *text) {
    return tri_arena_strndup(arena, text, strlen(text));
}

char *tri_arena_printf(tri_arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : tri_arena_alloc_aligned(arena, (size_t)n + 1, 1);
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
