/* dummy.h - weights for a stripped engine that is only to be measured: random, made while it is
 * loaded, without a file. */
#ifndef TRI_ENGINE_DUMMY_H
#define TRI_ENGINE_DUMMY_H

#include "device/device.h"
#include "engine/rank.h"

/* Stored tensor i of a rank onto a device that has memory of its own.  Matrices are normal numbers
 * of deviation 1 / sqrt(K), one stretch of them again and again; vectors are ones; what derives
 * from no weight is what it is.  Blocks of GGUF are refused. */
tri_status tri_dummy_place(const tri_rank *rank, int32_t i, const tri_kernels *kernels,
    tri_device *device, void **placed, tri_error *err);

#endif
