/* passes.h - IR to IR.  Each pass is a pure function of graph and arguments, deterministic, and
 * leaves a graph whose types are inferred and which tri_graph_verify takes.
 *
 * Order at build: shard, precision, fuse, narrow, layout, fold's naming, then the memory plan. What
 * a device can do comes in as facts (tri_target), never as device code.
 *
 * A pass that fails may leave the graph half changed: destroy it (shard changes nothing then).  All
 * but shard can be run again and find nothing to do; shard refuses a graph that it has split. */
#ifndef TRI_PASSES_PASSES_H
#define TRI_PASSES_PASSES_H

#include "graph/ir.h"

/* ---- shard.c: full-width graph of a stage -> rank tp_rank's part ----
 * The graph is made with full-width weights.  Each rank's types follow from the names (shard.c says
 * how); a caller may declare the shards it has (tri_graph_set_weight_type) between making the graph
 * and this pass, and is then held to them.  Only so is the embedding table split:
 * use_parallel_embedding.  n_heads, columns and caches shrink; all_reduce follows row-parallel
 * linears, whose bias only rank 0 adds; logits are gathered.  KV heads are duplicated when fewer
 * than ranks.  Heads or widths that do not divide are errors that name both. */
tri_status tri_pass_shard(tri_graph *g, int32_t tp_size, int32_t tp_rank, tri_error *err);

/* ---- precision.c: how numbers are held ---- */
typedef struct tri_precision {
    tri_dtype weights;      /* f32, bf16, f16: matrices become this; TRI_N_DTYPES: as they come */
    const char *activation; /* of linears: "f32", "bf16", "i8"; NULL: f32 for f32 weights, i8 for
                               blocks of GGUF, else bf16 */
    tri_dtype kv;           /* caches */
    tri_dtype weight_only;  /* TRI_I8 or TRI_I4: weight-only quantisation of linears' float weights
                               (not the  head, not embeddings); TRI_N_DTYPES: none */
    int32_t group_size;     /* of i4; 0: a row */
} tri_precision;
/* Sets linears' activation, casts weights (constant `cast` nodes), quantises them (`quantize`,
 * `quantize_scales`), sets cache dtypes.  Vectors (norms, biases) become f32. */
tri_status tri_pass_precision(tri_graph *g, const tri_precision *precision, tri_error *err);

/* ---- fuse.c ---- mlp.fc and mlp.gate -> one linear on concat_rows + gated activation; norms per
 * head + rope + kv_write -> rope_kv_write; a linear added to something -> its accumulator, also
 * where a norm follows (fuse.c says why); any other add + rms_norm -> add_rms_norm; chains of
 * affine. */
tri_status tri_pass_fuse(tri_graph *g, tri_error *err);

/* ---- narrow.c ---- values that only bf16 products read become bf16; for devices whose kernels
 * take them. */
tri_status tri_pass_narrow(tri_graph *g, tri_error *err);

/* ---- layout.c ---- asks which layout each constant operand of each op should be stored in and
 * inserts `pack`. A tensor with several users gets one layout all of them take ("one layout per
 * tensor"). */
typedef struct tri_target {
    void *user;
    /* Layouts that some kernel takes for operand `slot` of node, preferred first; 0: none supports
     * the node (err says why).  The graph asked about is unpacked throughout; slot is a constant.
     */
    int32_t (*layouts)(void *user, const tri_graph *g, const tri_node *node, int32_t slot,
        const char **layouts, int32_t room, tri_error *err);
} tri_target;
tri_status tri_pass_layout(tri_graph *g, const tri_target *target, tri_error *err);

/* ---- epilogue.c ---- gated activations go into the linear before them; for devices whose kernels
 * do both at once.  After narrow, so that the dtype goes along. */
tri_status tri_pass_epilogue(tri_graph *g, tri_error *err);
/* An rms_norm between a linear with a residual and linears that read it is divided between them
 * (linear_norm), where the target's kernels take both; after tri_pass_epilogue.  n_parts: of the
 * sums of squares, the target's multiprocessors.  target NULL: it takes all. */
tri_status tri_pass_defer_norms(
    tri_graph *g, int32_t n_parts, const tri_target *target, tri_error *err);

/* ---- fold.c ---- every maximal constant expression used by a non-constant node becomes one stored
 * tensor: what the engine file holds.  Equal expressions become one value in the graph.  Names: the
 * weight's own when it is just a weight (or its cast or pack), else made from the weights' names
 * ("transformer.layers.3.mlp.fc+gate.weight"); unique and stable from build to build. */
typedef struct tri_stored {
    const char *name;
    tri_value *value;       /* root of the expression */
    const char *derivation; /* its text (tri_value_print_expression) */
    bool lossless;          /* canonical weights can be got back (inverse of each step exists) */
    const char *lossy_step; /* else the op that loses */
} tri_stored;
tri_status tri_pass_fold(
    tri_graph *g, tri_arena *arena, tri_stored **stored, int32_t *n_stored, tri_error *err);

/* ---- memory.c ---- where each activation lives, for given limits on T, S, R.  Values whose lives
 * do not overlap share memory; `columns` of a value are views of it (row stride of the parent);
 * all others have dense rows from a multiple of 64 bytes.  A result may lie exactly over an operand
 * that ends there, of add, mul, affine, softcap, activation, all_reduce and the accumulator
 * of linear and linear_norm.
 * Inputs and outputs keep their place through the step.  One function both sizes and places, so
 * that they cannot disagree. */
typedef struct tri_placement {
    const tri_value *value;
    int64_t offset_bytes, row_stride_bytes, n_bytes;
} tri_placement;
typedef struct tri_memory_plan {
    tri_placement *placements; /* by value id: placements[id]; constants, caches: offset -1 */
    int32_t n_placements;
    int64_t total_bytes;
} tri_memory_plan;
tri_status tri_pass_memory(const tri_graph *g, int64_t max_tokens, int64_t max_sequences,
    int64_t max_rows, tri_arena *arena, tri_memory_plan *plan, tri_error *err);

#endif
