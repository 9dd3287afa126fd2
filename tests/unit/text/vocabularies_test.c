/* SentencePiece models of a few KB against what sentencepiece 0.2.3 said of them
 * (tests/golden/text/make_vocabularies.py), and the other kinds of file on the fuzz targets'
 * corpora, whose few tokens can be merged by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "text/pipeline.h"
#include "trireme/graph.h"

#define MODELS TRI_TESTS_DIR "/golden/text/vocabularies/"
#define CORPUS TRI_TESTS_DIR "/fuzz/corpus/"

static void expect_ids(const tri_tokenizer *t, tri_str text, const tri_encode_options *options,
    const int32_t *want, int32_t n_want) {
    int32_t *ids = NULL, n = 0;
    tri_error err = {0};
    assert_int_equal(tri_tokenizer_encode(t, text.ptr, text.len, options, &ids, &n, &err), TRI_OK);
    assert_int_equal(n, n_want);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(ids[i], want[i]);
    tri_free(ids);
}

static void expect_text(const tri_tokenizer *t, const int32_t *ids, int32_t n, tri_str want) {
    char *text = NULL;
    size_t length = 0;
    tri_error err = {0};
    assert_int_equal(tri_tokenizer_decode(t, ids, n, false, &text, &length, &err), TRI_OK);
    assert_int_equal(length, want.len);
    assert_memory_equal(text, want.ptr, want.len);
    tri_free(text);
    /* One id at a time, the same comes out. */
    tri_decoder *d = NULL;
    tri_buf out = {0};
    bool stopped;
    const char *part;
    assert_int_equal(tri_decoder_create(&d, t, false, NULL, 0, &err), TRI_OK);
    for (int32_t i = 0; i < n; i++) {
        assert_int_equal(tri_decoder_add(d, ids[i], &part, &length, &stopped, &err), TRI_OK);
        tri_buf_append(&out, part, length);
    }
    assert_int_equal(tri_decoder_finish(d, &part, &length, &stopped, &err), TRI_OK);
    tri_buf_append(&out, part, length);
    assert_int_equal(out.len, want.len);
    assert_memory_equal(out.ptr ? out.ptr : "", want.ptr, want.len);
    tri_buf_deinit(&out);
    tri_decoder_destroy(d);
}

static tri_tokenizer *open_at(const char *path) {
    tri_tokenizer *t = NULL;
    tri_error err = {0};
    if (tri_tokenizer_open(&t, path, &err)) fail_msg("%s", err.message);
    return t;
}

static void sentencepiece(void **state) {
    (void)state;
    tri_arena arena;
    tri_str file;
    tri_error err = {0};
    tri_tokenizer *t = NULL;
    char path[512], open_path[512] = "";
    int32_t n_cases = 0;
    tri_arena_init(&arena, 0);
    assert_int_equal(tri_file_read(MODELS "cases.jsonl", 1 << 20, &arena, &file, &err), TRI_OK);
    for (char *line = strtok((char *)(uintptr_t)file.ptr, "\n"); line; line = strtok(NULL, "\n")) {
        const tri_json *c;
        assert_int_equal(tri_json_parse(tri_str_of(line), &arena, &c, &err), TRI_OK);
        snprintf(path, sizeof path, MODELS "%s.model", tri_json_get(c, "model")->text.ptr);
        if (strcmp(path, open_path) != 0) {
            tri_tokenizer_close(t);
            t = open_at(path);
            strcpy(open_path, path);
        }
        const tri_json *ids = tri_json_get(c, "ids"), *text = tri_json_get(c, "text");
        int32_t want[256];
        assert_true(ids->n < 256);
        for (int32_t i = 0; i < ids->n; i++) {
            int64_t id;
            assert_true(tri_str_to_i64(ids->items[i].text, &id));
            want[i] = (int32_t)id;
        }
        if (text) expect_ids(t, text->text, NULL, want, ids->n);
        expect_text(t, want, ids->n, tri_json_get(c, "back")->text);
        n_cases++;
    }
    assert_int_equal(n_cases, 5 * 30);
    tri_tokenizer_close(t);
    tri_arena_deinit(&arena);
}

static void ranks(void **state) {
    (void)state;
    const tri_encode_options all = {
        .struct_size = sizeof all, .add_special_tokens = true, .parse_special = true};
    tri_error err = {0};
    /* Ranks 256.. are " t", "he", " the", "ll", "llo", "hello"; special tokens come before. */
    tri_tokenizer *t = calloc(1, sizeof *t);
    tri_str file;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    assert_int_equal(tri_file_read(CORPUS "tekken/v11", 1 << 20, &arena, &file, &err), TRI_OK);
    tri_arena_init(&t->arena, 0);
    assert_int_equal(tri_load_tekken(t, file, &err), TRI_OK);
    assert_int_equal(tri_tokenizer_finish(t, &err), TRI_OK);
    expect_ids(t, TRI_STR("hello"), NULL, (int32_t[]){20 + 261}, 1);
    /* " the" is a piece; " then" splits into " the" and "n"; "helo" has "he" alone. */
    expect_ids(t, TRI_STR(" then helo"), NULL,
        (int32_t[]){20 + 258, 20 + 'n', 20 + ' ', 20 + 257, 20 + 'l', 20 + 'o'}, 6);
    expect_ids(t, TRI_STR("[INST]he"), &all, (int32_t[]){1, 2, 20 + 257}, 3);
    expect_text(t, (int32_t[]){20 + 0xE2, 20 + 0x82, 20 + 'a'}, 3,
        TRI_STR("\xEF\xBF\xBD"
                "a"));
    assert_true(tri_tokenizer_is_special(t, 19));
    assert_string_equal(tri_tokenizer_token(t, 19, NULL), "<SPECIAL_19>");
    tri_tokenizer_close(t);

    t = calloc(1, sizeof *t);
    tri_arena_init(&t->arena, 0);
    assert_int_equal(tri_file_read(CORPUS "tiktoken/gpt2", 1 << 20, &arena, &file, &err), TRI_OK);
    assert_true(tri_is_tiktoken(file));
    tri_str config = TRI_STR("{\"added_tokens_decoder\": {\"270\": {\"content\": \"<x>\"}}}");
    assert_int_equal(tri_load_tiktoken(t, file, "r50k_base", config, &err), TRI_OK);
    assert_int_equal(tri_tokenizer_finish(t, &err), TRI_OK);
    expect_ids(t, TRI_STR("hello the<x>"), &all, (int32_t[]){261, 258, 270}, 3);
    expect_ids(t, TRI_STR("<x>"), NULL, (int32_t[]){'<', 'x', '>'}, 3);
    tri_tokenizer_close(t);
    tri_arena_deinit(&arena);
}

static tri_status refused_with(const char *json, const char *word) {
    tri_error err = {0};
    tri_tokenizer *t = calloc(1, sizeof *t);
    tri_arena_init(&t->arena, 1 << 20);
    tri_status rc = tri_load_tekken(t, tri_str_of(json), &err);
    if (!strstr(err.message, word)) fail_msg("'%s' does not say '%s'", err.message, word);
    if (rc && !err.message[0]) fail_msg("refused without a word");
    tri_tokenizer_close(t);
    return rc;
}

static void refused(tri_status status, const char *word, const char *json) {
    assert_int_equal(refused_with(json, word), status);
}

static void refusals(void **state) {
    (void)state;
    refused(TRI_E_FORMAT, "vocab is missing", "{\"config\": {}}");
    refused(TRI_E_FORMAT, "version",
        "{\"config\": {\"pattern\": \".\", \"version\": \"7\"}, \"vocab\": []}");
    refused(TRI_E_FORMAT, "vocab has only",
        "{\"config\": {\"pattern\": \".\", \"version\": \"v3\", \"default_vocab_size\": 16777216, "
        "\"default_num_special_tokens\": 0}, \"vocab\": []}");
    tri_error err = {0};
    tri_tokenizer *t = calloc(1, sizeof *t);
    tri_arena_init(&t->arena, 1 << 20);
    assert_int_equal(
        tri_load_sentencepiece(t, TRI_STR("\x0a\xff\xff\xff\xff\x03"), (tri_str){0}, &err),
        TRI_E_FORMAT);
    assert_int_equal(
        tri_load_sentencepiece(t, TRI_STR("\x12\x00"), (tri_str){0}, &err), TRI_E_FORMAT);
    assert_int_equal(tri_load_tiktoken(t, TRI_STR("YQ== 0\nYg== 5\n"), "gpt2", (tri_str){0}, &err),
        TRI_E_FORMAT);
    assert_int_equal(
        tri_load_tiktoken(t, TRI_STR("YQ== 0\n"), "gpt2", (tri_str){0}, &err), TRI_E_FORMAT);
    assert_int_equal(
        tri_load_tiktoken(t, TRI_STR("YQ== 0\n"), NULL, (tri_str){0}, &err), TRI_E_UNSUPPORTED);
    assert_false(tri_is_tiktoken(TRI_STR("\x0a\x05hello 1\n")));
    tri_tokenizer_close(t);
}

/* The text with one part replaced. */
static char *replaced(tri_str text, const char *from, const char *to) {
    const char *at = memmem(text.ptr, text.len, from, strlen(from));
    if (!at) fail_msg("'%s' is not there", from);
    tri_buf out = {0};
    tri_buf_append(&out, text.ptr, (size_t)(at - text.ptr));
    tri_buf_puts(&out, to);
    at += strlen(from);
    tri_buf_append(&out, at, (size_t)(text.ptr + text.len - at));
    return out.ptr;
}

static void mutated_tekken(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *said;
    } cases[] = {
        /* config */
        {"\"config\":{", "\"config\":[{", "line 1"},
        {"\"config\":{", "\"konfig\":{", "config or vocab is missing"},
        {"\"pattern\":", "\"pattern_\":", "config.pattern is missing"},
        {"\"pattern\":\" ?\\\\p{L}+|\\\\p{N}|\\\\s+|.\"", "\"pattern\":7",
            "config.pattern is not a text"},
        {" ?\\\\p{L}+", " ?\\\\p{L}+(", "expression ' ?\\p{L}+("},
        {"\"version\":\"v11\"", "\"version\":11", "\"version\" is 11"},
        {"\"version\":\"v11\"", "\"version\":\"11\"", "config.version is '11'"},
        {"\"version\":\"v11\"", "\"version\":\"v0\"", "config.version is 'v0'"},
        {"\"default_vocab_size\":282", "\"default_vocab_size\":\"282\"",
            "\"default_vocab_size\" is \"282\""},
        {"\"default_vocab_size\":282", "\"default_vocab_size\":282.5",
            "\"default_vocab_size\" is 282.5"},
        {"\"default_vocab_size\":282,", "", "default_vocab_size -1"},
        {"\"default_vocab_size\":282", "\"default_vocab_size\":20", "default_vocab_size 20"},
        {"\"default_vocab_size\":282", "\"default_vocab_size\":283", "vocab has 262 tokens"},
        {"\"default_num_special_tokens\":20", "\"default_num_special_tokens\":-1",
            "\"default_num_special_tokens\" is -1"},
        {"\"default_num_special_tokens\":20", "\"default_num_special_tokens\":2",
            "3 special tokens; default_num_special_tokens is 2"},
        /* special tokens */
        {"\"special_tokens\":[", "\"special_tokens_\":[", "no special_tokens"},
        {"\"special_tokens\":[", "\"special_tokens\":7,\"x\":[", "special_tokens is not an array"},
        {"{\"rank\":1,\"token_str\":\"<s>\"", "{\"token_str\":\"<s>\"",
            "special token 1 lacks rank or token_str"},
        {"{\"rank\":1,\"token_str\":\"<s>\"", "{\"rank\":1,\"token_str\":5",
            "special token 1 lacks rank or token_str"},
        {"{\"rank\":1,\"token_str\":\"<s>\"", "{\"rank\":0,\"token_str\":\"<s>\"",
            "two special tokens have id 0: '<unk>' and '<s>'"},
        {"{\"rank\":1,\"token_str\":\"<s>\"", "{\"rank\":3,\"token_str\":\"<s>\"", "\"rank\" is 3"},
        {"{\"rank\":1,\"token_str\":\"<s>\"", "{\"rank\":\"1\",\"token_str\":\"<s>\"",
            "\"rank\" is \"1\""},
        /* vocab */
        {"\"vocab\":[", "\"vocab_\":[", "config or vocab is missing"},
        {"\"vocab\":[", "\"vocab\":{\"a\":0},\"x\":[", "vocab is not an array"},
        {"\"vocab\":[", "\"vocab\":[7,", "vocab[0]: not an object"},
        {"\"rank\":7,\"token_bytes\"", "\"rank\":6,\"token_bytes\"",
            "vocab[7]: its rank is 6, not its place"},
        {"\"rank\":7,\"token_bytes\"", "\"rank\":8,\"token_bytes\"",
            "vocab[7]: its rank is 8, not its place"},
        {"\"rank\":7,\"token_bytes\"", "\"token_bytes\"", "vocab[7]: rank is missing"},
        {"\"rank\":7,\"token_bytes\"", "\"rank\":\"7\",\"token_bytes\"",
            "vocab[7]: rank is not an integer"},
        {"\"rank\":7,\"token_bytes\"", "\"rank\":7.5,\"token_bytes\"",
            "vocab[7]: rank is not an integer"},
        {"\"rank\":7,\"token_bytes\"", "\"rank\":99999999999999999999,\"token_bytes\"",
            "vocab[7]: rank is not an integer"},
        {"\"token_bytes\":\"AA==\"", "\"token_bytes_\":\"AA==\"",
            "vocab[0]: token_bytes is missing"},
        {"\"token_bytes\":\"AA==\"", "\"token_bytes\":0", "vocab[0]: token_bytes is not a text"},
        {"\"token_bytes\":\"AA==\"", "\"token_bytes\":\"AA=\"",
            "vocab[0]: rank 0: 'AA=' is not the base64"},
        {"\"token_bytes\":\"AA==\"", "\"token_bytes\":\"A*==\"",
            "vocab[0]: rank 0: 'A*==' is not the base64"},
        {"\"token_bytes\":\"AA==\"", "\"token_bytes\":\"\"",
            "vocab[0]: rank 0: '' is not the base64"},
        {"\"token_bytes\":\"AA==\"", "\"token_bytes\":\"AAA=\"",
            "255 of the 256 single bytes have a rank"},
        {"\"token_bytes\":\"bGxv\"", "\"token_bytes\":\"aGVsbG8=\"",
            "ranks 260 and 261 have the same bytes"},
    };
    tri_arena arena;
    tri_str file;
    tri_error err = {0};
    tri_arena_init(&arena, 0);
    assert_int_equal(tri_file_read(CORPUS "tekken/v11", 1 << 20, &arena, &file, &err), TRI_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json = replaced(file, cases[i].from, cases[i].to);
        tri_status status = refused_with(json, cases[i].said);
        if (status != TRI_E_FORMAT) fail_msg("%s: status %d", cases[i].said, (int)status);
        free(json);
    }
    /* Cut short anywhere. */
    for (size_t n = 0; n + 1 < file.len; n += 97) {
        char *cut = strndup(file.ptr, n);
        assert_int_equal(refused_with(cut, ""), TRI_E_FORMAT);
        free(cut);
    }
    tri_arena_deinit(&arena);
}

static void gguf(void **state) {
    (void)state;
    tri_tokenizer *t = open_at(CORPUS "gguf_vocab/gpt2");
    const tri_encode_options parse = {.struct_size = sizeof parse, .parse_special = true};
    expect_ids(t, TRI_STR("hello the"), NULL, (int32_t[]){261, 258}, 2);
    expect_ids(t, TRI_STR("<|eot|>"), &parse, (int32_t[]){262}, 1);
    expect_ids(t, TRI_STR("<tool>"), NULL, (int32_t[]){263}, 1);
    tri_tokenizer_close(t);

    /* 259 U+2581, h e l o, 264 he, ll, llo, hello, 268 U+2581 hello */
    t = open_at(CORPUS "gguf_vocab/llama");
    expect_ids(t, TRI_STR("hello"), NULL, (int32_t[]){267 + 1}, 1);
    expect_ids(t, TRI_STR("hell!"), NULL, (int32_t[]){259, 264, 265, 3 + '!'}, 4);
    /* A control token's text stays text: its characters have no pieces here. */
    expect_ids(t, TRI_STR("<s>"), NULL, (int32_t[]){259, 3 + '<', 3 + 's', 3 + '>'}, 4);
    /* Control and unknown tokens stand as they are written, and after one the next word keeps its
     * space: so llama.cpp's detokenizer (src/llama-vocab.cpp). */
    expect_text(t, (int32_t[]){1, 268, 259, 3 + 0xC3, 3 + 0xA9}, 5, TRI_STR("<s> hello \xC3\xA9"));
    expect_text(t, (int32_t[]){268, 0, 2, 268}, 4, TRI_STR("hello<unk></s> hello"));
    tri_tokenizer_close(t);

    t = open_at(CORPUS "gguf_vocab/gemma4");
    expect_ids(t, TRI_STR(" hello\n"), NULL, (int32_t[]){268, 3 + '\n'}, 2);
    tri_tokenizer_close(t);

    t = open_at(CORPUS "gguf_vocab/bert");
    expect_ids(t, TRI_STR("Hello hello! hex"), NULL, (int32_t[]){4, 4, 9, 1}, 4);
    expect_ids(t, TRI_STR("hello"),
        &(tri_encode_options){.struct_size = sizeof parse, .add_special_tokens = true},
        (int32_t[]){4}, 1); /* ids 101 and 102, the usual ones, are not in this vocabulary */
    tri_tokenizer_close(t);

    t = open_at(CORPUS "gguf_vocab/t5");
    const tri_encode_options special = {.struct_size = sizeof special, .add_special_tokens = true};
    expect_ids(t, TRI_STR("hello"), &special, (int32_t[]){11, 1}, 2);
    tri_tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece),
        cmocka_unit_test(ranks),
        cmocka_unit_test(refusals),
        cmocka_unit_test(mutated_tekken),
        cmocka_unit_test(gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
