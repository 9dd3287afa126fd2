/* rankN.engine: what is written is read back, by us and as a plain safetensors file; what is
 * damaged is refused with the reason, and never crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/engine/own_model.h"

typedef struct engine_bytes {
    scratch dir;
    uint8_t *bytes; /* page-aligned, as a mapping is */
    int64_t n_bytes;
    tri_plugin_set plugins;
    tri_plugin_device facts;
    tri_select select;
} engine_bytes;

static uint8_t *aligned_copy(const uint8_t *from, int64_t n) {
    size_t room = ((size_t)n + TRI_ENGINE_PAGE) / TRI_ENGINE_PAGE * TRI_ENGINE_PAGE;
    uint8_t *copy = aligned_alloc(TRI_ENGINE_PAGE, room);
    assert_non_null(copy);
    if (n > 0) memcpy(copy, from, (size_t)n);
    return copy;
}

static int setup(void **state) {
    static engine_bytes e;
    const test_model model = test_model_named("qwen3", 1);
    tri_graph *g = test_model_define(&model);
    own_weights w = own_weights_of(g, 5);
    e.dir = scratch_dir("file");
    tri_build_options options = build_options(NULL, e.dir.path);
    options.cpu_isa = "generic";
    OK(tri_build_graph(g, own_read, &w, &options, err));
    own_weights_free(&w);
    tri_graph_destroy(g);
    char path[600];
    tri_file_map map;
    (void)snprintf(path, sizeof path, "%s/rank0.engine", e.dir.path);
    OK(tri_file_map_open(&map, path, err));
    e.bytes = aligned_copy(map.data, map.n_bytes);
    e.n_bytes = map.n_bytes;
    tri_file_map_close(&map);
    OK(tri_plugin_set_open(&e.plugins, NULL, 0, err));
    e.facts = tri_target_facts("cpu", "");
    e.select = (tri_select){.kernels = e.plugins.kernels,
        .device = &e.facts,
        .max_tokens = 8,
        .max_sequences = 2,
        .max_rows = 2};
    *state = &e;
    return 0;
}

static int teardown(void **state) {
    engine_bytes *e = *state;
    tri_plugin_set_close(&e->plugins);
    free(e->bytes);
    return 0;
}

/* Parses, and as an open engine would, verifies. */
static tri_status parse(const engine_bytes *e, const uint8_t *bytes, int64_t n, tri_error *err) {
    tri_rank rank;
    char misfit[256];
    TRI_TRY(tri_rank_parse(&rank, bytes, n, &e->plugins, &e->select, misfit, sizeof misfit, err));
    assert_string_equal(misfit, "");
    tri_status rc = tri_engine_file_verify(&rank.file, err);
    tri_rank_close(&rank);
    return rc;
}

static void test_read_back(void **state) {
    const engine_bytes *e = *state;
    tri_rank rank;
    char misfit[256];
    OK(tri_rank_parse(
        &rank, e->bytes, e->n_bytes, &e->plugins, &e->select, misfit, sizeof misfit, err));
    assert_int_equal(rank.file.format, TRI_ENGINE_FORMAT);
    assert_string_equal(rank.spec.isa, "generic");
    assert_string_equal(rank.spec.target, "cpu");
    assert_int_equal(rank.spec.max_seq_len, GOLDEN_MAX_LEN);
    assert_true(rank.n_stored > 8);
    assert_true(rank.n_forward > 8);
    assert_int_equal(rank.n_sampling, 4);
    for (int32_t i = 0; i < rank.n_stored; i++) {
        const tri_engine_tensor *t = &rank.file.tensors[i];
        int64_t align = t->n_bytes >= TRI_ENGINE_PAGE ? TRI_ENGINE_PAGE : 64;
        assert_int_equal((uintptr_t)t->data % (uintptr_t)align, 0);
        assert_int_equal(t->n_bytes, rank.stored_bytes[i]);
        assert_true(strlen(t->derivation) > 0);
    }
    OK(tri_engine_file_verify(&rank.file, err));
    tri_rank_close(&rank);
}

/* Any reader of the format sees the same tensors, dense ones with their type and shape. */
static void test_plain_safetensors(void **state) {
    const engine_bytes *e = *state;
    tri_safetensors s;
    tri_arena arena;
    char path[600];
    tri_arena_init(&arena, 0);
    (void)snprintf(path, sizeof path, "%s/rank0.engine", e->dir.path);
    OK(tri_safetensors_open(&s, path, &arena, err));
    const tri_safetensor *norm = tri_safetensors_find(&s, "transformer.ln_f.weight");
    assert_non_null(norm);
    assert_int_equal(norm->dtype, TRI_F32);
    assert_int_equal(norm->n_dims, 1);
    assert_int_equal(norm->dims[0], 32);
    const tri_safetensor *graph = tri_safetensors_find(&s, "graph");
    assert_non_null(graph);
    assert_memory_equal(graph->data, "trireme.graph 1\n", 16);
    assert_non_null(tri_json_get(s.metadata, "trireme.tensors"));
    tri_safetensors_close(&s);
    tri_arena_deinit(&arena);
}

/* Cut anywhere: refused. */
static void test_truncated(void **state) {
    const engine_bytes *e = *state;
    for (int64_t n = 0; n < e->n_bytes; n += n < 4096 ? 61 : 1021) {
        uint8_t *cut = aligned_copy(e->bytes, n);
        tri_error error = {0};
        assert_int_not_equal(parse(e, cut, n, &error), TRI_OK);
        assert_true(strlen(error.message) > 0);
        free(cut);
    }
}

/* One bit anywhere: found by some check, be it the last. */
static void test_flipped(void **state) {
    const engine_bytes *e = *state;
    uint8_t *bytes = aligned_copy(e->bytes, e->n_bytes);
    for (int64_t at = 0; at < e->n_bytes; at += at < 20000 ? 131 : 1009) {
        tri_error error = {0};
        uint8_t old = bytes[at];
        bytes[at] = (uint8_t)(old ^ 1u << at % 8);
        tri_status rc = parse(e, bytes, e->n_bytes, &error);
        if (!rc) fail_msg("a flipped bit at %d was not noticed", (int)at);
        bytes[at] = old;
    }
    OK(parse(e, bytes, e->n_bytes, err));
    free(bytes);
}

static int64_t offset_of(const engine_bytes *e, const char *name) {
    tri_safetensors s;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    OK(tri_safetensors_parse(&s, e->bytes, e->n_bytes, &arena, err));
    const tri_safetensor *t = tri_safetensors_find(&s, name);
    assert_non_null(t);
    int64_t offset = t->data - e->bytes;
    tri_safetensors_close(&s);
    tri_arena_deinit(&arena);
    return offset;
}

/* The message says which part is damaged. */
static void test_reasons(void **state) {
    const engine_bytes *e = *state;
    static const char *const names[] = {
        "plan", "graph", "canonical_graph", "transformer.ln_f.weight", "pad.sums"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint8_t *bytes = aligned_copy(e->bytes, e->n_bytes);
        bytes[offset_of(e, names[i])] ^= 4;
        FAILS(TRI_E_CHECKSUM, parse(e, bytes, e->n_bytes, err), names[i], "damaged", "checksum");
        free(bytes);
    }
    uint8_t *bytes = aligned_copy(e->bytes, e->n_bytes);
    bytes[offset_of(e, "checksums") + 8] ^= 4;
    FAILS(TRI_E_CHECKSUM, parse(e, bytes, e->n_bytes, err), "checksums");
    free(bytes);
}

/* Changes text in the file, then puts right every sum that this broke: what an attacker would. */
static uint8_t *forge(const engine_bytes *e, const char *old, const char *new) {
    size_t n = strlen(old);
    assert_int_equal(n, strlen(new));
    uint8_t *bytes = aligned_copy(e->bytes, e->n_bytes);
    uint8_t *at = memmem(bytes, (size_t)e->n_bytes, old, n);
    assert_non_null(at);
    memcpy(at, new, n);
    tri_safetensors s;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_error error = {0};
    if (!tri_safetensors_parse(&s, bytes, e->n_bytes, &arena, &error)) {
        const tri_safetensor *t = tri_safetensors_find(&s, "checksums");
        uint64_t *sums = (uint64_t *)(uintptr_t)t->data;
        sums[0] = tri_hash64(bytes, (size_t)s.header_bytes, 0);
        for (int32_t i = 0; i < s.n_tensors; i++) {
            if (&s.tensors[i] != t)
                sums[i + 1] = tri_hash64(s.tensors[i].data, (size_t)s.tensors[i].n_bytes, 0);
        }
        size_t last = (size_t)s.n_tensors + 1;
        sums[last] = tri_hash64(sums, last * sizeof *sums, 0);
        tri_safetensors_close(&s);
    }
    tri_arena_deinit(&arena);
    return bytes;
}

static void check_forged(
    const engine_bytes *e, const char *old, const char *new, tri_status status, const char *word) {
    uint8_t *bytes = forge(e, old, new);
    FAILS(status, parse(e, bytes, e->n_bytes, err), word);
    free(bytes);
}

/* Well-summed lies: the header, the graph and the data must still agree. */
static void test_hostile(void **state) {
    const engine_bytes *e = *state;
    check_forged(
        e, "\"trireme.format\":\"1\"", "\"trireme.format\":\"2\"", TRI_E_VERSION, "format 2");
    check_forged(e, "\"trireme.format\":\"1\"", "\"trireme.format\":\"x\"", TRI_E_FORMAT, "format");
    check_forged(e, "\"trireme.format\":", "\"trireme.farmat\":", TRI_E_FORMAT, "no engine");
    check_forged(e, "\\\"tp_size\\\":1", "\\\"tp_size\\\":0", TRI_E_FORMAT, "tp_size");
    check_forged(
        e, "\\\"target\\\":\\\"cpu\\\"", "\\\"target\\\":\\\"gpu\\\"", TRI_E_UNSUPPORTED, "gpu");
    check_forged(e, "\\\"stripped\\\":false", "\\\"stripped\\\":true ", TRI_E_FORMAT, "stripped");
    check_forged(
        e, "\\\"layout\\\":\\\"row\\\"", "\\\"layout\\\":\\\"raw\\\"", TRI_E_FORMAT, "weight");
    check_forged(e, "\\\"shape\\\":[32]", "\\\"shape\\\":[31]", TRI_E_FORMAT, "bytes");
    check_forged(e, "trireme.plan 1", "trireme.plan 9", TRI_E_FORMAT, "plan");
    check_forged(e, "trireme.graph 1", "trireme.graph 7", TRI_E_VERSION, "graph");
    check_forged(e, "n_heads=4", "n_heads=3", TRI_E_ARGUMENT, "attention");
}

static void test_reserved_names(void **state) {
    (void)state;
    const int64_t dims[] = {40, 32};
    tri_graph *g = NULL;
    OK(tri_graph_create(&g, "Reserved", err));
    tri_graph_declare_weight(g, "plan", TRI_F32, dims, 2);
    tri_value *table = tri_weight(g, "plan");
    tri_value *x = tri_embedding(g, tri_input_tokens(g), table);
    tri_output_logits(g, tri_matmul(g, tri_select_rows(g, x, tri_input_rows(g)), table));
    OK(tri_graph_finish(g, err));
    own_weights w = own_weights_of(g, 1);
    scratch dir = scratch_dir("reserved");
    tri_build_options options = build_options(NULL, dir.path);
    FAILS(TRI_E_ARGUMENT, tri_build_graph(g, own_read, &w, &options, err), "named plan");
    own_weights_free(&w);
    tri_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_plain_safetensors),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_reserved_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
