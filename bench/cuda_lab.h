/* cuda_lab.h - what the CUDA benches share: a context, programs kept as files, graphs that are
 * timed.
 *
 * Programs come from a folder of cubins, so that a machine with a GPU need not compile: a lab
 * opened for compiling needs no GPU, fills the folder, and runs nothing. */
#ifndef BENCH_CUDA_LAB_H
#define BENCH_CUDA_LAB_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "kernels/cuda/program.h"

#define LAB_ARCH "sm_90a"

typedef struct lab {
    const tri_cu *cu; /* NULL: compiling only */
    const char *folder;
    tri_cu_context context;
    tri_cuda_queue queue;
    tri_cu_event start, end;
    tri_cu_function fill;
    int32_t n_multiprocessors;
} lab;

static inline void lab_die(const tri_error *err) {
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}
static inline void lab_check(const lab *l, tri_cu_result result, const char *what) {
    tri_error err = {0};
    if (result && tri_cu_fail(l->cu, result, what, &err)) lab_die(&err);
}

/* ---- programs ---- */

static inline void lab_write(const char *path, const void *bytes, int64_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, (size_t)n, f) != (size_t)n || fclose(f)) {
        perror(path);
        exit(1);
    }
}

static inline uint8_t *lab_read(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    uint8_t *bytes = malloc((size_t)n + 1);
    if (!bytes || fread(bytes, 1, (size_t)n, f) != (size_t)n) exit(1);
    fclose(f);
    return bytes;
}

/* The program's function, compiled where the folder has it not; NULL when only compiling. */
static inline tri_cu_function lab_function(
    lab *l, const tri_cuda_program *program, uint32_t shared_bytes) {
    tri_error err = {0};
    char key[TRI_CUDA_KEY_BYTES], path[4096];
    if (tri_cuda_program_key(program, LAB_ARCH, key, &err)) lab_die(&err);
    (void)snprintf(path, sizeof path, "%s/%s.cubin", l->folder, key);
    uint8_t *cubin = lab_read(path);
    if (!cubin) {
        int64_t n;
        if (tri_cuda_program_compile(program, LAB_ARCH, &cubin, &n, &err)) lab_die(&err);
        lab_write(path, cubin, n);
    }
    tri_cu_function function = NULL;
    if (l->cu) {
        tri_cu_module module;
        lab_check(l, l->cu->module_load(&module, cubin), program->entry);
        lab_check(l, l->cu->module_function(&function, module, program->entry), program->entry);
        if (shared_bytes > 48 << 10) {
            lab_check(l, l->cu->function_set(function, TRI_CU_FUNC_SHARED_BYTES, (int)shared_bytes),
                program->entry);
        }
    }
    free(cubin);
    return function;
}

/* ---- the device ---- */

/* n 4-byte words from a hash of their index: two bf16 of [-0.5, 0.5) times a power of two, or four
 * e4m3 below 2 in size, or floats. */
static const char lab_fill_source[] =
    "extern \"C\" __global__ void fill(unsigned *to, long long n, int kind, unsigned seed) {\n"
    "  for (long long i = blockIdx.x * 1024ll + threadIdx.x; i < n; i += gridDim.x * 1024ll) {\n"
    "    unsigned h = (unsigned)i * 2654435761u ^ (unsigned)(i >> 32) ^ seed * 40503u;\n"
    "    h ^= h >> 15; h *= 2246822519u; h ^= h >> 13; h *= 3266489917u; h ^= h >> 16;\n"
    "    if (kind == 1) { to[i] = h & 0xbfbfbfbfu; continue; }\n"
    "    float a = ((h & 65535) / 65536.0f - 0.5f) / 32, b = ((h >> 16) / 65536.0f - 0.5f) / 32;\n"
    "    if (kind == 2) { to[i] = __float_as_uint(a); continue; }\n"
    "    to[i] = (__float_as_uint(a) >> 16) | (__float_as_uint(b) & 0xffff0000u);\n"
    "  }\n}\n";
enum { LAB_BF16 = 0, LAB_E4M3 = 1, LAB_F32 = 2 };

static inline void lab_make_fill(lab *l) {
    const tri_nvrtc_source source = {.name = "fill", .text = lab_fill_source, .defines = ""};
    char path[4096];
    tri_error err = {0};
    (void)snprintf(path, sizeof path, "%s/fill.cubin", l->folder);
    uint8_t *cubin = lab_read(path);
    if (!cubin) {
        int64_t n;
        if (tri_nvrtc_compile(&source, LAB_ARCH, &cubin, &n, &err)) lab_die(&err);
        lab_write(path, cubin, n);
    }
    if (l->cu) {
        tri_cu_module module;
        lab_check(l, l->cu->module_load(&module, cubin), "fill");
        lab_check(l, l->cu->module_function(&l->fill, module, "fill"), "fill");
    }
    free(cubin);
}

static inline void lab_open(lab *l, const char *folder, bool compile_only) {
    tri_error err = {0};
    *l = (lab){.folder = folder, .n_multiprocessors = 132};
    if (!compile_only) {
        tri_cu_device device;
        char name[64];
        int driver = 0, sms = 0;
        if (tri_cu_load(&l->cu, &err)) lab_die(&err);
        lab_check(l, l->cu->device_get(&device, 0), "device");
        lab_check(l, l->cu->context_retain(&l->context, device), "context");
        lab_check(l, l->cu->context_push(l->context), "context");
        lab_check(l, l->cu->stream_create(&l->queue.stream, TRI_CU_STREAM_NON_BLOCKING), "stream");
        lab_check(l, l->cu->event_create(&l->start, TRI_CU_EVENT_TIMED), "event");
        lab_check(l, l->cu->event_create(&l->end, TRI_CU_EVENT_TIMED), "event");
        l->cu->device_name(name, sizeof name, device);
        l->cu->driver_version(&driver);
        lab_check(l, l->cu->device_attribute(&sms, TRI_CU_MULTIPROCESSORS, device), "device");
        l->n_multiprocessors = sms;
        l->queue.cu = l->cu;
        l->queue.overlap = true;
        printf("# %s, %d multiprocessors, driver %d.%d\n", name, sms, driver / 1000,
            driver % 1000 / 10);
    }
    lab_make_fill(l);
}

static inline uint64_t lab_alloc(lab *l, int64_t n_bytes) {
    tri_cu_address address = 0;
    if (!l->cu) return 0;
    lab_check(l, l->cu->alloc(&address, (size_t)n_bytes), "memory");
    lab_check(l, l->cu->fill(address, 0, (size_t)n_bytes, l->queue.stream), "memory");
    return address;
}
static inline void lab_sync(lab *l) {
    if (l->cu) lab_check(l, l->cu->stream_synchronize(l->queue.stream), "synchronize");
}
static inline void lab_random(lab *l, uint64_t to, int64_t n_bytes, int32_t kind, uint32_t seed) {
    if (!l->cu) return;
    int64_t n = n_bytes / 4;
    void *parameters[] = {&to, &n, &kind, &seed};
    const tri_cu_launch launch = {.grid_x = 1024,
        .grid_y = 1,
        .grid_z = 1,
        .block_x = 1024,
        .block_y = 1,
        .block_z = 1,
        .stream = l->queue.stream};
    lab_check(l, l->cu->launch(&launch, l->fill, parameters, NULL), "fill");
}
static inline void lab_upload(lab *l, uint64_t to, const void *from, int64_t n_bytes) {
    if (!l->cu) return;
    lab_check(l, l->cu->upload(to, from, (size_t)n_bytes, l->queue.stream), "upload");
    lab_sync(l);
}
static inline void lab_download(lab *l, void *to, uint64_t from, int64_t n_bytes) {
    if (!l->cu) return;
    lab_check(l, l->cu->download(to, from, (size_t)n_bytes, l->queue.stream), "download");
    lab_sync(l);
}

/* ---- timing ---- */

static inline int lab_compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Median milliseconds of a graph of what run(arg) enqueues.  Replays: 3 to warm up, 15 timed. */
static inline double lab_time(lab *l, void (*run)(lab *l, void *arg), void *arg) {
    enum { WARM = 3, TIMED = 15 };
    tri_cu_graph graph;
    tri_cu_graph_exec exec;
    float ms[TIMED];
    tri_error err = {0};
    if (!l->cu) {
        run(l, arg);
        return 1.0;
    }
    lab_check(l, l->cu->capture_begin(l->queue.stream, TRI_CU_CAPTURE_THREAD_LOCAL), "capture");
    run(l, arg);
    lab_check(l, l->cu->capture_end(l->queue.stream, &graph), "capture");
    if (tri_cuda_queue_status(&l->queue, "launch", &err)) lab_die(&err);
    lab_check(l, l->cu->graph_instantiate(&exec, graph, 0), "graph");
    for (int32_t i = -WARM; i < TIMED; i++) {
        lab_check(l, l->cu->event_record(l->start, l->queue.stream), "event");
        lab_check(l, l->cu->graph_launch(exec, l->queue.stream), "graph");
        lab_check(l, l->cu->event_record(l->end, l->queue.stream), "event");
        lab_sync(l);
        if (i >= 0) lab_check(l, l->cu->event_elapsed(&ms[i], l->start, l->end), "event");
    }
    l->cu->graph_exec_destroy(exec);
    l->cu->graph_destroy(graph);
    qsort(ms, TIMED, sizeof ms[0], lab_compare);
    return ms[TIMED / 2];
}

static inline void lab_enqueue(
    lab *l, tri_cu_function function, const tri_cuda_grid *grid, const void *arguments) {
    if (l->cu) tri_cuda_enqueue(&l->queue, function, grid, arguments);
}

#endif
