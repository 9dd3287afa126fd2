#include "device/cuda/modules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tri_cuda_modules {
    const tri_cu *cu;
    char arch[16];
    struct entry {
        char key[64];
        tri_cu_module module;
    } * entries;
    int32_t n, room;
};

tri_status tri_cuda_modules_create(
    tri_cuda_modules **modules, const tri_cu *cu, const char *arch, tri_error *err) {
    tri_cuda_modules *m = calloc(1, sizeof *m);
    if (!m) return TRI_FAIL(err, TRI_E_MEMORY, "CUDA modules: no memory");
    m->cu = cu;
    (void)snprintf(m->arch, sizeof m->arch, "%s", arch);
    *modules = m;
    return TRI_OK;
}

void tri_cuda_modules_destroy(tri_cuda_modules *modules) {
    if (!modules) return;
    for (int32_t i = 0; i < modules->n; i++)
        modules->cu->module_unload(modules->entries[i].module);
    free(modules->entries);
    free(modules);
}

const char *tri_cuda_modules_arch(const tri_cuda_modules *modules) {
    return modules->arch;
}

/* A few hundred at most, looked for at load. */
static struct entry *find(const tri_cuda_modules *m, const char *key) {
    for (int32_t i = 0; i < m->n; i++) {
        if (strcmp(m->entries[i].key, key) == 0) return &m->entries[i];
    }
    return NULL;
}

tri_status tri_cuda_modules_add(
    tri_cuda_modules *modules, const char *key, const uint8_t *cubin, tri_error *err) {
    if (find(modules, key)) return TRI_OK;
    if (modules->n == modules->room) {
        int32_t room = modules->room ? 2 * modules->room : 32;
        struct entry *grown = realloc(modules->entries, (size_t)room * sizeof *grown);
        if (!grown) return TRI_FAIL(err, TRI_E_MEMORY, "CUDA modules: no memory");
        modules->entries = grown;
        modules->room = room;
    }
    struct entry *e = &modules->entries[modules->n];
    TRI_ASSERT(strlen(key) < sizeof e->key);
    tri_cu_result result = modules->cu->module_load(&e->module, cubin);
    if (result) {
        tri_status rc = tri_cu_fail(modules->cu, result, "CUDA: loading machine code", err);
        tri_error_context(err, "%s for %s", key, modules->arch);
        return rc;
    }
    (void)snprintf(e->key, sizeof e->key, "%s", key);
    modules->n++;
    return TRI_OK;
}

tri_status tri_cuda_modules_find(tri_cuda_modules *modules, const char *key, const char *entry,
    uint32_t shared_bytes, tri_cuda_make_cubin make, const void *what, tri_cu_function *function,
    tri_error *err) {
    if (!find(modules, key)) {
        uint8_t *cubin = NULL;
        int64_t n_bytes;
        TRI_TRY(make(what, modules->arch, &cubin, &n_bytes, err));
        tri_status rc = tri_cuda_modules_add(modules, key, cubin, err);
        free(cubin);
        if (rc) return rc;
    }
    tri_cu_function f;
    TRI_CU_TRY(modules->cu, module_function(&f, find(modules, key)->module, entry), entry, err);
    TRI_CU_TRY(
        modules->cu, function_set(f, TRI_CU_FUNC_SHARED_BYTES, (int)shared_bytes), entry, err);
    *function = f;
    return TRI_OK;
}
