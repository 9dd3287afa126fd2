/* canonical.c - a rank's canonical graph from a model. */
#include <string.h>

#include "engine/build.h"

tri_select tri_select_for(
    const tri_kernels *kernels, const tri_plugin_device *facts, const tri_engine_spec *spec) {
    return (tri_select){.kernels = kernels,
        .device = facts,
        .max_tokens = spec->max_num_tokens,
        .max_sequences = spec->max_batch_size,
        .max_rows = spec->max_batch_size};
}

tri_status tri_source_for(tri_source **source, const char *path, const tri_engine_spec *spec,
    bool dummy, tri_error *err) {
    const tri_source_options options = {
        .dtype = spec->tp_size > 1 ? spec->precision.weights : TRI_N_DTYPES,
        .tp_size = spec->tp_size,
        .pp_size = spec->pp_size,
        .dummy = dummy};
    return tri_source_open(source, path, &options, err);
}

/* The rank's own extents, where its stage is declared at full width. */
static void declare_shards(tri_graph *g, const tri_source *source, int32_t rank) {
    for (int32_t i = 0; i < tri_source_n_weights(source, rank); i++) {
        const tri_source_weight *w = tri_source_get(source, rank, i);
        int64_t index;
        if (!tri_map_get(&g->weight_index, tri_str_of(w->name), &index)) continue;
        tri_type type = g->weights[index].type;
        memcpy(type.dims, w->type.dims, sizeof type.dims);
        tri_graph_set_weight_type(g, w->name, &type);
    }
}

int64_t tri_graph_parameters(const tri_graph *g) {
    int64_t total = 0;
    for (const tri_node *node = g->first; node; node = node->next) {
        if (node->op != TRI_OP_WEIGHT) continue;
        const tri_type *type = &node->results[0]->type;
        int64_t n = 1;
        for (int32_t i = 0; i < type->n_dims; i++)
            n *= type->dims[i];
        total += n;
    }
    return total;
}

static void take_dtypes(tri_graph *g, const tri_graph *from) {
    for (int32_t i = 0; i < g->n_weights; i++) {
        tri_graph_weight *w = &g->weights[i];
        int64_t index;
        if (!tri_map_get(&from->weight_index, tri_str_of(w->name), &index)) continue;
        tri_type type = w->type;
        type.dtype = from->weights[index].type.dtype;
        tri_graph_set_weight_type(g, w->name, &type);
    }
}

tri_status tri_canonical_graph(tri_graph **graph, const tri_source *source, int32_t rank,
    const tri_engine_spec *spec, const tri_plugin_set *plugins, const tri_graph *dtypes_of,
    int64_t *n_parameters, tri_error *err) {
    const tri_model_config *config = tri_source_config(source);
    tri_graph *g = NULL;
    int32_t stage = rank / spec->tp_size;
    TRI_TRY(tri_graph_create(&g, config->architecture, err));
    tri_graph_set_plugins(g, plugins->ops);
    g->tokens_per_block = spec->tokens_per_block;
    g->kv_dtype = spec->precision.kv;
    tri_source_declare(source, stage, g);
    if (dtypes_of) take_dtypes(g, dtypes_of);
    tri_status rc = tri_model_define(g, config, stage, spec->max_seq_len, err);
    if (!rc) rc = tri_plugin_set_replace(plugins, g, err);
    if (!rc && n_parameters) *n_parameters = tri_graph_parameters(g);
    if (!rc && spec->tp_size > 1) {
        declare_shards(g, source, rank);
        rc = tri_pass_shard(g, spec->tp_size, rank % spec->tp_size, err);
    }
    if (!rc) rc = tri_graph_verify(g, err);
    if (rc)
        tri_graph_destroy(g);
    else
        *graph = g;
    return rc;
}
