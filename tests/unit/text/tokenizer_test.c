/* What the comparison with other tokenizers (tests/e2e/test_tokenizers.py) cannot see: whose
 * special tokens are read, ill-formed text, streams of ids, stop strings, errors.  Expected ids
 * follow from the vocabularies below, written out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/bpe.h"
#include "text/pipeline.h"
#include "trireme/graph.h"

/* Byte-level: "Ġ" is a space, "Ã" and "©" the bytes C3 and A9 of é. */
static const char byte_level[] =
    "{\"added_tokens\":[{\"id\":20,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"
    "{\"id\":21,\"content\":\"<tool>\",\"special\":false,\"normalized\":false},"
    "{\"id\":22,\"content\":\"<n>\",\"special\":true,\"normalized\":true}],"
    "\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\","
    "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
    "\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"ids\":[20]}}},"
    "\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\xC4\xA0\":3,\"<\":4,\">\":"
    "5,"
    "\"s\":6,\"\xC3\x83\":7,\"\xC2\xA9\":8,\"\xC3\xAF\":9,\"\xC2\xBF\":10,\"\xC2\xBD\":11,\"n\":12,"
    "\"\xC4\xA0"
    "ab\":13,\"\xC3\xB0\":14,\"\xC5\x81\":15},"
    "\"merges\":[\"a b\",\"\xC4\xA0 ab\"]}}";

/* SentencePiece-like, with byte fallback. */
static const char metaspace[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true,\"normalized\":false}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\""
    "\xE2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" "
    "\"},\"content\":\"\xE2\x96\x81"
    "\"}]},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
    "\"String\":"
    "\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"<s>\",\"vocab\":{\"<s>\":0,"
    "\"\xE2\x96\x81\":1,\"a\":2,\"b\":3,\"\xE2\x96\x81"
    "a\":4,\"<0xC3>\":5,\"<0xA9>\":6,\"<0xF0>\":7},"
    "\"merges\":[\"\xE2\x96\x81 a\"]}}";

static tri_tokenizer *load(const char *json) {
    tri_error err = {0};
    tri_tokenizer *t = calloc(1, sizeof *t);
    assert_non_null(t);
    tri_arena_init(&t->arena, 0);
    if (tri_load_tokenizer_json(t, tri_str_of(json), &err) || tri_tokenizer_finish(t, &err)) {
        fail_msg("%s", err.message);
    }
    return t;
}

static void check_encode(const tri_tokenizer *t, const char *text, size_t n_text,
    const tri_encode_options *options, const int32_t *expected, int32_t n_expected) {
    int32_t *ids = NULL, n = 0;
    tri_error err = {0};
    if (tri_tokenizer_encode(t, text, n_text, options, &ids, &n, &err)) {
        fail_msg("%s", err.message);
    }
    if (n != n_expected || (n && memcmp(ids, expected, sizeof *ids * (size_t)n) != 0)) {
        for (int32_t i = 0; i < n; i++)
            print_error("%d ", ids[i]);
        fail_msg("'%s': %d ids, %d expected", text, n, n_expected);
    }
    tri_free(ids);
}

#define CHECK(t, text, options, ...)                                                               \
    check_encode((t), (text), sizeof(text) - 1, (options), (const int32_t[]){__VA_ARGS__},         \
        (int32_t)(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)))

static void test_special_tokens(void **state) {
    (void)state;
    tri_tokenizer *t = load(byte_level);
    const tri_encode_options parse = {.struct_size = sizeof parse, .parse_special = true};
    const tri_encode_options both = {
        .struct_size = sizeof both, .parse_special = true, .add_special_tokens = true};
    CHECK(t, "ab<s> ab", &parse, 2, 20, 13);
    CHECK(t, "ab<s> ab", NULL, 2, 4, 6, 5, 13);
    CHECK(t, "<n>", &parse, 22);
    CHECK(t, "<n>", NULL, 4, 12, 5);
    CHECK(t, "ab", &both, 20, 2);
    CHECK(t, "<tool>a", NULL, 21, 0); /* added, but not special: read from anyone */
    tri_tokenizer_close(t);
}

static void test_plain_spans(void **state) {
    (void)state;
    tri_tokenizer *t = load(byte_level);
    /* "<s>" thrice: vouched for, plain, half plain; then "<n>", which wants normalised text. */
    static const char text[] = "<s><s><s><n><n>";
    const tri_text_span plain[] = {{3, 6}, {7, 8}, {12, 15}};
    const tri_encode_options options = {
        .struct_size = sizeof options, .parse_special = true, .plain = plain, .n_plain = 3};
    CHECK(t, text, &options, 20, 4, 6, 5, 4, 6, 5, 22, 4, 12, 5);
    const tri_text_span bad[] = {{3, 6}, {5, 8}};
    const tri_encode_options wrong = {.struct_size = sizeof wrong, .plain = bad, .n_plain = 2};
    int32_t *ids, n;
    tri_error err = {0};
    assert_int_equal(
        tri_tokenizer_encode(t, text, sizeof text - 1, &wrong, &ids, &n, &err), TRI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "plain[1]"));
    tri_tokenizer_close(t);
}

/* EF BF BD is U+FFFD: ids 9 10 11. */
static void test_ill_formed(void **state) {
    (void)state;
    tri_tokenizer *t = load(byte_level);
    CHECK(t,
        "a\xFF"
        "b",
        NULL, 0, 9, 10, 11, 1);
    CHECK(t, "\xC3", NULL, 9, 10, 11);
    CHECK(t, "\xE0\x80\xC3\xA9", NULL, 9, 10, 11, 9, 10, 11, 7, 8); /* E0 80 never goes together */
    CHECK(t,
        "\xF0\x9F\x98"
        "a",
        NULL, 9, 10, 11, 0); /* one part */
    /* Spans move with the text: the second <s> is plain, the third is not. */
    const tri_text_span plain[] = {{4, 8}};
    const tri_encode_options options = {
        .struct_size = sizeof options, .parse_special = true, .plain = plain, .n_plain = 1};
    CHECK(t, "\xFF<s>\xFF<s><s>", &options, 9, 10, 11, 20, 9, 10, 11, 4, 6, 5, 20);
    tri_tokenizer_close(t);
}

static void check_stream(const tri_tokenizer *t, const int32_t *ids, int32_t n, const char *whole,
    const char *const *steps) {
    tri_decoder *d;
    tri_error err = {0};
    tri_buf joined = {0};
    char *text;
    size_t length;
    const char *part;
    bool stopped;
    assert_int_equal(tri_tokenizer_decode(t, ids, n, false, &text, &length, &err), 0);
    assert_string_equal(text, whole);
    tri_free(text);
    assert_int_equal(tri_decoder_create(&d, t, false, NULL, 0, &err), 0);
    for (int round = 0; round < 2; round++) { /* again after a reset */
        tri_buf_clear(&joined);
        for (int32_t i = 0; i <= n; i++) {
            tri_status rc = i < n ? tri_decoder_add(d, ids[i], &part, &length, &stopped, &err)
                                  : tri_decoder_finish(d, &part, &length, &stopped, &err);
            assert_int_equal(rc, 0);
            assert_int_equal(length, strlen(part));
            if (steps) assert_string_equal(part, steps[i]);
            tri_buf_append(&joined, part, length);
        }
        assert_string_equal(joined.ptr ? joined.ptr : "", whole);
        tri_decoder_reset(d);
    }
    tri_buf_deinit(&joined);
    tri_decoder_destroy(d);
}

static void test_stream(void **state) {
    (void)state;
    tri_tokenizer *t = load(byte_level);
    /* F0 9F is the beginning of a character, and one U+FFFD when another byte comes. */
    check_stream(t, (const int32_t[]){7, 8, 13, 14, 15, 0}, 6,
        "\xC3\xA9 ab\xEF\xBF\xBD"
        "a",
        (const char *const[]){"", "\xC3\xA9", " ab", "", "",
            "\xEF\xBF\xBD"
            "a",
            ""});
    check_stream(t, (const int32_t[]){0, 7}, 2, "a\xEF\xBF\xBD",
        (const char *const[]){"a", "", "\xEF\xBF\xBD"});
    tri_tokenizer_close(t);
    t = load(metaspace);
    /* A run of byte tokens waits for its end; the first space is stripped, no other. */
    check_stream(t, (const int32_t[]){4, 1, 5, 6, 4}, 5, "a \xC3\xA9 a",
        (const char *const[]){"a", " ", "", "", "\xC3\xA9 a", ""});
    check_stream(t, (const int32_t[]){1, 1, 5, 3}, 4,
        " \xEF\xBF\xBD"
        "b",
        (const char *const[]){"", " ", "",
            "\xEF\xBF\xBD"
            "b",
            ""});
    check_stream(t, (const int32_t[]){1}, 1, "", (const char *const[]){"", ""});
    tri_tokenizer_close(t);
}

static void test_stops(void **state) {
    (void)state;
    tri_tokenizer *t = load(byte_level);
    static const char *const stops[] = {"ab ab", "\xC3\xA9"};
    static const int32_t ids[] = {13, 13, 0, 2, 13, 1};
    tri_decoder *d;
    tri_error err = {0};
    const char *text;
    size_t n;
    bool stopped = false;
    tri_buf joined = {0};
    assert_int_equal(tri_decoder_create(&d, t, false, stops, 2, &err), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(tri_decoder_add(d, ids[i], &text, &n, &stopped, &err), 0);
        tri_buf_append(&joined, text, n);
        if (stopped) break;
    }
    assert_true(stopped);
    assert_string_equal(joined.ptr, " ");
    assert_int_equal(tri_decoder_finish(d, &text, &n, &stopped, &err), 0);
    assert_int_equal(n, 0);
    assert_true(stopped);
    /* What only looked like a stop string comes out at the end. */
    tri_decoder_reset(d);
    assert_int_equal(tri_decoder_add(d, 2, &text, &n, &stopped, &err), 0);
    assert_int_equal(n, 0);
    assert_int_equal(tri_decoder_finish(d, &text, &n, &stopped, &err), 0);
    assert_string_equal(text, "ab");
    assert_false(stopped);
    tri_buf_deinit(&joined);
    tri_decoder_destroy(d);
    tri_tokenizer_close(t);
}

static void test_tokens(void **state) {
    (void)state;
    tri_tokenizer *t = load(byte_level);
    size_t n = 0;
    assert_int_equal(tri_tokenizer_vocab_size(t), 23);
    assert_string_equal(tri_tokenizer_token(t, 13, &n), "\xC4\xA0"
                                                        "ab");
    assert_int_equal(n, 4);
    assert_null(tri_tokenizer_token(t, 16, NULL)); /* a hole */
    assert_null(tri_tokenizer_token(t, 23, NULL));
    assert_null(tri_tokenizer_token(t, -1, NULL));
    assert_int_equal(tri_tokenizer_find(t,
                         "\xC4\xA0"
                         "ab",
                         4),
        13);
    assert_int_equal(tri_tokenizer_find(t, " ab", 3), -1);
    assert_int_equal(tri_tokenizer_find(t, "<s>", 3), 20);
    assert_int_equal(tri_tokenizer_find(t, "<s", 2), -1);
    assert_true(tri_tokenizer_is_special(t, 20));
    assert_false(tri_tokenizer_is_special(t, 21));
    assert_false(tri_tokenizer_is_special(t, 99));
    tri_tokenizer_close(t);
}

static void test_refusals(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "no model"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[\"a b\"]}}", "merge 0 ('a b')"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "the id of 'a'"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2000000000},\"merges\":[]}}", "ids up to"},
        {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{\"a\":0},\"merges\":[]}}",
            "dropout"},
        {"{\"normalizer\":{\"type\":\"Odd\"},\"model\":{\"vocab\":{},\"merges\":[]}}", "'Odd'"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"}},\"model\":{}}",
            "expression '('"},
        {"{\"decoder\":{\"type\":\"Strip\",\"content\":\"ab\"},\"model\":{}}", "content"},
        {"{\"model\":{\"type\":\"Odd\",\"vocab\":{}}}", "type 'Odd'"},
        {"{\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"vocab\":{\"a\":0},\"merges\":[]}}",
            "unk_token 'u'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_error err = {0};
        tri_tokenizer *t = calloc(1, sizeof *t);
        assert_non_null(t);
        tri_arena_init(&t->arena, 0);
        assert_int_not_equal(tri_load_tokenizer_json(t, tri_str_of(cases[i][0]), &err), 0);
        if (!strstr(err.message, cases[i][1])) fail_msg("%s: %s", cases[i][0], err.message);
        tri_tokenizer_close(t);
    }
}

/* ---- long words go in blocks: the same ids as merging them whole, done here the slow way ---- */

enum { N_LONG = 40000, N_PIECES = 14 };

static int32_t slow_encode(const char *word, int32_t n, int32_t *ids) {
    /* Merges in order of rank; each pass takes the lowest rank there is, leftmost first. */
    static const int32_t merges[][3] = {{0, 0, 3}, {1, 0, 4}, {3, 3, 5}, {4, 0, 6}, {5, 5, 7},
        {2, 1, 8}, {0, 1, 9}, {9, 2, 10}, {3, 1, 11}, {7, 7, 12}, {11, 4, 13}};
    for (int32_t i = 0; i < n; i++)
        ids[i] = word[i] - 'a';
    for (;;) {
        int32_t best = INT32_MAX;
        for (int32_t i = 0; i + 1 < n; i++) {
            for (int32_t m = 0; m < 11 && m < best; m++) {
                if (ids[i] == merges[m][0] && ids[i + 1] == merges[m][1]) best = m;
            }
        }
        if (best == INT32_MAX) return n;
        /* All of that rank from the left: what they make merges at higher ranks only. */
        int32_t to = 0;
        for (int32_t i = 0; i < n; i++) {
            if (i + 1 < n && ids[i] == merges[best][0] && ids[i + 1] == merges[best][1]) {
                ids[to++] = merges[best][2];
                i++;
            } else {
                ids[to++] = ids[i];
            }
        }
        n = to;
    }
}

static void test_long_words(void **state) {
    (void)state;
    static const char *const texts[N_PIECES] = {"a", "b", "c", "aa", "ba", "aaaa", "baa",
        "aaaaaaaa", "cb", "ab", "abc", "aab", "aaaaaaaaaaaaaaaa", "aabba"};
    static const char *const merges[][2] = {{"a", "a"}, {"b", "a"}, {"aa", "aa"}, {"ba", "a"},
        {"aaaa", "aaaa"}, {"c", "b"}, {"a", "b"}, {"ab", "c"}, {"aa", "b"},
        {"aaaaaaaa", "aaaaaaaa"}, {"aab", "ba"}};
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_str pieces[N_PIECES];
    for (int i = 0; i < N_PIECES; i++)
        pieces[i] = tri_str_of(texts[i]);
    tri_bpe *bpe;
    tri_error err = {0};
    tri_bpe_config config = {.n_pieces = N_PIECES, .bytes = true, .unk_id = -1};
    assert_int_equal(tri_bpe_create(&bpe, &config, pieces, &arena, &err), 0);
    assert_int_equal(tri_bpe_reserve_merges(bpe, 11, &arena, &err), 0);
    for (int i = 0; i < 11; i++) {
        assert_true(
            tri_bpe_add_merge_of(bpe, i, tri_str_of(merges[i][0]), tri_str_of(merges[i][1])));
    }
    tri_bpe_scratch scratch = {0};
    char *word = malloc(N_LONG);
    int32_t *expected = malloc(N_LONG * sizeof *expected);
    assert_non_null(word);
    assert_non_null(expected);
    uint32_t random = 1;
    for (int kind = 0; kind < 4; kind++) {
        for (int32_t i = 0; i < N_LONG; i++) {
            random = random * 1664525 + 1013904223;
            uint32_t r = random >> 24;
            if (kind == 0) r = 0;
            if (kind == 1) r = r < 200 ? 0 : 1;
            word[i] = "abc"[r % (kind == 3 ? 3 : 2)];
        }
        int32_t n = slow_encode(word, N_LONG, expected);
        tri_buf ids = {0};
        assert_int_equal(tri_bpe_encode(bpe, &scratch, (tri_str){word, N_LONG}, &ids, &err), 0);
        assert_int_equal(ids.len / sizeof(int32_t), n);
        assert_memory_equal(ids.ptr, expected, ids.len);
        tri_buf_deinit(&ids);
    }
    free(word);
    free(expected);
    tri_bpe_scratch_deinit(&scratch);
    tri_arena_deinit(&arena);
}

/* Pieces by the package tokenizers 0.23.3 (pre_tokenize_str); the one that the other tests compare
 * with lacks FixedLength.  The vocabulary is the pieces in their order, so ids count up. */
static void test_fixed_length(void **state) {
    (void)state;
    static const struct {
        const char *steps, *text, *pieces[8];
    } cases[] = {
        {"{\"type\":\"FixedLength\",\"length\":3}",
            "hello w\xC3\xB6rld\xE4\xB8\xAD\xE6\x96\x87\xE5\xAD\x97 e\xCC\x81x",
            {"hel", "lo ", "w\xC3\xB6r", "ld\xE4\xB8\xAD", "\xE6\x96\x87\xE5\xAD\x97 ",
                "e\xCC\x81x"}},
        {"{\"type\":\"FixedLength\"}", "abcdefgh ", {"abcde", "fgh "}},
        {"{\"type\":\"FixedLength\",\"length\":1}", "a\xF0\x9F\x98\x80 b",
            {"a", "\xF0\x9F\x98\x80", " ", "b"}},
        {"{\"type\":\"FixedLength\",\"length\":100}",
            "ab\xCC\x81"
            "c",
            {"ab\xCC\x81"
             "c"}},
        {"{\"type\":\"WhitespaceSplit\"},{\"type\":\"FixedLength\",\"length\":2}", "ab cde  f",
            {"ab", "cd", "e", "f"}},
        {"{\"type\":\"FixedLength\",\"length\":5},{\"type\":\"FixedLength\",\"length\":2}",
            "abcdefg", {"ab", "cd", "e", "fg"}},
        /* 6, the one that is normalised (NFD) and then is shorter: U+2F894 becomes U+5F22. */
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},"
         "{\"type\":\"FixedLength\",\"length\":3}",
            "\xF0\xAF\xA2\x94"
            "b",
            {"\xC3\xA5\xC2\xBC\xC2\xA2", "b"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const int32_t up[] = {1, 2, 3, 4, 5, 6, 7, 8};
        tri_buf json = {0};
        int32_t n = 0;
        tri_buf_printf(&json,
            "{\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"Sequence\","
            "\"pretokenizers\":[%s]},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\","
            "\"vocab\":{\"?\":0",
            i == 6 ? "{\"type\":\"NFD\"}" : "null", cases[i].steps);
        for (; n < 8 && cases[i].pieces[n]; n++)
            tri_buf_printf(&json, ",\"%s\":%d", cases[i].pieces[n], n + 1);
        tri_buf_printf(&json, "}}}");
        tri_tokenizer *t = load(json.ptr);
        check_encode(t, cases[i].text, strlen(cases[i].text), NULL, up, n);
        tri_tokenizer_close(t);
        tri_buf_deinit(&json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_plain_spans),
        cmocka_unit_test(test_ill_formed),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_fixed_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
