/* source_internal.h - how every kind of input becomes the same thing: rows gathered from tensors.
 *
 *   open   source_hf.c, source_gguf.c, source_checkpoint.c: config and a table of stored tensors
 *   plan   source_plan.c: rules of the family x table -> the weights of each rank, made of segments
 *   read   source_rows.c: rows of a weight, gathered and converted
 *
 * Everything is in the source's arena or in mapped files, and fixed once the source is open. */
#ifndef TRI_MODELS_SOURCE_INTERNAL_H
#define TRI_MODELS_SOURCE_INTERNAL_H

#include "data/safetensors.h"
#include "models/source.h"

enum { TRI_MAX_MAPPING = 1024 }; /* of tp_size and of pp_size */

typedef struct tri_stored_tensor {
    const char *name;
    const uint8_t *data;
    tri_dtype dtype;
    int32_t n_dims;
    int64_t dims[2]; /* the first two */
    bool used;       /* by some weight */
} tri_stored_tensor;

typedef struct tri_tensor_table {
    tri_stored_tensor *tensors;
    int32_t n_tensors;
    tri_map index; /* name -> place in tensors */
} tri_tensor_table;

typedef enum tri_segment_kind {
    TRI_SEGMENT_STORED,
    TRI_SEGMENT_CONSTANT,
    TRI_SEGMENT_NORMAL
} tri_segment_kind;

/* Rows [first, first + n) of a matrix [.., n_columns], stored or made up.  A vector is a matrix of
 * one column. */
typedef struct tri_segment {
    tri_segment_kind kind;
    int64_t first, n, n_columns;
    tri_dtype dtype;
    const uint8_t *data; /* STORED: row 0 */
    int32_t pair_rows;   /* STORED: llama.cpp's order within heads of this size; 0: as they stand */
    uint64_t seed;       /* NORMAL */
    double value;        /* CONSTANT: the value; NORMAL: the deviation */
} tri_segment;

typedef struct tri_source_entry { /* one weight of one rank */
    tri_source_weight weight;
    const char *module;                      /* "attention.qkv" */
    int32_t layer;                           /* of the stage; -1: outside layers */
    int64_t n_rows, first_column, n_columns; /* of the matrix that the segments make up */
    double offset;                           /* added to each element */
    int32_t n_segments;
    const tri_segment *segments;
} tri_source_entry;

typedef struct tri_source_rank {
    tri_source_entry *entries;
    int32_t n_entries;
    tri_map index; /* canonical name -> place in entries */
} tri_source_rank;

struct tri_source {
    tri_arena arena;
    const char *path;
    tri_source_kind kind;
    tri_source_options options;
    tri_model_config config;
    const tri_model_family *family;
    const char *hf_prefix; /* of the decoder's names: "model." */
    const char *hf_head;   /* "lm_head" */

    tri_safetensors_set hf;
    tri_gguf gguf;
    tri_safetensors *rank_files; /* of a checkpoint */
    int32_t n_rank_files;
    tri_tensor_table *tables; /* one; of a checkpoint one for each rank */
    int32_t n_tables;
    const float *quantiles; /* dummy: source_dummy.c */

    tri_source_rank *ranks;
    int32_t n_ranks;
};

/* ---- opening: fills config, tables and what is mapped; the caller closes in any case ---- */
tri_status tri_source_open_hf(tri_source *s, tri_str config, tri_error *err);
tri_status tri_source_open_gguf(tri_source *s, tri_error *err);
tri_status tri_source_open_checkpoint(tri_source *s, tri_str config, tri_error *err);

tri_status tri_tensor_table_init(
    tri_tensor_table *table, int32_t n_tensors, tri_arena *arena, tri_error *err);
/* The next of the n_tensors; name and data are borrowed. */
tri_status tri_tensor_table_add(
    tri_tensor_table *table, const tri_stored_tensor *tensor, tri_error *err);
tri_status tri_tensor_table_add_file(
    tri_tensor_table *table, const tri_safetensors *file, tri_error *err);
tri_stored_tensor *tri_tensor_table_find(const tri_tensor_table *table, const char *name);

/* ---- sharding ---- */
typedef struct tri_shard { /* what one tensor-parallel rank takes of a matrix [rows, columns] */
    int32_t n_ranges;
    int64_t first[3], n[3]; /* rows, in order */
    int64_t pad_rows;       /* zeros after them */
    int64_t n_rows;         /* all of these */
    int64_t first_column, n_columns;
} tri_shard;

/* module: rule->canonical, or "attention.q", ".k", ".v" of a QKV rule.  A bias has one column. */
tri_status tri_shard_take(const tri_model_config *config, const tri_weight_rule *rule,
    const char *module, bool is_bias, int32_t tp_rank, tri_shard *shard, tri_error *err);

/* ---- planning ---- */
tri_status tri_source_plan(tri_source *s, tri_error *err);

/* ---- reading ---- */
/* Rows [first, first + n) of the entry's matrix, dense, in the weight's dtype. */
void tri_source_gather(
    const tri_source *s, const tri_source_entry *entry, int64_t first, int64_t n, uint8_t *out);

const float *tri_dummy_quantiles(tri_arena *arena); /* NULL: no memory */
/* Columns [first_column, + n_columns) of rows [first, first + n) of a NORMAL segment's matrix. */
void tri_dummy_fill(const float *quantiles, const tri_segment *segment, int64_t first, int64_t n,
    int64_t first_column, int64_t n_columns, tri_dtype dtype, uint8_t *out);

#endif
