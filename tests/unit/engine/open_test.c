/* Engine directories: what opens, what is refused and why; the cache of built engines; golden old
 * engines, which must open for ever. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/engine/own_model.h"

typedef struct path_text {
    char s[800];
} path_text;

static path_text join(const char *dir, const char *name) {
    path_text p;
    (void)snprintf(p.s, sizeof p.s, "%s/%s", dir, name);
    return p;
}

static void copy_file(const char *from, const char *to) {
    tri_arena arena;
    tri_str bytes;
    tri_arena_init(&arena, 0);
    OK(tri_file_read(from, 1 << 26, &arena, &bytes, err));
    OK(tri_file_replace(to, bytes.ptr, bytes.len, err));
    tri_arena_deinit(&arena);
}

static void replace_in(const char *path, const char *old, const char *new) {
    tri_arena arena;
    tri_str text;
    tri_buf out = {0};
    tri_arena_init(&arena, 0);
    OK(tri_file_read(path, 1 << 20, &arena, &text, err));
    const char *at = strstr(text.ptr, old);
    assert_non_null(at);
    tri_buf_append(&out, text.ptr, (size_t)(at - text.ptr));
    tri_buf_puts(&out, new);
    tri_buf_puts(&out, at + strlen(old));
    OK(tri_file_replace(path, out.ptr, out.len, err));
    tri_buf_deinit(&out);
    tri_arena_deinit(&arena);
}

static scratch build_golden(const char *model, const char *name, int32_t tp) {
    scratch from = golden_path(model), dir = scratch_dir(name);
    tri_build_options options = build_options(from.path, dir.path);
    options.tp_size = tp;
    OK(tri_build(&options, err));
    return dir;
}

static void test_info(void **state) {
    (void)state;
    scratch dir = build_golden("families/gemma3", "info", 1);
    tri_engine *engine = NULL;
    tri_engine_info info;
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    tri_engine_get_info(engine, &info);
    assert_string_equal(info.architecture, "Gemma3ForCausalLM");
    assert_string_equal(info.dir, dir.path);
    assert_null(info.repacked);
    assert_int_equal(info.vocab_size, 288);
    assert_int_equal(info.n_layers, 7);
    assert_int_equal(info.hidden_size, 48);
    assert_int_equal(info.max_seq_len, GOLDEN_MAX_LEN);
    assert_int_equal(info.generation, 0);
    assert_false(info.stripped);
    assert_true(info.n_parameters > 50000 && info.n_parameters < 500000);
    assert_true(info.weight_bytes >= 2 * info.n_parameters);
    assert_true(info.n_eos > 0);
    tri_plan_group groups[TRI_MAX_GROUPS];
    assert_int_equal(tri_engine_groups(engine, groups), 3);
    assert_true(groups[2].recurrent);
    assert_int_equal(groups[2].bytes_per_block, 2 * 288);
    assert_int_equal(groups[0].tokens_per_block, 4);
    tri_engine_close(engine);
    tri_engine_close(NULL);
}

static void test_refused(void **state) {
    (void)state;
    tri_engine *engine = NULL;
    scratch none = scratch_dir("none");
    FAILS(TRI_E_NOT_FOUND, tri_engine_open(&engine, none.path, NULL, err), none.path);
    scratch model = golden_path("families/qwen2");
    FAILS(TRI_E_FORMAT, tri_engine_open(&engine, model.path, NULL, err), "trireme build");

    scratch dir = build_golden("families/llama_mha", "refused", 2);
    path_text config = join(dir.path, "config.json"), rank0 = join(dir.path, "rank0.engine");
    path_text rank1 = join(dir.path, "rank1.engine"), aside = join(dir.path, "aside");
    copy_file(rank1.s, aside.s);
    copy_file(rank0.s, rank1.s);
    FAILS(TRI_E_FORMAT, tri_engine_open(&engine, dir.path, NULL, err), "rank1.engine", "rank 0");
    assert_int_equal(remove(rank1.s), 0);
    FAILS(TRI_E_NOT_FOUND, tri_engine_open(&engine, dir.path, NULL, err), "rank1.engine");
    copy_file(aside.s, rank1.s);
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    tri_engine_close(engine);

    replace_in(config.s, "\"n_layers\": 3", "\"n_layers\": -3");
    FAILS(TRI_E_FORMAT, tri_engine_open(&engine, dir.path, NULL, err), "config.json", "n_layers");
    replace_in(config.s, "\"n_layers\": -3", "\"n_layers\": 3,");
    FAILS(TRI_E_FORMAT, tri_engine_open(&engine, dir.path, NULL, err), "config.json");
    OK(tri_file_replace(config.s, "{}", 2, err));
    FAILS(TRI_E_FORMAT, tri_engine_open(&engine, dir.path, NULL, err), "trireme");

    tri_engine_options options = {.struct_size = 4};
    FAILS(TRI_E_VERSION, tri_engine_open(&engine, dir.path, &options, err), "struct_size");
}

/* A weight's damage is found when asked for. */
static void test_verify(void **state) {
    (void)state;
    scratch dir = build_golden("families/llama_mha", "verify", 1);
    path_text rank0 = join(dir.path, "rank0.engine");
    tri_arena arena;
    tri_safetensors s;
    tri_arena_init(&arena, 0);
    OK(tri_safetensors_open(&s, rank0.s, &arena, err));
    int64_t at = tri_safetensors_find(&s, "lm_head.weight")->offset_bytes + 100;
    tri_safetensors_close(&s);
    tri_str bytes;
    OK(tri_file_read(rank0.s, 1 << 26, &arena, &bytes, err));
    char *changed = malloc(bytes.len);
    memcpy(changed, bytes.ptr, bytes.len);
    changed[at] ^= 1;
    OK(tri_file_replace(rank0.s, changed, bytes.len, err));
    free(changed);
    tri_arena_deinit(&arena);
    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, dir.path, NULL, err));
    tri_engine_close(engine);
    const tri_engine_options options = {.struct_size = sizeof options, .verify_weights = true};
    FAILS(TRI_E_CHECKSUM, tri_engine_open(&engine, dir.path, &options, err), "lm_head.weight",
        "rank0.engine");
    char *text = NULL;
    FAILS(TRI_E_CHECKSUM, tri_inspect(dir.path, TRI_INSPECT_VERIFY, NULL, &text, err),
        "lm_head.weight");
}

static void test_plugins(void **state) {
    (void)state;
    scratch model = golden_path("families/qwen2"), dir = scratch_dir("plugins");
    path_text own = join(TRI_BUILD_DIR, "libtrireme.so");
    tri_build_options options = build_options(model.path, dir.path);
    const char *paths[] = {"/nowhere/lib.so"};
    options.plugins = paths;
    options.n_plugins = 1;
    FAILS(TRI_E_NOT_FOUND, tri_build(&options, err), "plugin /nowhere/lib.so");
    paths[0] = "lib_without_a_slash.so";
    FAILS(TRI_E_NOT_FOUND, tri_build(&options, err), "./lib_without_a_slash.so");
    paths[0] = own.s; /* a library, but no plugin */
    if (tri_path_exists(own.s)) FAILS(TRI_E_FORMAT, tri_build(&options, err), "no Trireme plugin");
    paths[0] = "";
    FAILS(TRI_E_ARGUMENT, tri_build(&options, err), "plugin");
}

/* ---- the cache ---- */

static void test_cache(void **state) {
    (void)state;
    scratch model = scratch_dir("cached_model"), cache = scratch_dir("cache");
    scratch from = golden_path("families/llama_tied");
    OK(tri_path_make_dirs(model.path, err));
    copy_file(join(from.path, "config.json").s, join(model.path, "config.json").s);
    copy_file(join(from.path, "model.safetensors").s, join(model.path, "model.safetensors").s);
    tri_build_options options = build_options(model.path, NULL);
    char first[700], path[700];
    bool built = false;
    OK(tri_build_cached(&options, cache.path, first, sizeof first, &built, err));
    assert_true(built);
    assert_non_null(strstr(first, "cached_model-"));
    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, first, NULL, err));
    tri_engine_close(engine);
    OK(tri_build_cached(&options, cache.path, path, sizeof path, &built, err));
    assert_false(built);
    assert_string_equal(path, first);
    options.n_threads = 1; /* changes nothing of the engine */
    OK(tri_build_cached(&options, cache.path, path, sizeof path, &built, err));
    assert_false(built);
    options.dtype = "float32";
    OK(tri_build_cached(&options, cache.path, path, sizeof path, &built, err));
    assert_true(built);
    assert_string_not_equal(path, first);
    options.dtype = NULL;
    replace_in(join(model.path, "config.json").s, "\"bos_token_id\": ", "\"bos_token_id\":  ");
    OK(tri_build_cached(&options, cache.path, path, sizeof path, &built, err));
    assert_true(built);
    assert_string_not_equal(path, first);
    char small[16];
    FAILS(TRI_E_LIMIT, tri_build_cached(&options, cache.path, small, sizeof small, &built, err),
        "16 bytes");
}

/* The time of what has one: as copying tools keep it. */
static void set_time(const char *path) {
    const struct timespec times[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void cache_entry(const char *model, const char *cache, char path[700], bool built) {
    bool is_built = false;
    tri_build_options options = build_options(model, NULL);
    OK(tri_build_cached(&options, cache, path, 700, &is_built, err));
    assert_int_equal(is_built, built);
}

/* Files that differ in the middle alone, and files that are no part of the model. */
static void test_cache_key(void **state) {
    (void)state;
    scratch model = scratch_dir("keyed_model"), cache = scratch_dir("key_cache");
    scratch from = golden_path("families/llama_tied");
    char first[700], path[700];
    path_text weights = join(model.path, "model.safetensors");
    OK(tri_path_make_dirs(model.path, err));
    copy_file(join(from.path, "config.json").s, join(model.path, "config.json").s);
    copy_file(join(from.path, "model.safetensors").s, weights.s);
    set_time(weights.s);
    cache_entry(model.path, cache.path, first, true);

    /* Neither a note, nor a directory, nor a link to nothing makes another engine of it. */
    OK(tri_file_replace(join(model.path, "README.md").s, "words", 5, err));
    OK(tri_path_make_dirs(join(model.path, "original").s, err));
    assert_int_equal(symlink("nowhere", join(model.path, "dangling").s), 0);
    assert_int_equal(symlink("nowhere", join(model.path, "dangling.safetensors").s), 0);
    cache_entry(model.path, cache.path, path, false);
    assert_string_equal(path, first);

    /* An eighth of the data changed, in the middle, behind what is read as the header. */
    tri_file_map map;
    OK(tri_file_map_open(&map, weights.s, err));
    int64_t n = map.n_bytes;
    assert_true(n > (80 << 10) + n / 8);
    uint8_t *bytes = malloc((size_t)n);
    assert_non_null(bytes);
    memcpy(bytes, map.data, (size_t)n);
    tri_file_map_close(&map);
    int64_t at = (64 << 10) + (n - (64 << 10)) / 2;
    memset(bytes + at, 0, (size_t)(n / 8));
    OK(tri_file_replace(weights.s, bytes, (size_t)n, err));
    free(bytes);
    set_time(weights.s);
    cache_entry(model.path, cache.path, path, true);
    assert_string_not_equal(path, first);
}

/* An entry that does not open is replaced when that is asked for, and what a killed process left in
 * the cache goes with it. */
static void test_cache_rebuild(void **state) {
    (void)state;
    scratch model = golden_path("families/llama_tied"), cache = scratch_dir("rebuild_cache");
    char path[700];
    bool built = false;
    cache_entry(model.path, cache.path, path, true);
    OK(tri_file_replace(join(path, "rank0.engine").s, "damaged", 7, err));
    cache_entry(model.path, cache.path, path, false);
    path_text left = join(cache.path, "other-0123456789abcdef.77-00000000000000aa.tmp");
    OK(tri_path_make_dirs(left.s, err));
    tri_build_options options = build_options(model.path, NULL);
    options.rebuild = true;
    OK(tri_build_cached(&options, cache.path, path, sizeof path, &built, err));
    assert_true(built);
    assert_false(tri_path_exists(left.s));
    tri_engine *engine = NULL;
    OK(tri_engine_open(&engine, path, NULL, err));
    tri_engine_close(engine);
    tri_arena arena;
    char **names;
    int32_t n = 0;
    tri_arena_init(&arena, 0);
    OK(tri_path_list(cache.path, &arena, &names, &n, err));
    assert_int_equal(n, 1); /* neither a lock nor anything else */
    tri_arena_deinit(&arena);
}

typedef struct cacher {
    const tri_build_options *options;
    const char *cache;
    char path[700];
    bool built;
    tri_status status;
    tri_error error;
} cacher;

static void *build_cached(void *arg) {
    cacher *c = arg;
    c->status =
        tri_build_cached(c->options, c->cache, c->path, sizeof c->path, &c->built, &c->error);
    return NULL;
}

/* Of several that want the same engine at once, one builds. */
static void test_cache_race(void **state) {
    (void)state;
    enum { N = 4 };
    scratch model = golden_path("families/qwen3"), cache = scratch_dir("race");
    tri_build_options options = build_options(model.path, NULL);
    options.n_threads = 1;
    cacher c[N];
    pthread_t threads[N];
    int32_t n_built = 0;
    for (int i = 0; i < N; i++) {
        c[i] = (cacher){.options = &options, .cache = cache.path};
        assert_int_equal(pthread_create(&threads[i], NULL, build_cached, &c[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        golden_ok(c[i].status, &c[i].error);
        n_built += c[i].built;
        assert_string_equal(c[i].path, c[0].path);
    }
    assert_int_equal(n_built, 1);
}

/* ---- golden old engines ---- */

static tri_graph *old_model(void) {
    const test_model model = test_model_named("gemma", 2);
    return test_model_define(&model);
}

/* How tests/golden/engines/format1 was made: open_test --write DIR, by the first program that wrote
 * format 1.  Never written again. */
static int write_golden(const char *dir) {
    tri_graph *g = old_model();
    own_weights w = own_weights_of(g, 1);
    tri_build_options options = build_options(NULL, dir);
    options.cpu_isa = "generic";
    options.dtype = "bfloat16";
    options.activation_dtype = "float32";
    options.weight_only = "int8";
    OK(tri_build_graph(g, own_read, &w, &options, err));
    own_weights_free(&w);
    tri_graph_destroy(g);
    return 0;
}

static void test_old_engines(void **state) {
    (void)state;
    const tri_precision precision = {TRI_BF16, "f32", TRI_BF16, TRI_I8, 0};
    scratch dir = golden_path("engines/format1"), cache = scratch_dir("old_cache");
    const tri_engine_options options = {
        .struct_size = sizeof options, .cache_dir = cache.path, .verify_weights = true};
    tri_graph *g = old_model();
    own_weights w = own_weights_of(g, 1);
    runner r;
    runner_open_with(&r, dir.path, &options, "cpu");
    golden_sequence s[2];
    int32_t tokens[2][16];
    int64_t n = own_prompts(s, tokens) * (int64_t)r.info.vocab_size;
    float *logits = runner_logits(&r, s, 2), *expected = own_reference(g, &w, &precision);
    double error = golden_error(logits, expected, n);
    if (!(error < 1e-2)) fail_msg("logits are off by %g", error); /* as build_test.c argues */
    free(logits);
    free(expected);
    runner_deinit(&r);
    own_weights_free(&w);
    tri_graph_destroy(g);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--write") == 0) return write_golden(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_plugins),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_key),
        cmocka_unit_test(test_cache_rebuild),
        cmocka_unit_test(test_cache_race),
        cmocka_unit_test(test_old_engines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
