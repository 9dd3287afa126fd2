#include "device/cuda/nvrtc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 48, MAX_HEADERS = 8 };

typedef struct program *program; /* nvrtcProgram */

typedef struct nvrtc {
    const char *(*error_text)(int result);
    int (*create)(program *, const char *source, const char *name, int n_headers,
        const char *const *headers, const char *const *names);
    int (*destroy)(program *);
    int (*compile)(program, int n_options, const char *const *options);
    int (*cubin_bytes)(program, size_t *);
    int (*cubin)(program, char *);
    int (*log_bytes)(program, size_t *);
    int (*log)(program, char *);
} nvrtc;

static struct { /* written once, under pthread_once */
    nvrtc table;
    tri_status status;
    tri_error error;
} compiler;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *open_library(void) {
    static const char *const names[] = {
        "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof names[0]; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

static tri_status load(tri_error *err) {
    nvrtc *n = &compiler.table;
    void *library = open_library();
    if (!library) {
        return TRI_FAIL(err, TRI_E_DEVICE,
            "CUDA: no libnvrtc.so.13 or .12, which compiles kernels; install NVIDIA's package "
            "cuda-nvrtc-13-0, or from PyPI nvidia-cuda-nvrtc, and put its folder into "
            "LD_LIBRARY_PATH");
    }
    const struct {
        const char *symbol;
        void **at;
    } wanted[] = {
        {"nvrtcGetErrorString", (void **)(void *)&n->error_text},
        {"nvrtcCreateProgram", (void **)(void *)&n->create},
        {"nvrtcDestroyProgram", (void **)(void *)&n->destroy},
        {"nvrtcCompileProgram", (void **)(void *)&n->compile},
        {"nvrtcGetCUBINSize", (void **)(void *)&n->cubin_bytes},
        {"nvrtcGetCUBIN", (void **)(void *)&n->cubin},
        {"nvrtcGetProgramLogSize", (void **)(void *)&n->log_bytes},
        {"nvrtcGetProgramLog", (void **)(void *)&n->log},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        *wanted[i].at = dlsym(library, wanted[i].symbol);
        if (!*wanted[i].at) {
            return TRI_FAIL(err, TRI_E_DEVICE, "CUDA: libnvrtc has no %s; install 12.3 or later",
                wanted[i].symbol);
        }
    }
    return TRI_OK;
}

static void load_once(void) {
    compiler.status = load(&compiler.error);
}

/* ---- one program ---- */

/* Splits "A=1 B=2" into "-DA=1", "-DB=2" after the fixed options.  text is overwritten. */
static int32_t options_of(char *text, const char *arch, const char *options[MAX_OPTIONS]) {
    int32_t n = 0;
    options[n++] = arch;
    options[n++] = "--std=c++17";
    options[n++] = "--device-as-default-execution-space";
    options[n++] = "--diag-error=177"; /* declared and not used */
    for (char *rest = NULL, *word = strtok_r(text, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        if (n == MAX_OPTIONS) return -1;
        options[n++] = word;
    }
    return n;
}

/* Each word with "-D" in front; malloc'd. */
static char *spell_defines(const char *defines) {
    size_t n = strlen(defines);
    char *text = malloc(3 * n + 4), *out = text;
    if (!text) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (defines[i] != ' ' && (i == 0 || defines[i - 1] == ' ')) {
            *out++ = '-';
            *out++ = 'D';
        }
        *out++ = defines[i];
    }
    *out = 0;
    return text;
}

/* The log's beginning on one line. */
static tri_status fail_with_log(
    const nvrtc *n, program p, const tri_nvrtc_source *source, int result, tri_error *err) {
    size_t n_bytes = 0;
    char *log = NULL;
    if (n->log_bytes(p, &n_bytes) == 0 && n_bytes > 0) log = calloc(1, n_bytes + 1);
    if (log) n->log(p, log);
    for (char *c = log; c && *c; c++)
        if (*c == '\n') *c = ' ';
    tri_status rc = TRI_FAIL(err, TRI_E_INTERNAL, "%s [%s]: %s: %.700s", source->name,
        source->defines, n->error_text(result), log ? log : "");
    free(log);
    return rc;
}

tri_status tri_nvrtc_compile(const tri_nvrtc_source *source, const char *arch, uint8_t **cubin,
    int64_t *n_bytes, tri_error *err) {
    pthread_once(&once, load_once);
    if (compiler.status) return TRI_FAIL(err, compiler.status, "%s", compiler.error.message);
    const nvrtc *n = &compiler.table;
    tri_status rc = TRI_OK;
    program p = NULL;
    char *defines = NULL, *made = NULL;
    const char *options[MAX_OPTIONS], *headers[MAX_HEADERS], *names[MAX_HEADERS];
    char arch_option[64];
    size_t size = 0;

    TRI_ASSERT(source->n_headers <= MAX_HEADERS);
    for (int32_t i = 0; i < source->n_headers; i++) {
        headers[i] = source->headers[i].text;
        names[i] = source->headers[i].name;
    }
    (void)snprintf(arch_option, sizeof arch_option, "--gpu-architecture=%s", arch);
    defines = spell_defines(source->defines);
    if (!defines) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "%s: no memory", source->name);
        goto done;
    }
    int32_t n_options = options_of(defines, arch_option, options);
    if (n_options < 0) {
        rc = TRI_FAIL(err, TRI_E_LIMIT, "%s: more than %d defines", source->name, MAX_OPTIONS - 4);
        goto done;
    }
    int result = n->create(&p, source->text, source->name, source->n_headers, headers, names);
    if (!result) result = n->compile(p, n_options, options);
    if (!result) result = n->cubin_bytes(p, &size);
    if (result) {
        rc = fail_with_log(n, p, source, result, err);
        goto done;
    }
    made = malloc(size > 0 ? size : 1);
    if (!made || size == 0 || n->cubin(p, made)) {
        rc = TRI_FAIL(err, TRI_E_MEMORY, "%s: no machine code of %zu bytes", source->name, size);
        goto done;
    }
    *cubin = (uint8_t *)made;
    *n_bytes = (int64_t)size;

done:
    if (p) n->destroy(&p);
    if (rc) free(made);
    free(defines);
    return rc;
}
