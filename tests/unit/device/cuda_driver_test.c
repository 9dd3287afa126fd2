/* Own declarations of the driver API against cuda.h, where that is installed; and what is said
 * where there is no driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/cuda/driver.h"
#include "device/device.h"

#if __has_include(<cuda.h>)
#    include <cuda.h>

#    define SAME(ours, theirs) _Static_assert((long)(ours) == (long)(theirs), #    ours)
SAME(sizeof(tri_cu_launch), sizeof(CUlaunchConfig));
SAME(offsetof(tri_cu_launch, stream), offsetof(CUlaunchConfig, hStream));
SAME(offsetof(tri_cu_launch, attributes), offsetof(CUlaunchConfig, attrs));
SAME(offsetof(tri_cu_launch, n_attributes), offsetof(CUlaunchConfig, numAttrs));
SAME(sizeof(tri_cu_attribute), sizeof(CUlaunchAttribute));
SAME(offsetof(tri_cu_attribute, value), offsetof(CUlaunchAttribute, value));
SAME(sizeof(tri_cu_tensor_map), sizeof(CUtensorMap));
SAME(sizeof(tri_cu_address), sizeof(CUdeviceptr));
SAME(TRI_CU_LAUNCH_CLUSTER, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
SAME(TRI_CU_LAUNCH_PROGRAMMATIC, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
SAME(TRI_CU_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(TRI_CU_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME(TRI_CU_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(TRI_CU_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(TRI_CU_SHARED_BYTES, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME(TRI_CU_FUNC_SHARED_BYTES, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(TRI_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME(TRI_CU_HOST_PORTABLE, CU_MEMHOSTALLOC_PORTABLE);
SAME(TRI_CU_CAPTURE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
SAME(TRI_CU_EVENT_UNTIMED, CU_EVENT_DISABLE_TIMING);
SAME(TRI_CU_ERROR_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME(TRI_CU_ERROR_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME(TRI_CU_ERROR_NO_BINARY, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME(TRI_CU_MAP_U8, CU_TENSOR_MAP_DATA_TYPE_UINT8);
SAME(TRI_CU_MAP_BF16, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
SAME(TRI_CU_MAP_SWIZZLE_128, CU_TENSOR_MAP_SWIZZLE_128B);
SAME(TRI_CU_MAP_PROMOTE_256, CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
#endif

/* Either there is a driver, or the message names what is missing and the way out. */
static void test_load(void **unused) {
    (void)unused;
    const tri_cu *cu = NULL, *again = NULL;
    tri_error err = {0};
    tri_status rc = tri_cu_load(&cu, &err);
    if (rc) {
        assert_int_equal(rc, TRI_E_DEVICE);
        assert_non_null(strstr(err.message, "CUDA"));
        assert_null(cu);
        tri_device *device = NULL;
        assert_int_equal(
            tri_device_create(&device, &(tri_device_options){.kind = "cuda"}, &err), TRI_E_DEVICE);
        assert_null(device);
        return;
    }
    assert_int_equal(tri_cu_load(&again, &err), TRI_OK);
    assert_ptr_equal(cu, again);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
