/* cmd_bench.c - prefill and decode speed: `batch` requests at once, random prompts of input_len
 * tokens, output_len tokens each, end ids off. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "cli/build_options.h"
#include "cli/commands.h"
#include "executor/executor.h"

enum { PROFILE_ROWS = 64 };

typedef struct bench_args {
    tri_build_options build;
    tri_option_list plugins;
    const char *path;
    int32_t input_len, output_len, batch, repeat;
    bool json, profile;
    tri_engine_checks checks;
} bench_args;

typedef struct bench_result {
    double prefill_s, decode_s; /* until every sequence has its first token; after it */
    int64_t n_prompt, n_decoded, n_preempted;
} bench_result;

static tri_status enqueue_all(tri_executor *executor, const bench_args *a, int32_t vocab_size,
    uint64_t round, tri_error *err) {
    int32_t *prompt = malloc(sizeof(int32_t) * (size_t)a->input_len);
    if (!prompt) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for %d tokens", a->input_len);
    tri_status rc = TRI_OK;
    for (int32_t b = 0; b < a->batch && !rc; b++) {
        for (int32_t i = 0; i < a->input_len; i++) {
            uint32_t random[4];
            tri_philox(round * 1000003u + (uint64_t)b, (uint64_t)i, 0, random);
            prompt[i] = (int32_t)(random[0] % (uint32_t)vocab_size);
        }
        uint64_t id;
        rc = tri_executor_enqueue(executor,
            &(tri_request){.struct_size = sizeof(tri_request),
                .input_token_ids = prompt,
                .n_input_token_ids = a->input_len,
                .max_tokens = a->output_len,
                .end_id = -1},
            &id, err);
    }
    free(prompt);
    return rc;
}

/* One round, driven here step by step so that prefill and decode can be told apart. */
static tri_status round_trip(tri_executor *executor, const bench_args *a, int32_t vocab_size,
    uint64_t round, bench_result *result, tri_error *err) {
    TRI_TRY(enqueue_all(executor, a, vocab_size, round, err));
    tri_executor_stats before, now;
    tri_executor_get_stats(executor, &before);
    int64_t start = tri_clock_ns(), first = 0;
    bool did_work = true;
    while (did_work) {
        TRI_TRY(tri_executor_step(executor, &did_work, err));
        tri_executor_get_stats(executor, &now);
        int64_t prompts = now.n_prompt_tokens - before.n_prompt_tokens;
        if (!first && prompts >= (int64_t)a->batch * a->input_len) {
            first = tri_clock_ns();
            result->n_prompt = prompts;
            result->n_decoded = now.n_generated_tokens;
        }
    }
    result->decode_s = (double)(tri_clock_ns() - first) / 1e9;
    result->prefill_s = (double)(first - start) / 1e9;
    result->n_preempted = now.n_preempted - before.n_preempted;
    result->n_decoded = now.n_generated_tokens - result->n_decoded;
    for (int32_t b = 0; b < a->batch; b++) {
        tri_response *r = NULL;
        TRI_TRY(tri_executor_await(executor, 0, 0, &r, err));
        tri_status rc = TRI_OK;
        if (!r || r->finish_reason != TRI_FINISH_LENGTH) {
            rc = TRI_FAIL(
                err, TRI_E_INTERNAL, "a request ended early: %s", r ? r->error_msg : "no response");
        }
        tri_response_free(r);
        if (rc) return rc;
    }
    return TRI_OK;
}

static double rate(int64_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static void print_result(const bench_args *a, const bench_result *r, const tri_engine_info *info) {
    double prefill = rate(r->n_prompt, r->prefill_s), decode = rate(r->n_decoded, r->decode_s);
    double step_ms = r->n_decoded ? r->decode_s * 1e3 * a->batch / (double)r->n_decoded : 0;
    if (!a->json) {
        printf("%s, %s, weights %.1f MB, batch %d, input %d, output %d\n", info->architecture,
            info->isa, (double)info->weight_bytes / 1e6, a->batch, a->input_len, a->output_len);
        printf("prefill  %10.1f tok/s   (%.1f ms for %lld tokens)\n", prefill, r->prefill_s * 1e3,
            (long long)r->n_prompt);
        printf("decode   %10.1f tok/s   (%.3f ms a step)\n", decode, step_ms);
        if (r->n_preempted)
            printf(
                "%lld times the KV cache had no room and a sequence was computed again; a smaller "
                "--batch fits\n",
                (long long)r->n_preempted);
        return;
    }
    tri_buf out = {0};
    tri_json_writer w;
    tri_json_writer_init(&w, &out, 0);
    tri_json_begin_object(&w);
    tri_json_key(&w, "architecture");
    tri_json_string(&w, tri_str_of(info->architecture));
    tri_json_key(&w, "isa");
    tri_json_string(&w, tri_str_of(info->isa));
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {{"batch", a->batch}, {"input_len", a->input_len}, {"output_len", a->output_len},
        {"weight_bytes", info->weight_bytes}, {"preemptions", r->n_preempted}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        tri_json_key(&w, counts[i].key);
        tri_json_i64(&w, counts[i].value);
    }
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"prefill_tokens_per_s", prefill}, {"prefill_ms", r->prefill_s * 1e3},
        {"decode_tokens_per_s", decode}, {"decode_step_ms", step_ms}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        tri_json_key(&w, numbers[i].key);
        tri_json_f64(&w, numbers[i].value);
    }
    tri_json_end_object(&w);
    if (!out.failed) printf("%s\n", out.ptr);
    tri_buf_deinit(&out);
}

static void print_profile(tri_plan *plan) {
    int32_t n = tri_plan_n_launches(plan);
    int64_t total = 0;
    for (int32_t i = 0; i < n; i++) {
        tri_plan_launch_info info;
        tri_plan_get_launch(plan, i, &info);
        total += info.nanoseconds;
    }
    struct {
        const char *kernel;
        double bytes, flops;
        int64_t nanoseconds;
        int32_t n;
    } rows[PROFILE_ROWS];
    int32_t n_rows = 0;
    for (int32_t i = 0; i < n; i++) {
        tri_plan_launch_info info;
        tri_plan_get_launch(plan, i, &info);
        int32_t r = 0;
        while (r < n_rows && !tri_str_is(tri_str_of(rows[r].kernel), info.kernel))
            r++;
        if (r == PROFILE_ROWS) continue;
        if (r == n_rows) {
            rows[n_rows].kernel = info.kernel;
            rows[n_rows].bytes = rows[n_rows].flops = 0;
            rows[n_rows].nanoseconds = rows[n_rows].n = 0;
            n_rows++;
        }
        rows[r].bytes += info.bytes;
        rows[r].flops += info.flops;
        rows[r].nanoseconds += info.nanoseconds;
        rows[r].n++;
    }
    printf("\n%-32s %8s %10s %8s\n", "kernel", "launches", "ms", "share");
    for (int32_t r = 0; r < n_rows; r++) {
        printf("%-32s %8d %10.3f %7.1f%%\n", rows[r].kernel, rows[r].n,
            (double)rows[r].nanoseconds / 1e6,
            total ? 100.0 * (double)rows[r].nanoseconds / (double)total : 0);
    }
}

static tri_status bench(bench_args *a, tri_error *err) {
    tri_engine *engine = NULL;
    tri_executor *executor = NULL;
    TRI_TRY(tri_engine_for(&engine, a->path, &a->build, a->checks, err));
    tri_engine_info info;
    tri_engine_get_info(engine, &info);
    tri_status rc = tri_executor_create(&executor, engine,
        &(tri_executor_config){.struct_size = sizeof(tri_executor_config),
            .max_batch_size = a->batch,
            .max_num_tokens = info.max_num_tokens > a->batch ? 0 : a->batch,
            .max_seq_len = (int64_t)a->input_len + a->output_len,
            .n_threads = a->build.n_threads,
            .profile = a->profile,
            .manual = true},
        err);
    bench_result best = {0};
    /* Round 0 warms caches and is not counted. */
    for (int32_t i = 0; i <= a->repeat && !rc; i++) {
        bench_result r = {0};
        rc = round_trip(executor, a, info.vocab_size, (uint64_t)i, &r, err);
        if (i == 1 || (i > 1 && r.prefill_s < best.prefill_s)) {
            best.prefill_s = r.prefill_s;
            best.n_prompt = r.n_prompt;
        }
        if (i == 1 || (i > 1 && r.decode_s < best.decode_s)) {
            best.decode_s = r.decode_s;
            best.n_decoded = r.n_decoded;
            best.n_preempted = r.n_preempted;
        }
    }
    if (!rc) print_result(a, &best, &info);
    if (!rc && a->profile) print_profile(tri_executor_plan(executor));
    tri_executor_destroy(executor);
    tri_engine_close(engine);
    return rc;
}

int tri_cmd_bench(int argc, char **argv) {
    bench_args a = {.build = {.struct_size = sizeof(tri_build_options)},
        .input_len = 128,
        .output_len = 64,
        .batch = 1,
        .repeat = 3};
    tri_option table[10 + TRI_PRECISION_OPTIONS] = {
        {TRI_OPTION_I32, "input_len", &a.input_len, "N", "prompt tokens (128)", 1, 1 << 20},
        {TRI_OPTION_I32, "output_len", &a.output_len, "N", "tokens to generate (64)", 1, 1 << 20},
        {TRI_OPTION_I32, "batch", &a.batch, "N", "sequences at once (1)", 1, 4096},
        {TRI_OPTION_I32, "repeat", &a.repeat, "N", "rounds; the best one counts (3)", 1, 1000},
        {TRI_OPTION_SWITCH, "profile", &a.profile, NULL, "time by kernel", 0, 0},
        {TRI_OPTION_SWITCH, "json", &a.json, NULL, "one line of JSON", 0, 0},
        {TRI_OPTION_SWITCH, "verify", &a.checks.verify, NULL,
            "check the checksum of every weight of the engine first", 0, 0},
        {TRI_OPTION_STRING, "load_format", &a.checks.load_format, "auto|dummy",
            "dummy: random weights, made on the GPU, for an engine that was built with "
            "--strip_plan",
            0, 0},
        {TRI_OPTION_SWITCH, "trust_engine_code", &a.checks.trust_engine_code, NULL,
            "run the GPU code in the engine's file as it is, instead of compiling it again", 0, 0},
    };
    int32_t n = 9 + tri_precision_options(&a.build, &a.plugins, table + 9);
    const tri_usage usage = {.command = "trireme bench",
        .summary = "Measures prefill and decode on random prompts.",
        .synopsis = "PATH [--input_len N] [--output_len N] [--batch N] [options]",
        .examples = "  trireme bench ./engine --input_len 512 --output_len 64 --batch 8\n",
        .options = table,
        .n_options = n,
        .min_positionals = 1,
        .max_positionals = 1};
    int rc = tri_options_parse(&usage, argc, argv, &a.path, NULL);
    if (rc) return rc == TRI_OPTIONS_HELP ? 0 : 2;
    a.build.plugins = a.plugins.items;
    a.build.n_plugins = a.plugins.n;
    tri_error err = {0};
    if (bench(&a, &err)) return tri_report("bench", &err);
    return 0;
}
