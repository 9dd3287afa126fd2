/* interp_state.h - what the files of the interpreter share.
 *
 * Every tensor value has a slot of float32 rows (int32 for token ids and other indices).  Slots of
 * run-time values are written anew by each step and keep their memory; slots of constants are
 * filled when first needed and stay.  Caches and states have a memory, shared by all their
 * versions. */
#ifndef TRI_GRAPH_INTERP_STATE_H
#define TRI_GRAPH_INTERP_STATE_H

#include "graph/interp.h"

/* Paged K and V of one cache, or the states of one member of a recurrent group. */
typedef struct tri_interp_memory {
    uint8_t *bytes;
    int32_t n_blocks; /* or slots */
    int32_t group;
    int64_t block_bytes;
} tri_interp_memory;

typedef struct tri_interp_slot {
    const float *f; /* the value; borrowed, or `owned` */
    const int32_t *i;
    int64_t rows, columns;
    void *owned;
    int64_t owned_bytes;
    tri_interp_memory *memory; /* of caches and states, instead */
    int64_t run;               /* the run that wrote it; constants: 1 once filled */
} tri_interp_slot;

struct tri_interp {
    const tri_graph *g;
    tri_interp_options options;
    tri_interp_slot *slots; /* by value id */
    tri_interp_memory *memories;
    int32_t n_memories;
    const tri_step *step; /* during a run */
    int64_t run;
    float *logits; /* set by tri_interp_set_logits */
    int64_t logits_rows, logits_columns;
};

/* How one op computes its results. */
typedef tri_status (*tri_interp_rule)(tri_interp *in, const tri_node *node, tri_error *err);
#define TRI_INTERP_RULE(op)                                                                        \
    tri_status tri_interp_##op(tri_interp *in, const tri_node *node, tri_error *err)

/* interp_const.c */
TRI_INTERP_RULE(weight);
TRI_INTERP_RULE(rope_frequencies);
TRI_INTERP_RULE(concat_rows);
TRI_INTERP_RULE(slice_rows);
TRI_INTERP_RULE(cast);
TRI_INTERP_RULE(quantize); /* and quantize_scales */
TRI_INTERP_RULE(same);     /* pack, tie */
/* interp_linear.c */
TRI_INTERP_RULE(embedding);
TRI_INTERP_RULE(linear); /* and linear_norm */
/* interp_rows.c */
TRI_INTERP_RULE(rms_norm); /* and add_rms_norm */
TRI_INTERP_RULE(elementwise);
TRI_INTERP_RULE(gated_activation);
double tri_interp_activate(const char *kind, double x);
TRI_INTERP_RULE(columns);
TRI_INTERP_RULE(select_rows);
/* interp_attention.c */
TRI_INTERP_RULE(rope);
TRI_INTERP_RULE(kv_write);
TRI_INTERP_RULE(rope_kv_write);
TRI_INTERP_RULE(attention);
/* interp_sampling.c */
TRI_INTERP_RULE(count_tokens);
TRI_INTERP_RULE(penalties);
TRI_INTERP_RULE(mask);
TRI_INTERP_RULE(sample);
/* interp_comm.c */
TRI_INTERP_RULE(all_reduce);
TRI_INTERP_RULE(all_gather);
TRI_INTERP_RULE(send);
TRI_INTERP_RULE(receive);

/* ---- interp.c ---- */

/* NULL: the operand is left out. */
const tri_interp_slot *tri_interp_operand(
    const tri_interp *in, const tri_node *node, const char *name);
/* The slot of result `index`, with room for its type's rows and columns of float32 in *data
 * (zeroed); NULL: out of memory, said in err. */
tri_interp_slot *tri_interp_result(
    tri_interp *in, const tri_node *node, int32_t index, float **data, tri_error *err);
tri_interp_slot *tri_interp_result_i32(
    tri_interp *in, const tri_node *node, int32_t index, int32_t **data, tri_error *err);
/* Result 0 is the operand itself. */
void tri_interp_borrow(tri_interp *in, const tri_node *node, const tri_interp_slot *from);
tri_interp_memory *tri_interp_memory_of(const tri_interp *in, const tri_value *value);
/* Sequence of token t of the step, and t's position in it (from lengths, not from positions). */
int32_t tri_interp_sequence(const tri_step *step, int32_t token);
int32_t tri_interp_position(const tri_step *step, int32_t sequence, int32_t token);

/* Sum of a[i] * b[i] in double. */
double tri_interp_dot(const double *a, const double *b, int64_t n);
/* x * rsqrt(mean(x^2) + eps) * w over stretches of n columns; x may be y. */
void tri_interp_normalise(
    const float *x, const float *w, int64_t rows, int64_t columns, int64_t n, double eps, float *y);

#endif
