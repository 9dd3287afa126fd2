/* collective.c - kernels of all_reduce, all_gather, send and receive, over device/comm.h.
 *
 * Thread 0 of the team talks to the other ranks; the launch's end is the barrier for the rest. Rows
 * of operands may be strided, messages are dense: they pass through workspace when they must.  A
 * failure aborts the group, and the device reports it when the step completes. */
#include <stdlib.h>
#include <string.h>

#include "device/comm.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/families.h"

typedef struct collective {
    int64_t first_dim, columns, y_columns; /* of x, and of y */
    int32_t n_ranks, stage;
} collective;

/* ---- what is asked ---- */

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return desc->n_inputs ? tri_require_f32(desc, 0, reason, reason_bytes) : 0;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    const tri_plugin_type *type = desc->n_outputs ? &desc->outputs[0] : &desc->inputs[0];
    *c = (tri_plugin_cost){.bytes = 8.0 * (double)tri_extent_rows(extents, type->dims[0]) *
                                    (double)tri_plugin_columns(type)};
}

static void describe(const tri_plugin_desc *desc, collective *c) {
    const tri_plugin_type *y = desc->n_outputs ? &desc->outputs[0] : &desc->inputs[0];
    const tri_plugin_type *x = desc->n_inputs ? &desc->inputs[0] : y;
    *c = (collective){.first_dim = x->dims[0],
        .columns = tri_plugin_columns(x),
        .y_columns = tri_plugin_columns(y),
        .n_ranks = (int32_t)tri_desc_int(desc, "n_ranks", 1)};
    bool sends = strcmp(desc->op, "send") == 0;
    c->stage = (int32_t)tri_desc_int(desc, sends ? "to" : "from", 0);
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    collective *c = malloc(sizeof *c);
    if (!c) return 1;
    describe(desc, c);
    *state = c;
    return 0;
}

/* Dense copies of x and of all ranks' columns. */
static int64_t workspace_bytes(const tri_plugin_desc *desc) {
    collective c;
    describe(desc, &c);
    const tri_plugin_type *type = desc->n_inputs ? &desc->inputs[0] : &desc->outputs[0];
    int64_t copies = strcmp(desc->op, "all_gather") == 0 ? 1 + c.n_ranks : 1;
    return tri_desc_max_rows(desc, type) * c.columns * copies * (int64_t)sizeof(float);
}

/* ---- launch ---- */

/* x's rows without gaps: where they are, or copied into `room`. */
static float *dense(const tri_plugin_tensor *x, int64_t rows, int64_t columns, float *room) {
    if (rows <= 1 || x->row_stride_bytes == columns * (int64_t)sizeof(float)) return x->data;
    for (int64_t r = 0; r < rows; r++) {
        memcpy(room + r * columns, tri_row_f32(x, r), (size_t)columns * sizeof(float));
    }
    return room;
}

/* The first n columns of dense rows of `width` to y. */
static void spread(
    const tri_plugin_tensor *y, int64_t rows, const float *from, int64_t width, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        float *to = tri_row_f32(y, r);
        if (to != from + r * width) memmove(to, from + r * width, (size_t)n * sizeof(float));
    }
}

static tri_comm *comm_of(const tri_plugin_launch *launch) {
    return (tri_comm *)(uintptr_t)launch->comm;
}

static void check(const tri_plugin_launch *launch, tri_status rc) {
    if (rc) tri_comm_abort(comm_of(launch));
}

static void all_reduce_launch(void *state, const tri_plugin_launch *launch) {
    const collective *c = state;
    int64_t rows = tri_launch_rows(launch, c->first_dim);
    if (launch->thread) return;
    const tri_plugin_tensor *y = &launch->outputs[0];
    bool y_dense = rows <= 1 || y->row_stride_bytes == c->columns * (int64_t)sizeof(float);
    float *sums = y_dense ? y->data : launch->workspace;
    for (int64_t r = 0; r < rows; r++) {
        float *to = sums + r * c->columns;
        const float *from = tri_row_f32(&launch->inputs[0], r);
        if (to != from) memmove(to, from, (size_t)c->columns * sizeof(float));
    }
    if (launch->comm) check(launch, tri_comm_all_reduce(comm_of(launch), sums, rows * c->columns));
    if (!y_dense) spread(y, rows, sums, c->columns, c->columns);
}

static void all_gather_launch(void *state, const tri_plugin_launch *launch) {
    const collective *c = state;
    int64_t rows = tri_launch_rows(launch, c->first_dim);
    if (launch->thread) return;
    float *room = launch->workspace;
    const float *x = dense(&launch->inputs[0], rows, c->columns, room);
    if (!launch->comm) {
        spread(&launch->outputs[0], rows, x, c->columns, c->y_columns);
        return;
    }
    float *gathered = room + rows * c->columns;
    check(launch, tri_comm_all_gather(comm_of(launch), x, gathered, rows, c->columns));
    spread(&launch->outputs[0], rows, gathered, c->n_ranks * c->columns, c->y_columns);
}

static void send_launch(void *state, const tri_plugin_launch *launch) {
    const collective *c = state;
    int64_t rows = tri_launch_rows(launch, c->first_dim);
    if (launch->thread || !launch->comm) return;
    const float *x = dense(&launch->inputs[0], rows, c->columns, launch->workspace);
    check(launch, tri_comm_send(comm_of(launch), c->stage, x, rows * c->columns));
}

static void receive_launch(void *state, const tri_plugin_launch *launch) {
    const collective *c = state;
    int64_t rows = tri_launch_rows(launch, c->first_dim);
    if (launch->thread || !launch->comm) return;
    float *room = launch->workspace;
    check(launch, tri_comm_receive(comm_of(launch), c->stage, room, rows * c->columns));
    spread(&launch->outputs[0], rows, room, c->columns, c->columns);
}

/* ---- registration ---- */

#define COLLECTIVE_KERNEL(op, numerics_)                                                           \
    static const tri_plugin_kernel op##_kernel = {                                                 \
        TRI_CPU_KERNEL(#op, #op "_threads", "", numerics_), .supports = supports, .cost = cost,    \
        .workspace_bytes = workspace_bytes, .create = create, .destroy = free,                     \
        .launch = op##_launch};
COLLECTIVE_KERNEL(all_reduce, "f32_ranks")
COLLECTIVE_KERNEL(all_gather, "f32")
COLLECTIVE_KERNEL(send, "f32")
COLLECTIVE_KERNEL(receive, "f32")

const tri_plugin_kernel *const tri_collective_kernels[] = {
    &all_reduce_kernel, &all_gather_kernel, &send_kernel, &receive_kernel, NULL};
