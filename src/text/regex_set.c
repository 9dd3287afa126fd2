#include "text/regex_set.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/unicode.h"

void tri_code_set_add(tri_code_set *set, uint32_t first, uint32_t last, tri_arena *arena) {
    if (set->failed) return;
    if (set->n == set->cap) {
        int32_t cap = set->cap ? 2 * set->cap : 8;
        tri_code_range *grown = TRI_NEW_N(arena, tri_code_range, cap);
        if (!grown) {
            set->failed = true;
            return;
        }
        if (set->n) memcpy(grown, set->ranges, (size_t)set->n * sizeof *grown);
        set->ranges = grown;
        set->cap = cap;
    }
    set->ranges[set->n++] = (tri_code_range){first, last};
}

void tri_code_set_add_set(tri_code_set *set, const tri_code_set *other, tri_arena *arena) {
    set->failed |= other->failed;
    for (int32_t i = 0; i < other->n; i++)
        tri_code_set_add(set, other->ranges[i].first, other->ranges[i].last, arena);
}

static int by_first(const void *a, const void *b) {
    const tri_code_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

void tri_code_set_normalize(tri_code_set *set) {
    if (set->n < 2) return;
    tri_code_range *r = set->ranges;
    bool sorted = true;
    for (int32_t i = 1; i < set->n && sorted; i++)
        sorted = r[i].first > r[i - 1].last + 1;
    if (sorted) return;
    qsort(r, (size_t)set->n, sizeof *r, by_first);
    int32_t n = 1;
    for (int32_t i = 1; i < set->n; i++) {
        if (r[i].first > r[n - 1].last + 1) {
            r[n++] = r[i];
        } else if (r[i].last > r[n - 1].last) {
            r[n - 1].last = r[i].last;
        }
    }
    set->n = n;
}

void tri_code_set_negate(tri_code_set *set, tri_arena *arena) {
    tri_code_set out = {.failed = set->failed};
    uint32_t next = 0;
    for (int32_t i = 0; i < set->n; i++) {
        if (set->ranges[i].first > next)
            tri_code_set_add(&out, next, set->ranges[i].first - 1, arena);
        next = set->ranges[i].last + 1;
    }
    if (next <= TRI_CODE_MAX) tri_code_set_add(&out, next, TRI_CODE_MAX, arena);
    *set = out;
}

void tri_code_set_intersect(tri_code_set *set, const tri_code_set *other, tri_arena *arena) {
    tri_code_set out = {.failed = set->failed || other->failed};
    for (int32_t i = 0, j = 0; i < set->n && j < other->n;) {
        tri_code_range a = set->ranges[i], b = other->ranges[j];
        uint32_t first = a.first > b.first ? a.first : b.first;
        uint32_t last = a.last < b.last ? a.last : b.last;
        if (first <= last) tri_code_set_add(&out, first, last, arena);
        if (a.last < b.last) {
            i++;
        } else {
            j++;
        }
    }
    *set = out;
}

bool tri_code_set_equal(const tri_code_set *a, const tri_code_set *b) {
    return a->n == b->n &&
           (a->n == 0 || memcmp(a->ranges, b->ranges, (size_t)a->n * sizeof *a->ranges) == 0);
}

bool tri_code_set_has(const tri_code_set *set, uint32_t code) {
    int32_t low = 0, high = set->n;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < set->n && set->ranges[low].first <= code;
}

/* Simple case folding (CaseFolding.txt, status C and S): the full one where it is a single code
 * point, else the lower case. */
static uint32_t fold(uint32_t c) {
    if (c == 0x130) return c; /* folds in Turkic only */
    utf8proc_int32_t out[8];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, out, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n == 1) return (uint32_t)out[0];
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

static int by_folded(const void *a, const void *b) {
    const tri_fold_pair *x = a, *y = b;
    return (x->folded > y->folded) - (x->folded < y->folded);
}

enum { MAX_PAIRS = 4096 };

static void add_pairs(tri_fold_table *table, uint32_t first, uint32_t last) {
    for (uint32_t c = first; c <= last; c++) {
        uint32_t f = fold(c);
        if (f == c || table->n + 2 > MAX_PAIRS) continue;
        table->pairs[table->n++] = (tri_fold_pair){f, c};
        table->pairs[table->n++] = (tri_fold_pair){f, f};
    }
}

static bool make_pairs(tri_fold_table *table, tri_arena *arena) {
    const uint32_t cased = 1u << TRI_LU | 1u << TRI_LL | 1u << TRI_LT | 1u << TRI_NL;
    table->pairs = TRI_NEW_N(arena, tri_fold_pair, MAX_PAIRS);
    if (!table->pairs) return false;
    for (int32_t i = 0; i < tri_n_category_runs; i++)
        if (cased >> (tri_category_runs[i] & 0xFF) & 1)
            add_pairs(table, tri_category_runs[i] >> 8, (tri_category_runs[i + 1] >> 8) - 1);
    add_pairs(table, 0x345, 0x345);   /* a mark that is a small iota */
    add_pairs(table, 0x24B6, 0x24E9); /* circled letters */
    qsort(table->pairs, (size_t)table->n, sizeof *table->pairs, by_folded);
    return true;
}

void tri_code_set_fold(tri_code_set *set, tri_fold_table *table, tri_arena *arena) {
    if (!table->pairs && !make_pairs(table, arena)) {
        set->failed = true;
        return;
    }
    const tri_fold_pair *pairs = table->pairs;
    tri_code_set out = {0};
    tri_code_set_add_set(&out, set, arena);
    for (int32_t i = 0, end; i < table->n; i = end) {
        bool any = false;
        for (end = i; end < table->n && pairs[end].folded == pairs[i].folded; end++)
            any |= tri_code_set_has(set, pairs[end].code);
        if (any) tri_code_set_add(&out, pairs[i].folded, pairs[i].folded, arena);
        for (int32_t k = i; k < end && any; k++)
            if (!tri_code_set_has(set, pairs[k].code))
                tri_code_set_add(&out, pairs[k].code, pairs[k].code, arena);
    }
    tri_code_set_normalize(&out);
    *set = out;
}
