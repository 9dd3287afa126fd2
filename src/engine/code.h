/* code.h - machine code of an engine's CUDA kernels: compiled when it is built, kept in its file,
 * and for what a file does not bring or is not trusted to bring, in a folder of the cache.
 *
 * Programs are found by calling every launch once on a queue that only collects
 * (device/cuda/queue.h), so that nothing lists them a second time.  A key stands for source,
 * defines and architecture (kernels/cuda/program.h). */
#ifndef TRI_ENGINE_CODE_H
#define TRI_ENGINE_CODE_H

#include "base/arena.h"
#include "base/thread.h"
#include "device/device.h"
#include "engine/file.h"
#include "engine/lower.h"

typedef struct tri_code_item {
    const char *key;
    const void *program; /* tri_cuda_program */
    uint8_t *cubin;      /* NULL: not there yet */
    int64_t n_bytes;
} tri_code_item;

typedef struct tri_code { /* of one rank */
    tri_arena arena;
    const char *arch;
    tri_code_item *items;
    int32_t n_items, room;
    tri_status status; /* of collecting */
    tri_error error;
} tri_code;

void tri_code_init(tri_code *code, const char *arch); /* arch is borrowed */
void tri_code_deinit(tri_code *code);
/* The programs of a launch; a plugin's kernels bring their own. */
tri_status tri_code_add(
    tri_code *code, const tri_plugin_kernel *kernel, void *state, tri_error *err);
/* Of all launches of a graph, for select's limits. */
tri_status tri_code_add_picks(tri_code *code, const tri_select *select, const tri_graph *g,
    const tri_pick *picks, int32_t n_picks, tri_error *err);

/* Takes from `dir` (may be NULL) what is there and compiles the rest on all of the team's threads,
 * which goes into `dir` then.  team NULL: here. */
tri_status tri_code_make(tri_code *code, const char *dir, tri_team *team, tri_error *err);
/* Takes what an engine brings; only where it is trusted. */
void tri_code_take(tri_code *code, const tri_engine_file *file);
/* All of it, for launches to find. */
tri_status tri_code_load(const tri_code *code, tri_device *device, tri_error *err);

#endif
