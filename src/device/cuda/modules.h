/* modules.h - machine code on a device: cubins by key, each loaded once.
 *
 * A key stands for source, defines and architecture; whoever makes cubins makes keys
 * (kernels/cuda/program.h).  Not for concurrent use: one device, one thread. */
#ifndef TRI_DEVICE_CUDA_MODULES_H
#define TRI_DEVICE_CUDA_MODULES_H

#include "device/cuda/driver.h"

typedef struct tri_cuda_modules tri_cuda_modules;

/* Makes a cubin, malloc'd, when the key is not there. */
typedef tri_status (*tri_cuda_make_cubin)(
    const void *what, const char *arch, uint8_t **cubin, int64_t *n_bytes, tri_error *err);

tri_status tri_cuda_modules_create(
    tri_cuda_modules **modules, const tri_cu *cu, const char *arch, tri_error *err);
void tri_cuda_modules_destroy(tri_cuda_modules *modules); /* with the context current */
const char *tri_cuda_modules_arch(const tri_cuda_modules *modules);

/* A cubin made before, e.g. stored in an engine; copied by the driver.  A key that is there stays.
 */
tri_status tri_cuda_modules_add(
    tri_cuda_modules *modules, const char *key, const uint8_t *cubin, tri_error *err);
/* The kernel `entry` of a key's module, made and loaded when it is missing, allowed shared_bytes of
 * dynamic shared memory. */
tri_status tri_cuda_modules_find(tri_cuda_modules *modules, const char *key, const char *entry,
    uint32_t shared_bytes, tri_cuda_make_cubin make, const void *what, tri_cu_function *function,
    tri_error *err);

#endif
