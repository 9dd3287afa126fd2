#include "engine/derive.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "graph/plugins.h"

/* Enough rows at a time that a chunk's costs are lost, few enough that it stays in the cache. */
enum { CHUNK_BYTES = 512 << 10 };

static bool is_packed(const tri_type *type) {
    return strcmp(type->layout, "row") != 0;
}

static tri_plugin_type plugin_type(const tri_type *type) {
    tri_value value = {.type = *type, .constant = true};
    return tri_plugin_type_of(&value);
}

tri_status tri_stored_bytes(
    const tri_kernels *kernels, const tri_type *type, int64_t *n_bytes, tri_error *err) {
    int64_t dense = tri_type_dense_bytes(type);
    if (dense < 0)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "%s cannot be stored", tri_type_print(type).s);
    if (!is_packed(type)) {
        *n_bytes = dense;
        return TRI_OK;
    }
    const tri_plugin_layout *layout = tri_kernels_find_layout(kernels, type->layout);
    if (!layout)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED,
            "layout %s is not known here: it is another version's, or a plugin's (--plugin)",
            type->layout);
    tri_plugin_type t = plugin_type(type);
    t.layout = "row";
    int64_t n = layout->bytes(&t);
    if (n < 0)
        return TRI_FAIL(err, TRI_E_UNSUPPORTED, "layout %s cannot hold %s", type->layout,
            tri_type_print(type).s);
    *n_bytes = n;
    return TRI_OK;
}

/* ---- in parallel ---- */

typedef struct derive_job {
    const tri_recipe *recipe;
    const tri_plugin_layout *layout; /* NULL: dense rows */
    tri_plugin_type type;
    uint8_t *out;
    int64_t chunk_rows;
    int64_t room_bytes; /* of a thread: scratch, then the chunk's rows when packing */
    atomic_bool failed;
    pthread_mutex_t lock;
    tri_status status; /* the first failure */
    tri_error error;
} derive_job;

static void fail_job(derive_job *job, tri_status status, const tri_error *error) {
    pthread_mutex_lock(&job->lock);
    if (!job->status) {
        job->status = status;
        job->error = *error;
    }
    pthread_mutex_unlock(&job->lock);
    atomic_store(&job->failed, true);
}

static tri_status derive_chunk(
    derive_job *job, int64_t first, int64_t n, uint8_t *room, tri_error *err) {
    int64_t row_bytes = tri_recipe_row_bytes(job->recipe);
    if (!job->layout)
        return tri_recipe_read(job->recipe, first, n, job->out + first * row_bytes, room, err);
    uint8_t *rows = room;
    uint8_t *scratch = room + (n * row_bytes + 63) / 64 * 64;
    TRI_TRY(tri_recipe_read(job->recipe, first, n, rows, scratch, err));
    job->layout->pack(&job->type, first, n, rows, job->out);
    return TRI_OK;
}

static void derive_thread(void *arg, int32_t thread, int32_t n_threads) {
    derive_job *job = arg;
    int64_t n_rows = tri_recipe_rows(job->recipe);
    tri_error error = {0};
    tri_status rc = TRI_OK;
    uint8_t *room = NULL;
    if ((int64_t)thread * job->chunk_rows >= n_rows) return;
    if (job->room_bytes > 0) {
        room = aligned_alloc(64, (size_t)((job->room_bytes + 63) / 64 * 64));
        if (!room) {
            rc = TRI_FAIL(&error, TRI_E_MEMORY, "%" PRId64 " bytes to work in", job->room_bytes);
            goto done;
        }
    }
    for (int64_t first = thread * job->chunk_rows; first < n_rows;
         first += n_threads * job->chunk_rows) {
        int64_t n = n_rows - first < job->chunk_rows ? n_rows - first : job->chunk_rows;
        if (atomic_load(&job->failed)) break;
        rc = derive_chunk(job, first, n, room, &error);
        if (rc) goto done;
    }
done:
    if (rc) fail_job(job, rc, &error);
    free(room);
}

static int64_t pick_chunk_rows(const tri_recipe *recipe, const tri_plugin_layout *layout) {
    int64_t unit = layout && layout->row_unit > 0 ? layout->row_unit : 1;
    int64_t work = tri_recipe_row_bytes(recipe) + tri_recipe_scratch_bytes(recipe, 1);
    int64_t rows = work > 0 ? CHUNK_BYTES / work : CHUNK_BYTES;
    rows = (rows < 1 ? 1 : rows + unit - 1) / unit * unit;
    return rows < unit ? unit : rows;
}

tri_status tri_derive(const tri_value *value, const tri_supply *supply, const tri_kernels *kernels,
    tri_team *team, void *out, tri_error *err) {
    derive_job job = {.out = out, .lock = PTHREAD_MUTEX_INITIALIZER};
    tri_arena arena;
    int64_t n_bytes;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_stored_bytes(kernels, &value->type, &n_bytes, err);
    if (rc) goto done;
    rc = tri_recipe_create(&job.recipe, tri_value_unpacked(value), supply, &arena, err);
    if (rc) goto done;
    if (is_packed(&value->type)) {
        job.layout = tri_kernels_find_layout(kernels, value->type.layout);
        job.type = plugin_type(&value->type);
        job.type.layout = "row";
    }
    job.chunk_rows = pick_chunk_rows(job.recipe, job.layout);
    int64_t rows = tri_recipe_rows(job.recipe);
    if (rows > job.chunk_rows) rows = job.chunk_rows;
    job.room_bytes = tri_recipe_scratch_bytes(job.recipe, rows) +
                     (job.layout ? (rows * tri_recipe_row_bytes(job.recipe) + 63) / 64 * 64 : 0);
    tri_team_run(team, derive_thread, &job);
    rc = job.status;
    if (rc && err) *err = job.error;

done:
    pthread_mutex_destroy(&job.lock);
    tri_arena_deinit(&arena);
    return rc;
}
