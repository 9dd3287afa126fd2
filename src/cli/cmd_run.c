/* cmd_run.c - a prompt or a chat on an engine; a model is built into the cache first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/build_options.h"
#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/generate.h"
#include "cli/input.h"
#include "cli/line.h"
#include "models/source.h"

enum { MAX_PROMPT_BYTES = 64 << 20, OWN_OPTIONS = 24 };

typedef struct run_args {
    tri_build_options build;
    tri_option_list plugins, stops;
    tri_generate_options generate;
    const char *path, *prompt, *prompt_file, *system;
    bool raw, json, show_special, quiet;
    tri_engine_checks checks;
    int64_t max_seq_len;
    tri_option table[OWN_OPTIONS + TRI_PRECISION_OPTIONS];
    int32_t n;
} run_args;

typedef struct session {
    const run_args *args;
    tri_engine *engine;
    tri_executor *executor;
    tri_tokenizer *tokenizer;
    tri_chat_template *chat; /* NULL under --raw */
} session;

static void make_table(run_args *a) {
    tri_sampling_config *s = &a->generate.sampling;
    const tri_option own[] = {
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "prompt (without one: a chat)", 0, 0},
        {TRI_OPTION_STRING, "prompt", &a->prompt, "TEXT", "what to answer or go on from", 0, 0},
        {TRI_OPTION_STRING, "prompt_file", &a->prompt_file, "FILE",
            "the same from a file or pipe; - is stdin", 0, 0},
        {TRI_OPTION_STRING, "system", &a->system, "TEXT", "the system message (the template's own)",
            0, 0},
        {TRI_OPTION_SWITCH, "raw", &a->raw, NULL,
            "no chat template and no special token added: the text goes in as it is", 0, 0},
        {TRI_OPTION_SWITCH, "json", &a->json, NULL,
            "one line of JSON: prompt_ids, output_ids, text, finish_reason, timings", 0, 0},
        {TRI_OPTION_SWITCH, "show_special", &a->show_special, NULL, "print special tokens too", 0,
            0},
        {TRI_OPTION_SWITCH, "quiet", &a->quiet, NULL, "no figures at the end", 0, 0},
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "sampling", 0, 0},
        {TRI_OPTION_I32, "max_tokens", &a->generate.max_tokens, "N",
            "stop after so many (until the sequence is full)", 1, 1 << 30},
        {TRI_OPTION_F32, "temperature", &s->temperature, "X", "0: always the likeliest token (0)",
            0, 100},
        {TRI_OPTION_I32, "top_k", &s->top_k, "N", "only the N likeliest; 0: all (0)", 0, 1 << 30},
        {TRI_OPTION_F32, "top_p", &s->top_p, "P", "only the likeliest that make up P; 0: all (0)",
            0, 1},
        {TRI_OPTION_F32, "min_p", &s->min_p, "P",
            "only those at least P times as likely as the likeliest (0)", 0, 1},
        {TRI_OPTION_F32, "repetition_penalty", &s->repetition_penalty, "X",
            "above 1: tokens that occurred are less likely (1)", 0, 100},
        {TRI_OPTION_F32, "presence_penalty", &s->presence_penalty, "X",
            "taken off the logits of tokens generated before (0)", -100, 100},
        {TRI_OPTION_F32, "frequency_penalty", &s->frequency_penalty, "X",
            "the same, times how often (0)", -100, 100},
        {TRI_OPTION_U64, "seed", &s->seed, "N", "the same seed gives the same text (0)", 0, 0},
        {TRI_OPTION_LIST, "stop", &a->stops, "TEXT", "stop before this text; may be given again", 0,
            0},
        {TRI_OPTION_HEADING, NULL, NULL, NULL, "limits and checks", 0, 0},
        {TRI_OPTION_I64, "max_seq_len", &a->max_seq_len, "N",
            "tokens of prompt and answer together (the model's, if the KV cache holds them)", 2,
            1 << 30},
        {TRI_OPTION_SWITCH, "verify", &a->checks.verify, NULL,
            "check the checksum of every weight of the engine first", 0, 0},
        {TRI_OPTION_SWITCH, "trust_engine_code", &a->checks.trust_engine_code, NULL,
            "run the GPU code in the engine's file as it is, instead of compiling it again", 0, 0},
    };
    int32_t n = sizeof own / sizeof *own;
    for (int32_t i = 0; i < n; i++)
        a->table[i] = own[i];
    a->n = n + tri_precision_options(&a->build, &a->plugins, a->table + n);
}

/* ---- opening ---- */

static void close_session(session *s) {
    tri_executor_destroy(s->executor);
    tri_engine_close(s->engine);
    tri_tokenizer_close(s->tokenizer);
    tri_chat_template_close(s->chat);
}

/* Engines and models hold the same files of text. */
static tri_status open_text(session *s, const run_args *a, tri_error *err) {
    TRI_TRY(tri_tokenizer_open(&s->tokenizer, a->path, err));
    return a->raw ? TRI_OK : tri_chat_template_open(&s->chat, a->path, NULL, err);
}

static bool is_model(const char *path) {
    tri_source *source = NULL;
    if (tri_source_open(&source, path, &(tri_source_options){.dtype = TRI_N_DTYPES}, NULL)) {
        return false;
    }
    tri_source_close(source);
    return true;
}

/* A model without text is not worth a build; all else that is wrong with a path is said first. */
static tri_status open_session(session *s, run_args *a, tri_error *err) {
    tri_error no_text = {0};
    tri_status rc = open_text(s, a, &no_text);
    if (!rc || !is_model(a->path)) {
        TRI_TRY(tri_engine_for(&s->engine, a->path, &a->build, a->checks, err));
    }
    if (rc) {
        *err = no_text;
        return rc;
    }
    return tri_executor_create(&s->executor, s->engine,
        &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
            .max_batch_size = 1,
            .max_seq_len = a->max_seq_len,
            .n_threads = a->build.n_threads},
        err);
}

/* ---- one prompt ---- */

static void print_json(const session *s, const int32_t *prompt, const tri_generated *g) {
    tri_buf out = {0};
    tri_json_writer w;
    tri_json_writer_init(&w, &out, 0);
    tri_json_begin_object(&w);
    tri_json_key(&w, "prompt_ids");
    tri_json_begin_array(&w);
    for (int32_t i = 0; i < g->n_prompt; i++)
        tri_json_i64(&w, prompt[i]);
    tri_json_end_array(&w);
    tri_json_key(&w, "output_ids");
    tri_json_begin_array(&w);
    const int32_t *ids = (const int32_t *)(const void *)g->ids.ptr;
    for (int32_t i = 0; i < g->n_ids; i++)
        tri_json_i64(&w, ids[i]);
    tri_json_end_array(&w);
    tri_json_key(&w, "text");
    tri_json_string(&w, (tri_str){g->text.ptr, g->text.len});
    tri_json_key(&w, "finish_reason");
    tri_json_string(&w, tri_str_of(tri_generated_reason(g)));
    tri_json_key(&w, "timings");
    tri_json_begin_object(&w);
    tri_json_key(&w, "prompt_ms");
    tri_json_f64(&w, g->prompt_s * 1e3);
    tri_json_key(&w, "decode_ms");
    tri_json_f64(&w, g->decode_s * 1e3);
    tri_executor_stats stats;
    tri_executor_get_stats(s->executor, &stats);
    tri_json_key(&w, "iterations");
    tri_json_i64(&w, stats.n_iterations);
    tri_json_end_object(&w);
    tri_json_end_object(&w);
    if (!out.failed) printf("%s\n", out.ptr);
    tri_buf_deinit(&out);
}

static bool is_cancelled(const tri_generated *g) {
    return !g->stopped_by_string && g->finish_reason == TRI_FINISH_CANCELLED;
}

static double per_second(double n, double seconds) {
    return seconds > 0 ? n / seconds : 0;
}

static void print_figures(const tri_generated *g) {
    fprintf(stderr,
        "\nprompt %d tokens in %.3f s (%.1f tok/s), decode %d tokens in %.3f s (%.1f tok/s)",
        g->n_prompt, g->prompt_s, per_second(g->n_prompt, g->prompt_s),
        g->n_ids > 0 ? g->n_ids - 1 : 0, g->decode_s, per_second(g->n_ids - 1, g->decode_s));
    fprintf(stderr, ", %s\n", tri_generated_reason(g));
}

static tri_status encode_prompt(
    const session *s, tri_str text, int32_t **ids, int32_t *n, tri_error *err) {
    if (!s->chat) {
        return tri_tokenizer_encode(s->tokenizer, text.ptr, text.len,
            &(tri_encode_options){.struct_size = sizeof(tri_encode_options), .parse_special = true},
            ids, n, err);
    }
    tri_conversation c = {0};
    if (s->args->system) tri_conversation_add(&c, "system", tri_str_of(s->args->system));
    tri_conversation_add(&c, "user", text);
    tri_status rc = tri_conversation_encode(&c, s->chat, s->tokenizer, ids, n, err);
    tri_conversation_deinit(&c);
    return rc;
}

static tri_status answer(const session *s, tri_str text, bool *cancelled, tri_error *err) {
    int32_t *ids = NULL, n = 0;
    TRI_TRY(encode_prompt(s, text, &ids, &n, err));
    tri_generated g = {0};
    tri_status rc = n > 0 ? TRI_OK
                          : TRI_FAIL(err, TRI_E_ARGUMENT,
                                "the prompt has no tokens: there is nothing to go on from, give "
                                "some text");
    if (!rc) rc = tri_generate(s->executor, s->tokenizer, ids, n, &s->args->generate, &g, err);
    if (!rc) {
        if (s->args->json) {
            print_json(s, ids, &g);
        } else {
            printf("\n");
            fflush(stdout);
            if (!s->args->quiet) print_figures(&g);
        }
        *cancelled = is_cancelled(&g);
        tri_generated_deinit(&g);
    }
    tri_free(ids);
    return rc;
}

/* ---- chat ---- */

static void reset(tri_conversation *c, const char *system) {
    tri_conversation_deinit(c);
    if (system) tri_conversation_add(c, "system", tri_str_of(system));
}

static tri_status chat_turn(
    const session *s, tri_conversation *c, tri_str line, bool *cancelled, tri_error *err) {
    int32_t *ids = NULL, n = 0;
    size_t before = c->messages.len;
    tri_generated g = {0};
    tri_conversation_add(c, "user", line);
    tri_status rc = tri_conversation_encode(c, s->chat, s->tokenizer, &ids, &n, err);
    if (!rc) rc = tri_generate(s->executor, s->tokenizer, ids, n, &s->args->generate, &g, err);
    if (rc) {
        c->messages.len = before;
        if (rc == TRI_E_LIMIT) TRI_FAIL(err, rc, "%s; /reset starts again", err->message);
    } else {
        tri_conversation_add(c, "assistant", (tri_str){g.text.ptr, g.text.len});
        printf("\n");
        if (!s->args->quiet) print_figures(&g);
        *cancelled = is_cancelled(&g);
        tri_generated_deinit(&g);
    }
    tri_free(ids);
    return rc;
}

/* 0; 1 when a turn of a script failed; a person was told and could go on. */
static int chat(const session *s) {
    static const char help[] = "/reset forgets the conversation, /exit (or Ctrl-D) leaves, Ctrl-C "
                               "stops an answer\n";
    static char prompt[] = "> ";
    int status = 0;
    tri_line_reader lines;
    tri_str line;
    tri_conversation c = {0};
    tri_line_reader_init(&lines, prompt);
    if (lines.editor) fputs(help, stderr);
    reset(&c, s->args->system);
    while (status != TRI_EXIT_INTERRUPTED && tri_line_read(&lines, &line)) {
        if (line.len == 0) continue;
        if (tri_str_is(line, "/exit") || tri_str_is(line, "/quit")) break;
        if (tri_str_is(line, "/reset")) {
            reset(&c, s->args->system);
        } else if (line.ptr[0] == '/') {
            fputs(help, stderr);
        } else {
            tri_error err = {0};
            bool cancelled = false;
            tri_status rc = chat_turn(s, &c, line, &cancelled, &err);
            if (rc) tri_report("run", &err);
            if (lines.editor) continue;
            if (rc) status = 1;
            if (cancelled) status = TRI_EXIT_INTERRUPTED;
        }
    }
    tri_line_reader_deinit(&lines);
    tri_conversation_deinit(&c);
    return status;
}

/* ---- the command ---- */

static tri_status read_prompt(const run_args *a, tri_arena *arena, tri_str *text, tri_error *err) {
    if (a->prompt) {
        *text = tri_str_of(a->prompt);
        return TRI_OK;
    }
    FILE *file = strcmp(a->prompt_file, "-") != 0 ? fopen(a->prompt_file, "rb") : stdin;
    if (!file) return tri_fail_errno(err, "open %s", a->prompt_file);
    tri_buf in = {0};
    tri_status rc = tri_read_stream(file, a->prompt_file, MAX_PROMPT_BYTES, &in, err);
    if (file != stdin) fclose(file);
    if (!rc) {
        char *copy = tri_arena_strndup(arena, in.ptr ? in.ptr : "", in.len);
        *text = (tri_str){copy, in.len};
        if (!copy) rc = TRI_FAIL(err, TRI_E_MEMORY, "no memory for the prompt");
    }
    tri_buf_deinit(&in);
    return rc;
}

static int run(run_args *a) {
    tri_error err = {0};
    tri_arena arena;
    tri_arena_init(&arena, 0);
    session s = {.args = a};
    tri_str prompt = {.ptr = ""};
    bool has_prompt = a->prompt || a->prompt_file, cancelled = false;
    int status = 0;
    tri_status rc = has_prompt ? read_prompt(a, &arena, &prompt, &err) : TRI_OK;
    if (!rc) rc = open_session(&s, a, &err);
    if (!rc && has_prompt) {
        rc = answer(&s, prompt, &cancelled, &err);
        if (cancelled) status = TRI_EXIT_INTERRUPTED;
    } else if (!rc) {
        status = chat(&s);
    }
    close_session(&s);
    tri_arena_deinit(&arena);
    return rc ? tri_report("run", &err) : status;
}

int tri_cmd_run(int argc, char **argv) {
    run_args a = {.build = {.struct_size = sizeof(tri_build_options)}};
    make_table(&a);
    const tri_usage usage = {.command = "trireme run",
        .summary = "Answers a prompt or holds a chat.  PATH is an engine, or a HF directory, "
                   "checkpoint or GGUF "
                   "file,\nwhich is built once and kept in the cache.",
        .synopsis = "PATH [--prompt TEXT | --prompt_file FILE] [options]",
        .examples = "  trireme run model.gguf --prompt \"Why is the sky blue?\" --max_tokens 100\n"
                    "  trireme run ./engine --raw --prompt \"Once upon a time\" --temperature 0.8 "
                    "--seed 7\n"
                    "  trireme run ./engine\n",
        .options = a.table,
        .n_options = a.n,
        .min_positionals = 1,
        .max_positionals = 1};
    int rc = tri_options_parse(&usage, argc, argv, &a.path, NULL);
    if (rc) return rc == TRI_OPTIONS_HELP ? 0 : 2;
    if (a.prompt && a.prompt_file) {
        fprintf(stderr, "trireme run: --prompt and --prompt_file are both given; one is wanted\n");
        return 2;
    }
    if (!a.prompt && !a.prompt_file && (a.raw || a.json)) {
        fprintf(stderr, "trireme run: --raw and --json need --prompt or --prompt_file\n");
        return 2;
    }
    if (a.raw && a.system) {
        fprintf(stderr, "trireme run: --system is a message of a chat, --raw takes no chat "
                        "template: put it into the prompt\n");
        return 2;
    }
    a.build.plugins = a.plugins.items;
    a.build.n_plugins = a.plugins.n;
    a.generate.stops = a.stops.items;
    a.generate.n_stops = a.stops.n;
    a.generate.stream = !a.json;
    a.generate.show_special = a.show_special;
    return run(&a);
}
