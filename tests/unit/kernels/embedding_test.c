/* embedding: rows of tables of every dtype and layout, shards, scales. */
#include "unit/kernels/lab.h"

static void check(tri_dtype dtype, int64_t columns, int64_t first, const char *scales) {
    lab l;
    char body[1024];
    const char *names[16];
    (void)snprintf(body, sizeof body,
        "  %%0 = input name=\"tokens\" : i32[T]\n"
        "  %%1 = weight name=\"table\" : %s[37,%d]\n"
        "%s%s%s"
        "  %%3 = embedding(%%0, %%1%s) first=%d : f32[T,%d]\n  output y = %%3\n",
        tri_dtype_name(dtype), (int)columns, scales ? "  %2 = weight name=\"s\" : f32" : "",
        scales ? scales : "", scales ? "\n" : "", scales ? ", scales=%2" : "", (int)first,
        (int)columns);
    lab_open(&l, body, (lab_limits){.tokens = 80});
    int32_t tokens[80];
    for (int32_t t = 0; t < 80; t++)
        tokens[t] = t % 62 - 1; /* -1, the shard, and beyond it */
    int32_t n = lab_candidates(&l, "embedding", NULL, names);
    bool packs = tri_kernels_find_layout(l.kernels, "panel16")
                     ->bytes(&(tri_plugin_type){
                         .dtype = (int32_t)dtype, .n_dims = 2, .dims = {37, columns}}) > 0;
    assert_int_equal(n, packs ? 2 : 1);
    for (int32_t n_tokens = 1; n_tokens <= 80; n_tokens += 79) {
        lab_sequence sequence = {.n = n_tokens, .context = n_tokens, .tokens = tokens};
        tri_step *step = lab_step(&l, &sequence, 1);
        lab_run(&l, step);
        for (int32_t i = 0; i < n; i++) {
            machine m;
            machine_open(
                &m, &l, (lab_setup){.op = "embedding", .kernel = names[i], .n_threads = 3});
            machine_run(&m, step);
            /* Exact but for one rounding of a scale's product. */
            expect_close(&m, 3, scales ? 5 * 0x1p-24 : 0, "%s %s [37, %d] first %d%s", names[i],
                tri_dtype_name(dtype), (int)columns, (int)first, scales ? scales : "");
            machine_close(&m);
        }
        free(step);
    }
    lab_close(&l);
}

static void test_tables(void **unused) {
    (void)unused;
    static const tri_dtype plain[] = {TRI_F32, TRI_BF16, TRI_F16};
    for (size_t i = 0; i < 3; i++) {
        check(plain[i], 1, 0, NULL);
        check(plain[i], 67, 10, NULL);
    }
    for (int32_t dtype = TRI_Q4_0; dtype <= TRI_MXFP4; dtype++) {
        int32_t block = tri_dtype_get((tri_dtype)dtype)->block_elems;
        check((tri_dtype)dtype, block, 0, NULL);
        check((tri_dtype)dtype, 3 * block, 20, NULL);
    }
    check(TRI_I8, 30, 0, "[37]");
    check(TRI_I8, 30, 5, "[37,5]");
    check(TRI_I4, 42, 0, "[37,3]");
    check(TRI_I4, 36, 0, "[1]");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
