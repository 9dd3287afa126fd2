/* interp_comm.c - collectives, through the callbacks of the rank; none: a single rank. */
#include <stdlib.h>
#include <string.h>

#include "graph/interp_state.h"

TRI_INTERP_RULE(all_reduce) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    int64_t n = x->rows * x->columns;
    float *y;
    if (!tri_interp_result(in, node, 0, &y, err)) return TRI_E_MEMORY;
    if (n > 0) memcpy(y, x->f, (size_t)n * sizeof *y);
    if (in->options.comm) in->options.comm->all_reduce(in->options.comm->user, y, n);
    return TRI_OK;
}

TRI_INTERP_RULE(all_gather) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    const tri_interp_comm *comm = in->options.comm;
    int64_t n_ranks = tri_node_int(node, "n_ranks"), wide = n_ranks * x->columns;
    float *y;
    const tri_interp_slot *slot = tri_interp_result(in, node, 0, &y, err);
    if (!slot) return TRI_E_MEMORY;
    if (!comm && n_ranks > 1)
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "%" PRId64 " ranks, but no collectives are given", n_ranks);
    float *gathered = malloc((size_t)(x->rows * wide + 1) * sizeof *gathered);
    if (!gathered) return TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    if (comm)
        comm->all_gather(comm->user, x->f, gathered, x->rows, x->columns);
    else
        memcpy(gathered, x->f, (size_t)(x->rows * wide) * sizeof *gathered);
    for (int64_t r = 0; r < x->rows; r++)
        memcpy(y + r * slot->columns, gathered + r * wide, (size_t)slot->columns * sizeof *y);
    free(gathered);
    return TRI_OK;
}

static tri_status need_comm(const tri_interp *in, tri_error *err) {
    if (!in->options.comm)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "a pipeline stage needs collectives to be given");
    return TRI_OK;
}

TRI_INTERP_RULE(send) {
    const tri_interp_slot *x = tri_interp_operand(in, node, "x");
    TRI_TRY(need_comm(in, err));
    in->options.comm->send(
        in->options.comm->user, (int32_t)tri_node_int(node, "to"), x->f, x->rows * x->columns);
    return TRI_OK;
}

TRI_INTERP_RULE(receive) {
    float *y;
    TRI_TRY(need_comm(in, err));
    const tri_interp_slot *slot = tri_interp_result(in, node, 0, &y, err);
    if (!slot) return TRI_E_MEMORY;
    in->options.comm->receive(
        in->options.comm->user, (int32_t)tri_node_int(node, "from"), y, slot->rows * slot->columns);
    return TRI_OK;
}
