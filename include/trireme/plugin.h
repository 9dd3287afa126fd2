/* plugin.h - the C ABI for ops and kernels that live outside this library.
 *
 * A plugin is a shared library that exports
 *
 *     TRI_PLUGIN_EXPORT int32_t tri_plugin_init(const tri_plugin_host *host);
 *
 * and registers ops (what a new operation means) and kernels (how an operation is computed on a
 * device) with the host.  Trireme's own kernels, attention among them, go through the same
 * tri_plugin_kernel. It is loaded with --plugin lib.so, at build and at run; an engine names the
 * ops it needs, never a path.
 *
 * Every struct begins with struct_size: set it to sizeof.  Fields are only ever appended; zero
 * means default. Everything passed in is borrowed for the call unless said.  Callbacks return 0, or
 * non-zero after writing the reason through host->fail.  Strings are UTF-8. */
#ifndef TRIREME_PLUGIN_H
#define TRIREME_PLUGIN_H

#include "trireme/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRI_PLUGIN_ABI 1
#define TRI_PLUGIN_EXPORT TRI_API

/* ---- facts ---- */

typedef struct tri_plugin_type { /* of an operand or a result */
    int32_t dtype;               /* tri_dtype */
    int32_t n_dims;              /* -1: an optional operand left out */
    int64_t dims[TRI_MAX_DIMS];  /* or TRI_DIM_T, _S, _R; a cache: [n_kv_heads, head_size] */
    const char *layout;          /* "row", or a packed layout's name */
    bool constant;               /* a stored tensor */
} tri_plugin_type;

typedef struct tri_plugin_field { /* an attribute */
    const char *name;
    int32_t kind; /* 0 integer, 1 float, 2 string */
    int64_t i;
    double f;
    const char *s;
} tri_plugin_field;

typedef struct tri_plugin_device {
    uint32_t struct_size;
    const char *kind;  /* "cpu", "cuda", "null" */
    const char *arch;  /* "avx2", "sm_90a" */
    int32_t n_threads; /* CPU team, or multiprocessors */
    int64_t l2_bytes, shared_bytes;
} tri_plugin_device;

/* What is asked of a kernel: fixed when the plan is built. */
typedef struct tri_plugin_desc {
    uint32_t struct_size;
    const char *op; /* "linear", or a plugin op's name */
    int32_t n_inputs, n_outputs, n_fields;
    const tri_plugin_type *inputs; /* in the op's operand order */
    const tri_plugin_type *outputs;
    const tri_plugin_field *fields;
    const tri_plugin_device *device;
    int32_t tokens_per_block;                    /* of the cache operand's group, else 0 */
    int32_t max_tokens, max_sequences, max_rows; /* the plan's limits on T, S, R */
    const void
        *kept; /* at create: what the op's serialise kept with this use, checked by deserialise */
    int64_t n_kept_bytes;
} tri_plugin_desc;

/* Extents of one step. */
typedef struct tri_plugin_extents {
    int32_t n_tokens, n_sequences, n_rows;
    int64_t n_context_tokens; /* summed over the sequences; for cost */
} tri_plugin_extents;

typedef struct tri_plugin_cost {
    double bytes, flops;
} tri_plugin_cost;

/* ---- at run ---- */

typedef struct tri_plugin_tensor {
    void *data;               /* device memory; inputs are const */
    int64_t row_stride_bytes; /* of the first dim; columns are dense */
} tri_plugin_tensor;

/* One layer's paged cache.  K of (block b, head h, token t in the block) starts at
 * base + b * block_stride_bytes + (h * tokens_per_block + t) * head_size * element size;
 * V the same, v_offset_bytes further. */
typedef struct tri_plugin_cache {
    uint32_t struct_size;
    uint8_t *base;
    int64_t block_stride_bytes, v_offset_bytes;
    int32_t n_blocks, tokens_per_block, n_kv_heads, head_size, dtype;
    const int32_t *block_tables; /* [S, max_blocks], this step's; -1: unmapped */
    int32_t max_blocks;
} tri_plugin_cache;

/* A recurrent group's state of one member: slot i at base + i * slot_stride_bytes. */
typedef struct tri_plugin_state {
    uint32_t struct_size;
    uint8_t *base;
    int64_t slot_stride_bytes;
    int32_t n_slots;
    const int32_t *slots; /* [S], this step's */
} tri_plugin_state;

/* The step's structure, in device memory. */
typedef struct tri_plugin_step {
    uint32_t struct_size;
    const void *step; /* tri_step bytes, for Trireme's own kernels */
    tri_plugin_extents extents;
    const int32_t *positions;    /* [T] */
    const int32_t *cu_seqlens;   /* [S + 1] */
    const int32_t *context_lens; /* [S] */
    const int32_t *rows;         /* [R] */
    /* Bit v of word v / 32 of a slot: token v may be sampled.  [slots, mask_stride_words] or NULL.
     */
    const uint32_t *masks;
    int64_t mask_stride_words;
    int32_t n_mask_slots;
} tri_plugin_step;

typedef struct tri_plugin_launch {
    uint32_t struct_size;
    const tri_plugin_step *step;
    const tri_plugin_tensor *inputs; /* data NULL for caches, states and left-out operands */
    const tri_plugin_tensor *outputs;
    const tri_plugin_cache *const *caches; /* by operand index; NULL where the operand is none */
    const tri_plugin_state *const *states;
    void *workspace; /* as asked for; shared by all launches, contents undefined */
    /* CPU: called on every thread of a fixed team; barrier() waits for all of them. */
    int32_t thread, n_threads;
    void (*barrier)(void *team);
    void *team;
    void *stream;     /* CUDA: CUstream */
    const void *comm; /* collectives; Trireme's own */
    /* CPU: two counters, 0 when the launch begins.  Threads that take pieces of work by adding to
     * one atomically share it by speed, so that one that lost its CPU holds up a piece, not a
     * share.
     */
    int64_t *taken;
} tri_plugin_launch;

/* ---- a kernel: one candidate way to compute an op ---- */

/* Reads rows [first, first + n) of a constant in its source dtype, row-major, into out. */
typedef int32_t (*tri_plugin_read_rows)(void *user, int64_t first, int64_t n, void *out);

typedef struct tri_plugin_layout { /* a stored form of a constant operand */
    uint32_t struct_size;
    const char *name; /* "panel16" */
    /* Bytes of the packed tensor; -1 when this dtype or shape cannot be packed so. */
    int64_t (*bytes)(const tri_plugin_type *type);
    /* Packs rows [first, first + n), a multiple of row_unit except at the end, read row-major from
     * `rows`, into out = the address of the whole packed tensor. */
    int32_t row_unit;
    void (*pack)(
        const tri_plugin_type *type, int64_t first, int64_t n, const void *rows, void *out);
    /* The inverse, exactly. */
    void (*unpack)(
        const tri_plugin_type *type, int64_t first, int64_t n, const void *packed, void *rows);
} tri_plugin_layout;

typedef struct tri_plugin_kernel {
    uint32_t struct_size;
    const char *op;     /* the op it computes */
    const char *name;   /* of this candidate: "linear_panel16_avx2" */
    const char *device; /* "cpu", "cuda" */
    /* How sums are ordered and rounded: results of equal ids are bit-equal for one token whatever
     * the batch.
     * "" : not promised. */
    const char *numerics;
    const char *isa; /* least CPU or GPU architecture: "", "avx2", "avx512", "sm_80" */
    /* 0: can do it; else writes why not (at most reason_bytes, NUL included). */
    int32_t (*supports)(const tri_plugin_desc *desc, char *reason, size_t reason_bytes);
    /* The layout wanted of constant operand i, or NULL for "row".  May be NULL. */
    const char *(*layout)(const tri_plugin_desc *desc, int32_t input);
    void (*cost)(
        const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *cost);
    int64_t (*workspace_bytes)(const tri_plugin_desc *desc); /* NULL: none */
    /* State of one launch, made at load from the description (kept valid until destroy); may be
     * NULL. */
    int32_t (*create)(const tri_plugin_desc *desc, void **state);
    void (*destroy)(void *state);
    /* Enqueues (CUDA) or computes this thread's share (CPU).  No allocation, no sync but the
     * barrier. Must write all of every output row it is given.  Same order of barriers on all
     * threads. */
    void (*launch)(void *state, const tri_plugin_launch *launch);
    bool graph_capture_safe; /* CUDA */
    /* Instead of launch, on CUDA: source compiled like ours. */
    const char *source, *entry;
    const char *const *defines;
    /* CUDA, for Trireme's own kernels: before any step, launch is called once on a queue that only
     * collects or finds programs, with nothing else set. */
    bool prepares;
} tri_plugin_kernel;

/* ---- an op: what a new operation means ---- */

typedef struct tri_plugin_reference { /* float32 tensors, dense rows */
    const float *const *inputs;       /* NULL: left out */
    float *const *outputs;
    const int64_t *input_rows, *input_columns;
    const tri_plugin_field *fields;
    int32_t n_fields;
} tri_plugin_reference;

typedef enum tri_plugin_shard { TRI_SHARD_REPLICATE = 0, TRI_SHARD_COLUMNS = 1 } tri_plugin_shard;

typedef struct tri_plugin_op {
    uint32_t struct_size;
    const char *name; /* lower case, unique: "swish_beta" */
    int32_t
        version; /* stored in engines; an engine of another version is refused with both named */
    int32_t n_inputs, n_outputs;
    const tri_plugin_field *fields; /* names, kinds, defaults */
    int32_t n_fields;
    /* Result types from operand types and fields. */
    int32_t (*infer)(const tri_plugin_type *inputs, int32_t n_inputs,
        const tri_plugin_field *fields, int32_t n_fields, tri_plugin_type *outputs);
    /* Under tensor parallelism: REPLICATE computes whole rows on each rank; COLUMNS works on any
     * slice of columns (element-wise ops). */
    int32_t shard;
    int32_t (*reference)(const tri_plugin_reference *run); /* float32 meaning: the oracle */
    /* At build: the built-in op this one stands in for ("activation"), or NULL.  Each such op for
     * which match says non-zero (NULL: always) is replaced; match fills the fields from the
     * replaced op's. */
    const char *replaces;
    int32_t (*match)(const tri_plugin_type *inputs, int32_t n_inputs,
        const tri_plugin_field *op_fields, int32_t n_op_fields, tri_plugin_field *fields);
    /* Extra bytes kept in the engine with each use, e.g. tables; may be NULL.  serialise returns
     * how many it needs and writes when there is room; deserialise checks them (they are hostile).
     */
    int64_t (*serialise)(const tri_plugin_field *fields, int32_t n_fields, void *out, int64_t room);
    int32_t (*deserialise)(const void *bytes, int64_t n_bytes);
} tri_plugin_op;

/* ---- the host ---- */

typedef struct tri_plugin_host {
    uint32_t struct_size;
    int32_t abi; /* TRI_PLUGIN_ABI of the host; a plugin refuses one it cannot work with */
    const char *version;
    void *registry;
    /* Structs are borrowed and must stay valid while the library is loaded.  Non-zero: refused
     * (reason set). */
    int32_t (*register_op)(void *registry, const tri_plugin_op *op);
    int32_t (*register_layout)(void *registry, const tri_plugin_layout *layout);
    int32_t (*register_kernel)(void *registry, const tri_plugin_kernel *kernel);
    void (*fail)(void *registry, const char *message);
} tri_plugin_host;

typedef int32_t (*tri_plugin_init_fn)(const tri_plugin_host *host);
/* A library also exports `const int32_t tri_plugin_abi = TRI_PLUGIN_ABI;`, checked before init is
 * called. */

#ifdef __cplusplus
}
#endif
#endif
