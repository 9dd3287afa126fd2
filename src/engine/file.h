/* file.h - rankN.engine: a safetensors file that holds all that a rank runs.
 *
 * Metadata  trireme.format   "1": what this header describes; see file_upgrade.c
 *           trireme.version  of the program that wrote it
 *           trireme.build    JSON: tri_engine_spec
 *           trireme.tensors  JSON array, one for each weight in the graph's order: name, dtype,
 * shape, layout, derivation, lossy (the step that loses), whether or not its data is in the file
 * Tensors   checksums        U64 [n + 2]: XXH3 of the header, of each tensor in file order (0 for
 * this one), and of all these plan             text: which kernel each launch was given
 * (plan_text.h) graph            text: lowered, what runs (graph/ir.h) canonical_graph  text:
 * before any pass but sharding, for lowering again plugin.N         bytes that launch N's plugin op
 * keeps pad.N            zeros, so that what follows is aligned everything else  weights: dense
 * ones in their own dtype and shape, packed ones and block formats as U8 [bytes] or U8 [rows, row
 * bytes] Weights of a page or more start at a page, smaller ones at 64 bytes, so that they are used
 * where they are mapped.
 *
 * Everything but weights is checked against its sum at every open, weights by
 * tri_engine_file_verify.  The graph is the authority on what weights there are: trireme.tensors is
 * for readers that know no graphs, and must agree (tri_engine_file_match). */
#ifndef TRI_ENGINE_FILE_H
#define TRI_ENGINE_FILE_H

#include "data/safetensors.h"
#include "engine/spec.h"
#include "passes/passes.h"

enum { TRI_ENGINE_FORMAT = 1, TRI_ENGINE_PAGE = 4096 };

/* "weights or code?" */
typedef enum tri_entry_kind {
    TRI_ENTRY_WEIGHT,
    TRI_ENTRY_PLAN, /* plan, graph, canonical_graph */
    TRI_ENTRY_CODE, /* what plugins keep; one day machine code and its source */
    TRI_ENTRY_CHECKSUMS,
    TRI_ENTRY_PADDING,
    TRI_N_ENTRY_KINDS
} tri_entry_kind;
tri_entry_kind tri_entry_kind_of(const char *name);
const char *tri_entry_kind_name(tri_entry_kind kind); /* "weights" */

typedef struct tri_engine_tensor { /* a weight */
    const char *name;
    tri_type type; /* logical: dtype, dims, layout */
    const char *derivation;
    const char *lossy;   /* NULL: canonical weights can be got back */
    const uint8_t *data; /* NULL: stripped */
    int64_t n_bytes;
} tri_engine_tensor;

typedef struct tri_engine_file {
    tri_safetensors file;
    tri_arena arena;
    int32_t format;
    const char *version;
    tri_engine_spec spec;
    tri_str plan, graph, canonical_graph;
    tri_engine_tensor *tensors;
    int32_t n_tensors;
    const uint64_t *checksums; /* of file.tensors, by their index; borrowed from the mapping */
} tri_engine_file;

/* On failure *f is untouched; the message says what is damaged. */
tri_status tri_engine_file_open(tri_engine_file *f, const char *path, tri_error *err);
tri_status tri_engine_file_parse(
    tri_engine_file *f, const uint8_t *bytes, int64_t n_bytes, tri_error *err);
void tri_engine_file_close(tri_engine_file *f);
tri_status tri_engine_file_verify(
    const tri_engine_file *f, tri_error *err); /* every weight's sum */
/* The bytes of plugin.N; false: none. */
bool tri_engine_file_plugin(const tri_engine_file *f, int32_t launch, tri_str *bytes);
/* Whether the weights are those that the graph's constants are, by name, type and derivation. */
tri_status tri_engine_file_match(
    const tri_engine_file *f, const tri_stored *stored, int32_t n_stored, tri_error *err);

/* ---- writing ---- */

typedef struct tri_engine_blob { /* a small tensor of bytes */
    const char *name;
    tri_str bytes;
} tri_engine_blob;

typedef struct tri_engine_contents {
    const tri_engine_spec *spec; /* stripped: weights are listed, not stored */
    tri_str plan, graph, canonical_graph;
    const tri_engine_blob *blobs; /* plugin.N */
    int32_t n_blobs;
    const tri_stored *stored;
    const int64_t *stored_bytes; /* tri_stored_bytes of each */
    int32_t n_stored;
} tri_engine_contents;

/* Called for each weight in order; out: where it is stored, n_bytes of it. */
typedef tri_status (*tri_engine_fill)(
    void *user, int32_t index, void *out, int64_t n_bytes, tri_error *err);
/* The file appears whole, or not at all. */
tri_status tri_engine_file_write(const char *path, const tri_engine_contents *contents,
    tri_engine_fill fill, void *user, tri_error *err);

#endif
