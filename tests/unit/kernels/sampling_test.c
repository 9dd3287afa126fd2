/* count_tokens, penalties, mask, sample: against the interpreter over random logits and every kind
 * of sampling parameter; cuts at ties and at the ends. */
#include "unit/kernels/lab.h"

enum { VOCABULARY = 1500, TOKENS_ID = 8, LOGPROBS_ID = 9, PENALISED_ID = 6, MASKED_ID = 7 };

static const char *const sampling_body = "  group 0 recurrent\n"
                                         "  %0 = input name=\"logits\" : f32[R,1500]\n"
                                         "  %1 = input name=\"tokens\" : i32[T]\n"
                                         "  %2 = counts vocab_size=1500 : state<u16, 1500>\n"
                                         "  %3 = count_tokens(%1, %2) : state<u16, 1500>\n"
                                         "  %6 = penalties(%0, %3) : f32[R,1500]\n"
                                         "  %7 = mask(%6) : f32[R,1500]\n"
                                         "  %8, %9 = sample(%7) : i32[R], f32[R]\n"
                                         "  output tokens = %8\n";

typedef struct sampling_lab {
    lab l;
    float *logits;
} sampling_lab;

static void open_sampling(sampling_lab *s) {
    lab_open(&s->l, sampling_body,
        (lab_limits){.tokens = 64, .sequences = LAB_SLOTS, .rows = LAB_SLOTS});
    s->logits = malloc(LAB_SLOTS * VOCABULARY * sizeof *s->logits);
    assert_non_null(s->logits);
    s->l.logits = s->logits;
}

static void close_sampling(sampling_lab *s) {
    lab_close(&s->l);
    free(s->logits);
}

static void random_logits(sampling_lab *s, uint64_t seed, float deviation) {
    for (int64_t i = 0; i < LAB_SLOTS * VOCABULARY; i++) {
        s->logits[i] = deviation * lab_random(seed, i);
    }
}

static const tri_step_sampling kinds[] = {
    {0},
    {.temperature = 1},
    {.temperature = 0.7f, .top_k = 1},
    {.temperature = 1.3f, .top_k = 40},
    {.temperature = 1, .top_p = 0.9f},
    {.temperature = 0.8f, .top_k = 20, .top_p = 0.5f},
    {.temperature = 1, .min_p = 0.1f},
    {.temperature = 1, .min_p = 2},
    {.temperature = 2, .top_k = 100, .top_p = 0.95f, .min_p = 0.02f},
    {.temperature = 1, .top_p = 1e-6f},
    {.temperature = 100},
    {.temperature = 2e-38f},             /* the inverse is just finite */
    {.temperature = 1e-39f, .top_k = 7}, /* and here it is not */
    {.repetition_penalty = 1.3f},
    {.temperature = 1, .repetition_penalty = 0.8f, .presence_penalty = 0.5f},
    {.frequency_penalty = 0.4f, .presence_penalty = -1},
    {.mask_slot = 1},
    {.temperature = 1, .mask_slot = 2, .top_k = 5},
};
enum { N_KINDS = (int32_t)(sizeof kinds / sizeof kinds[0]) };

/* Steps of eight sequences that count their tokens, each with another kind of sampling. */
static void test_against_the_interpreter(void **unused) {
    (void)unused;
    sampling_lab s;
    const char *names[16];
    open_sampling(&s);
    for (int32_t i = 0; i < 64; i++) {
        s.l.masks[0][i] = 0x5A5A1234u * (uint32_t)(i + 1);
        s.l.masks[1][i] = i == 3 ? 0x00F00000u : 0;
    }
    int32_t n = lab_candidates(&s.l, "sample", NULL, names);
    machine m[3];
    assert_int_equal(n, __builtin_cpu_supports("avx2") ? 2 : 1);
    for (int32_t k = 0; k < n; k++) {
        machine_open(
            &m[k], &s.l, (lab_setup){.op = "sample", .kernel = names[k], .n_threads = 1 + 2 * k});
    }
    int32_t n_compared = 0;
    for (int32_t j = 0; j < 40; j++) {
        random_logits(&s, 100 + (uint64_t)j, j % 3 == 0 ? 0.5f : 3.0f);
        lab_sequence sequences[LAB_SLOTS];
        for (int32_t i = 0; i < LAB_SLOTS; i++) {
            int32_t tokens = 1 + (j + i) % 7, context = j < 2 ? tokens : 9 * j + tokens;
            sequences[i] = (lab_sequence){.id = (i + j) % LAB_SLOTS,
                .n = tokens,
                .context = context,
                .sampling = kinds[(i * 5 + j) % N_KINDS]};
            sequences[i].sampling.seed = 77;
            sequences[i].sampling.counter = (uint64_t)(j * 10 + i);
        }
        tri_step *step = lab_step(&s.l, sequences, LAB_SLOTS);
        lab_run(&s.l, step);
        for (int32_t k = 0; k < n; k++) {
            machine_run(&m[k], step);
            for (int32_t r = 0; r < LAB_SLOTS; r++, n_compared++) {
                const int32_t *token =
                    (const int32_t *)(const void *)machine_row(&m[k], TOKENS_ID, r);
                int32_t expected = (int32_t)s.l.reference[TOKENS_ID].f[r];
                if (*token != expected) {
                    fail_msg("%s, step %d row %d: token %d, %d is due", names[k], (int)j, (int)r,
                        (int)*token, (int)expected);
                }
                /* The sum of 1500 exponentials, and a logarithm of some 8. */
                float logprob = s.l.reference[LOGPROBS_ID].f[r];
                assert_true(fabsf(*machine_row(&m[k], LOGPROBS_ID, r) - logprob) <= 2e-6f * 10);
                for (int32_t v = 0; v < VOCABULARY; v++) {
                    float a = machine_row(&m[k], PENALISED_ID, r)[v];
                    float b = s.l.reference[PENALISED_ID].f[r * VOCABULARY + v];
                    assert_true(fabsf(a - b) <= 1e-6f * (1 + fabsf(b)));
                    float masked = machine_row(&m[k], MASKED_ID, r)[v];
                    bool gone = isinf(s.l.reference[MASKED_ID].f[r * VOCABULARY + v]);
                    assert_true(gone ? masked == -INFINITY : masked == a);
                }
            }
        }
        free(step);
    }
    assert_int_equal(n_compared, n * 40 * LAB_SLOTS);
    for (int32_t k = 0; k < n; k++)
        machine_close(&m[k]);
    close_sampling(&s);
}

static int32_t sample_one(sampling_lab *s, machine *m, tri_step_sampling how, float *logprob) {
    lab_sequence sequence = {.id = 0, .n = 1, .context = 1, .sampling = how};
    tri_step *step = lab_step(&s->l, &sequence, 1);
    machine_run(m, step);
    free(step);
    if (logprob) *logprob = *machine_row(m, LOGPROBS_ID, 0);
    return *(const int32_t *)(const void *)machine_row(m, TOKENS_ID, 0);
}

/* Equal logits: ids decide, in ascending order. */
static void test_ties(void **unused) {
    (void)unused;
    sampling_lab s;
    machine m;
    float logprob;
    open_sampling(&s);
    machine_open(&m, &s.l, (lab_setup){0});
    for (int32_t v = 0; v < VOCABULARY; v++)
        s.logits[v] = 1.5f;
    assert_int_equal(sample_one(&s, &m, (tri_step_sampling){0}, &logprob), 0);
    assert_true(fabsf(logprob + logf(VOCABULARY)) < 1e-5f);
    s.logits[700] = s.logits[20] = 2.0f;
    assert_int_equal(sample_one(&s, &m, (tri_step_sampling){0}, NULL), 20);
    int32_t seen[VOCABULARY] = {0};
    for (uint64_t i = 0; i < 300; i++) {
        seen[sample_one(
            &s, &m, (tri_step_sampling){.temperature = 1, .top_k = 4, .counter = i}, NULL)]++;
    }
    assert_true(seen[20] > 50 && seen[700] > 50 && seen[0] > 30 && seen[1] > 30);
    assert_int_equal(seen[20] + seen[700] + seen[0] + seen[1], 300);
    machine_close(&m);
    close_sampling(&s);
}

/* Frequencies of draws over a small support are the probabilities: 3000 draws, 5 deviations. */
static void test_frequencies(void **unused) {
    (void)unused;
    sampling_lab s;
    machine m;
    open_sampling(&s);
    machine_open(&m, &s.l, (lab_setup){0});
    static const double p[] = {0.5, 0.25, 0.15, 0.1};
    enum { DRAWS = 3000 };
    for (int32_t v = 0; v < VOCABULARY; v++)
        s.logits[v] = -INFINITY;
    for (int32_t i = 0; i < 4; i++)
        s.logits[i * 400 + 3] = (float)log(p[i]);
    int32_t seen[4] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        int32_t token = sample_one(
            &s, &m, (tri_step_sampling){.temperature = 1, .seed = 5, .counter = i}, NULL);
        assert_true(token % 400 == 3 && token < 1600);
        seen[token / 400]++;
    }
    for (int32_t i = 0; i < 4; i++) {
        double deviation = sqrt(DRAWS * p[i] * (1 - p[i]));
        assert_true(fabs(seen[i] - DRAWS * p[i]) < 5 * deviation);
    }
    machine_close(&m);
    close_sampling(&s);
}

/* A row that allows no token fails alone. */
static void test_hopeless_rows(void **unused) {
    (void)unused;
    sampling_lab s;
    machine m;
    open_sampling(&s);
    machine_open(&m, &s.l, (lab_setup){0});
    random_logits(&s, 3, 1);
    for (int32_t v = 0; v < VOCABULARY; v++)
        s.logits[VOCABULARY + v] = NAN;
    s.logits[2 * VOCABULARY + 9] = INFINITY;
    lab_sequence sequences[4];
    for (int32_t i = 0; i < 4; i++) {
        sequences[i] = (lab_sequence){.id = i, .n = 1, .context = 1};
        sequences[i].sampling.temperature = i == 3 ? 1.0f : 0.0f;
    }
    sequences[3].sampling.mask_slot = 1; /* all bits are 0 */
    tri_step *step = lab_step(&s.l, sequences, 4);
    machine_run(&m, step);
    for (int32_t r = 0; r < 4; r++) {
        int32_t token = *(const int32_t *)(const void *)machine_row(&m, TOKENS_ID, r);
        if (r == 0)
            assert_true(token >= 0 && token < VOCABULARY);
        else
            assert_int_equal(token, -1);
        assert_int_equal(isnan(*machine_row(&m, LOGPROBS_ID, r)), r > 0);
    }
    free(step);
    machine_close(&m);
    close_sampling(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_interpreter),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_hopeless_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
