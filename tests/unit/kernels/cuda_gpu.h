/* cuda_gpu.h - a GPU for the tests of CUDA kernels: programs compiled by NVRTC, arrays with guards.
 *
 * Without a driver or without NVRTC gpu_open returns false, and tests skip. */
#ifndef TRI_TEST_KERNELS_CUDA_GPU_H
#define TRI_TEST_KERNELS_CUDA_GPU_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/rng.h"
#include "kernels/cuda/program.h"

enum { GPU_GUARD = 256, GPU_POISON = 0xff, GPU_KEPT = 128 };

typedef struct gpu {
    const tri_cu *cu;
    tri_cu_context context;
    tri_cu_device device;
    tri_cuda_queue queue;
    char arch[16];
    int32_t n_multiprocessors;
    tri_cu_address kept[GPU_KEPT]; /* freed by gpu_clear */
    int32_t n_kept;
} gpu;

static inline void gpu_check(const gpu *g, tri_cu_result result, const char *what) {
    tri_error err = {0};
    if (!result) return;
    tri_cu_fail(g->cu, result, what, &err);
    fail_msg("%s", err.message);
}

static inline bool gpu_open(gpu *g) {
    int major = 0, minor = 0, n = 0;
    *g = (gpu){0};
    if (tri_cu_load(&g->cu, NULL) || g->cu->device_get(&g->device, 0)) return false;
    gpu_check(g, g->cu->context_retain(&g->context, g->device), "context");
    gpu_check(g, g->cu->context_push(g->context), "context");
    gpu_check(g, g->cu->stream_create(&g->queue.stream, TRI_CU_STREAM_NON_BLOCKING), "stream");
    g->cu->device_attribute(&major, TRI_CU_MAJOR, g->device);
    g->cu->device_attribute(&minor, TRI_CU_MINOR, g->device);
    g->cu->device_attribute(&n, TRI_CU_MULTIPROCESSORS, g->device);
    g->n_multiprocessors = n;
    (void)snprintf(g->arch, sizeof g->arch, "sm_%d%s", major * 10 + minor, major == 9 ? "a" : "");
    g->queue.cu = g->cu;
    g->queue.overlap = true;
    return true;
}

static inline tri_cu_function gpu_function(
    gpu *g, const tri_cuda_program *program, uint32_t shared_bytes) {
    tri_error err = {0};
    uint8_t *cubin = NULL;
    int64_t n_bytes;
    tri_cu_module module;
    tri_cu_function function;
    if (tri_cuda_program_compile(program, g->arch, &cubin, &n_bytes, &err))
        fail_msg("%s", err.message);
    gpu_check(g, g->cu->module_load(&module, cubin), "module");
    free(cubin);
    gpu_check(g, g->cu->module_function(&function, module, program->entry), program->entry);
    gpu_check(g, g->cu->function_set(function, TRI_CU_FUNC_SHARED_BYTES, (int)shared_bytes),
        program->entry);
    return function;
}

/* Device bytes, poisoned, with a guard behind them; from: their contents, or NULL. */
static inline uint64_t gpu_array(gpu *g, const void *from, int64_t n_bytes) {
    tri_cu_address at;
    assert_true(g->n_kept < GPU_KEPT);
    gpu_check(g, g->cu->alloc(&at, (size_t)(n_bytes + GPU_GUARD)), "alloc");
    gpu_check(
        g, g->cu->fill(at, GPU_POISON, (size_t)(n_bytes + GPU_GUARD), g->queue.stream), "fill");
    if (from) gpu_check(g, g->cu->upload(at, from, (size_t)n_bytes, g->queue.stream), "upload");
    gpu_check(g, g->cu->stream_synchronize(g->queue.stream), "upload");
    g->kept[g->n_kept++] = at;
    return at;
}

static inline void gpu_clear(gpu *g) {
    for (int32_t i = 0; i < g->n_kept; i++)
        gpu_check(g, g->cu->free(g->kept[i]), "free");
    g->n_kept = 0;
}

/* Waits, reads, and holds the guard to be as it was. */
static inline void gpu_read(gpu *g, void *to, uint64_t from, int64_t n_bytes) {
    uint8_t guard[GPU_GUARD];
    tri_error err = {0};
    if (tri_cuda_queue_status(&g->queue, "launch", &err)) fail_msg("%s", err.message);
    gpu_check(g, g->cu->download(to, from, (size_t)n_bytes, g->queue.stream), "download");
    gpu_check(g, g->cu->download(guard, from + (uint64_t)n_bytes, GPU_GUARD, g->queue.stream),
        "download");
    gpu_check(g, g->cu->stream_synchronize(g->queue.stream), "kernel");
    for (int32_t i = 0; i < GPU_GUARD; i++)
        assert_int_equal(guard[i], GPU_POISON);
}

/* Normal numbers times `scale`, rounded to bf16. */
static inline uint16_t *random_bf16(int64_t n, float scale, uint64_t seed) {
    uint16_t *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = tri_f32_to_bf16(scale * tri_rng_normal(seed, (uint64_t)i));
    return x;
}
static inline float *random_f32(int64_t n, float scale, uint64_t seed) {
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = scale * tri_rng_normal(seed, (uint64_t)i);
    return x;
}

/* |x - reference| / |reference| over all elements; infinite where x is no number. */
static inline double relative_error(const float *x, const double *reference, int64_t n) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return (double)INFINITY;
        error += ((double)x[i] - reference[i]) * ((double)x[i] - reference[i]);
        size += reference[i] * reference[i];
    }
    return sqrt(error / (size > 0 ? size : 1));
}

#endif
