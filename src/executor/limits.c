#include "executor/limits.h"

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Blocks of group g for n_tokens of KV in all: a sliding group never holds more than its windows.
 */
static int64_t group_blocks(
    const tri_plan_group *group, int64_t n_tokens, int64_t max_batch_size, int64_t max_num_tokens) {
    int64_t all = divide_up(n_tokens, group->tokens_per_block);
    if (group->window == 0) return all;
    /* A step's tokens are shared out among the sequences; each may straddle a block at both ends.
     */
    int64_t span = divide_up(group->window, group->tokens_per_block) + 2;
    int64_t windows = max_batch_size * span + divide_up(max_num_tokens, group->tokens_per_block);
    int64_t alone = divide_up(group->window + max_num_tokens, group->tokens_per_block) + 1;
    if (windows < alone) windows = alone;
    return windows < all ? windows : all;
}

static int64_t kv_bytes(const tri_plan_group *groups, int32_t n_groups, int64_t n_tokens,
    int64_t max_batch_size, int64_t max_num_tokens) {
    int64_t bytes = 0;
    for (int32_t g = 0; g < n_groups; g++) {
        if (groups[g].recurrent) continue;
        bytes += groups[g].bytes_per_block *
                 group_blocks(&groups[g], n_tokens, max_batch_size, max_num_tokens);
    }
    return bytes;
}

/* The most KV tokens under `room` bytes, at least one block's. */
static int64_t tokens_within(const tri_plan_group *groups, int32_t n_groups, int64_t most,
    int64_t max_batch_size, int64_t max_num_tokens, int64_t room) {
    int64_t low = 1, high = most;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        bool fits = kv_bytes(groups, n_groups, middle, max_batch_size, max_num_tokens) <= room;
        if (fits) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

/* max_seq_len in whole blocks of every group: what a sequence alone takes. */
static int64_t whole_blocks(const tri_plan_group *groups, int32_t n_groups, int64_t max_seq_len) {
    int64_t most = max_seq_len;
    for (int32_t g = 0; g < n_groups; g++) {
        if (groups[g].recurrent) continue;
        int64_t size = groups[g].tokens_per_block, n = divide_up(max_seq_len, size) * size;
        if (n > most) most = n;
    }
    return most;
}

tri_status tri_executor_choose_limits(tri_executor_limits *out, const tri_engine_info *info,
    const tri_plan_group *groups, int32_t n_groups, const tri_executor_config *config,
    tri_error *err) {
    int64_t batch = config->max_batch_size ? config->max_batch_size : info->max_batch_size;
    int64_t tokens = config->max_num_tokens ? config->max_num_tokens : info->max_num_tokens;
    int64_t seq_len = config->max_seq_len ? config->max_seq_len : info->max_seq_len;
    int64_t queue = config->max_queue_size ? config->max_queue_size : 1024;
    int64_t kv_tokens = config->kv_cache_config.max_tokens;
    if (batch < 1 || batch > 65536 || tokens < 1 || tokens > (1 << 24) || seq_len < 2 ||
        seq_len > INT32_MAX / 2 || queue < 0 || queue > (1 << 20) || kv_tokens < 0 ||
        kv_tokens > ((int64_t)1 << 40)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "max_batch_size %" PRId64 " (1..65536), max_num_tokens %" PRId64
            " (1..16777216), max_seq_len %" PRId64 " (2..1073741823), max_queue_size %" PRId64
            " (0..1048576), kv_cache_config.max_tokens %" PRId64 " (0..2^40)",
            batch, tokens, seq_len, queue, kv_tokens);
    }
    if (seq_len > info->max_seq_len) {
        return TRI_FAIL(err, TRI_E_LIMIT,
            "max_seq_len %" PRId64 ", the engine was built for %" PRId64
            "; build again with --max_seq_len",
            seq_len, info->max_seq_len);
    }
    if (tokens < batch) tokens = batch;
    if (!kv_tokens) {
        int64_t most = batch * whole_blocks(groups, n_groups, seq_len);
        kv_tokens = tokens_within(groups, n_groups, most, batch, tokens, TRI_KV_DEFAULT_BYTES);
    }
    tri_executor_limits l = {.max_kv_tokens = INT64_MAX};
    l.sched = (tri_sched_config){.max_batch_size = (int32_t)batch,
        .max_num_tokens = (int32_t)tokens,
        .max_num_rows = (int32_t)(batch > 32 ? batch : 32),
        .max_queue_size = (int32_t)queue,
        .max_seq_len = seq_len,
        .n_groups = n_groups,
        .chunked_context = !config->disable_chunked_context};
    l.plan = (tri_plan_limits){.max_tokens = (int32_t)tokens,
        .max_sequences = (int32_t)batch,
        .max_rows = l.sched.max_num_rows,
        .max_seq_len = seq_len};
    for (int32_t g = 0; g < n_groups; g++) {
        int64_t n =
            groups[g].recurrent ? batch : group_blocks(&groups[g], kv_tokens, batch, tokens);
        if (n > INT32_MAX) {
            return TRI_FAIL(
                err, TRI_E_LIMIT, "kv_cache_config.max_tokens %" PRId64 " is too many", kv_tokens);
        }
        l.plan.n_blocks[g] = (int32_t)n;
        l.sched.groups[g] = (tri_sched_group){.recurrent = groups[g].recurrent,
            .window = groups[g].window,
            .tokens_per_block = groups[g].tokens_per_block,
            .n_blocks = (int32_t)n};
        if (groups[g].recurrent) continue;
        l.kv_bytes += n * groups[g].bytes_per_block;
        int64_t alone = n * groups[g].tokens_per_block;
        bool holds_any_length = groups[g].window && alone >= (int64_t)groups[g].window + tokens +
                                                                 groups[g].tokens_per_block;
        if (!holds_any_length && alone < l.max_kv_tokens) l.max_kv_tokens = alone;
    }
    *out = l;
    return TRI_OK;
}
