/* Random vocabularies with equal scores, unused and user-defined pieces, against the definition
 * taken at its word: join the best pair of the whole text, leftmost of equals, until none is left;
 * then take unused pieces apart again; the
 * code under test goes by windows of a few symbols.  (Exactness with the package itself:
 * vocabularies_test.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/spm_bpe.h"
#include "text/unigram.h"

enum { N_PIECES = 24, MAX_TEXT = 40, MAX_IDS = 64 };

typedef struct vocabulary {
    tri_str pieces[N_PIECES];
    float scores[N_PIECES];
    uint8_t types[N_PIECES];
    char bytes[N_PIECES][8];
    int32_t split[N_PIECES]; /* of unused pieces: bytes of the left part seen last */
} vocabulary;

static uint32_t next(uint32_t *random) {
    *random ^= *random << 13, *random ^= *random >> 17, *random ^= *random << 5;
    return *random;
}

static int32_t find(const vocabulary *v, tri_str piece) {
    for (int32_t i = 1; i < N_PIECES; i++)
        if (tri_str_equal(v->pieces[i], piece)) return i;
    return -1;
}

/* Letters a, b, c are pieces, d is none; U+2581 is two symbols of the game: one character. */
static void make(vocabulary *v, uint32_t *random, bool any_unused) {
    static const char *const parts[] = {"a", "b", "c", "\xE2\x96\x81"};
    v->pieces[0] = TRI_STR("<unk>");
    v->types[0] = TRI_PIECE_UNKNOWN;
    v->scores[0] = 0;
    for (int32_t i = 1; i < N_PIECES; i++)
        v->pieces[i] = (tri_str){0};
    for (int32_t i = 1; i < N_PIECES; i++) {
        do {
            v->bytes[i][0] = '\0';
            if (i <= 4) {
                strcpy(v->bytes[i], parts[i - 1]);
            } else {
                for (uint32_t k = 2 + next(random) % 3; k > 0 && strlen(v->bytes[i]) < 5; k--)
                    strcat(v->bytes[i], parts[next(random) % 4]);
            }
        } while (find(v, tri_str_of(v->bytes[i])) >= 0);
        v->pieces[i] = tri_str_of(v->bytes[i]);
        v->scores[i] = -(float)(next(random) % 6);
        v->types[i] = TRI_PIECE_NORMAL;
        if (i > 4 && any_unused && next(random) % 4 == 0) v->types[i] = TRI_PIECE_UNUSED;
        if (i > 4 && next(random) % 10 == 0) v->types[i] = TRI_PIECE_USER_DEFINED;
    }
}

typedef struct symbol {
    tri_str text;
    bool frozen;
} symbol;

static tri_str joined(const symbol *s) {
    return (tri_str){s[0].text.ptr, s[0].text.len + s[1].text.len};
}

static int32_t split_text(const vocabulary *v, tri_str text, symbol *symbols) {
    int32_t n = 0;
    for (size_t at = 0; at < text.len;) {
        size_t length = (uint8_t)text.ptr[at] == 0xE2 ? 3 : 1, longest = 0;
        for (int32_t i = 1; i < N_PIECES; i++) {
            tri_str p = v->pieces[i];
            if (v->types[i] != TRI_PIECE_USER_DEFINED || p.len > text.len - at) continue;
            if (p.len > longest && !memcmp(p.ptr, text.ptr + at, p.len)) longest = p.len;
        }
        if (longest) length = longest;
        symbols[n++] = (symbol){{text.ptr + at, length}, longest > 0};
        at += length;
    }
    return n;
}

static void emit(const vocabulary *v, tri_str text, int32_t *ids, int32_t *n, bool *unknown) {
    int32_t id = find(v, text);
    if (id >= 0 && v->types[id] == TRI_PIECE_UNUSED && v->split[id]) {
        size_t left = (size_t)v->split[id];
        emit(v, (tri_str){text.ptr, left}, ids, n, unknown);
        emit(v, (tri_str){text.ptr + left, text.len - left}, ids, n, unknown);
        return;
    }
    if (id >= 0 || !*unknown) ids[(*n)++] = id >= 0 ? id : 0;
    *unknown = id < 0;
}

static void note(vocabulary *v, const symbol *s, int32_t at, int32_t n) {
    if (at < 0 || at + 1 >= n || s[at].frozen || s[at + 1].frozen) return;
    int32_t id = find(v, joined(s + at));
    if (id >= 0 && v->types[id] == TRI_PIECE_UNUSED) v->split[id] = (int32_t)s[at].text.len;
}

static int32_t by_definition(vocabulary *v, tri_str text, int32_t *ids) {
    symbol symbols[MAX_TEXT];
    int32_t n = split_text(v, text, symbols), n_ids = 0;
    bool unknown = false;
    memset(v->split, 0, sizeof v->split);
    for (int32_t i = 0; i < n; i++)
        note(v, symbols, i, n);
    for (;;) {
        int32_t best = -1;
        float best_score = 0;
        for (int32_t i = 0; i + 1 < n; i++) {
            if (symbols[i].frozen || symbols[i + 1].frozen) continue;
            int32_t id = find(v, joined(&symbols[i]));
            if (id < 0 || (best >= 0 && v->scores[id] <= best_score)) continue;
            best = i;
            best_score = v->scores[id];
        }
        if (best < 0) break;
        symbols[best].text = joined(&symbols[best]);
        memmove(&symbols[best + 1], &symbols[best + 2], (size_t)(n - best - 2) * sizeof *symbols);
        n--;
        note(v, symbols, best - 1, n);
        note(v, symbols, best, n);
    }
    for (int32_t i = 0; i < n; i++)
        emit(v, symbols[i].text, ids, &n_ids, &unknown);
    return n_ids;
}

static void against_definition(void **state) {
    (void)state;
    static const char *const parts[] = {"a", "b", "c", "d", "\xE2\x96\x81"};
    uint32_t random = 4242;
    for (int round = 0; round < 200; round++) {
        vocabulary v;
        tri_arena arena;
        tri_spm_bpe *bpe;
        tri_spm_bpe_scratch scratch = {0};
        make(&v, &random, round % 2);
        tri_arena_init(&arena, 0);
        const tri_spm_bpe_desc desc = {.pieces = v.pieces,
            .scores = v.scores,
            .types = v.types,
            .n = N_PIECES,
            .unk_id = 0,
            .window_symbols = 2 + round % 7};
        assert_int_equal(tri_spm_bpe_create(&bpe, &desc, &arena, NULL), TRI_OK);
        for (int k = 0; k < 60; k++) {
            char text[MAX_TEXT * 3 + 1] = "";
            int32_t want[MAX_IDS], n = (int32_t)(next(&random) % MAX_TEXT), n_want;
            tri_buf out = {0};
            for (int32_t i = 0; i < n; i++) /* d, which has no piece, is rare */
                strcat(text, parts[next(&random) % 11 % 5]);
            n_want = by_definition(&v, tri_str_of(text), want);
            assert_int_equal(
                tri_spm_bpe_encode(bpe, &scratch, tri_str_of(text), &out, NULL), TRI_OK);
            assert_int_equal(out.len, (size_t)n_want * sizeof *want);
            assert_memory_equal(out.ptr ? out.ptr : "", want, out.len);
            tri_buf_deinit(&out);
        }
        tri_spm_bpe_scratch_deinit(&scratch);
        tri_arena_deinit(&arena);
    }
}

/* A text of one letter has no place to be cut: it goes by windows. */
static void long_run(void **state) {
    (void)state;
    enum { N = 1 << 19 };
    const tri_str pieces[] = {TRI_STR("<unk>"), TRI_STR("a"), TRI_STR("aa"), TRI_STR("aaaa")};
    const float scores[] = {0, -3, -1, -2};
    const uint8_t types[] = {
        TRI_PIECE_UNKNOWN, TRI_PIECE_NORMAL, TRI_PIECE_NORMAL, TRI_PIECE_NORMAL};
    tri_arena arena;
    tri_spm_bpe *bpe;
    tri_spm_bpe_scratch scratch = {0};
    tri_buf out = {0};
    char *text = malloc(N + 3);
    memset(text, 'a', N + 3);
    tri_arena_init(&arena, 0);
    const tri_spm_bpe_desc desc = {
        .pieces = pieces, .scores = scores, .types = types, .n = 4, .unk_id = 0};
    assert_int_equal(tri_spm_bpe_create(&bpe, &desc, &arena, NULL), TRI_OK);
    assert_int_equal(tri_spm_bpe_encode(bpe, &scratch, (tri_str){text, N + 3}, &out, NULL), TRI_OK);
    const int32_t *ids = (const int32_t *)(void *)out.ptr;
    size_t n = out.len / sizeof *ids;
    assert_int_equal(n, N / 4 + 2);
    assert_true(ids[0] == 3 && ids[n - 3] == 3 && ids[n - 2] == 2 && ids[n - 1] == 1);
    free(text);
    tri_buf_deinit(&out);
    tri_spm_bpe_scratch_deinit(&scratch);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_definition),
        cmocka_unit_test(long_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
