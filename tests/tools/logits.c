/* logits.c - the logits an engine gives for every token of given sequences, by the public API
 * alone.
 *
 *     logits ENGINE IDS.json OUT.safetensors [--generate N] [--max_num_tokens N]
 *            [--max_batch_size N] [--threads N] [--plugin LIB]
 *
 * IDS.json is a list of lists of token ids.  OUT gets seqI.logits, float32 [T, V], and with
 * --generate also seqI.tokens, int32 [N]: the greedy continuation, end ids being ordinary tokens.
 * All sequences are enqueued at once, in the order of the file. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trireme/executor.h"

enum { MAX_SEQUENCES = 4096, MAX_TOKENS = 1 << 22 };

typedef struct arguments {
    const char *engine, *ids, *out, *plugin;
    int32_t generate, max_num_tokens, max_batch_size, n_threads;
} arguments;

typedef struct sequences {
    int32_t *ids;                     /* one after the other */
    int32_t first[MAX_SEQUENCES + 1]; /* where sequence i starts in ids */
    int32_t n;
} sequences;

typedef struct output {
    FILE *file;
    int64_t logits_at[MAX_SEQUENCES], tokens_at[MAX_SEQUENCES]; /* offsets in the file */
    int32_t n_tokens[MAX_SEQUENCES];                            /* generated so far */
} output;

static int complain(const char *what, const char *about) {
    fprintf(stderr, "logits: %s: %s\n", what, about);
    return 1;
}

/* ---- arguments ---- */

static int parse_arguments(arguments *a, int argc, char **argv) {
    const struct {
        const char *name;
        int32_t *to;
    } numbers[] = {{"--generate", &a->generate}, {"--max_num_tokens", &a->max_num_tokens},
        {"--max_batch_size", &a->max_batch_size}, {"--threads", &a->n_threads}};
    const char **positionals[] = {&a->engine, &a->ids, &a->out};
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < 4 && strcmp(argv[i], numbers[k].name) != 0)
            k++;
        if (k < 4 && i + 1 < argc) {
            *numbers[k].to = (int32_t)strtol(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--plugin") && i + 1 < argc) {
            a->plugin = argv[++i];
        } else if (n < 3 && argv[i][0] != '-') {
            *positionals[n++] = argv[i];
        } else {
            return complain("what is this", argv[i]);
        }
    }
    return n == 3 ? 0 : complain("usage", "logits ENGINE IDS.json OUT.safetensors [options]");
}

/* ---- reading ---- */

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *text = NULL;
    if (!fseek(f, 0, SEEK_END)) {
        long n = ftell(f);
        rewind(f);
        if (n >= 0) text = calloc(1, (size_t)n + 1);
        if (text && fread(text, 1, (size_t)n, f) != (size_t)n) {
            free(text);
            text = NULL;
        }
    }
    fclose(f);
    return text;
}

static const char *skip_space(const char *at) {
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* [1, 2, 3] at *at, moved past it. */
static int read_list(const char **at, sequences *s, int32_t *n) {
    const char *c = skip_space(*at + 1);
    while (*c != ']') {
        char *end;
        long id = strtol(c, &end, 10);
        if (end == c || id < 0 || id > INT32_MAX || *n == MAX_TOKENS) return 1;
        s->ids[(*n)++] = (int32_t)id;
        c = skip_space(end);
        if (*c == ',') c++;
    }
    *at = c + 1;
    return 0;
}

static int read_sequences(const char *path, sequences *s) {
    char *text = read_text(path);
    s->ids = malloc(MAX_TOKENS * sizeof *s->ids);
    if (!text || !s->ids) {
        free(text);
        return complain(path, "cannot be read");
    }
    int32_t n = 0;
    int bad = *skip_space(text) != '[';
    const char *at = skip_space(text) + !bad;
    while (!bad && *(at = skip_space(at)) == '[') {
        bad = s->n == MAX_SEQUENCES || read_list(&at, s, &n);
        if (!bad) s->first[++s->n] = n;
        at = skip_space(at);
        if (*at == ',') at++;
    }
    bad = bad || *at != ']' || s->n == 0;
    free(text);
    return bad ? complain(path, "not a list of lists of ids, or too long") : 0;
}

static int32_t length(const sequences *s, int32_t i) {
    return s->first[i + 1] - s->first[i];
}

/* ---- writing ---- */

/* The header first: all extents are known. */
static int open_output(output *o, const arguments *a, const sequences *s, int32_t vocab_size) {
    size_t room = (size_t)s->n * 256 + 64;
    char *header = calloc(1, room);
    o->file = fopen(a->out, "wb");
    if (!header || !o->file) {
        free(header);
        return complain(a->out, "cannot be written");
    }
    int64_t at = 0;
    size_t n = (size_t)snprintf(header, room, "{");
    for (int32_t i = 0; i < s->n; i++) {
        int64_t bytes = (int64_t)length(s, i) * vocab_size * 4;
        o->logits_at[i] = at;
        n += (size_t)snprintf(header + n, room - n,
            "%s\"seq%d.logits\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%" PRId64
            ",%" PRId64 "]}",
            i ? "," : "", i, length(s, i), vocab_size, at, at + bytes);
        at += bytes;
        if (!a->generate) continue;
        o->tokens_at[i] = at;
        n += (size_t)snprintf(header + n, room - n,
            ",\"seq%d.tokens\":{\"dtype\":\"I32\",\"shape\":[%d],\"data_offsets\":[%" PRId64
            ",%" PRId64 "]}",
            i, a->generate, at, at + 4 * (int64_t)a->generate);
        at += 4 * (int64_t)a->generate;
    }
    header[n++] = '}';
    while (n % 8)
        header[n++] = ' ';
    for (int32_t i = 0; i < s->n; i++) {
        o->logits_at[i] += 8 + (int64_t)n;
        o->tokens_at[i] += 8 + (int64_t)n;
    }
    uint64_t header_bytes = n;
    int bad = fwrite(&header_bytes, 8, 1, o->file) != 1 || fwrite(header, 1, n, o->file) != n;
    free(header);
    return bad ? complain(a->out, "cannot be written") : 0;
}

static int write_at(output *o, int64_t at, const void *bytes, size_t n) {
    return fseeko(o->file, at, SEEK_SET) != 0 || fwrite(bytes, 1, n, o->file) != n;
}

/* ---- running ---- */

static tri_status enqueue(
    tri_executor *executor, const arguments *a, const sequences *s, int32_t i, tri_error *err) {
    uint64_t id;
    return tri_executor_enqueue(executor,
        &(tri_request){.struct_size = sizeof(tri_request),
            .input_token_ids = s->ids + s->first[i],
            .n_input_token_ids = length(s, i),
            .max_tokens = a->generate ? a->generate : 1,
            .output_config = {.return_context_logits = true},
            .end_id = -1,
            .client_id = (uint64_t)i},
        &id, err);
}

static int take(
    output *o, const arguments *a, const sequences *s, int32_t vocab_size, const tri_response *r) {
    int32_t i = (int32_t)r->client_id, n_new = r->n_output_token_ids;
    if (r->context_logits && write_at(o, o->logits_at[i], r->context_logits,
                                 (size_t)length(s, i) * (size_t)vocab_size * sizeof(float)))
        return complain(a->out, "cannot be written");
    if (a->generate && o->n_tokens[i] + n_new > a->generate)
        return complain(a->ids, "more tokens than asked for");
    if (a->generate && n_new &&
        write_at(o, o->tokens_at[i] + 4 * (int64_t)o->n_tokens[i], r->output_token_ids,
            (size_t)n_new * sizeof(int32_t)))
        return complain(a->out, "cannot be written");
    o->n_tokens[i] += n_new;
    if (r->is_final && r->finish_reason != TRI_FINISH_LENGTH)
        return complain(tri_finish_reason_name(r->finish_reason), r->error_msg);
    return 0;
}

static int follow(tri_executor *executor, output *o, const arguments *a, const sequences *s,
    int32_t vocab_size, tri_error *err) {
    for (int32_t n_final = 0; n_final < s->n;) {
        tri_response *r = NULL;
        if (tri_executor_await(executor, 0, -1, &r, err)) return complain("await", err->message);
        int bad = take(o, a, s, vocab_size, r);
        n_final += r->is_final;
        tri_response_free(r);
        if (bad) return bad;
    }
    return 0;
}

static int run(tri_engine *engine, output *o, const arguments *a, const sequences *s) {
    tri_error err = {0};
    tri_executor *executor = NULL;
    tri_engine_info info;
    int64_t longest = 0;
    tri_engine_get_info(engine, &info);
    for (int32_t i = 0; i < s->n; i++)
        if (length(s, i) > longest) longest = length(s, i);
    if (open_output(o, a, s, info.vocab_size)) return 1;
    if (tri_executor_create(&executor, engine,
            &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
                .max_batch_size = a->max_batch_size,
                .max_num_tokens = a->max_num_tokens,
                .max_seq_len = longest + (a->generate ? a->generate : 1),
                .max_queue_size = MAX_SEQUENCES,
                .n_threads = a->n_threads},
            &err))
        return complain("executor", err.message);
    int bad = 0;
    for (int32_t i = 0; i < s->n && !bad; i++)
        if (enqueue(executor, a, s, i, &err)) bad = complain("enqueue", err.message);
    if (!bad) bad = follow(executor, o, a, s, info.vocab_size, &err);
    tri_executor_destroy(executor);
    return bad;
}

int main(int argc, char **argv) {
    static sequences s;
    static output o;
    arguments a = {0};
    tri_error err = {0};
    tri_engine *engine = NULL;
    if (parse_arguments(&a, argc, argv)) return 2;
    int bad = read_sequences(a.ids, &s);
    if (!bad && tri_engine_open(&engine, a.engine,
                    &(tri_engine_options){.struct_size = sizeof(tri_engine_options),
                        .plugins = &a.plugin,
                        .n_plugins = a.plugin != NULL},
                    &err))
        bad = complain("open", err.message);
    if (!bad) bad = run(engine, &o, &a, &s);
    tri_engine_close(engine);
    if (o.file && fclose(o.file)) bad = complain(a.out, "cannot be written");
    free(s.ids);
    return bad;
}
