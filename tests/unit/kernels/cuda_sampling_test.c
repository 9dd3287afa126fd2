/* count_tokens, penalties, mask and sample on CUDA against the interpreter: apart, and with
 * penalties and mask inside sample.  Skips where there is no GPU.
 *
 * Counts, penalties and masks are exact, and tokens must be equal.  A log-probability is a logit
 * less the largest, exact but for one rounding, less the logarithm of a sum of exponentials, each
 * within some 4 units of 2^-24 (argument, function, three sums of four neighbours); the result is
 * rounded once more: 2^-21 + 2^-23 of its size. */
#include "unit/kernels/lab.h"

enum { ODD = 1503, LARGE = 128256, MASK_WORDS = 64 };
enum {
    PENALISED = 6,
    MASKED = 7,
    TOKENS = 8,
    LOGPROBS = 9,
    FUSED_TOKENS = 10,
    FUSED_LOGPROBS = 11
};

typedef struct sampling_lab {
    lab l;
    machine m;
    float *logits;
    int64_t vocabulary;
} sampling_lab;

/* arch: for which sample is laid out, NULL: the device's own. */
static void open_machine(sampling_lab *s, const char *arch, int32_t n_runs) {
    tri_plugin_device *facts = (tri_plugin_device *)(uintptr_t)tri_device_facts(lab_gpu(NULL));
    const char *own = facts->arch;
    if (arch) facts->arch = arch;
    machine_open(&s->m, &s->l, (lab_setup){.device = "cuda", .n_runs = n_runs});
    facts->arch = own;
}

static void open_sampling(sampling_lab *s, int64_t vocabulary, const char *arch, int32_t n_runs) {
    char body[1024];
    (void)snprintf(body, sizeof body,
        "  group 0 recurrent\n"
        "  %%0 = input name=\"logits\" : f32[R,%d]\n"
        "  %%1 = input name=\"tokens\" : i32[T]\n"
        "  %%2 = counts vocab_size=%d : state<u16, %d>\n"
        "  %%3 = count_tokens(%%1, %%2) : state<u16, %d>\n"
        "  %%6 = penalties(%%0, %%3) : f32[R,%d]\n"
        "  %%7 = mask(%%6) : f32[R,%d]\n"
        "  %%8, %%9 = sample(%%7) : i32[R], f32[R]\n"
        "  %%10, %%11 = sample(%%0, counts=%%3) masked=1 : i32[R], f32[R]\n"
        "  output tokens = %%8\n"
        "  output fused = %%10\n",
        (int)vocabulary, (int)vocabulary, (int)vocabulary, (int)vocabulary, (int)vocabulary,
        (int)vocabulary);
    *s = (sampling_lab){.vocabulary = vocabulary};
    lab_open(&s->l, body, (lab_limits){.tokens = 64, .sequences = LAB_SLOTS, .rows = LAB_SLOTS});
    s->logits = malloc((size_t)(LAB_SLOTS * vocabulary) * sizeof *s->logits);
    assert_non_null(s->logits);
    s->l.logits = s->logits;
    for (int32_t i = 0; i < MASK_WORDS; i++) {
        s->l.masks[0][i] = 0x5A5A1234u * (uint32_t)(i + 1);
        s->l.masks[1][i] = i == 3 ? 0x00F00000u : 0;
    }
    open_machine(s, arch, n_runs);
}

static void close_sampling(sampling_lab *s) {
    machine_close(&s->m);
    lab_close(&s->l);
    free(s->logits);
}

static void random_logits(sampling_lab *s, uint64_t seed, float deviation) {
    for (int64_t i = 0; i < LAB_SLOTS * s->vocabulary; i++)
        s->logits[i] = deviation * lab_random(seed, i);
}

static int32_t token_of(const sampling_lab *s, int32_t id, int32_t row) {
    return *(const int32_t *)(const void *)machine_row(&s->m, id, row);
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
    {.temperature = 1, .min_p = 1},
    {.temperature = 2, .top_k = 100, .top_p = 0.95f, .min_p = 0.02f},
    {.temperature = 1, .top_p = 1e-6f},
    {.temperature = 100},
    {.temperature = 100, .top_k = 700},
    {.temperature = 50, .top_p = 0.6f},
    {.temperature = 2e-38f},             /* the inverse is just finite */
    {.temperature = 1e-39f, .top_k = 1}, /* and here it is not */
    {.repetition_penalty = 1.3f},
    {.temperature = 1, .repetition_penalty = 0.8f, .presence_penalty = 0.5f},
    {.frequency_penalty = 0.4f, .presence_penalty = -1},
    {.mask_slot = 1},
    {.temperature = 1, .mask_slot = 2, .top_k = 5},
    {.temperature = 1.5f, .repetition_penalty = 1.2f, .mask_slot = 1, .top_p = 0.8f},
};
enum { N_KINDS = (int32_t)(sizeof kinds / sizeof kinds[0]) };

static void check_row(const sampling_lab *s, int32_t step, int32_t r) {
    const lab_value *reference = s->l.reference;
    int64_t first = r * s->vocabulary;
    for (int32_t id = TOKENS; id <= FUSED_TOKENS; id += FUSED_TOKENS - TOKENS) {
        int32_t token = token_of(s, id, r), expected = (int32_t)reference[id].f[r];
        if (token != expected) {
            fail_msg("step %d row %d value %%%d: token %d, %d is due", (int)step, (int)r, (int)id,
                (int)token, (int)expected);
        }
    }
    float logprob = reference[LOGPROBS].f[r], got = *machine_row(&s->m, LOGPROBS, r);
    if (!(fabsf(got - logprob) <= 0x1p-21f + 0x1p-23f * fabsf(logprob)))
        fail_msg(
            "step %d row %d: %.9g, %.9g is due", (int)step, (int)r, (double)got, (double)logprob);
    assert_true(got == *machine_row(&s->m, FUSED_LOGPROBS, r));
    const float *penalised = machine_row(&s->m, PENALISED, r);
    const float *masked = machine_row(&s->m, MASKED, r);
    for (int64_t v = 0; v < s->vocabulary; v++) {
        assert_true(penalised[v] == reference[PENALISED].f[first + v]);
        assert_true(masked[v] == reference[MASKED].f[first + v]);
    }
}

static void run_step(sampling_lab *s, int32_t j, const lab_sequence *sequences, int32_t n) {
    tri_step *step = lab_step(&s->l, sequences, n);
    lab_run(&s->l, step);
    machine_run(&s->m, step);
    for (int32_t r = 0; r < step->n_rows; r++)
        check_row(s, j, r);
    free(step);
}

/* Steps of eight sequences that count their tokens, each with another kind of sampling; now and
 * then one has no tokens.  Logits with many equal ones among them. */
static void check_kinds(const char *arch) {
    sampling_lab s;
    lab_require("cuda");
    open_sampling(&s, ODD, arch, 1);
    for (int32_t j = 0; j < 60; j++) {
        random_logits(&s, 100 + (uint64_t)j, j % 3 == 0 ? 0.5f : 3.0f);
        for (int64_t i = 0; j % 5 == 4 && i < LAB_SLOTS * ODD; i++)
            s.logits[i] = rintf(s.logits[i] * 4) / 4;
        lab_sequence sequences[LAB_SLOTS];
        for (int32_t i = 0; i < LAB_SLOTS; i++) {
            int32_t tokens = j > 2 && i == 6 ? 0 : 1 + (j + i) % 7;
            sequences[i] = (lab_sequence){.id = (i + j) % LAB_SLOTS,
                .n = tokens,
                .context = j < 2 ? tokens : 9 * j + tokens,
                .sampling = kinds[(i * 5 + j) % N_KINDS]};
            sequences[i].sampling.seed = 77;
            sequences[i].sampling.counter = (uint64_t)(j * 10 + i);
        }
        run_step(&s, j, sequences, LAB_SLOTS);
    }
    close_sampling(&s);
}

static void test_against_the_interpreter(void **unused) {
    (void)unused;
    check_kinds(NULL);
}
/* A block a row. */
static void test_without_clusters(void **unused) {
    (void)unused;
    check_kinds("sm_80");
}

/* A vocabulary of today's size: bins with more tokens than are listed, equal logits by the
 * thousand, cuts in the middle of them. */
static void check_large(const char *arch) {
    static const tri_step_sampling large_kinds[] = {
        {0},
        {.temperature = 1},
        {.temperature = 1, .top_p = 0.9f},
        {.temperature = 0.6f, .top_k = 50, .top_p = 0.95f},
        {.temperature = 100},
        {.temperature = 1, .top_k = 9000},
        {.temperature = 1, .min_p = 0.05f},
        {.temperature = 1, .repetition_penalty = 1.2f, .frequency_penalty = 0.5f},
    };
    sampling_lab s;
    lab_require("cuda");
    open_sampling(&s, LARGE, arch, 1);
    for (int32_t j = 0; j < 4; j++) {
        random_logits(&s, 300 + (uint64_t)j, 3.0f);
        for (int64_t i = 0; i < LAB_SLOTS * LARGE && j > 1; i++)
            s.logits[i] = j == 2 ? rintf(s.logits[i]) : -0.25f;
        lab_sequence sequences[LAB_SLOTS];
        for (int32_t i = 0; i < LAB_SLOTS; i++) {
            sequences[i] =
                (lab_sequence){.id = i, .n = 8, .context = 8 * (j + 1), .sampling = large_kinds[i]};
            sequences[i].sampling.seed = 3;
            sequences[i].sampling.counter = (uint64_t)(j * 8 + i);
        }
        run_step(&s, j, sequences, LAB_SLOTS);
    }
    close_sampling(&s);
}

static void test_large_vocabulary(void **unused) {
    (void)unused;
    check_large(NULL);
}
/* Rows that no block's shared memory holds. */
static void test_large_without_clusters(void **unused) {
    (void)unused;
    check_large("sm_80");
}

/* The third run of a step is a graph's; at position 0 counts begin anew, so runs are alike. */
static void test_graphs(void **unused) {
    (void)unused;
    sampling_lab s;
    lab_require("cuda");
    open_sampling(&s, ODD, NULL, 3);
    for (int32_t j = 0; j < 3; j++) {
        random_logits(&s, 500 + (uint64_t)j, 2.0f);
        lab_sequence sequences[LAB_SLOTS];
        for (int32_t i = 0; i < LAB_SLOTS; i++) {
            sequences[i] = (lab_sequence){.id = (i + 3 * j) % LAB_SLOTS,
                .n = 7,
                .context = 7,
                .sampling = kinds[(i * 3 + 7 * j) % N_KINDS]};
            sequences[i].sampling.counter = (uint64_t)(j * 10 + i);
        }
        run_step(&s, j, sequences, LAB_SLOTS);
    }
    close_sampling(&s);
}

/* A row's token and the bits of its log-probability, alone or among others, wherever it stands. */
static void test_company(void **unused) {
    (void)unused;
    enum { ROWS = 5 };
    sampling_lab s;
    lab_require("cuda");
    open_sampling(&s, LARGE, NULL, 1);
    int32_t tokens[2][ROWS];
    float logprobs[2][ROWS];
    for (int32_t turned = 0; turned < 2; turned++) {
        lab_sequence sequences[ROWS];
        for (int32_t r = 0; r < ROWS; r++) {
            int32_t place = turned ? ROWS - 1 - r : r;
            for (int64_t v = 0; v < LARGE; v++)
                s.logits[place * LARGE + v] = 3 * lab_random(900 + (uint64_t)r, v);
            sequences[place] = (lab_sequence){
                .id = r, .n = 1, .context = 1, .sampling = {.temperature = 1, .top_p = 0.9f}};
            sequences[place].sampling.counter = (uint64_t)r;
        }
        tri_step *step = lab_step(&s.l, sequences, ROWS);
        machine_run(&s.m, step);
        free(step);
        for (int32_t r = 0; r < ROWS; r++) {
            int32_t place = turned ? ROWS - 1 - r : r;
            tokens[turned][r] = token_of(&s, TOKENS, place);
            logprobs[turned][r] = *machine_row(&s.m, LOGPROBS, place);
        }
    }
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    assert_memory_equal(logprobs[0], logprobs[1], sizeof logprobs[0]);
    lab_sequence alone = {.id = 4, .n = 1, .context = 1};
    alone.sampling = (tri_step_sampling){.temperature = 1, .top_p = 0.9f, .counter = 4};
    tri_step *step = lab_step(&s.l, &alone, 1);
    machine_run(&s.m, step); /* row 0 is where sequence 4 stood last */
    assert_int_equal(token_of(&s, TOKENS, 0), tokens[0][4]);
    assert_memory_equal(machine_row(&s.m, LOGPROBS, 0), &logprobs[0][4], sizeof(float));
    free(step);
    close_sampling(&s);
}

/* Frequencies of draws over a small support are the probabilities: 1600 draws, 5 deviations. */
static void test_frequencies(void **unused) {
    (void)unused;
    sampling_lab s;
    lab_require("cuda");
    open_sampling(&s, ODD, NULL, 1);
    static const double p[] = {0.5, 0.25, 0.15, 0.1};
    enum { DRAWS = 1600 };
    for (int64_t i = 0; i < LAB_SLOTS * ODD; i++)
        s.logits[i] = -INFINITY;
    for (int32_t i = 0; i < 4 * LAB_SLOTS; i++)
        s.logits[i / 4 * ODD + i % 4 * 400 + 3] = (float)log(p[i % 4]);
    int32_t seen[4] = {0};
    for (int32_t i = 0; i < DRAWS; i += LAB_SLOTS) {
        lab_sequence sequences[LAB_SLOTS];
        for (int32_t r = 0; r < LAB_SLOTS; r++) {
            sequences[r] = (lab_sequence){.id = r, .n = 1, .context = 1};
            sequences[r].sampling =
                (tri_step_sampling){.temperature = 1, .seed = 5, .counter = (uint64_t)(i + r)};
        }
        tri_step *step = lab_step(&s.l, sequences, LAB_SLOTS);
        machine_run(&s.m, step);
        free(step);
        for (int32_t r = 0; r < LAB_SLOTS; r++) {
            int32_t token = token_of(&s, TOKENS, r);
            assert_true(token % 400 == 3 && token < 1600);
            seen[token / 400]++;
        }
    }
    for (int32_t i = 0; i < 4; i++) {
        double deviation = sqrt(DRAWS * p[i] * (1 - p[i]));
        assert_true(fabs(seen[i] - DRAWS * p[i]) < 5 * deviation);
    }
    close_sampling(&s);
}

/* A row that allows no token fails alone. */
static void test_hopeless_rows(void **unused) {
    (void)unused;
    enum { ROWS = 6 };
    sampling_lab s;
    lab_require("cuda");
    open_sampling(&s, ODD, NULL, 1);
    random_logits(&s, 3, 1);
    s.l.masks[1][3] = 0;
    for (int32_t v = 0; v < ODD; v++)
        s.logits[ODD + v] = NAN;
    s.logits[2 * ODD + 9] = INFINITY;
    s.logits[4 * ODD + ODD - 1] = NAN;
    lab_sequence sequences[ROWS];
    for (int32_t i = 0; i < ROWS; i++) {
        sequences[i] = (lab_sequence){.id = i, .n = 1, .context = 1};
        sequences[i].sampling.temperature = i == 3 || i == 4 ? 1.0f : 0.0f;
    }
    sequences[3].sampling.mask_slot = 2; /* all bits are 0 */
    sequences[5].sampling.mask_slot = 9; /* there is no such slot */
    tri_step *step = lab_step(&s.l, sequences, ROWS);
    machine_run(&s.m, step);
    for (int32_t r = 0; r < ROWS; r++) {
        for (int32_t i = 0; i < 2; i++) {
            int32_t token = token_of(&s, i ? FUSED_TOKENS : TOKENS, r);
            float logprob = *machine_row(&s.m, i ? FUSED_LOGPROBS : LOGPROBS, r);
            if (r == 0)
                assert_true(token >= 0 && token < ODD);
            else
                assert_int_equal(token, -1);
            assert_int_equal(isnan(logprob), r > 0);
        }
    }
    free(step);
    close_sampling(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_interpreter),
        cmocka_unit_test(test_without_clusters),
        cmocka_unit_test(test_large_vocabulary),
        cmocka_unit_test(test_large_without_clusters),
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_company),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_hopeless_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
