/* cmd_tokenize.c - text to token ids and back, from stdin to stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/options.h"
#include "trireme/graph.h"
#include "trireme/text.h"

/* Each line of stdin, without its newline, to fn; what it leaves in out goes to stdout. */
typedef tri_status (*line_fn)(void *user, tri_str line, tri_buf *out, tri_error *err);

static tri_status each_line(line_fn fn, void *user, tri_error *err) {
    char *line = NULL;
    size_t room = 0;
    tri_status rc = TRI_OK;
    tri_buf out = {0};
    ssize_t n;
    for (int64_t number = 1; !rc && (n = getline(&line, &room, stdin)) >= 0; number++) {
        if (n > 0 && line[n - 1] == '\n') n--;
        tri_buf_clear(&out);
        rc = fn(user, (tri_str){line, (size_t)n}, &out, err);
        tri_buf_putc(&out, '\n');
        if (!rc) rc = tri_buf_status(&out, err);
        if (!rc) fwrite(out.ptr, 1, out.len, stdout);
        if (rc) tri_error_context(err, "line %" PRId64, number);
    }
    tri_buf_deinit(&out);
    free(line);
    return rc;
}

/* ---- tokenize ---- */

typedef struct tokenize_args {
    bool ids, pieces, json, jsonl, add_special_tokens, parse_special;
    int32_t n_threads;
    tri_tokenizer *tokenizer;
} tokenize_args;

static tri_status encode(
    const tokenize_args *a, tri_str text, int32_t **ids, int32_t *n, tri_error *err) {
    const tri_encode_options options = {.struct_size = sizeof options,
        .add_special_tokens = a->add_special_tokens,
        .parse_special = a->parse_special,
        .n_threads = a->n_threads};
    return tri_tokenizer_encode(a->tokenizer, text.ptr, text.len, &options, ids, n, err);
}

static void put_number(tri_buf *out, int32_t number) {
    char digits[12];
    int at = sizeof digits;
    uint32_t rest = (uint32_t)number;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    tri_buf_append(out, digits + at, sizeof digits - (size_t)at);
}

static void put_array(tri_buf *out, const int32_t *ids, int32_t n) {
    tri_buf_putc(out, '[');
    for (int32_t i = 0; i < n; i++) {
        if (i) tri_buf_putc(out, ',');
        put_number(out, ids[i]);
    }
    tri_buf_putc(out, ']');
}

static void put_piece(tri_json_writer *w, const tri_tokenizer *t, int32_t id) {
    size_t n = 0;
    const char *piece = tri_tokenizer_token(t, id, &n);
    tri_json_string(w, (tri_str){piece ? piece : "", n});
}

/* {"ids": [...], "pieces": [...]} */
static void put_json(tri_buf *out, const tri_tokenizer *t, const int32_t *ids, int32_t n) {
    tri_json_writer w;
    tri_json_writer_init(&w, out, 0);
    tri_json_begin_object(&w);
    tri_json_key(&w, "ids");
    tri_json_begin_array(&w);
    for (int32_t i = 0; i < n; i++)
        tri_json_i64(&w, ids[i]);
    tri_json_end_array(&w);
    tri_json_key(&w, "pieces");
    tri_json_begin_array(&w);
    for (int32_t i = 0; i < n; i++)
        put_piece(&w, t, ids[i]);
    tri_json_end_array(&w);
    tri_json_end_object(&w);
    tri_buf_putc(out, '\n');
}

/* A line an id: "9906\tHello", the piece as a JSON string. */
static void put_pieces(tri_buf *out, const tri_tokenizer *t, const int32_t *ids, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        tri_json_writer w;
        put_number(out, ids[i]);
        tri_buf_putc(out, '\t');
        tri_json_writer_init(&w, out, 0);
        put_piece(&w, t, ids[i]);
        tri_buf_putc(out, '\n');
    }
}

static tri_status tokenize_whole(const tokenize_args *a, tri_error *err) {
    tri_buf in = {0}, out = {0};
    int32_t *ids = NULL, n = 0;
    tri_status rc = tri_read_stream(stdin, "standard input", 0, &in, err);
    if (!rc) rc = encode(a, (tri_str){in.ptr, in.len}, &ids, &n, err);
    if (!rc) {
        if (a->json) {
            put_json(&out, a->tokenizer, ids, n);
        } else if (a->pieces) {
            put_pieces(&out, a->tokenizer, ids, n);
        } else {
            for (int32_t i = 0; i < n; i++) {
                if (i) tri_buf_putc(&out, ' ');
                put_number(&out, ids[i]);
            }
            tri_buf_putc(&out, '\n');
        }
        rc = tri_buf_status(&out, err);
    }
    if (!rc) fwrite(out.ptr, 1, out.len, stdout);
    tri_free(ids);
    tri_buf_deinit(&in);
    tri_buf_deinit(&out);
    return rc;
}

static tri_status tokenize_line(void *user, tri_str line, tri_buf *out, tri_error *err) {
    const tokenize_args *a = user;
    tri_arena arena;
    const tri_json *text;
    int32_t *ids = NULL, n = 0;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_json_parse(line, &arena, &text, err);
    if (!rc && text->kind != TRI_JSON_STRING) {
        rc = TRI_FAIL(err, TRI_E_FORMAT, "it is no JSON string");
    }
    if (!rc) rc = encode(a, text->text, &ids, &n, err);
    if (!rc) put_array(out, ids, n);
    tri_free(ids);
    tri_arena_deinit(&arena);
    return rc;
}

int tri_cmd_tokenize(int argc, char **argv) {
    tokenize_args a = {.n_threads = 1};
    const tri_option table[] = {
        {TRI_OPTION_SWITCH, "ids", &a.ids, NULL, "ids with spaces between (the default)", 0, 0},
        {TRI_OPTION_SWITCH, "pieces", &a.pieces, NULL,
            "a line a token: its id, a tab and the token as a JSON string", 0, 0},
        {TRI_OPTION_SWITCH, "json", &a.json, NULL, "one object: ids, pieces", 0, 0},
        {TRI_OPTION_SWITCH, "jsonl", &a.jsonl, NULL,
            "each line of input is a text, as a JSON string; one JSON array of ids a line comes "
            "out",
            0, 0},
        {TRI_OPTION_SWITCH, "add_special_tokens", &a.add_special_tokens, NULL,
            "put around what the model wants there (bos, eos, [CLS])", 0, 0},
        {TRI_OPTION_SWITCH, "parse_special", &a.parse_special, NULL,
            "read special tokens (<|im_end|>) in the text; without it they are text", 0, 0},
        {TRI_OPTION_I32, "threads", &a.n_threads, "N", "for one long text (1)", 1, 64},
    };
    const tri_usage usage = {.command = "trireme tokenize",
        .summary = "Turns the text on standard input into token ids.  MODEL is a directory, a "
                   "tokenizer file or "
                   "a\nGGUF file.",
        .synopsis = "MODEL [options]",
        .examples = "  echo -n \"Hello world\" | trireme tokenize ./Llama-3.2-1B\n"
                    "  trireme tokenize model.gguf --pieces <prompt.txt\n"
                    "  printf '\"one\"\\n\"two\"\\n' | trireme tokenize tokenizer.json --jsonl\n",
        .options = table,
        .n_options = sizeof table / sizeof *table,
        .min_positionals = 1,
        .max_positionals = 1};
    const char *path[1];
    int status = tri_options_parse(&usage, argc, argv, path, NULL);
    if (status) return status == TRI_OPTIONS_HELP ? 0 : 2;
    if (a.ids + a.pieces + a.json + a.jsonl > 1) {
        fprintf(stderr,
            "trireme tokenize: --ids, --pieces, --json and --jsonl are several; one is wanted\n");
        return 2;
    }
    tri_error err = {0};
    tri_status rc = tri_tokenizer_open(&a.tokenizer, path[0], &err);
    if (!rc) rc = a.jsonl ? each_line(tokenize_line, &a, &err) : tokenize_whole(&a, &err);
    tri_tokenizer_close(a.tokenizer);
    return rc ? tri_report("tokenize", &err) : 0;
}

/* ---- detokenize ---- */

typedef struct detokenize_args {
    bool skip_special, jsonl;
    tri_tokenizer *tokenizer;
} detokenize_args;

typedef struct id_reader {
    tri_str text;
    size_t at;
} id_reader;

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_word(char c) {
    return is_space(c) || c == ',' || c == '[' || c == ']' || c == '\0';
}

static void skip_space(id_reader *r) {
    while (r->at < r->text.len && is_space(r->text.ptr[r->at]))
        r->at++;
}

static bool take(id_reader *r, char c) {
    bool is = r->at < r->text.len && r->text.ptr[r->at] == c;
    r->at += is;
    return is;
}

/* "byte 7: '1x' where a token id should be"; bytes are counted from 1. */
static tri_status misplaced(const id_reader *r, size_t begin, const char *wanted, tri_error *err) {
    char shown[48];
    size_t end = begin;
    while (end < r->text.len && !ends_word(r->text.ptr[end]))
        end++;
    if (end == begin && end < r->text.len) end++;
    tri_str_escape((tri_str){r->text.ptr + begin, end - begin}, shown, sizeof shown);
    if (begin == r->text.len) {
        return TRI_FAIL(
            err, TRI_E_FORMAT, "byte %zu: the end where %s should be", begin + 1, wanted);
    }
    return TRI_FAIL(
        err, TRI_E_FORMAT, "byte %zu: '%s' where %s should be", begin + 1, shown, wanted);
}

static tri_status read_id(id_reader *r, const tri_tokenizer *t, tri_buf *ids, tri_error *err) {
    size_t begin = r->at;
    int64_t id;
    while (r->at < r->text.len && !ends_word(r->text.ptr[r->at]))
        r->at++;
    if (!tri_str_to_i64((tri_str){r->text.ptr + begin, r->at - begin}, &id) || id < 0)
        return misplaced(r, begin, "a token id", err);
    int32_t size = tri_tokenizer_vocab_size(t);
    if (id >= size) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "byte %zu: token id %" PRId64 " is past the vocabulary, which has %d ids (0 to %d)",
            begin + 1, id, size, size - 1);
    }
    int32_t small = (int32_t)id;
    if (!tri_tokenizer_token(t, small, NULL)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "byte %zu: token id %d is a hole in the vocabulary of %d ids: it has no token",
            begin + 1, small, size);
    }
    tri_buf_append(ids, &small, sizeof small);
    return TRI_OK;
}

/* A JSON array of ids; or, unless array_only, ids with white space, a comma or both between. */
static tri_status parse_ids(
    const tri_tokenizer *t, tri_str text, bool array_only, tri_buf *ids, tri_error *err) {
    id_reader r = {.text = text};
    skip_space(&r);
    bool array = take(&r, '[');
    if (array_only && !array) return misplaced(&r, r.at, "'[' of an array of token ids", err);
    skip_space(&r);
    bool more = array ? !take(&r, ']') : r.at < text.len;
    while (more) {
        TRI_TRY(read_id(&r, t, ids, err));
        skip_space(&r);
        more = take(&r, ',');
        skip_space(&r);
        if (array && !more && !take(&r, ']')) return misplaced(&r, r.at, "',' or ']'", err);
        if (!array) more = more || r.at < text.len;
    }
    skip_space(&r);
    if (r.at < text.len) return misplaced(&r, r.at, "the end", err);
    return tri_buf_status(ids, err);
}

static tri_status decode(
    const detokenize_args *a, tri_str numbers, char **text, size_t *n, tri_error *err) {
    tri_buf ids = {0};
    tri_status rc = parse_ids(a->tokenizer, numbers, a->jsonl, &ids, err);
    if (!rc) {
        rc = tri_tokenizer_decode(a->tokenizer, (const int32_t *)(const void *)ids.ptr,
            (int32_t)(ids.len / sizeof(int32_t)), a->skip_special, text, n, err);
    }
    tri_buf_deinit(&ids);
    return rc;
}

static tri_status detokenize_line(void *user, tri_str line, tri_buf *out, tri_error *err) {
    const detokenize_args *a = user;
    char *text = NULL;
    size_t n = 0;
    TRI_TRY(decode(a, line, &text, &n, err));
    tri_json_writer w;
    tri_json_writer_init(&w, out, 0);
    tri_json_string(&w, (tri_str){text, n});
    tri_free(text);
    return TRI_OK;
}

static tri_status detokenize_whole(const detokenize_args *a, tri_error *err) {
    tri_buf in = {0};
    char *text = NULL;
    size_t n = 0;
    tri_status rc = tri_read_stream(stdin, "standard input", 0, &in, err);
    if (!rc) rc = decode(a, (tri_str){in.ptr, in.len}, &text, &n, err);
    if (!rc) fwrite(text, 1, n, stdout);
    tri_free(text);
    tri_buf_deinit(&in);
    return rc;
}

int tri_cmd_detokenize(int argc, char **argv) {
    detokenize_args a = {0};
    const tri_option table[] = {
        {TRI_OPTION_SWITCH, "skip_special", &a.skip_special, NULL,
            "leave special tokens out (<|im_end|>)", 0, 0},
        {TRI_OPTION_SWITCH, "jsonl", &a.jsonl, NULL,
            "each line of input is an array of ids; one JSON string a line comes out", 0, 0},
    };
    const tri_usage usage = {.command = "trireme detokenize",
        .summary = "Turns token ids on standard input, with white space or commas between or as a "
                   "JSON array, into\ntext.  MODEL is a directory, a tokenizer file or a GGUF "
                   "file.  Anything else between the ids, and\nids that the vocabulary does not "
                   "have, are refused with their place.",
        .synopsis = "MODEL [options]",
        .examples = "  echo 9906 1917 | trireme detokenize ./Llama-3.2-1B\n"
                    "  trireme tokenize model.gguf <a.txt | trireme detokenize model.gguf\n"
                    "  echo '[9906,1917]' | trireme detokenize tokenizer.json --jsonl\n",
        .options = table,
        .n_options = sizeof table / sizeof *table,
        .min_positionals = 1,
        .max_positionals = 1};
    const char *path[1];
    int status = tri_options_parse(&usage, argc, argv, path, NULL);
    if (status) return status == TRI_OPTIONS_HELP ? 0 : 2;
    tri_error err = {0};
    tri_status rc = tri_tokenizer_open(&a.tokenizer, path[0], &err);
    if (!rc) rc = a.jsonl ? each_line(detokenize_line, &a, &err) : detokenize_whole(&a, &err);
    tri_tokenizer_close(a.tokenizer);
    return rc ? tri_report("detokenize", &err) : 0;
}
