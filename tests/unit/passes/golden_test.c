/* golden_test.c - what each pass makes of IR text.
 *
 * golden/NAME.in goes through the pass and must print as golden/NAME.PASS.out.  The .in files are
 * models of model.h, printed; the outputs were read before they were kept.  `program --write`
 * rewrites the outputs after a wanted change, to be read again in the diff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "passes/passes.h"
#include "unit/passes/model.h"

static bool write_outputs;

/* ---- the passes, with the arguments used here ---- */

static tri_status shard_first(tri_graph *g, tri_error *err) {
    return tri_pass_shard(g, 2, 0, err);
}

static tri_status shard_second(tri_graph *g, tri_error *err) {
    return tri_pass_shard(g, 2, 1, err);
}

static tri_status shard_four(tri_graph *g, tri_error *err) {
    return tri_pass_shard(g, 4, 3, err);
}

static tri_status int4(tri_graph *g, tri_error *err) {
    return tri_pass_precision(g,
        &(tri_precision){
            .weights = TRI_BF16, .kv = TRI_BF16, .weight_only = TRI_I4, .group_size = 16},
        err);
}

static tri_status float32(tri_graph *g, tri_error *err) {
    return tri_pass_precision(
        g, &(tri_precision){.weights = TRI_F32, .weight_only = TRI_N_DTYPES}, err);
}

static tri_status as_it_comes(tri_graph *g, tri_error *err) {
    return tri_pass_precision(g,
        &(tri_precision){.weights = TRI_N_DTYPES, .kv = TRI_F16, .weight_only = TRI_N_DTYPES}, err);
}

static tri_status fuse_quantised(tri_graph *g, tri_error *err) {
    TRI_TRY(int4(g, err));
    return tri_pass_fuse(g, err);
}

static tri_status fuse_sharded(tri_graph *g, tri_error *err) {
    TRI_TRY(shard_first(g, err));
    return tri_pass_fuse(g, err);
}

/* Matrices in panels; of embeddings both layouts are taken. */
static int32_t panel_layouts(void *user, const tri_graph *g, const tri_node *node, int32_t slot,
    const char **layouts, int32_t room, tri_error *err) {
    (void)user;
    (void)g;
    (void)room;
    (void)err;
    int32_t n = 0;
    bool matrix = node->operands[slot]->type.n_dims == 2;
    if (node->op == TRI_OP_LINEAR && slot == 1) layouts[n++] = "panel16";
    if (node->op == TRI_OP_EMBEDDING) layouts[n++] = "row";
    if (node->op == TRI_OP_EMBEDDING && matrix) layouts[n++] = "panel16";
    if (n == 0) layouts[n++] = "row";
    return n;
}

static tri_status layout(tri_graph *g, tri_error *err) {
    return tri_pass_layout(g, &(tri_target){.layouts = panel_layouts}, err);
}

static tri_status fuse_and_narrow(tri_graph *g, tri_error *err) {
    const tri_precision precision = {
        .weights = TRI_BF16, .kv = TRI_BF16, .weight_only = TRI_N_DTYPES};
    TRI_TRY(tri_pass_precision(g, &precision, err));
    TRI_TRY(tri_pass_fuse(g, err));
    return tri_pass_narrow(g, err);
}

static tri_status fuse_to_epilogue(tri_graph *g, tri_error *err) {
    TRI_TRY(fuse_and_narrow(g, err));
    return tri_pass_epilogue(g, err);
}

static tri_status fuse_to_norms(tri_graph *g, tri_error *err) {
    TRI_TRY(fuse_to_epilogue(g, err));
    return tri_pass_defer_norms(g, 132, NULL, err);
}

/* All that a build does, on the second rank of two. */
static tri_status all(tri_graph *g, tri_error *err) {
    TRI_TRY(shard_second(g, err));
    TRI_TRY(int4(g, err));
    TRI_TRY(tri_pass_fuse(g, err));
    return layout(g, err);
}

/* ---- running ---- */

typedef struct golden {
    const char *in, *pass;
    tri_status (*run)(tri_graph *g, tri_error *err);
} golden;

static const golden cases[] = {
    {"llama", "shard0", shard_first},
    {"llama", "shard3of4", shard_four},
    {"llama", "int4", int4},
    {"llama", "fuse", tri_pass_fuse},
    {"llama", "narrow", fuse_and_narrow},
    {"llama", "epilogue", fuse_to_epilogue},
    {"llama", "norms", fuse_to_norms},
    {"llama", "layout", layout},
    {"llama", "all", all},
    {"qwen2", "shard1", shard_second},
    {"qwen2", "fuse", tri_pass_fuse},
    {"qwen3", "fuse", tri_pass_fuse},
    {"qwen3", "shard1", shard_second},
    {"gemma", "float32", float32},
    {"gemma", "fuse", tri_pass_fuse},
    {"gemma", "shard1", shard_second},
    {"gemma", "layout", layout},
    {"joined", "shard1", shard_second},
    {"separate", "shard3of4", shard_four},
    {"separate", "fuse", tri_pass_fuse},
    {"blocks", "as_it_comes", as_it_comes},
    {"blocks", "int4", int4},
    {"bias", "fuse_sharded", fuse_sharded},
    {"bias", "fuse_int4", fuse_quantised},
    {"parallel", "fuse", tri_pass_fuse},
    {"stage", "fuse_sharded", fuse_sharded},
};

static tri_str read_text(tri_arena *arena, const char *name, const char *suffix) {
    tri_error err = {0};
    tri_str text = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/unit/passes/golden/%s%s", TRI_TESTS_DIR, name, suffix);
    if (tri_file_read(path, 1 << 20, arena, &text, &err)) fail_msg("%s", err.message);
    return text;
}

static tri_graph *read_graph(tri_arena *arena, const char *name, const char *suffix) {
    tri_error err = {0};
    tri_graph *g = NULL;
    tri_str text = read_text(arena, name, suffix);
    if (tri_graph_parse(&g, text.ptr, text.len, &err))
        fail_msg("%s%s: %s", name, suffix, err.message);
    if (tri_graph_verify(g, &err)) fail_msg("%s%s: %s", name, suffix, err.message);
    return g;
}

static void write_text(const char *name, const char *suffix, const char *text) {
    tri_error err = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/unit/passes/golden/%s%s", TRI_TESTS_DIR, name, suffix);
    if (tri_file_replace(path, text, strlen(text), &err)) fail_msg("%s", err.message);
}

static char *print(const tri_graph *g) {
    tri_error err = {0};
    char *text = NULL;
    if (tri_graph_print(g, &text, &err)) fail_msg("%s", err.message);
    return text;
}

static void test_golden(void **state) {
    const golden *c = *state;
    tri_error err = {0};
    tri_arena arena;
    char suffix[64];
    tri_arena_init(&arena, 0);
    snprintf(suffix, sizeof suffix, ".%s.out", c->pass);
    tri_graph *g = read_graph(&arena, c->in, ".in");
    if (c->run(g, &err)) fail_msg("%s: %s", c->pass, err.message);
    char *text = print(g);
    if (write_outputs) write_text(c->in, suffix, text);
    tri_str expected = read_text(&arena, c->in, suffix);
    assert_string_equal(text, expected.ptr);
    tri_free(text);
    tri_graph_destroy(g);
    tri_arena_deinit(&arena);
}

/* The .in files are models of model.h, which the other tests run: "stage" the middle of a llama. */
static test_model named(const char *name) {
    test_model m = test_model_named(name, strcmp(name, "gemma") == 0 ? 2 : 1);
    if (strcmp(name, "stage") == 0) {
        m.n_layers = 4;
        m.first = 1;
        m.n_stage = 2;
    }
    return m;
}

static void test_input(void **state) {
    const char *name = *state;
    test_model m = named(name);
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_graph *g = test_model_define(&m);
    assert_non_null(g);
    char *text = print(g);
    if (write_outputs) write_text(name, ".in", text);
    assert_string_equal(text, read_text(&arena, name, ".in").ptr);
    tri_free(text);
    tri_graph_destroy(g);
    tri_arena_deinit(&arena);
}

int main(int argc, char **argv) {
    static const char *const inputs[] = {"llama", "qwen2", "qwen3", "gemma", "separate", "blocks",
        "bias", "joined", "parallel", "stage"};
    enum { N_CASES = sizeof cases / sizeof *cases, N_INPUTS = sizeof inputs / sizeof *inputs };
    struct CMUnitTest tests[N_CASES + N_INPUTS];
    char names[N_CASES][64];
    for (int32_t i = 0; i < N_INPUTS; i++)
        tests[i] = (struct CMUnitTest){
            .name = inputs[i], .test_func = test_input, .initial_state = (void *)inputs[i]};
    for (int32_t i = 0; i < N_CASES; i++) {
        snprintf(names[i], sizeof names[i], "%s.%s", cases[i].in, cases[i].pass);
        tests[N_INPUTS + i] = (struct CMUnitTest){
            .name = names[i], .test_func = test_golden, .initial_state = (void *)&cases[i]};
    }
    write_outputs = argc > 1 && strcmp(argv[1], "--write") == 0;
    return cmocka_run_group_tests_name("passes/golden", tests, NULL, NULL);
}
