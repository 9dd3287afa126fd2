#include "engine/code.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "kernels/cuda/program.h"

enum { MAX_CUBIN_BYTES = 64 << 20 };

/* Behind the code in a file of the cache, so that one cut short is none. */
typedef struct trailer {
    char magic[8];
    uint64_t hash;
} trailer;
static const char magic[8] = "tricubin";

void tri_code_init(tri_code *code, const char *arch) {
    *code = (tri_code){.arch = arch};
    tri_arena_init(&code->arena, 0);
}

void tri_code_deinit(tri_code *code) {
    for (int32_t i = 0; i < code->n_items; i++)
        free(code->items[i].cubin);
    free(code->items);
    tri_arena_deinit(&code->arena);
    *code = (tri_code){0};
}

/* ---- collecting ---- */

static tri_status grow(tri_code *code, tri_error *err) {
    if (code->n_items < code->room) return TRI_OK;
    int32_t room = code->room ? 2 * code->room : 64;
    tri_code_item *grown = realloc(code->items, (size_t)room * sizeof *grown);
    if (!grown) return TRI_FAIL(err, TRI_E_MEMORY, "machine code: out of memory");
    code->items = grown;
    code->room = room;
    return TRI_OK;
}

static tri_status add(tri_code *code, const tri_cuda_program *program, tri_error *err) {
    char key[TRI_CUDA_KEY_BYTES];
    TRI_TRY(tri_cuda_program_key(program, code->arch, key, err));
    for (int32_t i = 0; i < code->n_items; i++) {
        if (strcmp(code->items[i].key, key) == 0) return TRI_OK;
    }
    TRI_TRY(grow(code, err));
    tri_cuda_program *copy = TRI_NEW(&code->arena, tri_cuda_program);
    const char *kept = tri_arena_strdup(&code->arena, key);
    if (!copy || !kept) return TRI_FAIL(err, TRI_E_MEMORY, "machine code: out of memory");
    *copy = *program;
    code->items[code->n_items++] = (tri_code_item){.key = kept, .program = copy};
    return TRI_OK;
}

static void collect(void *user, const void *program) {
    tri_code *code = user;
    if (!code->status) code->status = add(code, program, &code->error);
}

tri_status tri_code_add(
    tri_code *code, const tri_plugin_kernel *kernel, void *state, tri_error *err) {
    if (!tri_kernel_prepares(kernel)) return TRI_OK;
    tri_cuda_queue queue = {.preparing = true, .collect = collect, .collect_user = code};
    const tri_plugin_step step = {.struct_size = sizeof step};
    const tri_plugin_launch launch = {
        .struct_size = sizeof launch, .step = &step, .n_threads = 1, .team = &queue};
    kernel->launch(state, &launch);
    if (code->status)
        return TRI_FAIL(err, code->status, "kernel %s: %s", kernel->name, code->error.message);
    return tri_cuda_queue_status(&queue, kernel->name, err);
}

tri_status tri_code_add_picks(tri_code *code, const tri_select *select, const tri_graph *g,
    const tri_pick *picks, int32_t n_picks, tri_error *err) {
    tri_arena arena;
    tri_status rc = TRI_OK;
    tri_arena_init(&arena, 0);
    for (int32_t i = 0; i < n_picks && !rc; i++) {
        const tri_plugin_kernel *kernel = picks[i].kernel;
        tri_plugin_desc *desc;
        void *state = NULL;
        rc = tri_select_describe(select, g, picks[i].node, &arena, &desc, err);
        if (!rc && kernel->create && kernel->create(desc, &state) != 0)
            rc = TRI_FAIL(err, TRI_E_DEVICE, "kernel %s cannot be set up", kernel->name);
        if (!rc) {
            rc = tri_code_add(code, kernel, state, err);
            if (kernel->destroy) kernel->destroy(state);
        }
    }
    tri_arena_deinit(&arena);
    return rc;
}

/* ---- the cache ---- */

static char *path_of(const tri_code *code, const char *dir, const char *key, tri_arena *arena) {
    return tri_arena_printf(arena, "%s/%s-%s.cubin", dir, key, code->arch);
}

static void read_cached(tri_code_item *item, const char *path) {
    tri_file_map map;
    trailer end;
    if (!tri_path_exists(path) || tri_file_map_open(&map, path, NULL)) return;
    int64_t n = map.n_bytes - (int64_t)sizeof end;
    if (n > 0 && n <= MAX_CUBIN_BYTES) {
        memcpy(&end, map.data + n, sizeof end);
        bool whole = memcmp(end.magic, magic, sizeof magic) == 0 &&
                     end.hash == tri_hash64(map.data, (size_t)n, 0);
        item->cubin = whole ? malloc((size_t)n) : NULL;
        item->n_bytes = item->cubin ? n : 0;
        if (item->cubin) memcpy(item->cubin, map.data, (size_t)n);
    }
    tri_file_map_close(&map);
}

/* What cannot be kept is compiled again the next time. */
static void write_cached(const tri_code_item *item, const char *path) {
    size_t n = (size_t)item->n_bytes;
    trailer end = {.hash = tri_hash64(item->cubin, n, 0)};
    uint8_t *bytes = malloc(n + sizeof end);
    if (!bytes) return;
    memcpy(end.magic, magic, sizeof magic);
    memcpy(bytes, item->cubin, n);
    memcpy(bytes + n, &end, sizeof end);
    (void)tri_file_replace(path, bytes, n + sizeof end, NULL);
    free(bytes);
}

/* ---- compiling ---- */

typedef struct compiling {
    tri_code *code;
    const char *dir;
    atomic_int next;
    atomic_int failed; /* who came first */
    tri_status status;
    tri_error error;
} compiling;

static tri_status make_one(compiling *c, tri_code_item *item, tri_error *err) {
    const char *path = NULL;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    if (c->dir) path = path_of(c->code, c->dir, item->key, &arena);
    if (path) read_cached(item, path);
    tri_status rc = TRI_OK;
    if (!item->cubin) {
        rc = tri_cuda_program_compile(
            item->program, c->code->arch, &item->cubin, &item->n_bytes, err);
        if (!rc && path) write_cached(item, path);
    }
    tri_arena_deinit(&arena);
    return rc;
}

static void make_some(void *arg, int32_t thread, int32_t n_threads) {
    compiling *c = arg;
    (void)thread;
    (void)n_threads;
    for (;;) {
        int i = atomic_fetch_add(&c->next, 1);
        if (i >= c->code->n_items || atomic_load(&c->failed)) return;
        tri_code_item *item = &c->code->items[i];
        tri_error err = {0};
        if (item->cubin) continue;
        tri_status rc = make_one(c, item, &err);
        if (rc && !atomic_exchange(&c->failed, 1)) {
            c->status = rc;
            c->error = err;
        }
    }
}

tri_status tri_code_make(tri_code *code, const char *dir, tri_team *team, tri_error *err) {
    compiling c = {.code = code, .dir = dir};
    if (dir && tri_path_make_dirs(dir, NULL)) c.dir = NULL;
    if (team)
        tri_team_run(team, make_some, &c);
    else
        make_some(&c, 0, 1);
    if (!c.status) return TRI_OK;
    return TRI_FAIL(err, c.status, "machine code for %s: %s", code->arch, c.error.message);
}

/* ---- from and to ---- */

void tri_code_take(tri_code *code, const tri_engine_file *file) {
    for (int32_t i = 0; i < code->n_items; i++) {
        tri_code_item *item = &code->items[i];
        char name[TRI_CUDA_KEY_BYTES + 8];
        (void)snprintf(name, sizeof name, "code.%s", item->key);
        const tri_safetensor *t = tri_safetensors_find(&file->file, name);
        if (item->cubin || !t || t->n_bytes < 1 || t->n_bytes > MAX_CUBIN_BYTES) continue;
        item->cubin = malloc((size_t)t->n_bytes);
        if (!item->cubin) continue;
        memcpy(item->cubin, t->data, (size_t)t->n_bytes);
        item->n_bytes = t->n_bytes;
    }
}

tri_status tri_code_load(const tri_code *code, tri_device *device, tri_error *err) {
    for (int32_t i = 0; i < code->n_items; i++) {
        if (code->items[i].cubin)
            TRI_TRY(tri_device_add_code(device, code->items[i].key, code->items[i].cubin, err));
    }
    return TRI_OK;
}
