#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/codec.h"
#include "data/safetensors.h"

enum { WRITER_HEADER_MAX_BYTES = 100000000, WRITER_MAX_DIMS = 8 };

typedef struct declared_tensor {
    const char *name;
    tri_dtype dtype;
    int32_t n_dims;
    int64_t dims[WRITER_MAX_DIMS];
    int64_t n_bytes;
} declared_tensor;

typedef struct metadata_entry {
    const char *key, *value;
} metadata_entry;

struct tri_safetensors_writer {
    tri_file_writer file;
    tri_arena arena;
    tri_map names, metadata_keys;
    tri_buf tensors, metadata;         /* declared_tensor[], metadata_entry[] */
    int64_t data_bytes, written_bytes; /* declared, streamed */
    bool begun;
    void *mapped; /* the file, or NULL */
    size_t mapped_bytes;
};

static void destroy(tri_safetensors_writer *w) {
    if (w->mapped) munmap(w->mapped, w->mapped_bytes);
    tri_map_deinit(&w->names);
    tri_map_deinit(&w->metadata_keys);
    tri_buf_deinit(&w->tensors);
    tri_buf_deinit(&w->metadata);
    tri_arena_deinit(&w->arena);
    free(w);
}

tri_status tri_safetensors_writer_open(
    tri_safetensors_writer **w, const char *path, tri_error *err) {
    tri_safetensors_writer *out = calloc(1, sizeof *out);
    if (!out) return TRI_FAIL(err, TRI_E_MEMORY, "no memory to write %s", path);
    tri_arena_init(&out->arena, 0);
    tri_status rc = tri_file_writer_open(&out->file, path, err);
    if (rc) {
        destroy(out);
        return rc;
    }
    *w = out;
    return TRI_OK;
}

/* Adds name to map, in the writer's own memory. */
static tri_status add_name(
    tri_safetensors_writer *w, tri_map *map, const char *name, const char **copy, tri_error *err) {
    int64_t known;
    if (tri_map_get(map, tri_str_of(name), &known)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "%.200s is declared twice", name);
    }
    char *own = tri_arena_strdup(&w->arena, name);
    if (!own) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for the name %.200s", name);
    TRI_TRY(tri_map_put(map, tri_str_of(own), 0, err));
    *copy = own;
    return TRI_OK;
}

tri_status tri_safetensors_writer_metadata(
    tri_safetensors_writer *w, const char *key, const char *value, tri_error *err) {
    if (w->begun) return TRI_FAIL(err, TRI_E_ARGUMENT, "metadata %.200s after the header", key);
    metadata_entry entry = {.value = tri_arena_strdup(&w->arena, value)};
    if (!entry.value) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for metadata %.200s", key);
    TRI_TRY(add_name(w, &w->metadata_keys, key, &entry.key, err));
    tri_buf_append(&w->metadata, &entry, sizeof entry);
    return tri_buf_status(&w->metadata, err);
}

tri_status tri_safetensors_writer_declare(tri_safetensors_writer *w, const char *name,
    tri_dtype dtype, const int64_t *dims, int32_t n_dims, tri_error *err) {
    if (w->begun) return TRI_FAIL(err, TRI_E_ARGUMENT, "tensor %.200s after the header", name);
    const tri_dtype_info *info = tri_dtype_get(dtype);
    if (!info->safetensors) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "tensor %.200s: safetensors has no dtype for %s; declare its bytes as u8", name,
            info->name);
    }
    if (strcmp(name, "__metadata__") == 0) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "no tensor can be named %s", name);
    }
    if (n_dims < 0 || n_dims > WRITER_MAX_DIMS) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "tensor %.200s: %d dims, at most %d", name, n_dims,
            WRITER_MAX_DIMS);
    }
    declared_tensor t = {.dtype = dtype, .n_dims = n_dims, .n_bytes = info->block_bytes};
    for (int32_t i = 0; i < n_dims; i++) {
        t.dims[i] = dims[i];
        if (dims[i] < 0 || __builtin_mul_overflow(t.n_bytes, dims[i], &t.n_bytes)) {
            return TRI_FAIL(err, TRI_E_ARGUMENT, "tensor %.200s: dim %d is %" PRId64 "%s", name, i,
                dims[i], dims[i] < 0 ? "" : ", its size overflows");
        }
    }
    int64_t data_bytes;
    if (__builtin_add_overflow(w->data_bytes, t.n_bytes, &data_bytes)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "tensor %.200s: the file's size overflows", name);
    }
    TRI_TRY(add_name(w, &w->names, name, &t.name, err));
    tri_buf_append(&w->tensors, &t, sizeof t);
    TRI_TRY(tri_buf_status(&w->tensors, err));
    w->data_bytes = data_bytes;
    return TRI_OK;
}

static void write_metadata(const tri_safetensors_writer *w, tri_json_writer *json) {
    const metadata_entry *entries = (const metadata_entry *)(const void *)w->metadata.ptr;
    size_t n = w->metadata.len / sizeof *entries;
    if (n == 0) return;
    tri_json_key(json, "__metadata__");
    tri_json_begin_object(json);
    for (size_t i = 0; i < n; i++) {
        tri_json_key(json, entries[i].key);
        tri_json_string(json, tri_str_of(entries[i].value));
    }
    tri_json_end_object(json);
}

static void write_tensors(const tri_safetensors_writer *w, tri_json_writer *json) {
    const declared_tensor *tensors = (const declared_tensor *)(const void *)w->tensors.ptr;
    size_t n = w->tensors.len / sizeof *tensors;
    int64_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        const declared_tensor *t = &tensors[i];
        tri_json_key(json, t->name);
        tri_json_begin_object(json);
        tri_json_key(json, "dtype");
        tri_json_string(json, tri_str_of(tri_dtype_get(t->dtype)->safetensors));
        tri_json_key(json, "shape");
        tri_json_begin_array(json);
        for (int32_t d = 0; d < t->n_dims; d++)
            tri_json_i64(json, t->dims[d]);
        tri_json_end_array(json);
        tri_json_key(json, "data_offsets");
        tri_json_begin_array(json);
        tri_json_i64(json, offset);
        tri_json_i64(json, offset + t->n_bytes);
        tri_json_end_array(json);
        tri_json_end_object(json);
        offset += t->n_bytes;
    }
}

tri_status tri_safetensors_writer_begin(tri_safetensors_writer *w, int64_t align, tri_error *err) {
    if (w->begun) return TRI_FAIL(err, TRI_E_ARGUMENT, "the header is written already");
    if (align < 8 || align > 1 << 30 || (align & (align - 1))) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "alignment %" PRId64 " is not a power of two from 8 to 2^30", align);
    }
    tri_buf header = {0};
    tri_json_writer json;
    char length[8] = {0};
    tri_buf_append(&header, length, sizeof length);
    tri_json_writer_init(&json, &header, 0);
    tri_json_begin_object(&json);
    write_metadata(w, &json);
    write_tensors(w, &json);
    tri_json_end_object(&json);
    tri_status rc = tri_buf_status(&header, err);
    if (rc) goto done;
    size_t padding = (size_t)align - 1 - (header.len + (size_t)align - 1) % (size_t)align;
    char *spaces = tri_buf_extend(&header, padding);
    rc = tri_buf_status(&header, err);
    if (rc) goto done;
    if (padding) memset(spaces, ' ', padding);
    uint64_t n = header.len - 8;
    if (n > WRITER_HEADER_MAX_BYTES) {
        rc = TRI_FAIL(err, TRI_E_LIMIT,
            "a header of %" PRIu64 " bytes, the format's limit is %d: write fewer tensors a file",
            n, WRITER_HEADER_MAX_BYTES);
        goto done;
    }
    for (int i = 0; i < 8; i++)
        header.ptr[i] = (char)(n >> 8 * i & 0xFF);
    rc = tri_file_writer_write(&w->file, header.ptr, header.len, err);
    if (rc) goto done;
    w->begun = true;

done:
    tri_buf_deinit(&header);
    return rc;
}

tri_status tri_safetensors_writer_write(
    tri_safetensors_writer *w, const void *bytes, size_t n, tri_error *err) {
    if (!w->begun) return TRI_FAIL(err, TRI_E_ARGUMENT, "data before the header");
    if (n > (uint64_t)(w->data_bytes - w->written_bytes)) {
        return TRI_FAIL(err, TRI_E_ARGUMENT,
            "%zu bytes of data after %" PRId64 " of the %" PRId64 " declared", n, w->written_bytes,
            w->data_bytes);
    }
    TRI_TRY(tri_file_writer_write(&w->file, bytes, n, err));
    w->written_bytes += (int64_t)n;
    return TRI_OK;
}

/* The writer's descriptor cannot read, and a shared mapping needs one that can. */
static tri_status map_file(tri_safetensors_writer *w, int64_t n_bytes, tri_error *err) {
    const char *path = w->file.temporary_path;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return tri_fail_errno(err, "open %s", path);
    tri_status rc = TRI_OK;
    errno = posix_fallocate(fd, 0, n_bytes);
    if (errno) {
        rc = tri_fail_errno(err, "reserve %" PRId64 " bytes for %s", n_bytes, path);
        goto done;
    }
    void *mapped = mmap(NULL, (size_t)n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        rc = tri_fail_errno(err, "map %" PRId64 " bytes of %s", n_bytes, path);
        goto done;
    }
    w->mapped = mapped;
    w->mapped_bytes = (size_t)n_bytes;

done:
    close(fd);
    return rc;
}

tri_status tri_safetensors_writer_map(tri_safetensors_writer *w, uint8_t **file,
    int64_t *header_bytes, int64_t *n_bytes, tri_error *err) {
    if (!w->begun || w->written_bytes || w->mapped) {
        return TRI_FAIL(err, TRI_E_ARGUMENT, "a file is mapped after its header, before its data");
    }
    int64_t total;
    if (__builtin_add_overflow(w->file.offset_bytes, w->data_bytes, &total))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "the file's size overflows");
    TRI_TRY(map_file(w, total, err));
    *file = w->mapped;
    *header_bytes = w->file.offset_bytes;
    *n_bytes = total;
    w->written_bytes = w->data_bytes;
    return TRI_OK;
}

void tri_safetensors_writer_flush(tri_safetensors_writer *w, int64_t offset, int64_t n_bytes) {
    if (w->mapped) (void)sync_file_range(w->file.fd, offset, n_bytes, SYNC_FILE_RANGE_WRITE);
}

tri_status tri_safetensors_writer_commit(tri_safetensors_writer *w, tri_error *err) {
    tri_status rc;
    if (!w->begun || w->written_bytes != w->data_bytes) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT, "%s: %" PRId64 " of %" PRId64 " declared bytes came%s",
            w->file.path, w->written_bytes, w->data_bytes, w->begun ? "" : ", and no header");
        tri_file_writer_abandon(&w->file);
    } else {
        rc = tri_file_writer_commit(&w->file, err); /* its sync covers what was mapped */
    }
    destroy(w);
    return rc;
}

void tri_safetensors_writer_abandon(tri_safetensors_writer *w) {
    tri_file_writer_abandon(&w->file);
    destroy(w);
}
