/* comm.h - collectives among the ranks of one engine; here: threads of one process.
 *
 * Sums are taken in rank order, so that every rank has the same bits.  A rank that fails aborts the
 * group: the others return TRI_E_CANCELLED instead of waiting for ever. */
#ifndef TRI_DEVICE_COMM_H
#define TRI_DEVICE_COMM_H

#include "base/status.h"

typedef struct tri_comm_group tri_comm_group; /* shared by all ranks */
typedef struct tri_comm tri_comm;             /* one rank's end */

tri_status tri_comm_group_create(
    tri_comm_group **group, int32_t tp_size, int32_t pp_size, tri_error *err);
void tri_comm_group_destroy(tri_comm_group *group);
/* Ranks count through a stage first: rank = stage * tp_size + rank within the stage. */
tri_comm *tri_comm_of_rank(tri_comm_group *group, int32_t rank);
void tri_comm_abort(tri_comm *comm);
bool tri_comm_aborted(tri_comm *comm); /* by any rank */
int32_t tri_comm_tp_size(const tri_comm *comm);

/* Called by one thread of each tensor-parallel rank of the stage. */
tri_status tri_comm_all_reduce(tri_comm *comm, float *x, int64_t n);
/* y [rows, tp * columns] = the ranks' x [rows, columns] side by side. */
tri_status tri_comm_all_gather(
    tri_comm *comm, const float *x, float *y, int64_t rows, int64_t columns);
/* To the same tensor-parallel rank of another stage; copied, does not wait for the receiver. */
tri_status tri_comm_send(tri_comm *comm, int32_t to_stage, const float *x, int64_t n);
tri_status tri_comm_receive(tri_comm *comm, int32_t from_stage, float *x, int64_t n);

#endif
