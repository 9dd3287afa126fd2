/* fold_test.c - stored tensors: names, derivations, losses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "passes/passes.h"
#include "unit/passes/model.h"
#include "unit/passes/text.h"

typedef struct folded {
    tri_graph *g;
    tri_arena arena;
    tri_stored *stored;
    int32_t n;
} folded;

static folded fold(tri_graph *g) {
    tri_error err = {0};
    folded f = {.g = g};
    tri_arena_init(&f.arena, 0);
    if (tri_pass_fold(g, &f.arena, &f.stored, &f.n, &err)) fail_msg("%s", err.message);
    text_check(g);
    return f;
}

static void unfold(folded *f) {
    tri_graph_destroy(f->g);
    tri_arena_deinit(&f->arena);
}

static const tri_stored *find(const folded *f, const char *name) {
    for (int32_t i = 0; i < f->n; i++) {
        if (strcmp(f->stored[i].name, name) == 0) return &f->stored[i];
    }
    fail_msg("no stored tensor %s", name);
    return NULL;
}

static void expect(const folded *f, const char *name, const char *derivation, const char *lossy) {
    const tri_stored *s = find(f, name);
    assert_string_equal(s->derivation, derivation);
    assert_int_equal(s->lossless, lossy == NULL);
    if (lossy)
        assert_string_equal(s->lossy_step, lossy);
    else
        assert_null(s->lossy_step);
}

static tri_graph *define(const char *name, int32_t n_layers, tri_dtype dtype) {
    test_model m = test_model_named(name, n_layers);
    m.dtype = dtype;
    tri_graph *g = test_model_define(&m);
    assert_non_null(g);
    return g;
}

static int32_t panels(void *user, const tri_graph *g, const tri_node *node, int32_t slot,
    const char **out, int32_t room, tri_error *err) {
    (void)user;
    (void)g;
    (void)room;
    (void)err;
    int32_t n = 0;
    if (node->op == TRI_OP_LINEAR && slot == 1) out[n++] = "panel16";
    out[n++] = "row";
    return n;
}

static void build(tri_graph *g, const tri_precision *p) {
    tri_error err = {0};
    if (tri_pass_precision(g, p, &err) || tri_pass_fuse(g, &err) ||
        tri_pass_layout(g, &(tri_target){.layouts = panels}, &err))
        fail_msg("%s", err.message);
}

#define L0 "transformer.layers.0."

static void test_bf16(void **state) {
    (void)state;
    tri_graph *g = define("bias", 2, TRI_BF16);
    build(g, &(tri_precision){.weights = TRI_BF16, .weight_only = TRI_N_DTYPES});
    folded f = fold(g);
    expect(&f, "transformer.vocab_embedding.weight",
        "weight(\"transformer.vocab_embedding.weight\")", NULL);
    expect(&f, L0 "input_layernorm.weight", "cast(weight(\"" L0 "input_layernorm.weight\"))", NULL);
    expect(&f, L0 "attention.qkv.weight",
        "pack(weight(\"" L0 "attention.qkv.weight\"), layout=\"panel16\")", NULL);
    expect(&f, L0 "attention.dense.bias", "cast(weight(\"" L0 "attention.dense.bias\"))", NULL);
    expect(&f, L0 "mlp.fc+gate.weight",
        "pack(concat_rows(weight(\"" L0 "mlp.fc.weight\"), weight(\"" L0
        "mlp.gate.weight\")), layout=\"panel16\")",
        NULL);
    expect(&f, L0 "mlp.fc+gate.bias",
        "concat_rows(cast(weight(\"" L0 "mlp.fc.bias\")), cast(weight(\"" L0 "mlp.gate.bias\")))",
        NULL);
    expect(&f, "rope_frequencies", "rope_frequencies(rotary_dim=8)", NULL);
    /* a layer: 2 norms, weight and bias of qkv, dense, fc+gate, proj; table, norm, head, rope */
    assert_int_equal(f.n, 2 * (2 + 4 * 2) + 4);
    unfold(&f);
}

static void test_quantised(void **state) {
    (void)state;
    tri_graph *g = define("gemma", 1, TRI_BF16);
    build(g, &(tri_precision){.weights = TRI_F32, .weight_only = TRI_I4, .group_size = 16});
    folded f = fold(g);
    expect(&f, L0 "mlp.fc+gate.weight",
        "pack(concat_rows(quantize(cast(weight(\"" L0
        "mlp.fc.weight\")), dtype=\"i4\", group=16), quantize(cast(weight(\"" L0
        "mlp.gate.weight\")), dtype=\"i4\", group=16)), layout=\"panel16\")",
        "quantize");
    const tri_stored *scales = find(&f, L0 "mlp.fc+gate.weight.scales");
    assert_string_equal(scales->lossy_step, "quantize_scales");
    expect(&f, L0 "input_layernorm.weight",
        "affine(weight(\"" L0 "input_layernorm.weight\"), offset=1)", "affine");
    unfold(&f);
}

/* Casts: every value of the source has to be one of the target. */
static void test_casts(void **state) {
    (void)state;
    const struct {
        tri_dtype from, to;
        bool lossless;
    } cases[] = {
        {TRI_BF16, TRI_F32, true}, {TRI_F16, TRI_F32, true}, {TRI_F32, TRI_F32, true},
        {TRI_F32, TRI_BF16, false}, {TRI_F32, TRI_F16, false},
        {TRI_BF16, TRI_F16, false}, /* range */
        {TRI_F16, TRI_BF16, false}, /* bits */
        {TRI_F8_E5M2, TRI_F16, true}, {TRI_F8_E4M3, TRI_BF16, true}, {TRI_F64, TRI_F32, false},
        {TRI_Q8_0, TRI_F32, false}, /* many blocks decode to the same values */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tri_error err = {0};
        tri_graph *g = define("llama", 1, cases[i].from);
        if (tri_pass_precision(
                g, &(tri_precision){.weights = cases[i].to, .weight_only = TRI_N_DTYPES}, &err))
            fail_msg("%s", err.message);
        folded f = fold(g);
        const tri_stored *s = find(&f, L0 "attention.qkv.weight");
        assert_int_equal(s->lossless, cases[i].lossless);
        if (!cases[i].lossless) assert_string_equal(s->lossy_step, "cast");
        unfold(&f);
    }
}

static const char slices[] = "  %%0 = input name=\"tokens\" : i32[T]\n"
                             "  %%1 = weight name=\"table\" : bf16[8,16]\n"
                             "  %%2 = embedding(%%0, %%1) : f32[T,16]\n"
                             "  %%3 = weight name=\"w\" : bf16[32,16]\n"
                             "  %%4 = slice_rows(%%3) first=16 n=16 : bf16[16,16]\n"
                             "  %%5 = linear(%%2, %%4) : f32[T,16]\n"
                             "  %%6 = slice_rows(%%3) n=%d : bf16[%d,16]\n"
                             "  %%7 = pack(%%6) layout=\"panel16\" : bf16[%d,16]@panel16\n"
                             "  %%8 = linear(%%5, %%7) : f32[T,%d]\n"
                             "  output y = %%8\n";

/* Rows 16 to 31 and the first n: all of w from 16 on. */
static void test_slices(void **state) {
    (void)state;
    for (int32_t n = 15; n <= 17; n++) {
        char text[1024];
        snprintf(text, sizeof text, slices, n, n, n, n);
        folded f = fold(text_parse(text, NULL));
        char derivation[64];
        snprintf(derivation, sizeof derivation,
            "pack(slice_rows(weight(\"w\"), n=%d), layout=\"panel16\")", n);
        expect(&f, "w.rows", "slice_rows(weight(\"w\"), first=16, n=16)",
            n < 16 ? "slice_rows" : NULL);
        expect(&f, "w.rows.2", derivation, n < 16 ? "slice_rows" : NULL);
        unfold(&f);
    }
}

/* A head's rows of a table that is stored whole beside them can be got back; of one that is stored
 * rounded, they cannot. */
static void test_tied_shard(void **state) {
    (void)state;
    const tri_dtype weights[] = {TRI_F32, TRI_F16};
    for (size_t i = 0; i < 2; i++) {
        tri_error err = {0};
        tri_graph *g = define("qwen3", 1, TRI_BF16);
        if (tri_pass_shard(g, 2, 1, &err) ||
            tri_pass_precision(
                g, &(tri_precision){.weights = weights[i], .weight_only = TRI_N_DTYPES}, &err))
            fail_msg("%s", err.message);
        folded f = fold(g);
        const tri_stored *rows = find(&f, "transformer.vocab_embedding.weight.rows");
        const tri_stored *whole = find(&f, "transformer.vocab_embedding.weight");
        assert_int_equal(rows->lossless, weights[i] == TRI_F32);
        assert_int_equal(whole->lossless, weights[i] == TRI_F32);
        if (weights[i] == TRI_F16) assert_string_equal(whole->lossy_step, "cast");
        unfold(&f);
    }
}

/* Equal expressions are one tensor, wherever they stand. */
static void test_merges(void **state) {
    (void)state;
    folded f = fold(text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                               "  %1 = weight name=\"table\" : bf16[8,16]\n"
                               "  %2 = cast(%1) : f32[8,16]\n"
                               "  %3 = embedding(%0, %2) : f32[T,16]\n"
                               "  %4 = cast(%1) : f32[8,16]\n"
                               "  %5 = linear(%3, %4) : f32[T,8]\n"
                               "  %6 = cast(%1) dtype=\"f16\" : f16[8,16]\n"
                               "  %7 = linear(%3, %6) : f32[T,8]\n"
                               "  %8 = add(%5, %7) : f32[T,8]\n"
                               "  output y = %8\n",
        NULL));
    assert_int_equal(f.n, 2);
    expect(&f, "table", "cast(weight(\"table\"))", NULL);
    expect(&f, "table.2", "cast(weight(\"table\"), dtype=\"f16\")", "cast");
    assert_ptr_equal(text_find(f.g, TRI_OP_EMBEDDING, 0)->operands[1],
        text_find(f.g, TRI_OP_LINEAR, 0)->operands[1]);
    assert_int_equal(text_count(f.g, TRI_OP_CAST), 2);
    unfold(&f);
}

static void test_joined_names(void **state) {
    (void)state;
    folded f = fold(text_parse("  %0 = input name=\"tokens\" : i32[T]\n"
                               "  %1 = weight name=\"a.q.weight\" : bf16[8,16]\n"
                               "  %2 = weight name=\"a.k.weight\" : bf16[8,16]\n"
                               "  %3 = weight name=\"a.v.weight\" : bf16[8,16]\n"
                               "  %4 = concat_rows(%1, %2) : bf16[16,16]\n"
                               "  %5 = concat_rows(%4, %3) : bf16[24,16]\n"
                               "  %6 = embedding(%0, %5) : f32[T,16]\n"
                               "  %7 = weight name=\"up\" : bf16[8,16]\n"
                               "  %8 = weight name=\"upper\" : bf16[8,16]\n"
                               "  %9 = concat_rows(%7, %8) : bf16[16,16]\n"
                               "  %10 = linear(%6, %9) : f32[T,16]\n"
                               "  %11 = concat_rows(%7, %7) : bf16[16,16]\n"
                               "  %12 = linear(%10, %11) : f32[T,16]\n"
                               "  output y = %12\n",
        NULL));
    find(&f, "a.q+k+v.weight");
    find(&f, "up+upper");
    find(&f, "up");
    unfold(&f);
}

/* Unique, and the same from build to build and in a second run. */
static void test_names_are_stable(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof test_model_names / sizeof *test_model_names; i++) {
        tri_error err = {0};
        folded f[2];
        for (int32_t k = 0; k < 2; k++) {
            tri_graph *g = define(test_model_names[i], 2, TRI_BF16);
            build(g, &(tri_precision){.weights = TRI_BF16, .weight_only = TRI_I8});
            f[k] = fold(g);
        }
        assert_int_equal(f[0].n, f[1].n);
        for (int32_t k = 0; k < f[0].n; k++) {
            assert_string_equal(f[0].stored[k].name, f[1].stored[k].name);
            for (int32_t j = 0; j < k; j++)
                assert_string_not_equal(f[0].stored[k].name, f[0].stored[j].name);
        }
        tri_stored *again;
        int32_t n;
        assert_int_equal(tri_pass_fold(f[0].g, &f[0].arena, &again, &n, &err), TRI_OK);
        assert_int_equal(n, f[0].n);
        for (int32_t k = 0; k < n; k++) {
            assert_string_equal(again[k].name, f[0].stored[k].name);
            assert_string_equal(again[k].derivation, f[0].stored[k].derivation);
        }
        unfold(&f[0]);
        unfold(&f[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_tied_shard),
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_joined_names),
        cmocka_unit_test(test_names_are_stable),
    };
    return cmocka_run_group_tests_name("passes/fold", tests, NULL, NULL);
}
