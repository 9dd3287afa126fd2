#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/step.h"

static const tri_step_shape shape = {.n_tokens = 5,
    .n_sequences = 2,
    .n_rows = 2,
    .n_groups = 2,
    .n_position_axes = 1,
    .max_blocks = {3, 0}};
static const int32_t n_blocks[TRI_MAX_GROUPS] = {10, 4};
enum { VOCAB = 100 };

static int32_t *array(tri_step *step, uint32_t offset) {
    return (int32_t *)((uint8_t *)step + offset);
}

static tri_step_sampling *sampling(tri_step *step) {
    return (tri_step_sampling *)((uint8_t *)step + step->sampling);
}

/* Sequence 0: three tokens of prompt; sequence 1: two more after a context of 4. */
static tri_step *make(void) {
    int64_t n = tri_step_bytes(&shape);
    void *memory = malloc((size_t)n); /* exactly, so that a sanitizer sees one too far */
    tri_step *step = tri_step_init(memory, n, &shape);
    memcpy(array(step, step->tokens), (int32_t[]){1, 2, 3, -1, 99}, 20);
    memcpy(array(step, step->positions), (int32_t[]){0, 1, 2, 4, 5}, 20);
    memcpy(array(step, step->cu_seqlens), (int32_t[]){0, 3, 5}, 12);
    memcpy(array(step, step->context_lens), (int32_t[]){3, 6}, 8);
    memcpy(array(step, step->prompt_lens), (int32_t[]){9, 2}, 8);
    memcpy(array(step, step->adapter_ids), (int32_t[]){-1, 0}, 8);
    memcpy(array(step, step->rows), (int32_t[]){2, 4}, 8);
    array(step, step->groups[0].block_tables)[0] = 9;
    memcpy(array(step, step->groups[1].state_slots), (int32_t[]){0, 3}, 8);
    sampling(step)[0] = (tri_step_sampling){.sequence = 0, .mask_slot = -1};
    sampling(step)[1] = (tri_step_sampling){.sequence = 1, .temperature = 1, .top_p = 0.9f};
    return step;
}

static tri_status check(const tri_step *step) {
    return tri_step_check(step, tri_step_bytes(&shape), VOCAB, n_blocks, NULL);
}

static void init_lays_out_and_marks_blocks_unmapped(void **state) {
    (void)state;
    tri_step *step = make();
    assert_int_equal(check(step), TRI_OK);
    assert_int_equal(step->n_bytes, tri_step_bytes(&shape));
    assert_int_equal(tri_step_block_table(step, 0, 0)[0], 9);
    for (int i = 1; i < 6; i++)
        assert_int_equal(tri_step_block_table(step, 0, 0)[i], -1);
    assert_int_equal(TRI_STEP_I32(step, rows)[1], 4);
    assert_int_equal(step->sampling % 8, 0);
    free(step);
}

static void extents_past_the_format_have_no_size(void **state) {
    (void)state;
    tri_step_shape s = shape;
    s.n_tokens = -1;
    assert_int_equal(tri_step_bytes(&s), -1);
    s = shape, s.n_groups = TRI_MAX_GROUPS + 1;
    assert_int_equal(tri_step_bytes(&s), -1);
    s = shape, s.n_sequences = INT32_MAX, s.max_blocks[0] = INT32_MAX;
    assert_int_equal(tri_step_bytes(&s), -1);
    s = shape, s.n_position_axes = 2;
    assert_int_equal(tri_step_bytes(&s), -1);
    s = (tri_step_shape){.n_position_axes = 3};
    int64_t n = tri_step_bytes(&s);
    tri_step *step = tri_step_init(malloc((size_t)n), n, &s);
    assert_int_equal(tri_step_check(step, n, VOCAB, n_blocks, NULL), TRI_OK);
    free(step);
}

/* Each write makes a sound step unsound in one place. */
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        tri_step *step = make();                                                                   \
        change;                                                                                    \
        assert_int_equal(check(step), TRI_E_FORMAT);                                               \
        free(step);                                                                                \
    } while (0)

static void check_refuses_a_bad_header(void **state) {
    (void)state;
    REFUSED(step->magic++);
    REFUSED(step->n_bytes += 8);
    REFUSED(step->n_bytes -= 8);
    REFUSED(step->n_bytes = 16);
    REFUSED(step->n_tokens = 6);
    REFUSED(step->n_tokens = INT32_MAX);
    REFUSED(step->n_sequences = -1);
    REFUSED(step->n_sequences = INT32_MAX);
    REFUSED(step->n_rows = 6);
    REFUSED(step->n_groups = TRI_MAX_GROUPS + 1);
    REFUSED(step->n_position_axes = 0);
    REFUSED(step->tokens = step->n_bytes - 4);
    REFUSED(step->tokens = 0);
    REFUSED(step->tokens += 1);
    REFUSED(step->sampling += 4);
    REFUSED(step->positions = UINT32_MAX - 3);
    REFUSED(step->groups[0].max_blocks = -1);
    REFUSED(step->groups[0].max_blocks = INT32_MAX);
    REFUSED(step->groups[0].block_tables = 0);
    tri_step *step = make();
    tri_error err = {0};
    assert_int_equal(tri_step_check(step, 10, VOCAB, n_blocks, &err), TRI_E_FORMAT);
    assert_non_null(strstr(err.message, "10 bytes"));
    free(step);
}

static void check_refuses_bad_values(void **state) {
    (void)state;
    REFUSED(array(step, step->tokens)[0] = VOCAB);
    REFUSED(array(step, step->tokens)[4] = -2);
    REFUSED(array(step, step->positions)[2] = -1);
    REFUSED(array(step, step->cu_seqlens)[0] = 1);
    REFUSED(array(step, step->cu_seqlens)[1] = 6);
    REFUSED(array(step, step->cu_seqlens)[2] = 4);
    REFUSED(array(step, step->context_lens)[0] = 2);
    REFUSED(array(step, step->prompt_lens)[0] = -1);
    REFUSED(array(step, step->adapter_ids)[0] = -2);
    REFUSED(array(step, step->rows)[1] = 5);
    REFUSED(array(step, step->rows)[1] = 2);
    REFUSED(array(step, step->groups[0].block_tables)[5] = 10);
    REFUSED(array(step, step->groups[0].block_tables)[5] = -2);
    REFUSED(array(step, step->groups[1].state_slots)[1] = 4);
    REFUSED(array(step, step->groups[1].state_slots)[1] = -1);
    REFUSED(sampling(step)[0].sequence = 1);
    REFUSED(sampling(step)[0].sequence = 2);
    REFUSED(sampling(step)[0].sequence = -1);
    REFUSED(sampling(step)[0].temperature = NAN);
    REFUSED(sampling(step)[0].temperature = -1);
    REFUSED(sampling(step)[0].temperature = INFINITY);
    REFUSED(sampling(step)[0].top_k = -1);
    REFUSED(sampling(step)[0].frequency_penalty = NAN);
    REFUSED(sampling(step)[0].n_logprobs = -1);
    REFUSED(sampling(step)[0].mask_slot = -2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_lays_out_and_marks_blocks_unmapped),
        cmocka_unit_test(extents_past_the_format_have_no_size),
        cmocka_unit_test(check_refuses_a_bad_header),
        cmocka_unit_test(check_refuses_bad_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
