/* limits.h - from a configuration's wishes to a plan's and a scheduler's limits.  Pure. */
#ifndef TRI_EXECUTOR_LIMITS_H
#define TRI_EXECUTOR_LIMITS_H

#include "engine/plan.h"
#include "sched/sched.h"
#include "trireme/executor.h"

typedef struct tri_executor_limits {
    tri_plan_limits plan;
    tri_sched_config sched;
    int64_t kv_bytes;
    int64_t max_kv_tokens; /* of one sequence alone */
} tri_executor_limits;

/* Zero fields of config take the engine's hints.  The KV default is what max_batch_size sequences
 * of max_seq_len need, at most TRI_KV_DEFAULT_BYTES. */
enum { TRI_KV_DEFAULT_BYTES = 1 << 30 };
tri_status tri_executor_choose_limits(tri_executor_limits *limits, const tri_engine_info *info,
    const tri_plan_group *groups, int32_t n_groups, const tri_executor_config *config,
    tri_error *err);

#endif
