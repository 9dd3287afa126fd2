#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

/* Known answers of Random123 (kat_vectors, "philox4x32 10"): counter words, key words, result. */
static void philox_known_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t seed, lo, hi;
        uint32_t out[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e,
            {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        tri_philox(cases[i].seed, cases[i].lo, cases[i].hi, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

/* With n = 100,000 draws a sample mean of a variable with deviation s strays by s / sqrt(n); bounds
 * are five of those, and the draws are fixed by the seed. */
static void moments(void **state) {
    (void)state;
    enum { N = 100000 };
    double sum_u = 0, sum_n = 0, sum_n2 = 0, least = 1, most = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = (double)tri_rng_uniform(42, i), g = (double)tri_rng_normal(42, i);
        sum_u += u, sum_n += g, sum_n2 += g * g;
        least = fmin(least, u), most = fmax(most, u);
        assert_true(u >= 0 && u < 1 && isfinite(g));
    }
    double five = 5 / sqrt(N);
    assert_true(fabs(sum_u / N - 0.5) < five * 0.28868); /* deviation 1 / sqrt(12) */
    assert_true(fabs(sum_n / N) < five);
    assert_true(fabs(sum_n2 / N - 1) < five * sqrt(2.0)); /* variance of g^2 is 2 */
    assert_true(least < 1e-3 && most > 1 - 1e-3);
}

static void draws_depend_on_seed_and_counter(void **state) {
    (void)state;
    assert_true(tri_rng_uniform(1, 5) == tri_rng_uniform(1, 5));
    assert_true(tri_rng_uniform(1, 5) != tri_rng_uniform(1, 6));
    assert_true(tri_rng_uniform(1, 5) != tri_rng_uniform(2, 5));
    assert_true(tri_rng_uniform(1, 5) != tri_rng_uniform(1, 5 + (1ull << 32)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(moments),
        cmocka_unit_test(draws_depend_on_seed_and_counter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
