#include <stdlib.h>
#include <string.h>

#include "text/regex_program.h"

enum { SIGNATURE_BYTES = TRI_REGEX_MAX_SETS / 8 };

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Where some set starts or has ended, sorted, 0 first. */
static uint32_t *boundaries(const tri_ast *ast, int32_t *n_out) {
    size_t n = 1;
    for (int32_t i = 0; i < ast->n_sets; i++)
        n += 2 * (size_t)ast->sets[i].codes.n;
    uint32_t *cuts = TRI_NEW_N(ast->arena, uint32_t, n);
    if (!cuts) return NULL;
    n = 1; /* cuts[0] = 0 */
    for (int32_t i = 0; i < ast->n_sets; i++) {
        const tri_code_set *set = &ast->sets[i].codes;
        for (int32_t k = 0; k < set->n; k++) {
            cuts[n++] = set->ranges[k].first;
            if (set->ranges[k].last < TRI_CODE_MAX) cuts[n++] = set->ranges[k].last + 1;
        }
    }
    qsort(cuts, n, sizeof *cuts, by_value);
    size_t unique = 1;
    for (size_t i = 1; i < n; i++)
        if (cuts[i] != cuts[unique - 1]) cuts[unique++] = cuts[i];
    *n_out = (int32_t)unique;
    return cuts;
}

/* Gives every interval between cuts its symbol. */
static tri_status number(tri_symbols *s, const tri_ast *ast, const uint32_t *cuts, int32_t n_cuts,
    uint8_t *symbol_of_cut) {
    size_t n_bytes = ((size_t)ast->n_sets + 7) / 8;
    if (n_bytes == 0) n_bytes = 1;
    uint8_t(*signatures)[SIGNATURE_BYTES] =
        tri_arena_array(ast->arena, TRI_REGEX_MAX_SYMBOLS, SIGNATURE_BYTES);
    int32_t *at = TRI_NEW_N(ast->arena, int32_t, ast->n_sets + 1);
    s->member = tri_arena_array(ast->arena, (size_t)ast->n_sets + 1, 256);
    if (!signatures || !at || !s->member)
        return TRI_FAIL(ast->err, TRI_E_LIMIT, "the expression needs too much memory");
    for (int32_t i = 0; i < n_cuts; i++) {
        uint8_t signature[SIGNATURE_BYTES] = {0};
        for (int32_t k = 0; k < ast->n_sets; k++) {
            const tri_code_set *set = &ast->sets[k].codes;
            while (at[k] < set->n && set->ranges[at[k]].last < cuts[i])
                at[k]++;
            if (at[k] < set->n && set->ranges[at[k]].first <= cuts[i])
                signature[k / 8] |= (uint8_t)(1u << (k % 8));
        }
        int32_t symbol = 0;
        while (symbol < s->n && memcmp(signatures[symbol], signature, n_bytes) != 0)
            symbol++;
        if (symbol == s->n) {
            if (s->n == TRI_REGEX_MAX_SYMBOLS)
                return TRI_FAIL(ast->err, TRI_E_LIMIT, "more than %d kinds of characters to tell",
                    (int)TRI_REGEX_MAX_SYMBOLS);
            memcpy(signatures[s->n++], signature, n_bytes);
            for (int32_t k = 0; k < ast->n_sets; k++)
                s->member[256 * (size_t)k + (size_t)symbol] = signature[k / 8] >> (k % 8) & 1;
        }
        symbol_of_cut[i] = (uint8_t)symbol;
    }
    for (int32_t k = 0; k < ast->n_sets; k++)
        s->member[256 * (size_t)k + (size_t)s->n] = ast->sets[k].edge;
    return TRI_OK;
}

static uint8_t symbol_of(const uint32_t *cuts, int32_t n_cuts, const uint8_t *symbols, uint32_t c) {
    int32_t low = 0, high = n_cuts;
    while (high - low > 1) {
        int32_t middle = low + (high - low) / 2;
        if (cuts[middle] <= c) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return symbols[low];
}

/* Blocks of one symbol are shared. */
static tri_status fill_tables(
    tri_symbols *s, const tri_ast *ast, const uint32_t *cuts, int32_t n_cuts, const uint8_t *of) {
    enum { N_BLOCKS = (TRI_CODE_MAX + 1) >> 8 };
    int32_t uniform[256];
    memset(uniform, 0xFF, sizeof uniform);
    size_t n_blocks = (size_t)s->n;
    for (int32_t i = 1; i < n_cuts; i++) /* at most one mixed block a cut */
        if ((cuts[i] & 0xFF) && (cuts[i] >> 8 != cuts[i - 1] >> 8 || !(cuts[i - 1] & 0xFF)))
            n_blocks++;
    s->blocks = tri_arena_array(ast->arena, n_blocks, 256);
    if (!s->blocks) return TRI_FAIL(ast->err, TRI_E_LIMIT, "the expression needs too much memory");

    uint16_t n = 0;
    int32_t cut = 0;
    for (uint32_t b = 0; b < N_BLOCKS; b++) {
        uint32_t first = b << 8;
        while (cut + 1 < n_cuts && cuts[cut + 1] <= first)
            cut++;
        bool mixed = cut + 1 < n_cuts && cuts[cut + 1] <= (first | 0xFF);
        if (!mixed && uniform[of[cut]] >= 0) {
            s->block[b] = (uint16_t)uniform[of[cut]];
            continue;
        }
        if (!mixed) uniform[of[cut]] = n;
        s->block[b] = n;
        uint8_t *out = s->blocks + ((size_t)n++ << 8);
        for (uint32_t i = 0; i < 256; i++) {
            while (cut + 1 < n_cuts && cuts[cut + 1] <= (first | i))
                cut++;
            out[i] = of[cut];
        }
    }
    for (uint32_t c = 0; c < 128; c++)
        s->ascii[c] = symbol_of(cuts, n_cuts, of, c);
    for (uint32_t c = 0; c < 2048; c++)
        s->two_bytes[c] = symbol_of(cuts, n_cuts, of, c);
    return TRI_OK;
}

tri_status tri_symbols_build(tri_symbols *symbols, const tri_ast *ast) {
    int32_t n_cuts = 0;
    uint32_t *cuts = boundaries(ast, &n_cuts);
    uint8_t *of = cuts ? TRI_NEW_N(ast->arena, uint8_t, n_cuts) : NULL;
    if (!of) return TRI_FAIL(ast->err, TRI_E_LIMIT, "the expression needs too much memory");
    TRI_TRY(number(symbols, ast, cuts, n_cuts, of));
    return fill_tables(symbols, ast, cuts, n_cuts, of);
}
