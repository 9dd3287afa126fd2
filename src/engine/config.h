/* config.h - an engine's config.json: everything about it, for people, and what a user of the
 * engine asks of it that its graph does not say.
 *
 *     {"version", "pretrained_config": {...}, "build_config": {..., "plugin_config": {...}},
 *      "trireme": {...}}
 *
 * The first three are as the old tools wrote them. */
#ifndef TRI_ENGINE_CONFIG_H
#define TRI_ENGINE_CONFIG_H

#include "data/model_config.h"
#include "engine/rank.h"

enum { TRI_ENGINE_MAX_EOS = 16 };

typedef struct tri_engine_config {
    const char *architecture;
    int32_t vocab_size, hidden_size, n_layers; /* 0: not known */
    int64_t n_parameters;
    int32_t tp_size, pp_size;
    int32_t bos_id, pad_id; /* -1: none */
    int32_t eos_ids[TRI_ENGINE_MAX_EOS], n_eos;
} tri_engine_config;

/* model may be NULL: an engine of a graph of one's own. */
tri_status tri_engine_config_write(const char *dir, const tri_engine_config *config,
    const tri_model_config *model, const tri_rank *rank0, int64_t weight_bytes, tri_error *err);
/* What from_dir's config.json says, for ranks that were made again: its build settings become
 * rank0's. */
tri_status tri_engine_config_rewrite(const char *from_dir, const char *to_dir,
    const tri_rank *rank0, int64_t weight_bytes, tri_error *err);
/* Strings go into the arena. */
tri_status tri_engine_config_read(
    tri_engine_config *config, const char *dir, tri_arena *arena, tri_error *err);
void tri_engine_config_from_model(tri_engine_config *config, const tri_model_config *model);

#endif
