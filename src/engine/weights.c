/* weights.c - sets of stored tensors, shared between the engine and its plans. */
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/engine.h"

tri_weight_set *tri_engine_take_weights(tri_engine *engine, int32_t rank, int64_t *generation) {
    pthread_mutex_lock(&engine->lock);
    tri_weight_set *set = engine->weights[rank];
    set->n_refs++;
    *generation = engine->generation;
    pthread_mutex_unlock(&engine->lock);
    return set;
}

static void destroy(tri_weight_set *set) {
    if (set->memory) munmap(set->memory, set->n_bytes);
    tri_arena_deinit(&set->arena);
    free(set);
}

void tri_weight_set_unref(tri_engine *engine, tri_weight_set *set) {
    if (!set) return;
    pthread_mutex_lock(&engine->lock);
    bool last = --set->n_refs == 0;
    pthread_mutex_unlock(&engine->lock);
    if (last) destroy(set);
}

void tri_engine_put_weights(tri_engine *engine, tri_weight_set **sets) {
    pthread_mutex_lock(&engine->taking);
    pthread_mutex_lock(&engine->lock);
    for (int32_t i = 0; i < engine->n_ranks; i++) {
        tri_weight_set *old = engine->weights[i];
        engine->weights[i] = sets[i];
        sets[i]->n_refs++;
        sets[i] = NULL;
        if (old && --old->n_refs == 0) destroy(old);
    }
    engine->generation++;
    pthread_mutex_unlock(&engine->lock);
    pthread_mutex_unlock(&engine->taking);
}
