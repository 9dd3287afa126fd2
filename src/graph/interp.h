/* interp.h - the reference meaning of every op, in float32 (sums in double), on the CPU.  Slow and
 * plain: the oracle for kernels and for build-time folding of small constants.
 *
 * Quantised modes are emulated as the ops state them: linear's activation="bf16" rounds x, "i8"
 * quantises it in blocks of 32; weights are whatever their dtype decodes to; caches round to their
 * dtype on write. */
#ifndef TRI_GRAPH_INTERP_H
#define TRI_GRAPH_INTERP_H

#include "graph/ir.h"

/* Row-major bytes of a weight in its declared dtype (layout "row"), valid until the interpreter is
 * destroyed. */
typedef tri_status (*tri_interp_weight_fn)(
    void *user, const char *name, const void **data, tri_error *err);

/* Collectives for one rank; NULL: a single rank, all_reduce is the identity. */
typedef struct tri_interp_comm {
    void *user;
    void (*all_reduce)(void *user, float *x, int64_t n);
    void (*all_gather)(void *user, const float *x, float *y, int64_t rows, int64_t columns);
    void (*send)(void *user, int32_t to, const float *x, int64_t n);
    void (*receive)(void *user, int32_t from, float *x, int64_t n);
} tri_interp_comm;

typedef struct tri_interp_options {
    int32_t n_blocks[TRI_MAX_GROUPS]; /* KV blocks (or state slots) to hold */
    tri_interp_weight_fn weight;
    void *weight_user;
    const tri_interp_comm *comm;
    /* Called with every tensor value computed, as float32 (integers converted); for layer-by-layer
     * tests. */
    void (*observe)(
        void *user, const tri_value *value, const float *data, int64_t rows, int64_t columns);
    void *observe_user;
    /* Bits of the tokens that rows with this mask slot may take, (vocabulary + 31) / 32 words,
     * token v in bit v % 32 of word v / 32.  Needed only by steps with such rows. */
    const uint32_t *(*mask)(void *user, int32_t slot);
    void *mask_user;
} tri_interp_options;

typedef struct tri_interp tri_interp;
/* Caches persist from step to step; the graph must outlive the interpreter and stay unchanged. */
tri_status tri_interp_create(
    tri_interp **interp, const tri_graph *g, const tri_interp_options *options, tri_error *err);
void tri_interp_destroy(tri_interp *interp);
tri_status tri_interp_run(tri_interp *interp, const tri_step *step, tri_error *err);
/* An output, or with "%12" any other tensor value, of the last run: f32 (or i32 for token ids),
 * row-major. */
const float *tri_interp_output(
    const tri_interp *interp, const char *name, int64_t *rows, int64_t *columns);
const int32_t *tri_interp_output_i32(const tri_interp *interp, const char *name, int64_t *n);
/* The value of a constant of the graph, row-major as float32, valid until the interpreter is
 * destroyed.  Needs no step; only what it derives from is evaluated. */
tri_status tri_interp_constant(
    tri_interp *interp, const tri_value *value, const float **data, int64_t *n, tri_error *err);
/* Sampling graphs take their logits [R, V] from here. */
void tri_interp_set_logits(tri_interp *interp, const float *logits, int64_t rows, int64_t columns);

/* The n values of a rope_frequencies node: build needs them without running anything. */
void tri_rope_frequencies(const tri_node *node, float *values, int64_t n);

#endif
