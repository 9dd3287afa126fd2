#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

typedef struct tri_bpe_node {   /* a symbol of the word, in a doubly linked list */
    int32_t id, previous, next; /* -1: none; id -1: merged away */
} tri_bpe_node;

typedef struct tri_bpe_candidate { /* a merge that could be done, cheapest rank first, then leftmost
                                    */
    int32_t rank, at, left, right, merged; /* ids, to see whether it is still there */
} tri_bpe_candidate;

/* ---- table ---- */

tri_status tri_bpe_init(
    tri_bpe *bpe, int32_t n_pieces, int32_t n_merges, tri_arena *arena, tri_error *err) {
    tri_bpe b = {.n_pieces = n_pieces, .n_merge_slots = 16};
    while (b.n_merge_slots < (size_t)n_merges * 2)
        b.n_merge_slots *= 2;
    b.pieces = TRI_NEW_N(arena, tri_str, n_pieces);
    b.merges = TRI_NEW_N(arena, tri_bpe_merge, b.n_merge_slots);
    if (!b.pieces || !b.merges) {
        return TRI_FAIL(
            err, TRI_E_MEMORY, "no memory for %d pieces and %d merges", n_pieces, n_merges);
    }
    for (size_t i = 0; i < b.n_merge_slots; i++)
        b.merges[i].rank = -1;
    TRI_TRY(tri_map_reserve(&b.ids, (size_t)n_pieces, err));
    *bpe = b;
    return TRI_OK;
}

void tri_bpe_deinit(tri_bpe *bpe) {
    tri_map_deinit(&bpe->ids);
}

tri_status tri_bpe_set_piece(tri_bpe *bpe, int32_t id, tri_str piece, tri_error *err) {
    TRI_ASSERT(id >= 0 && id < bpe->n_pieces);
    int64_t other;
    bpe->pieces[id] = piece;
    if (piece.len == 0 || tri_map_get(&bpe->ids, piece, &other)) return TRI_OK;
    return tri_map_put(&bpe->ids, piece, id, err);
}

static int32_t find_piece(const tri_bpe *bpe, tri_str piece) {
    int64_t id;
    return tri_map_get(&bpe->ids, piece, &id) ? (int32_t)id : -1;
}

void tri_bpe_find_bytes(tri_bpe *bpe) {
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        bpe->byte_ids[i] = find_piece(bpe, (tri_str){&byte, 1});
    }
}

static size_t merge_slot(const tri_bpe *bpe, uint64_t pair) {
    size_t mask = bpe->n_merge_slots - 1, at = (size_t)((pair * 0x9E3779B97F4A7C15u) >> 20) & mask;
    while (bpe->merges[at].rank >= 0 && bpe->merges[at].pair != pair)
        at = (at + 1) & mask;
    return at;
}

static uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

bool tri_bpe_add_merge(tri_bpe *bpe, int32_t rank, tri_str left, tri_str right) {
    char joined[1024];
    if (left.len + right.len > sizeof joined) return false;
    memcpy(joined, left.ptr, left.len);
    memcpy(joined + left.len, right.ptr, right.len);
    int32_t l = find_piece(bpe, left), r = find_piece(bpe, right);
    int32_t id = find_piece(bpe, (tri_str){joined, left.len + right.len});
    if (l < 0 || r < 0 || id < 0) return false;
    tri_bpe_merge *slot = &bpe->merges[merge_slot(bpe, pair_of(l, r))];
    if (slot->rank < 0) *slot = (tri_bpe_merge){pair_of(l, r), rank, id};
    return true;
}

/* ---- merging ---- */

void tri_bpe_scratch_deinit(tri_bpe_scratch *scratch) {
    free(scratch->nodes);
    free(scratch->heap);
    *scratch = (tri_bpe_scratch){0};
}

static tri_status reserve(tri_bpe_scratch *s, size_t n, tri_error *err) {
    if (n <= s->cap) return TRI_OK;
    if (n > INT32_MAX / 4) {
        return TRI_FAIL(err, TRI_E_LIMIT, "a word of %zu bytes; at most %d", n, INT32_MAX / 4);
    }
    size_t cap = s->cap ? s->cap : 64;
    while (cap < n)
        cap *= 2;
    tri_bpe_node *nodes = realloc(s->nodes, cap * sizeof *nodes);
    if (nodes) s->nodes = nodes;
    /* Each of the n - 1 first pairs, and two more for each of the n - 1 merges at most. */
    tri_bpe_candidate *heap = realloc(s->heap, cap * 3 * sizeof *heap);
    if (heap) s->heap = heap;
    if (!nodes || !heap) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for a word of %zu bytes", n);
    s->cap = cap;
    return TRI_OK;
}

static bool comes_first(const tri_bpe_candidate *a, const tri_bpe_candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(tri_bpe_candidate *heap, size_t *n, tri_bpe_candidate c) {
    size_t i = (*n)++;
    while (i > 0 && comes_first(&c, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = c;
}

static tri_bpe_candidate heap_pop(tri_bpe_candidate *heap, size_t *n) {
    tri_bpe_candidate top = heap[0], last = heap[--*n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && comes_first(&heap[child + 1], &heap[child])) child++;
        if (!comes_first(&heap[child], &last)) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

static void consider(const tri_bpe *bpe, tri_bpe_scratch *s, size_t *n_heap, int32_t left) {
    const tri_bpe_node *l = &s->nodes[left];
    if (l->next < 0) return;
    const tri_bpe_node *r = &s->nodes[l->next];
    const tri_bpe_merge *m = &bpe->merges[merge_slot(bpe, pair_of(l->id, r->id))];
    if (m->rank < 0) return;
    heap_push(s->heap, n_heap, (tri_bpe_candidate){m->rank, left, l->id, r->id, m->id});
}

tri_status tri_bpe_encode(
    const tri_bpe *bpe, tri_bpe_scratch *s, tri_str word, tri_buf *out, tri_error *err) {
    if (bpe->ignore_merges || word.len == 1) {
        int32_t id = find_piece(bpe, word);
        if (id >= 0) {
            tri_buf_append(out, &id, sizeof id);
            return TRI_OK;
        }
    }
    TRI_TRY(reserve(s, word.len, err));
    int32_t n = 0;
    for (size_t i = 0; i < word.len; i++) {
        int32_t id = bpe->byte_ids[(uint8_t)word.ptr[i]];
        if (id < 0)
            continue; /* a byte the vocabulary lacks is dropped, as without unk_token elsewhere */
        s->nodes[n] = (tri_bpe_node){id, n - 1, n + 1};
        n++;
    }
    if (n == 0) return TRI_OK;
    s->nodes[n - 1].next = -1;
    size_t n_heap = 0;
    for (int32_t i = 0; i + 1 < n; i++)
        consider(bpe, s, &n_heap, i);
    while (n_heap) {
        tri_bpe_candidate c = heap_pop(s->heap, &n_heap);
        tri_bpe_node *left = &s->nodes[c.at];
        if (left->id != c.left || left->next < 0 || s->nodes[left->next].id != c.right) continue;
        tri_bpe_node *right = &s->nodes[left->next];
        right->id = -1;
        left->id = c.merged;
        left->next = right->next;
        if (left->next >= 0) s->nodes[left->next].previous = c.at;
        if (left->previous >= 0) consider(bpe, s, &n_heap, left->previous);
        consider(bpe, s, &n_heap, c.at);
    }
    for (int32_t i = 0; i >= 0; i = s->nodes[i].next) {
        tri_buf_append(out, &s->nodes[i].id, sizeof(int32_t));
    }
    return TRI_OK;
}
