/* Random pieces and texts against the best of all ways to cut a text, tried one by one.  Scores are
 * eighths, so that sums are exact and only ties could hide a difference: scores are compared, then
 * that the ids spell the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/unigram.h"

enum { MAX_TEXT = 10, N_PIECES = 14 };
static const double unknown = -1000 - 10; /* below the least score */

typedef struct vocabulary {
    tri_str pieces[N_PIECES + 2];
    double scores[N_PIECES + 2];
    char bytes[N_PIECES][4];
} vocabulary;

static uint32_t next(uint32_t *random) {
    *random ^= *random << 13, *random ^= *random >> 17, *random ^= *random << 5;
    return *random;
}

/* Id 0 is unk, 1 a piece of the least score that no text has. */
static void make(vocabulary *v, uint32_t *random) {
    v->pieces[0] = TRI_STR("<unk>");
    v->pieces[1] = TRI_STR("#");
    v->scores[0] = 0;
    v->scores[1] = -1000;
    for (int i = 0; i < N_PIECES; i++) {
        size_t n = 1 + next(random) % 3;
        for (size_t k = 0; k < n; k++)
            v->bytes[i][k] = "abc"[next(random) % 3];
        v->pieces[i + 2] = (tri_str){v->bytes[i], n};
        v->scores[i + 2] = -(double)(next(random) % 64) / 8;
    }
}

static double score_of(const vocabulary *v, tri_str part) {
    double found = part.len == 1 ? unknown : -1e9;
    for (int i = 0; i < N_PIECES + 2; i++) /* of equal pieces the last */
        if (tri_str_equal(v->pieces[i], part)) found = v->scores[i];
    return found;
}

static double best_of_all(const vocabulary *v, const char *text, size_t n) {
    double best = -1e9;
    for (uint32_t cuts = 0; cuts < 1u << (n - 1); cuts++) {
        double sum = 0;
        for (size_t at = 0, end = 1; at < n; end++) {
            if (end < n && !(cuts >> (end - 1) & 1)) continue;
            sum += score_of(v, (tri_str){text + at, end - at});
            at = end;
        }
        if (sum > best) best = sum;
    }
    return best;
}

/* The score of these ids as a cut of text, the best where a 0 may stand for runs of more than one
 * length; -1e9: they do not spell it. */
static double score_of_ids(const vocabulary *v, tri_str text, const int32_t *ids, size_t n) {
    if (n == 0) return text.len == 0 ? 0 : -1e9;
    double best = -1e9;
    if (ids[0] != 0) {
        tri_str piece = v->pieces[ids[0]];
        if (piece.len > text.len || memcmp(piece.ptr, text.ptr, piece.len) != 0) return best;
        tri_str rest = {text.ptr + piece.len, text.len - piece.len};
        return score_of(v, piece) + score_of_ids(v, rest, ids + 1, n - 1);
    }
    for (size_t run = 1; run <= text.len; run++) {
        if (score_of(v, (tri_str){text.ptr + run - 1, 1}) != unknown) break;
        tri_str rest = {text.ptr + run, text.len - run};
        double sum = unknown * (double)run + score_of_ids(v, rest, ids + 1, n - 1);
        if (sum > best) best = sum;
    }
    return best;
}

static void against_all_cuts(void **state) {
    (void)state;
    uint32_t random = 99;
    for (int round = 0; round < 60; round++) {
        vocabulary v;
        tri_arena arena;
        tri_unigram *u;
        tri_unigram_scratch scratch = {0};
        uint8_t types[N_PIECES + 2];
        make(&v, &random);
        memset(types, TRI_PIECE_NORMAL, sizeof types);
        types[0] = TRI_PIECE_UNKNOWN;
        tri_arena_init(&arena, 0);
        const tri_unigram_desc desc = {.pieces = v.pieces,
            .scores = v.scores,
            .types = round % 2 ? types : NULL,
            .n = N_PIECES + 2,
            .unk_id = 0};
        assert_int_equal(tri_unigram_create(&u, &desc, &arena, NULL), TRI_OK);
        for (int k = 0; k < 40; k++) {
            char text[MAX_TEXT];
            size_t n = 1 + next(&random) % MAX_TEXT;
            tri_buf out = {0};
            for (size_t i = 0; i < n; i++)
                text[i] = "abcd"[next(&random) % 4];
            assert_int_equal(
                tri_unigram_encode(u, &scratch, (tri_str){text, n}, &out, NULL), TRI_OK);
            const int32_t *ids = (const int32_t *)(void *)out.ptr;
            double spelt = score_of_ids(&v, (tri_str){text, n}, ids, out.len / sizeof *ids);
            assert_true(spelt == best_of_all(&v, text, n));
            tri_buf_deinit(&out);
        }
        tri_unigram_scratch_deinit(&scratch);
        tri_arena_deinit(&arena);
    }
}

static void expect(const tri_unigram_desc *desc, const char *text, const int32_t *want, size_t n) {
    tri_arena arena;
    tri_unigram *u;
    tri_unigram_scratch scratch = {0};
    tri_buf out = {0};
    tri_arena_init(&arena, 0);
    assert_int_equal(tri_unigram_create(&u, desc, &arena, NULL), TRI_OK);
    assert_int_equal(tri_unigram_encode(u, &scratch, tri_str_of(text), &out, NULL), TRI_OK);
    assert_int_equal(out.len, n * sizeof *want);
    assert_memory_equal(out.ptr ? out.ptr : "", want, n * sizeof *want);
    tri_buf_deinit(&out);
    tri_unigram_scratch_deinit(&scratch);
    tri_arena_deinit(&arena);
}

/* What the two libraries do apart, each checked with its package. */
static void unknown_characters(void **state) {
    (void)state;
    const tri_str pieces[] = {TRI_STR("<unk>"), TRI_STR("a"), TRI_STR("<0xC3>"), TRI_STR("<0xA9>"),
        TRI_STR("used"), TRI_STR("ab")};
    const double scores[] = {0, -1, 0, 0, -0.5, -9};
    const uint8_t types[] = {TRI_PIECE_UNKNOWN, TRI_PIECE_NORMAL, TRI_PIECE_BYTE, TRI_PIECE_BYTE,
        TRI_PIECE_UNUSED, TRI_PIECE_USER_DEFINED};
    tri_unigram_desc d = {.pieces = pieces, .scores = scores, .n = 6, .unk_id = 0};
    expect(&d,
        "zz\xC3\xA9"
        "a",
        (int32_t[]){0, 1}, 2);
    expect(&d, "used", (int32_t[]){4}, 1);
    expect(&d, "<0xA9>", (int32_t[]){3}, 1); /* any piece is matched */
    d.byte_fallback = true;
    expect(&d,
        "\xC3\xA9"
        "a",
        (int32_t[]){2, 3, 1}, 3);
    expect(&d,
        "z\xC3\xA9"
        "a",
        (int32_t[]){0, 1}, 2); /* of a run all bytes, or none */
    d.types = types;
    expect(&d, "\xC3\xA9", (int32_t[]){2, 3}, 2);
    expect(&d, "abab", (int32_t[]){5, 5}, 2); /* user-defined, whatever its score */
    d.byte_fallback = false;
    expect(&d, "used", (int32_t[]){0}, 1); /* unused pieces are not */
    expect(&d, "", NULL, 0);

    tri_arena arena;
    tri_unigram *u;
    tri_unigram_scratch scratch = {0};
    tri_buf out = {0};
    tri_error err = {0};
    tri_arena_init(&arena, 0);
    d.unk_id = -1;
    assert_int_equal(tri_unigram_create(&u, &d, &arena, NULL), TRI_OK);
    assert_int_equal(tri_unigram_encode(u, &scratch, TRI_STR("z"), &out, &err), TRI_E_ARGUMENT);
    d.unk_id = 6;
    assert_int_equal(tri_unigram_create(&u, &d, &arena, &err), TRI_E_FORMAT);
    tri_buf_deinit(&out);
    tri_unigram_scratch_deinit(&scratch);
    tri_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_all_cuts),
        cmocka_unit_test(unknown_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
