/* engine.h - building, opening, refitting and looking into engines.
 *
 * An engine is a directory: config.json, rankN.engine (each a valid safetensors file of packed
 * weights, graph and plan) and the tokenizer files.  Opening maps the files; weights are used where
 * they are mapped. */
#ifndef TRIREME_ENGINE_H
#define TRIREME_ENGINE_H

#include "trireme/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- build ---- */

/* Called from the building thread: what is being done, done of total bytes; total 0: a word on what
 * takes time besides (another process's build), once or as often as it goes on.  False ends the
 * work: TRI_E_CANCELLED, and nothing is left of it. */
typedef bool (*tri_build_progress)(void *user, const char *what, int64_t done, int64_t total);

/* Zero means the default, named in brackets.  Flag names of trtllm-build where it had them. */
typedef struct tri_build_options {
    uint32_t struct_size;   /* sizeof(tri_build_options) */
    const char *model_dir;  /* a HF directory, a GGUF file or a TensorRT-LLM checkpoint directory */
    const char *output_dir; /* becomes the engine, whole or not at all */
    const char *target;     /* "cpu" ["cpu"], "cuda" (this machine's), "cuda:sm_90a", or "null" */
    const char *cpu_isa;    /* "avx2" [what this machine has] */
    const char *dtype; /* "auto" keeps GGUF blocks; "float32", "float16", "bfloat16" ["auto"] */
    const char *activation_dtype; /* "float32", "bfloat16", "int8" [as the weights ask] */
    const char *kv_cache_dtype;   /* "auto", "float32", "bfloat16", "float16" ["auto"] */
    const char *weight_only;  /* "int8", "int4" [none]; --use_weight_only --weight_only_precision */
    int32_t group_size;       /* of int4 [128]; -1: a scale a row */
    int32_t tp_size, pp_size; /* [1], or what the checkpoint has */
    int32_t max_batch_size;   /* hint, a run-time parameter [256 on GPUs, 8 on a CPU] */
    int32_t max_num_tokens;   /* hint [8192 on GPUs, 512 on a CPU] */
    int64_t max_seq_len;      /* hint [the model's] */
    int32_t max_beam_width;   /* [1]; more is not supported */
    int32_t tokens_per_block; /* [32] */
    bool strip_plan;          /* leave the weights out; refit fills them in */
    bool strip_code;          /* leave machine code for GPUs out; compiled where it is loaded */
    bool dummy_weights;       /* load_format dummy */
    bool dry_run; /* all of a build but its output: progress is told the bytes of the weights */
    const char *const *plugins; /* shared libraries */
    int32_t n_plugins;
    int32_t n_threads; /* for packing [all] */
    bool rebuild;      /* tri_build_cached: though there is one, as when it did not open */
    tri_build_progress progress;
    void *progress_user;
} tri_build_options;

TRI_API tri_status tri_build(const tri_build_options *options, tri_error *err);
/* Makes the ops of plugin libraries known to a graph, before tri_plugin_op_value names them; once a
 * graph. The build then needs the same libraries in options->plugins. */
TRI_API tri_status tri_graph_load_plugins(
    tri_graph *graph, const char *const *plugins, int32_t n_plugins, tri_error *err);
/* A model of one's own (finished; pipeline and tensor parallel size 1): weights come from `read`,
 * which fills row-major `out` with n_bytes of the declared weight. */
typedef tri_status (*tri_weight_reader)(
    void *user, const char *name, void *out, int64_t n_bytes, tri_error *err);
TRI_API tri_status tri_build_graph(const tri_graph *graph, tri_weight_reader read, void *user,
    const tri_build_options *options, tri_error *err);

/* Builds into the cache unless an engine for the same input (sizes, times, headers and samples of
 * the files that a model is read from) and options is there already; path (room bytes) gets its
 * directory.  `options->output_dir` and dry_run are ignored.  While another process builds the
 * same, waits and says so to options->progress.  cache_dir NULL: $XDG_CACHE_HOME/trireme is the
 * caller's to find (cli does). */
TRI_API tri_status tri_build_cached(const tri_build_options *options, const char *cache_dir,
    char *path, size_t room, bool *built, tri_error *err);

/* ---- open ---- */

typedef struct tri_engine tri_engine;

typedef struct tri_engine_options {
    uint32_t struct_size;
    const char *const *plugins;
    int32_t n_plugins;
    const char *cache_dir;  /* where a repacked copy goes when the layout does not fit this CPU
                               (NULL: refuse), and where compiled GPU kernels are kept */
    const char *cpu_isa;    /* at most this [what the machine has] */
    bool verify_weights;    /* check every weight's checksum too */
    bool null_device;       /* plan for the null device: counts, computes nothing */
    bool trust_engine_code; /* run the machine code that the engine brings, instead of compiling
                               this library's own sources where the cache has none */
    bool dummy_weights;     /* on a GPU: a stripped engine runs on random weights */
} tri_engine_options;

TRI_API tri_status tri_engine_open(
    tri_engine **engine, const char *dir, const tri_engine_options *options, tri_error *err);
TRI_API void tri_engine_close(tri_engine *engine); /* executors of it must be gone */

typedef struct tri_engine_info {
    const char *architecture, *target, *isa, *dir; /* borrowed from the engine */
    const char *repacked; /* NULL, or why and where it was repacked at open */
    int32_t vocab_size, n_layers, hidden_size, tp_size, pp_size;
    int32_t max_batch_size, max_num_tokens;
    int64_t max_seq_len, weight_bytes, n_parameters,
        generation; /* generation: of refits since open */
    int32_t bos_id, pad_id, eos_ids[16], n_eos;
    bool stripped;
} tri_engine_info;
TRI_API void tri_engine_get_info(const tri_engine *engine, tri_engine_info *info);

/* What a choice of limits needs, before anything is reserved.  Zero limits: the engine's hints. */
typedef struct tri_memory_need {
    int64_t weight_bytes; /* mapped, shared with the page cache on a CPU */
    int64_t activation_bytes, workspace_bytes, step_bytes;
    int64_t kv_bytes, state_bytes;
} tri_memory_need;
TRI_API tri_status tri_engine_memory_need(const tri_engine *engine, int32_t max_batch_size,
    int32_t max_num_tokens, int64_t max_seq_len, int64_t kv_tokens, tri_memory_need *need,
    tri_error *err);

/* ---- refit ---- */

/* Offline: the engine's recipes run again on another checkpoint of the same architecture; a new
 * directory, or output_dir NULL: the engine's own, replaced at once.  Fills stripped engines.  Of
 * options only the plugins are looked at; NULL: none. */
TRI_API tri_status tri_refit(const char *engine_dir, const char *model_dir, const char *output_dir,
    const tri_engine_options *options, tri_build_progress progress, void *progress_user,
    tri_error *err);
/* Live, between steps: new weights are staged, then taken by every executor of the engine before
 * its next step; running sequences are recomputed from their tokens.  Fails without a trace, or
 * takes effect whole. */
TRI_API tri_status tri_engine_refit(tri_engine *engine, const char *model_dir, tri_error *err);

/* ---- inspect ---- */

typedef enum tri_inspect_what {
    TRI_INSPECT_SUMMARY = 0, /* what it is; for each entry: weights, code, plan or padding */
    TRI_INSPECT_WEIGHTS = 1, /* every tensor: dtype, shape, layout, bytes, derivation */
    TRI_INSPECT_GRAPH = 2,
    TRI_INSPECT_PLAN = 4,   /* launches, kernels chosen and why the others were not, memory */
    TRI_INSPECT_JSON = 8,   /* as JSON */
    TRI_INSPECT_DOT = 16,   /* the graph as Graphviz */
    TRI_INSPECT_VERIFY = 32 /* checks weight checksums */
} tri_inspect_what;
/* path: an engine directory, a checkpoint directory, or a .safetensors, .engine or .gguf file.
 * Of options only the plugins are looked at; NULL: none.  *text: tri_free. */
TRI_API tri_status tri_inspect(const char *path, uint32_t what, const tri_engine_options *options,
    char **text, tri_error *err);

#ifdef __cplusplus
}
#endif
#endif
