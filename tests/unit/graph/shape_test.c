/* Shape rules: what fits is in the corpus of texts; here is what does not, and what is said. */
#include "unit/graph/support.h"

#define TOKENS "  %0 = input name=\"tokens\" : i32[T]\n"
/* %2 is f32[T,64], %3 a matrix, %4 a vector. */
#define X                                                                                          \
    TOKENS "  %1 = weight name=\"table\" : bf16[100,64]\n"                                         \
           "  %2 = embedding(%0, %1) : f32[T,64]\n"                                                \
           "  %3 = weight name=\"m\" : bf16[32,64]\n"                                              \
           "  %4 = weight name=\"v\" : f32[64]\n"
#define CACHE                                                                                      \
    "  group 0 full tokens_per_block=4\n"                                                          \
    "  group 1 recurrent\n" X "  %5 = cache : cache<bf16, 2, 16>\n"                                \
    "  %6 = columns(%2) n=32 : f32[T,32]\n"                                                        \
    "  %7 = input name=\"positions\" : i32[T]\n"                                                   \
    "  %8 = rope_frequencies rotary_dim=16 : f32[8]\n"
#define LOGITS                                                                                     \
    "  group 0 recurrent\n" TOKENS "  %1 = input name=\"logits\" : f32[R,10]\n"                    \
    "  %2 = counts vocab_size=10 : state<u16, 10>\n"

typedef struct bad_shape {
    const char *body, *message;
} bad_shape;

static const bad_shape bad[] = {
    /* dense */
    {X "  %5 = embedding(%4, %1) : f32[T,64]\n",
        "embedding: tokens is constant f32[64], i32[T] is due"},
    {X "  %5 = embedding(%0, %4) : f32[T,64]\n",
        "embedding: table is constant f32[64], a constant matrix"},
    {X "  %5 = linear(%2, %2) : f32[T,64]\n", "linear: weight is f32[T,64], a constant matrix"},
    {X "  %5 = linear(%3, %3) : f32[T,64]\n",
        "linear: x is constant bf16[32,64], f32 or bf16 [T, columns] computed at run time is due"},
    {X "  %5 = weight name=\"w\" : bf16[64,32]\n  %6 = linear(%2, %5) : f32[T,64]\n",
        "linear: weight is constant bf16[64,32], which takes 32 columns, but x is f32[T,64]"},
    {X "  %5 = linear(%2, %3, bias=%4) : f32[T,32]\n",
        "linear: bias is constant f32[64], a constant float [32] is due for weight bf16[32,64]"},
    {X "  %5 = linear(%2, %3, accumulator=%2) : f32[T,32]\n",
        "linear: accumulator is f32[T,64], the sum is f32[T,32]"},
    {X "  %5 = linear(%2, %3, scales=%4) : f32[T,32]\n",
        "linear: scales is constant f32[64], of weight bf16[32,64]: [32] or [32, groups dividing "
        "64]"},
    {X "  %5 = weight name=\"w\" : i8[32,64]\n  %6 = linear(%2, %5) : f32[T,32]\n",
        "integers need scales"},
    {X "  %5 = weight name=\"w\" : q8_0[64,64]\n  %6 = linear(%2, %5, scales=%4) : f32[T,64]\n",
        "its blocks hold their own scales"},
    {X "  %5 = linear(%2, %3) activation=\"i4\" : f32[T,32]\n",
        "linear: activation is 'i4'; f32, bf16 and i8 exist"},
    {X "  %5 = columns(%2) n=48 : f32[T,48]\n  %6 = weight name=\"w\" : f32[8,48]\n"
       "  %7 = linear(%5, %6) activation=\"i8\" : f32[T,8]\n",
        "linear: x is f32[T,48], activation=\"i8\" needs a multiple of 32 columns"},
    /* rows */
    {X "  %5 = rms_norm(%2, %3) : f32[T,64]\n", "rms_norm: w is constant bf16[32,64]"},
    {X "  %5 = columns(%4) n=48 : f32[48]\n  %6 = rms_norm(%2, %5) : f32[T,64]\n",
        "whose length does not divide the columns of x f32[T,64]"},
    {X "  %5 = rms_norm(%2, %4) eps=-1 : f32[T,64]\n", "rms_norm: eps is -1"},
    {X "  %5 = columns(%2) n=32 : f32[T,32]\n"
       "  %6, %7 = add_rms_norm(%2, %5, %4) : f32[T,64], f32[T,64]\n",
        "add_rms_norm: r is f32[T,32], but x is f32[T,64]"},
    {X "  %5 = add(%2, %4) : f32[T,64]\n",
        "add: b is constant f32[64], but a is f32[T,64]: both must have one shape"},
    {X "  %5 = mul(%0, %0) : f32[T,64]\n", "mul: a is i32[T]"},
    {X "  %5 = softcap(%2) : f32[T,64]\n", "softcap: cap is 0, it must be positive"},
    {X "  %5 = activation(%2) kind=\"tanh\" : f32[T,64]\n", "activation: kind is 'tanh'"},
    {X "  %5 = columns(%2) n=33 : f32[T,33]\n  %6 = gated_activation(%5) : f32[T,16]\n",
        "gated_activation: x is f32[T,33], an even number of columns"},
    {X "  %5 = columns(%2) first=60 n=5 : f32[T,5]\n", "columns: n is 5, it must be 1 to 4"},
    {X "  %5 = columns(%2) first=64 n=1 : f32[T,1]\n", "columns: first is 64, it must be 0 to 63"},
    {X "  %5 = weight name=\"w\" : q4_0[32,64]\n  %6 = columns(%5) first=16 n=32 : q4_0[32,32]\n",
        "columns: x is constant q4_0[32,64], columns [16, 48) would cut one of its blocks of 32"},
    {X "  %5 = select_rows(%2, %0) : f32[R,64]\n", "select_rows: rows is i32[T], i32[R] is due"},
    /* constants */
    {X "  %5 = concat_rows(%2, %3) : bf16[64,64]\n", "concat_rows: a is f32[T,64], a constant"},
    {X "  %5 = concat_rows(%3, %4) : bf16[64,64]\n",
        "concat_rows: b is constant f32[64], but a is bf16[32,64]: one dtype and equal columns"},
    {X "  %5 = slice_rows(%3) first=30 n=4 : bf16[4,64]\n",
        "slice_rows: n is 4, it must be 1 to 2"},
    {X "  %5 = cast(%3) dtype=\"i8\" : i8[32,64]\n", "cast: dtype is 'i8', a plain float type"},
    {X "  %5 = cast(%3) dtype=\"q4_0\" : q4_0[32,64]\n", "cast: dtype is 'q4_0'"},
    {X "  %5 = quantize(%3) dtype=\"f16\" : f16[32,64]\n", "quantize: dtype is 'f16'; i8 and i4"},
    {X "  %5 = quantize(%3) group=48 : i8[32,64]\n", "group 48 does not divide its columns"},
    {X "  %5 = quantize_scales(%4) : f32[32]\n",
        "quantize_scales: x is constant f32[64], a matrix"},
    {X "  %5 = pack(%3) layout=\"no way\" : bf16[32,64]\n", "pack: layout is 'no way'"},
    {X "  %5 = pack(%3) layout=\"a\" : bf16[32,64]@a\n"
       "  %6 = pack(%5) layout=\"b\" : bf16[32,64]@b\n",
        "pack: x is constant bf16[32,64]@a, layout row is due: pack comes last"},
    {X "  %5 = tie(%2) : f32[T,64]\n", "tie: x is f32[T,64], a constant is due"},
    /* rope frequencies */
    {"  %0 = rope_frequencies : f32[8]\n", "rotary_dim is 0, it must be 2 to 65536"},
    {"  %0 = rope_frequencies rotary_dim=7 : f32[8]\n", "rotary_dim is 7, it must be even"},
    {"  %0 = rope_frequencies rotary_dim=8 base=1 : f32[4]\n", "base is 1, it must exceed 1"},
    {"  %0 = rope_frequencies rotary_dim=8 factor=0 : f32[4]\n", "factor is 0"},
    {"  %0 = rope_frequencies rotary_dim=8 type=\"dynamic\" : f32[4]\n", "type is 'dynamic'"},
    {"  %0 = rope_frequencies rotary_dim=8 type=\"llama3\" : f32[4]\n",
        "original_max_positions is 0"},
    {"  %0 = rope_frequencies rotary_dim=8 type=\"llama3\" low_freq_factor=4 "
     "original_max_positions=8 : f32[4]\n",
        "0 < low < high is due"},
    {"  %0 = rope_frequencies rotary_dim=8 type=\"yarn\" beta_slow=40 original_max_positions=8 : "
     "f32[4]\n",
        "0 < slow <= fast is due"},
    {"  %0 = rope_frequencies rotary_dim=8 type=\"longrope\" frequency_factors=[1, 2] : f32[4]\n",
        "frequency_factors has 2 numbers, type 'longrope' takes 4"},
    {"  %0 = rope_frequencies rotary_dim=8 frequency_factors=[1, 2, 3, 4] : f32[4]\n",
        "frequency_factors has 4 numbers, type 'default' takes 0"},
    {"  %0 = rope_frequencies rotary_dim=4 type=\"longrope\" frequency_factors=[1, 0] : f32[2]\n",
        "frequency_factors[1] is 0"},
    /* attention */
    {CACHE "  %9 = rope(%6, %7, %8) head_size=12 : f32[T,32]\n", "pair of a head of size 12"},
    {CACHE "  %9 = rope(%6, %7, %8) head_size=20 : f32[T,32]\n",
        "rope: x is f32[T,32], no whole number of heads of size 20"},
    {CACHE "  %9 = rope(%6, %0, %4) head_size=16 : f32[T,32]\n", "rope: frequencies is"},
    {CACHE "  %9 = kv_write(%2, %6, %5) : cache<bf16, 2, 16>\n",
        "kv_write: k is f32[T,64], cache<bf16, 2, 16> holds 32 columns a token"},
    {CACHE "  %9 = kv_write(%6, %6, %6) : cache<bf16, 2, 16>\n",
        "kv_write: cache is f32[T,32], a cache is due"},
    {CACHE "  %9 = attention(%2, %5) n_heads=3 : f32[T,64]\n",
        "attention: q is f32[T,64], 3 heads of 16"},
    {CACHE "  %9 = columns(%2) n=48 : f32[T,48]\n  %10 = attention(%9, %5) n_heads=3 : f32[T,48]\n",
        "whose heads do not divide n_heads=3"},
    {CACHE "  %9 = attention(%2, %5) : f32[T,64]\n", "n_heads is 0"},
    {CACHE "  %9 = attention(%2, %5) n_heads=4 softcap=-2 : f32[T,64]\n",
        "scale is 0 and softcap -2"},
    {CACHE "  %9, %10 = rope_kv_write(%2, %6, %6, %5, %7, %8, q_norm=%4) head_size=16 : "
           "f32[T,64], cache<bf16, 2, 16>\n",
        "rope_kv_write: q_norm is constant f32[64], a constant float [16] (head_size) is due"},
    {CACHE "  %9, %10 = rope_kv_write(%2, %6, %6, %5, %7, %8) head_size=32 : f32[T,64], "
           "cache<bf16, 2, 16>\n",
        "rope_kv_write: cache is cache<bf16, 2, 16>, but head_size is 32"},
    {"  group 0 recurrent\n  %0 = cache : cache<bf16, 2, 16>\n", "cache: group 0 is recurrent"},
    {"  group 0 full tokens_per_block=4\n  %0 = cache : cache<i8, 2, 16>\n",
        "dtype of a cache is i8; f32, f16 and bf16 can be"},
    {"  group 0 full tokens_per_block=4\n  %0 = cache : f32[T,4]\n",
        "cache: type is f32[T,4], cache<dtype, heads, head size> is due"},
    {"  group 0 full tokens_per_block=4\n  %0 = cache : cache<f32, 100000, 16>\n",
        "at most 65536 and 65536"},
    /* collectives */
    {X "  %5 = all_gather(%2) n_ranks=2 n=129 : f32[T,129]\n", "n is 129, it must be 0 to 128"},
    {X "  %5 = all_gather(%2) n_ranks=0 : f32[T,64]\n", "n_ranks is 0"},
    {"  %0 = receive : f32[T,1]\n", "receive: columns is 0"},
    {X "  send(%4)\n", "send: x is constant f32[64]"},
    /* sampling */
    {"  group 0 full tokens_per_block=4\n  %0 = counts vocab_size=4 : state<u16, 4>\n",
        "counts: group 0 is not recurrent"},
    {LOGITS "  %3 = penalties(%1, %0) : f32[R,10]\n", "penalties: counts is i32[T]"},
    {LOGITS "  %3 = counts vocab_size=11 : state<u16, 11>\n  %4 = penalties(%1, %3) : f32[R,10]\n",
        "penalties: counts is state<u16, 11>, but logits are f32[R,10]"},
    {LOGITS "  %3 = count_tokens(%1, %2) : state<u16, 10>\n", "count_tokens: tokens is f32[R,10]"},
    {X "  %5, %6 = sample(%2) : i32[R], f32[R]\n",
        "sample: logits is f32[T,64], f32[R, vocabulary] is due"},
    {"  %0 = input name=\"logits\" : f32[T,10]\n", "f32[R, vocabulary] is due"},
};

static void misfits_are_named(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tri_graph *g = NULL;
        tri_error err = {0};
        tri_status rc = parse_body(&g, bad[i].body, &err);
        if (!rc || !strstr(err.message, bad[i].message))
            fail_msg("%s-> %s\n(%s is due)", bad[i].body, err.message, bad[i].message);
    }
}

static void constants_are_what_takes_only_constants(void **state) {
    (void)state;
    tri_graph *g = NULL;
    assert_ok(parse_body(&g,
        X "  %5 = rope_frequencies rotary_dim=16 : f32[8]\n"
          "  %6 = affine(%4) offset=1 : f32[64]\n"
          "  %7 = rms_norm(%2, %6) : f32[T,64]\n",
        err));
    for (const tri_node *node = g->first; node; node = node->next) {
        int32_t id = node->results[0]->id;
        assert_int_equal(
            node->results[0]->constant, id == 1 || id == 3 || id == 4 || id == 5 || id == 6);
    }
    tri_graph_destroy(g);
}

static void types_print(void **state) {
    (void)state;
    tri_type t = {.kind = TRI_TYPE_TENSOR, .dtype = TRI_F32, .n_dims = 2, .dims = {TRI_DIM_S, 7}};
    t.layout = "row";
    assert_string_equal(tri_type_print(&t).s, "f32[S,7]");
    t.layout = "panel16";
    assert_string_equal(tri_type_print(&t).s, "f32[S,7]@panel16");
    t = (tri_type){.kind = TRI_TYPE_STATE, .dtype = TRI_U16, .n_dims = 1, .dims = {5}};
    t.layout = "row";
    assert_string_equal(tri_type_print(&t).s, "state<u16, 5>");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misfits_are_named),
        cmocka_unit_test(constants_are_what_takes_only_constants),
        cmocka_unit_test(types_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
