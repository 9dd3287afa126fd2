/* source.h - canonical weights from any input, by rank: a HF directory, a GGUF file, a TensorRT-LLM
 * checkpoint directory, or nothing but a config (dummy: random weights).
 *
 * Nothing is loaded: rows are read on demand from mapped files, converted on the way, so a 16 GB
 * model passes through in little memory.  Reads of different rows may come from several threads. */
#ifndef TRI_MODELS_SOURCE_H
#define TRI_MODELS_SOURCE_H

#include "models/model.h"

typedef enum tri_source_kind {
    TRI_SOURCE_HF,
    TRI_SOURCE_GGUF,
    TRI_SOURCE_CHECKPOINT
} tri_source_kind;

typedef struct tri_source_options {
    /* f32, f16, bf16: floating weights become this and GGUF blocks are decoded; TRI_N_DTYPES
     * ("auto"): as stored, blocks kept. */
    tri_dtype dtype;
    int32_t tp_size,
        pp_size; /* 0: 1, or what a checkpoint has; a checkpoint's own cannot be changed */
    bool
        dummy; /* weights are random (normal, deviation 1/sqrt(fan-in)); only config.json is read */
} tri_source_options;

typedef struct tri_source_weight {
    const char *name;  /* canonical, in full */
    tri_type type;     /* of this rank's shard: dtype (blocks: q4_1...), dims */
    int64_t row_bytes; /* of one row: dims past the first; a vector is one row */
    int64_t n_rows;    /* dims[0] of a matrix, 1 for a vector */
} tri_source_weight;

typedef struct tri_source tri_source;

tri_status tri_source_open(
    tri_source **source, const char *path, const tri_source_options *options, tri_error *err);
void tri_source_close(tri_source *source);
tri_source_kind tri_source_get_kind(const tri_source *source);
/* With mapping and quantization as they will be written. */
const tri_model_config *tri_source_config(const tri_source *source);
const char *tri_source_path(const tri_source *source);

/* rank = pp_rank * tp_size + tp_rank. */
int32_t tri_source_n_weights(const tri_source *source, int32_t rank);
const tri_source_weight *tri_source_get(const tri_source *source, int32_t rank, int32_t index);
int32_t tri_source_find(const tri_source *source, int32_t rank, const char *name); /* -1: none */
/* Rows [first, first + n) of weight index, dense, in its type's dtype. */
tri_status tri_source_read(const tri_source *source, int32_t rank, int32_t index, int64_t first,
    int64_t n, void *out, tri_error *err);
/* Declares the weights of a pipeline stage in g at full width, as tri_model_define wants them:
 * before sharding, whatever tp_size is. */
void tri_source_declare(const tri_source *source, int32_t pp_rank, tri_graph *g);
/* Copies (a GGUF: writes tokenizer.gguf) tokenizer, chat template and generation config files into
 * dir. */
tri_status tri_source_copy_tokenizer(const tri_source *source, const char *dir, tri_error *err);
/* Whether a file of that name is one of those. */
bool tri_source_is_companion(const char *name);
/* Whether a model is read from a file of that name in its directory, or it is a companion. */
bool tri_source_is_part(const char *name);
/* rankN and the suffix (".safetensors"), N a number. */
bool tri_source_is_rank_file(const char *name, const char *suffix);

/* Called with bytes done of bytes in all; may be NULL.  False: end it, TRI_E_CANCELLED. */
typedef bool (*tri_progress_fn)(void *user, const char *what, int64_t done, int64_t total);

/* `trireme convert`: writes the checkpoint directory (config.json, rankN.safetensors, tokenizer
 * files), whole or not at all; a directory that holds anything else is not replaced. */
tri_status tri_convert(tri_source *source, const char *output_dir, tri_progress_fn progress,
    void *progress_user, tri_error *err);

#endif
