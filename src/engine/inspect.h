/* inspect.h - looking into files: what was found, apart from how it is shown.
 *
 *   read    inspect_read.c    an engine, a checkpoint, a safetensors or GGUF file -> tri_inspection
 *           inspect_plan.c    launches, candidates that were not chosen and why, memory
 *           inspect_graph.c   the graph as text or as Graphviz
 *   show    inspect_text.c    for people
 *           inspect_json.c    for programs
 *
 * Everything is in the inspection's arena; nothing of a file is trusted more than its reader does.
 */
#ifndef TRI_ENGINE_INSPECT_H
#define TRI_ENGINE_INSPECT_H

#include "engine/file.h"
#include "trireme/engine.h"

typedef struct tri_inspect_entry {
    const char *name;
    tri_entry_kind kind;
    const char *dtype, *layout; /* "bf16", "row" */
    int32_t n_dims;
    int64_t dims[8];
    int64_t n_bytes;
    const char *derivation; /* NULL: none recorded */
    const char *lossy;      /* NULL: nothing is lost */
    bool stripped;          /* listed, but not there */
} tri_inspect_entry;

typedef struct tri_inspect_file {
    const char *name;
    int64_t n_bytes, header_bytes;
    tri_inspect_entry *entries; /* in the file's order */
    int32_t n_entries;
} tri_inspect_file;

typedef struct tri_inspect_fact { /* "precision": "weights bf16, ..." */
    const char *key, *value;
} tri_inspect_fact;

enum { TRI_INSPECT_MAX_FACTS = 32 };

typedef struct tri_inspection {
    tri_arena arena;
    const char *path, *what; /* "engine", "checkpoint", "Hugging Face directory", ... */
    tri_inspect_fact facts[TRI_INSPECT_MAX_FACTS];
    int32_t n_facts;
    tri_inspect_file *files;
    int32_t n_files, cap_files;
    const char *graph, *plan; /* texts, NULL: not asked for */
} tri_inspection;

/* read */
tri_status tri_inspect_read(
    tri_inspection *inspection, const char *path, uint32_t what, tri_error *err);
void tri_inspection_deinit(tri_inspection *inspection);
void tri_inspect_add_fact(tri_inspection *inspection, const char *key, const char *format, ...)
    TRI_PRINTF(3, 4);
tri_status tri_inspect_plan_text(
    const char *engine_dir, const tri_engine_options *plugins, tri_buf *out, tri_error *err);
/* Of an engine or a rank of one, or of the model that a checkpoint, HF directory or GGUF file
 * holds. */
tri_status tri_inspect_graph_text(const tri_inspection *inspection, bool dot,
    const tri_engine_options *plugins, tri_buf *out, tri_error *err);
bool tri_inspect_is(const tri_inspection *inspection, const char *what);
void tri_graph_dot(const tri_graph *g, tri_buf *out);

/* show */
/* Escapes names and values for that. */
void tri_inspect_show_text(tri_inspection *inspection, uint32_t what, tri_buf *out);
/* Lines of text, each escaped. */
void tri_inspect_put_lines(tri_buf *out, tri_str text);
void tri_inspect_show_json(const tri_inspection *inspection, uint32_t what, tri_buf *out);

/* "98.1 MB", in powers of ten; "134.5 M" */
typedef struct tri_inspect_size {
    char s[24];
} tri_inspect_size;
tri_inspect_size tri_inspect_bytes(int64_t n);
tri_inspect_size tri_inspect_count(int64_t n);

#endif
