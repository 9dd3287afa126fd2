/* The KV pool that a configuration gets: room for what it promises, up to a limit of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "executor/limits.h"

static tri_executor_limits choose(
    const tri_plan_group *groups, int32_t n_groups, const tri_executor_config *config) {
    const tri_engine_info info = {
        .max_batch_size = 8, .max_num_tokens = 512, .max_seq_len = 1 << 20};
    tri_executor_limits limits = {0};
    tri_error err = {0};
    if (tri_executor_choose_limits(&limits, &info, groups, n_groups, config, &err))
        fail_msg("%s", err.message);
    return limits;
}

/* Each sequence's last block is its own, however few of its tokens it holds. */
static void sequences_do_not_share_blocks(void **state) {
    (void)state;
    const tri_plan_group groups[] = {{.tokens_per_block = 32, .bytes_per_block = 1000},
        {.recurrent = true, .bytes_per_block = 10},
        {.tokens_per_block = 48, .bytes_per_block = 1000}};
    static const int32_t lengths[] = {2, 31, 32, 33, 40, 64, 65, 1000};
    static const int32_t batches[] = {1, 4, 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
            const tri_executor_config config = {
                .max_batch_size = batches[k], .max_seq_len = lengths[i]};
            tri_executor_limits one = choose(groups, 1, &config);
            int32_t due = batches[k] * ((lengths[i] + 31) / 32);
            assert_int_equal(one.plan.n_blocks[0], due);
            assert_int_equal(one.sched.groups[0].n_blocks, due);
            assert_int_equal(one.kv_bytes, due * 1000);
            tri_executor_limits all = choose(groups, 3, &config);
            assert_true(all.plan.n_blocks[0] >= due);
            assert_int_equal(all.plan.n_blocks[1], batches[k]);
            assert_true(all.plan.n_blocks[2] >= batches[k] * ((lengths[i] + 47) / 48));
        }
    }
}

static void what_is_asked_for_is_given(void **state) {
    (void)state;
    const tri_plan_group group = {.tokens_per_block = 32, .bytes_per_block = 1 << 20};
    tri_executor_config config = {.max_batch_size = 4, .max_seq_len = 4096};
    config.kv_cache_config.max_tokens = 100;
    assert_int_equal(choose(&group, 1, &config).plan.n_blocks[0], 4);
    config.kv_cache_config.max_tokens = 4 * 4096;
    assert_int_equal(choose(&group, 1, &config).plan.n_blocks[0], 512);
    config.max_batch_size = 64; /* 8192 blocks: too much to take unasked */
    config.kv_cache_config.max_tokens = 0;
    tri_executor_limits capped = choose(&group, 1, &config);
    assert_int_equal(capped.plan.n_blocks[0], 1024);
    assert_int_equal(capped.kv_bytes, TRI_KV_DEFAULT_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_do_not_share_blocks),
        cmocka_unit_test(what_is_asked_for_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
