#include "kernels/cuda/program.h"

#include <stdio.h>
#include <string.h>

#include "kernels/cuda/sources.h"

void tri_cuda_define(tri_cuda_program *program, const char *name, int64_t value) {
    size_t n = strlen(program->defines);
    int wrote = snprintf(program->defines + n, sizeof program->defines - n, "%s%s=%" PRId64,
        n ? " " : "", name, value);
    TRI_ASSERT(wrote > 0 && (size_t)wrote < sizeof program->defines - n);
}

static tri_status find_source(const tri_cuda_program *program, const char **text, tri_error *err) {
    *text = tri_cuda_source(program->entry);
    if (!*text) return TRI_FAIL(err, TRI_E_NOT_FOUND, "no CUDA source %s.cu", program->entry);
    return TRI_OK;
}

/* What sources may include. */
static const char *const header_names[] = {
    "ptx.cuh", "elements.cuh", "linear.cuh", "sampling.cuh", "attention.cuh"};
static const char *const header_sources[] = {"ptx", "elements", "linear", "sampling", "attention"};
enum { N_HEADERS = sizeof header_names / sizeof header_names[0] };

tri_status tri_cuda_program_compile(const tri_cuda_program *program, const char *arch,
    uint8_t **cubin, int64_t *n_bytes, tri_error *err) {
    const char *text;
    TRI_TRY(find_source(program, &text, err));
    tri_nvrtc_header headers[N_HEADERS];
    for (int32_t i = 0; i < N_HEADERS; i++)
        headers[i] = (tri_nvrtc_header){header_names[i], tri_cuda_source(header_sources[i])};
    char name[64];
    (void)snprintf(name, sizeof name, "%s.cu", program->entry);
    const tri_nvrtc_source source = {.name = name,
        .text = text,
        .defines = program->defines,
        .headers = headers,
        .n_headers = N_HEADERS};
    return tri_nvrtc_compile(&source, arch, cubin, n_bytes, err);
}

/* FNV-1a, the terminator included, so that texts do not run into each other. */
static uint64_t hash_text(uint64_t hash, const char *text) {
    for (const char *c = text;; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
        if (!*c) return hash;
    }
}

tri_status tri_cuda_program_key(const tri_cuda_program *program, const char *arch,
    char key[TRI_CUDA_KEY_BYTES], tri_error *err) {
    const char *text;
    TRI_TRY(find_source(program, &text, err));
    uint64_t hash = 0xcbf29ce484222325u;
    hash = hash_text(hash, text);
    for (int32_t i = 0; i < N_HEADERS; i++)
        hash = hash_text(hash, tri_cuda_source(header_sources[i]));
    hash = hash_text(hash, program->defines);
    hash = hash_text(hash, arch);
    (void)snprintf(key, TRI_CUDA_KEY_BYTES, "%.40s-%016" PRIx64, program->entry, hash);
    return TRI_OK;
}

static tri_status make_cubin(
    const void *what, const char *arch, uint8_t **cubin, int64_t *n_bytes, tri_error *err) {
    return tri_cuda_program_compile(what, arch, cubin, n_bytes, err);
}

tri_status tri_cuda_program_find(const tri_cuda_program *program, const tri_cuda_queue *queue,
    uint32_t shared_bytes, tri_cu_function *function, tri_error *err) {
    char key[TRI_CUDA_KEY_BYTES];
    TRI_TRY(tri_cuda_program_key(program, tri_cuda_modules_arch(queue->modules), key, err));
    return tri_cuda_modules_find(
        queue->modules, key, program->entry, shared_bytes, make_cubin, program, function, err);
}
