/* safetensors.h - reading and streaming out safetensors files.
 *
 * The format: u64 header length, JSON header {name: {dtype, shape, data_offsets}, "__metadata__":
 * {...}}, data. The reader refuses holes, overlaps, data past the end, sizes that do not match
 * shapes, duplicate names, and headers over 100 MB.  Engines are safetensors files too: this is the
 * only parser of them. */
#ifndef TRI_DATA_SAFETENSORS_H
#define TRI_DATA_SAFETENSORS_H

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/map.h"

typedef struct tri_safetensor {
    const char *name;
    tri_dtype dtype;
    int32_t n_dims;
    int64_t dims[8];
    const uint8_t *data;           /* borrowed from the mapping */
    int64_t n_bytes, offset_bytes; /* offset in the file */
} tri_safetensor;

typedef struct tri_safetensors {
    tri_file_map map;
    int32_t n_tensors;
    tri_safetensor *tensors;  /* in the order of their data */
    const tri_json *metadata; /* "__metadata__": object of strings, or NULL */
    tri_map index;            /* name -> index */
    int64_t header_bytes;     /* 8 + JSON: where the data starts */
} tri_safetensors;

/* Names and the header tree are in the arena, data in the mapping; on failure *s is untouched. */
tri_status tri_safetensors_open(
    tri_safetensors *s, const char *path, tri_arena *arena, tri_error *err);
void tri_safetensors_close(tri_safetensors *s);
const tri_safetensor *tri_safetensors_find(const tri_safetensors *s, const char *name);
/* The same checks on bytes in memory (for fuzzing and for headers already read). */
tri_status tri_safetensors_parse(
    tri_safetensors *s, const uint8_t *bytes, int64_t n_bytes, tri_arena *arena, tri_error *err);

/* All tensors of a model directory: model.safetensors, or the shards of
 * model.safetensors.index.json (each file opened once; a tensor the index names but no shard holds
 * is an error). */
typedef struct tri_safetensors_set {
    int32_t n_files;
    tri_safetensors *files;
    const char **paths;
    tri_map index; /* name -> file << 32 | tensor */
} tri_safetensors_set;

tri_status tri_safetensors_set_open(
    tri_safetensors_set *set, const char *dir, tri_arena *arena, tri_error *err);
void tri_safetensors_set_close(tri_safetensors_set *set);
const tri_safetensor *tri_safetensors_set_find(const tri_safetensors_set *set, const char *name);

/* Writing: declare all tensors, then stream their data in that order. */
typedef struct tri_safetensors_writer tri_safetensors_writer;

tri_status tri_safetensors_writer_open(
    tri_safetensors_writer **w, const char *path, tri_error *err);
/* Metadata and tensors before begin.  A name twice is TRI_E_ARGUMENT. */
tri_status tri_safetensors_writer_metadata(
    tri_safetensors_writer *w, const char *key, const char *value, tri_error *err);
tri_status tri_safetensors_writer_declare(tri_safetensors_writer *w, const char *name,
    tri_dtype dtype, const int64_t *dims, int32_t n_dims, tri_error *err);
/* Pads the header with spaces so that data starts at a multiple of align (a power of two >= 8). */
tri_status tri_safetensors_writer_begin(tri_safetensors_writer *w, int64_t align, tri_error *err);
/* The next bytes of the data, over all tensors; more than declared is TRI_E_ARGUMENT. */
tri_status tri_safetensors_writer_write(
    tri_safetensors_writer *w, const void *bytes, size_t n, tri_error *err);
/* In place of all writes: the whole file mapped, header_bytes of header before the data, to be
 * filled in any order and by several threads until commit or abandon.  Its blocks are reserved, so
 * that a full disk is an error here and not a signal later. */
tri_status tri_safetensors_writer_map(tri_safetensors_writer *w, uint8_t **file,
    int64_t *header_bytes, int64_t *n_bytes, tri_error *err);
/* Bytes [offset, offset + n) of the mapped file are final: the disk may begin with them. */
void tri_safetensors_writer_flush(tri_safetensors_writer *w, int64_t offset, int64_t n_bytes);
/* All data must have come.  Frees w in any case. */
tri_status tri_safetensors_writer_commit(tri_safetensors_writer *w, tri_error *err);
void tri_safetensors_writer_abandon(tri_safetensors_writer *w);

#endif
