#include "text/added.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

enum { ALL = TRI_ADDED_VOUCHED + 1 };

typedef struct node {
    int32_t first_child, n_children; /* children are neighbours, by byte */
    int32_t token;                   /* index of the token that ends here, -1: none */
    uint8_t byte;
} node;

typedef struct trie {
    node *nodes; /* NULL: no tokens */
    int32_t n_nodes;
    int32_t root_child[256]; /* -1: none */
} trie;

struct tri_added_index {
    const tri_added_token *added;
    trie tries[4]; /* by pass; the last holds every token as it is written */
};

/* ---- building ---- */

typedef struct key {
    tri_str text;
    int32_t token;
} key;

static int by_text(const void *x, const void *y) {
    const key *a = x, *b = y;
    size_t n = a->text.len < b->text.len ? a->text.len : b->text.len;
    int order = memcmp(a->text.ptr, b->text.ptr, n);
    if (order) return order;
    if (a->text.len != b->text.len) return a->text.len < b->text.len ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

typedef struct range { /* keys [first, last) share the path to node `at`, `depth` bytes */
    int32_t first, last, at, depth;
} range;

/* Breadth first, so that a node's children are neighbours. */
static tri_status build(trie *t, const key *keys, int32_t n, tri_arena *arena, tri_error *err) {
    size_t n_bytes = 1;
    for (int32_t i = 0; i < n; i++)
        n_bytes += keys[i].text.len;
    for (int i = 0; i < 256; i++)
        t->root_child[i] = -1;
    if (n == 0) return TRI_OK;
    if (n_bytes > INT32_MAX / 2) {
        return TRI_FAIL(err, TRI_E_LIMIT, "%zu bytes of added tokens", n_bytes);
    }
    t->nodes = TRI_NEW_N(arena, node, n_bytes);
    range *queue = calloc(n_bytes, sizeof *queue);
    if (!t->nodes || !queue) {
        free(queue);
        return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d added tokens", n);
    }
    int32_t n_queued = 1;
    t->n_nodes = 1;
    t->nodes[0].token = -1;
    queue[0] = (range){0, n, 0, 0};
    for (int32_t done = 0; done < n_queued; done++) {
        range r = queue[done];
        while (r.first < r.last && keys[r.first].text.len == (size_t)r.depth) {
            node *here = &t->nodes[r.at];
            if (here->token < 0) here->token = keys[r.first].token; /* the first of equals */
            r.first++;
        }
        t->nodes[r.at].first_child = t->n_nodes;
        while (r.first < r.last) {
            uint8_t byte = (uint8_t)keys[r.first].text.ptr[r.depth];
            int32_t last = r.first;
            while (last < r.last && (uint8_t)keys[last].text.ptr[r.depth] == byte)
                last++;
            int32_t child = t->n_nodes++;
            t->nodes[child] = (node){.token = -1, .byte = byte};
            t->nodes[r.at].n_children++;
            if (r.at == 0) t->root_child[byte] = child;
            queue[n_queued++] = (range){r.first, last, child, r.depth + 1};
            r.first = last;
        }
    }
    free(queue);
    return TRI_OK;
}

tri_status tri_added_index_create(tri_added_index **index, const tri_added_token *added, int32_t n,
    const tri_str *normalized, tri_arena *arena, tri_error *err) {
    tri_added_index *x = TRI_NEW(arena, tri_added_index);
    key *keys = calloc((size_t)n + 1, sizeof *keys);
    tri_status rc = TRI_OK;
    if (!x || !keys) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d added tokens", n);
        goto done;
    }
    x->added = added;
    for (int pass = TRI_ADDED_RAW; pass <= ALL && !rc; pass++) {
        int32_t n_keys = 0;
        for (int32_t i = 0; i < n; i++) {
            bool wanted = pass == TRI_ADDED_NORMALIZED ? added[i].normalized
                          : pass == TRI_ADDED_RAW      ? !added[i].normalized
                          : pass == ALL                ? true
                                                       : !added[i].normalized || added[i].special;
            tri_str text = pass == TRI_ADDED_NORMALIZED ? normalized[i] : added[i].text;
            if (wanted && text.len) keys[n_keys++] = (key){text, i};
            if (wanted && text.len > TRI_ADDED_MAX_BYTES) {
                rc = TRI_FAIL(err, TRI_E_LIMIT, "added token %d has %zu bytes; at most %d",
                    added[i].id, text.len, TRI_ADDED_MAX_BYTES);
                goto done;
            }
        }
        if (n_keys) qsort(keys, (size_t)n_keys, sizeof *keys, by_text);
        rc = build(&x->tries[pass], keys, n_keys, arena, err);
    }
    if (!rc) *index = x;

done:
    free(keys);
    return rc;
}

/* ---- matching ---- */

static int32_t child_of(const trie *t, int32_t at, uint8_t byte) {
    const node *n = &t->nodes[at];
    int32_t low = n->first_child, high = low + n->n_children;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (t->nodes[middle].byte < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n->first_child + n->n_children && t->nodes[low].byte == byte ? low : -1;
}

/* The longest token at the start of text: its index and length, or -1. */
static int32_t longest(const trie *t, tri_str text, size_t *length) {
    int32_t found = -1;
    int32_t at = t->root_child[(uint8_t)text.ptr[0]];
    for (size_t i = 1; at >= 0; i++) {
        if (t->nodes[at].token >= 0) {
            found = t->nodes[at].token;
            *length = i;
        }
        if (i == text.len) break;
        at = child_of(t, at, (uint8_t)text.ptr[i]);
    }
    return found;
}

static bool in_plain(const tri_added_request *r, size_t begin, size_t end, int32_t *at) {
    while (*at < r->n_plain && r->plain[*at].end <= begin)
        ++*at;
    return *at < r->n_plain && r->plain[*at].begin < end && r->plain[*at].begin < r->plain[*at].end;
}

static bool word_before(tri_str text, size_t at) {
    if (at == 0) return false;
    size_t n;
    return tri_unicode_is_word(tri_utf8_get(text.ptr + tri_utf8_before(text.ptr, at), &n));
}

static bool word_after(tri_str text, size_t at) {
    size_t n;
    return at < text.len && tri_unicode_is_word(tri_utf8_get(text.ptr + at, &n));
}

static size_t spaces_before(tri_str text, size_t at, size_t floor) {
    while (at > floor) {
        size_t n, before = tri_utf8_before(text.ptr, at);
        if (!tri_unicode_is_space(tri_utf8_get(text.ptr + before, &n))) break;
        at = before;
    }
    return at;
}

static size_t spaces_after(tri_str text, size_t at) {
    for (size_t n; at < text.len; at += n) {
        if (!tri_unicode_is_space(tri_utf8_get(text.ptr + at, &n))) break;
    }
    return at;
}

static void put(tri_buf *cuts, size_t begin, size_t end, int32_t id) {
    if (begin >= end) return;
    tri_added_cut cut = {begin, end, id};
    tri_buf_append(cuts, &cut, sizeof cut);
}

/* As find_matches of Hugging Face's added_vocabulary.rs: a match that is refused is passed over all
 * the same, and white space that one token swallowed may be a token itself. */
tri_status tri_added_split(const tri_added_index *index, const tri_added_request *request,
    tri_str text, tri_buf *cuts, tri_error *err) {
    const trie *t = &index->tries[request->pass];
    size_t from = 0, spaces_end = 0;
    int32_t plain = 0;
    for (size_t at = 0; t->nodes && at < text.len;) {
        size_t length = 0;
        if (t->root_child[(uint8_t)text.ptr[at]] < 0) {
            at++;
            continue;
        }
        int32_t i = longest(t, (tri_str){text.ptr + at, text.len - at}, &length);
        if (i < 0) {
            at++;
            continue;
        }
        const tri_added_token *a = &index->added[i];
        size_t begin = at, end = at + length;
        at = end;
        if (a->special && (!request->parse_special || in_plain(request, begin, end, &plain))) {
            continue;
        }
        if (a->single_word && (word_before(text, begin) || word_after(text, end))) continue;
        if (a->lstrip) begin = begin > from ? spaces_before(text, begin, from) : from;
        if (a->rstrip) {
            if (end >= spaces_end) spaces_end = spaces_after(text, end);
            end = spaces_end;
        }
        put(cuts, from, begin, -1);
        put(cuts, begin, end, a->id);
        from = end;
    }
    put(cuts, from, text.len, -1);
    return tri_buf_status(cuts, err);
}

bool tri_added_may_match(const tri_added_index *index, tri_added_pass pass) {
    return index->tries[pass].nodes != NULL;
}

int32_t tri_added_find(const tri_added_index *index, tri_str text) {
    const trie *t = &index->tries[ALL];
    size_t length;
    if (!t->nodes || !text.len) return -1;
    int32_t i = longest(t, text, &length);
    return i >= 0 && length == text.len ? i : -1;
}
