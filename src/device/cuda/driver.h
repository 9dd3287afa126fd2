/* driver.h - the CUDA driver API, found at run time: a table of functions from libcuda.so.1.
 *
 * Own declarations of the few types and constants that are needed, so that a build needs no CUDA
 * toolkit and the binary starts on machines without a driver.  tests/unit/device/cuda_driver_test.c
 * holds them against cuda.h where that is installed.  The table is one for the process, read-only
 * once loaded; libcuda itself is never unloaded. */
#ifndef TRI_DEVICE_CUDA_DRIVER_H
#define TRI_DEVICE_CUDA_DRIVER_H

#include "base/status.h"

typedef int32_t tri_cu_result; /* CUresult, 0: success */
typedef int32_t tri_cu_device;
typedef uint64_t tri_cu_address; /* CUdeviceptr */
typedef struct CUctx_st *tri_cu_context;
typedef struct CUstream_st *tri_cu_stream;
typedef struct CUevent_st *tri_cu_event;
typedef struct CUmod_st *tri_cu_module;
typedef struct CUfunc_st *tri_cu_function;
typedef struct CUgraph_st *tri_cu_graph;
typedef struct CUgraphExec_st *tri_cu_graph_exec;

enum { /* results that are told apart */
    TRI_CU_ERROR_OUT_OF_MEMORY = 2,
    TRI_CU_ERROR_NO_DEVICE = 100,
    TRI_CU_ERROR_NO_BINARY = 209
};
enum { /* CUdevice_attribute */
    TRI_CU_MULTIPROCESSORS = 16,
    TRI_CU_L2_BYTES = 38,
    TRI_CU_MAJOR = 75,
    TRI_CU_MINOR = 76,
    TRI_CU_SHARED_BYTES = 97
};
enum { TRI_CU_FUNC_SHARED_BYTES = 8 }; /* CUfunction_attribute: most dynamic shared memory */
enum { TRI_CU_STREAM_NON_BLOCKING = 1, TRI_CU_HOST_PORTABLE = 1, TRI_CU_CAPTURE_THREAD_LOCAL = 1 };
enum { TRI_CU_EVENT_TIMED = 0, TRI_CU_EVENT_UNTIMED = 2 };
enum { /* CUlaunchAttributeID */
    TRI_CU_LAUNCH_CLUSTER = 4,
    TRI_CU_LAUNCH_PROGRAMMATIC = 6
};

typedef struct tri_cu_attribute { /* CUlaunchAttribute */
    int32_t id;
    int32_t pad;
    union {
        char room[64];
        struct {
            uint32_t x, y, z;
        } cluster;
        int32_t programmatic;
    } value;
} tri_cu_attribute;

typedef struct tri_cu_launch { /* CUlaunchConfig */
    uint32_t grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    tri_cu_stream stream;
    tri_cu_attribute *attributes;
    uint32_t n_attributes;
} tri_cu_launch;

typedef struct tri_cu_tensor_map { /* CUtensorMap */
    _Alignas(64) uint64_t words[16];
} tri_cu_tensor_map;
enum { /* of tensor maps */
    TRI_CU_MAP_U8 = 0,
    TRI_CU_MAP_BF16 = 9,
    TRI_CU_MAP_SWIZZLE_128 = 3,
    TRI_CU_MAP_PROMOTE_256 = 3
};

/* FN(member, symbol, parameters) */
#define TRI_CU_FUNCTIONS(FN)                                                                       \
    FN(init, "cuInit", (uint32_t flags))                                                           \
    FN(driver_version, "cuDriverGetVersion", (int *version))                                       \
    FN(error_name, "cuGetErrorName", (tri_cu_result error, const char **text))                     \
    FN(error_text, "cuGetErrorString", (tri_cu_result error, const char **text))                   \
    FN(device_count, "cuDeviceGetCount", (int *count))                                             \
    FN(device_get, "cuDeviceGet", (tri_cu_device * device, int ordinal))                           \
    FN(device_name, "cuDeviceGetName", (char *name, int room, tri_cu_device device))               \
    FN(device_attribute, "cuDeviceGetAttribute",                                                   \
        (int *value, int attribute, tri_cu_device device))                                         \
    FN(context_retain, "cuDevicePrimaryCtxRetain", (tri_cu_context *, tri_cu_device))              \
    FN(context_release, "cuDevicePrimaryCtxRelease_v2", (tri_cu_device))                           \
    FN(context_push, "cuCtxPushCurrent_v2", (tri_cu_context))                                      \
    FN(context_pop, "cuCtxPopCurrent_v2", (tri_cu_context *))                                      \
    FN(memory_info, "cuMemGetInfo_v2", (size_t * free_bytes, size_t * total_bytes))                \
    FN(alloc, "cuMemAlloc_v2", (tri_cu_address *, size_t n_bytes))                                 \
    FN(free, "cuMemFree_v2", (tri_cu_address))                                                     \
    FN(host_alloc, "cuMemHostAlloc", (void **, size_t n_bytes, uint32_t flags))                    \
    FN(host_free, "cuMemFreeHost", (void *))                                                       \
    FN(upload, "cuMemcpyHtoDAsync_v2",                                                             \
        (tri_cu_address to, const void *from, size_t n_bytes, tri_cu_stream))                      \
    FN(download, "cuMemcpyDtoHAsync_v2",                                                           \
        (void *to, tri_cu_address from, size_t n_bytes, tri_cu_stream))                            \
    FN(fill, "cuMemsetD8Async", (tri_cu_address, unsigned char, size_t n_bytes, tri_cu_stream))    \
    FN(stream_create, "cuStreamCreate", (tri_cu_stream *, uint32_t flags))                         \
    FN(stream_destroy, "cuStreamDestroy_v2", (tri_cu_stream))                                      \
    FN(stream_synchronize, "cuStreamSynchronize", (tri_cu_stream))                                 \
    FN(capture_begin, "cuStreamBeginCapture_v2", (tri_cu_stream, int mode))                        \
    FN(capture_end, "cuStreamEndCapture", (tri_cu_stream, tri_cu_graph *))                         \
    FN(graph_instantiate, "cuGraphInstantiateWithFlags",                                           \
        (tri_cu_graph_exec *, tri_cu_graph, unsigned long long flags))                             \
    FN(graph_destroy, "cuGraphDestroy", (tri_cu_graph))                                            \
    FN(graph_launch, "cuGraphLaunch", (tri_cu_graph_exec, tri_cu_stream))                          \
    FN(graph_exec_destroy, "cuGraphExecDestroy", (tri_cu_graph_exec))                              \
    FN(event_create, "cuEventCreate", (tri_cu_event *, uint32_t flags))                            \
    FN(event_destroy, "cuEventDestroy_v2", (tri_cu_event))                                         \
    FN(event_record, "cuEventRecord", (tri_cu_event, tri_cu_stream))                               \
    FN(event_synchronize, "cuEventSynchronize", (tri_cu_event))                                    \
    FN(event_elapsed, "cuEventElapsedTime", (float *ms, tri_cu_event start, tri_cu_event end))     \
    FN(module_load, "cuModuleLoadData", (tri_cu_module *, const void *image))                      \
    FN(module_unload, "cuModuleUnload", (tri_cu_module))                                           \
    FN(module_function, "cuModuleGetFunction",                                                     \
        (tri_cu_function *, tri_cu_module, const char *name))                                      \
    FN(function_set, "cuFuncSetAttribute", (tri_cu_function, int attribute, int value))            \
    FN(tensor_map, "cuTensorMapEncodeTiled",                                                       \
        (tri_cu_tensor_map *, int dtype, uint32_t rank, void *address, const uint64_t *dims,       \
            const uint64_t *strides_bytes, const uint32_t *box, const uint32_t *steps,             \
            int interleave, int swizzle, int promotion, int fill))                                 \
    FN(launch, "cuLaunchKernelEx",                                                                 \
        (const tri_cu_launch *, tri_cu_function, void **parameters, void **extra))

typedef struct tri_cu {
#define FN(member, symbol, parameters) tri_cu_result(*member) parameters;
    TRI_CU_FUNCTIONS(FN)
#undef FN
} tri_cu;

/* Loads and initialises the driver the first time; later calls return the same table or the same
 * failure.  TRI_E_DEVICE says what is missing and how to get it. */
tri_status tri_cu_load(const tri_cu **cu, tri_error *err);

/* "what: CUDA_ERROR_NAME (text)", TRI_E_MEMORY when the device has no room, else TRI_E_DEVICE. */
tri_status tri_cu_fail(const tri_cu *cu, tri_cu_result result, const char *what, tri_error *err);
#define TRI_CU_TRY(cu, call, what, err)                                                            \
    do {                                                                                           \
        tri_cu_result tri_cu_rc = (cu)->call;                                                      \
        if (tri_cu_rc) return tri_cu_fail((cu), tri_cu_rc, (what), (err));                         \
    } while (0)

#endif
