#include "device/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>

enum { LEAST_DRIVER = 12030 }; /* 12.3: programmatic launches inside graphs */

static struct { /* written once, under pthread_once */
    tri_cu table;
    tri_status status;
    tri_error error;
} driver;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static tri_status find_functions(tri_cu *cu, void *library, tri_error *err) {
    const struct {
        const char *symbol;
        void **at;
    } wanted[] = {
#define FN(member, symbol, parameters) {symbol, (void **)(void *)&cu->member},
        TRI_CU_FUNCTIONS(FN)
#undef FN
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].at = dlsym(library, wanted[i].symbol);
        if (!*wanted[i].at) {
            return TRI_FAIL(err, TRI_E_DEVICE,
                "CUDA: libcuda.so.1 has no %s; install an NVIDIA driver of 545 or later",
                wanted[i].symbol);
        }
    }
    return TRI_OK;
}

static tri_status load(tri_error *err) {
    tri_cu *cu = &driver.table;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        return TRI_FAIL(err, TRI_E_DEVICE,
            "CUDA: %s; install NVIDIA's driver (package nvidia-driver), or in a container run it "
            "with --gpus all",
            dlerror());
    }
    TRI_TRY(find_functions(cu, library, err));
    int version = 0;
    TRI_CU_TRY(cu, init(0), "CUDA: cuInit", err);
    TRI_CU_TRY(cu, driver_version(&version), "CUDA: cuDriverGetVersion", err);
    if (version < LEAST_DRIVER) {
        return TRI_FAIL(err, TRI_E_DEVICE,
            "CUDA: the driver supports CUDA %d.%d, 12.3 is needed; install a driver of 545 or "
            "later",
            version / 1000, version % 1000 / 10);
    }
    return TRI_OK;
}

static void load_once(void) {
    driver.status = load(&driver.error);
}

tri_status tri_cu_load(const tri_cu **cu, tri_error *err) {
    pthread_once(&once, load_once);
    if (driver.status) return TRI_FAIL(err, driver.status, "%s", driver.error.message);
    *cu = &driver.table;
    return TRI_OK;
}

tri_status tri_cu_fail(const tri_cu *cu, tri_cu_result result, const char *what, tri_error *err) {
    const char *name = NULL, *text = NULL;
    cu->error_name(result, &name);
    cu->error_text(result, &text);
    tri_status status = result == TRI_CU_ERROR_OUT_OF_MEMORY ? TRI_E_MEMORY : TRI_E_DEVICE;
    return tri_fail(err, status, "%s: %s (%s)", what, name ? name : "an unknown CUDA error",
               text ? text : "no text"),
           status;
}
