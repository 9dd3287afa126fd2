/* inspect_graph.c - the graph of an engine, or of a model that could be one, as text or Graphviz.
 */
#include <string.h>

#include "engine/build.h"
#include "engine/inspect.h"

/* ---- Graphviz ---- */

static void print_label(tri_buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') tri_buf_putc(out, '\\');
        tri_buf_putc(out, *text);
    }
}

/* Constants are named in the ops that use them: drawing them would hide the flow. */
static const char *constant_name(const tri_value *value) {
    while (value->node->op != TRI_OP_WEIGHT && value->node->n_operands > 0)
        value = value->node->operands[0];
    return value->node->op == TRI_OP_WEIGHT ? tri_node_string(value->node, "name")
                                            : tri_op_get(value->node->op)->name;
}

static bool is_drawn(const tri_node *node) {
    return node->n_results == 0 || !node->results[0]->constant;
}

/* A layer's scope is the cluster around it. */
static void draw_node(const tri_node *node, int32_t id, tri_buf *out) {
    const char *shape = node->op == TRI_OP_INPUT                                ? "ellipse"
                        : node->op == TRI_OP_CACHE || node->op == TRI_OP_COUNTS ? "cylinder"
                                                                                : "box";
    tri_buf_printf(out, "    n%" PRId32 " [shape=%s, label=\"%s", id, shape,
        node->plugin ? node->plugin : tri_op_get(node->op)->name);
    if (node->op == TRI_OP_INPUT) {
        tri_buf_puts(out, " ");
        print_label(out, tri_node_string(node, "name"));
    }
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *operand = node->operands[i];
        if (!operand || !operand->constant) continue;
        tri_buf_puts(out, "\\n");
        print_label(out, constant_name(operand));
        tri_buf_printf(out, " %s", tri_type_print(&operand->type).s);
    }
    tri_buf_puts(out, "\"];\n");
}

static void draw_edges(const tri_node *node, int32_t id, const int32_t *ids, tri_buf *out) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *operand = node->operands[i];
        if (!operand || operand->constant) continue;
        tri_buf_printf(out, "    n%" PRId32 " -> n%" PRId32 " [label=\"%s\"];\n", ids[operand->id],
            id, tri_type_print(&operand->type).s);
    }
}

void tri_graph_dot(const tri_graph *g, tri_buf *out) {
    tri_arena arena;
    tri_arena_init(&arena, 0);
    int32_t *ids = TRI_NEW_N(&arena, int32_t, g->next_id + 1); /* drawn node of each value */
    int32_t n = 0, n_clusters = 0;
    const char *scope = "";
    tri_buf edges = {0}; /* behind all clusters: inside one, an edge would draw its nodes there */
    tri_buf_puts(out, "digraph \"");
    print_label(out, g->name);
    tri_buf_puts(out, "\" {\n  node [fontname=\"sans-serif\", fontsize=10];\n"
                      "  edge [fontname=\"sans-serif\", fontsize=8];\n");
    for (const tri_node *node = g->first; node && ids; node = node->next) {
        if (!is_drawn(node)) continue;
        if (strcmp(scope, node->scope) != 0) {
            if (*scope) tri_buf_puts(out, "  }\n");
            scope = node->scope;
            if (*scope) {
                tri_buf_printf(out, "  subgraph cluster_%" PRId32 " {\n    label=\"", n_clusters++);
                print_label(out, scope);
                tri_buf_puts(out, "\";\n");
            }
        }
        for (int32_t i = 0; i < node->n_results; i++)
            ids[node->results[i]->id] = n;
        draw_node(node, n, out);
        draw_edges(node, n, ids, &edges);
        n++;
    }
    if (*scope) tri_buf_puts(out, "  }\n");
    tri_buf_append(out, edges.ptr ? edges.ptr : "", edges.len);
    for (int32_t i = 0; i < g->n_outputs && ids; i++) {
        tri_buf_printf(out, "  out%" PRId32 " [shape=ellipse, label=\"", i);
        print_label(out, g->outputs[i].name);
        tri_buf_printf(
            out, "\"];\n  n%" PRId32 " -> out%" PRId32 ";\n", ids[g->outputs[i].value->id], i);
    }
    tri_buf_puts(out, "}\n");
    if (!ids || edges.failed) out->failed = true;
    tri_buf_deinit(&edges);
    tri_arena_deinit(&arena);
}

/* ---- where graphs come from ---- */

static tri_status show_parsed(
    tri_str text, const tri_plugin_set *plugins, tri_buf *out, tri_error *err) {
    tri_graph *g = NULL;
    TRI_TRY(tri_graph_parse_with(&g, text.ptr, text.len, plugins->ops, err));
    tri_graph_dot(g, out);
    tri_graph_destroy(g);
    return TRI_OK;
}

/* As text it is shown as it is stored, so that a graph with ops of unknown plugins can be read. */
static tri_status of_rank(
    const char *path, bool dot, const tri_plugin_set *plugins, tri_buf *out, tri_error *err) {
    tri_engine_file f;
    tri_status rc = TRI_OK;
    TRI_TRY(tri_engine_file_open(&f, path, err));
    if (dot)
        rc = show_parsed(f.graph, plugins, out, err);
    else
        tri_buf_append(out, f.graph.ptr, f.graph.len);
    tri_engine_file_close(&f);
    return rc;
}

static tri_status of_engine(
    const char *path, bool dot, const tri_plugin_set *plugins, tri_buf *out, tri_error *err) {
    tri_arena arena;
    tri_arena_init(&arena, 0);
    const char *rank0 = tri_rank_path(&arena, path, 0);
    tri_status rc = rank0 ? of_rank(rank0, dot, plugins, out, err)
                          : TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
    tri_arena_deinit(&arena);
    return rc;
}

static tri_status of_model(
    const char *path, bool dot, const tri_plugin_set *plugins, tri_buf *out, tri_error *err) {
    const tri_source_options options = {.dtype = TRI_N_DTYPES};
    tri_source *source = NULL;
    tri_graph *g = NULL;
    TRI_TRY(tri_source_open(&source, path, &options, err));
    const tri_model_config *config = tri_source_config(source);
    const tri_engine_spec spec = {.tp_size = config->mapping.tp_size,
        .pp_size = config->mapping.pp_size,
        .precision = {.kv = TRI_F32},
        .tokens_per_block = 32,
        .max_seq_len = config->max_position_embeddings};
    tri_status rc = tri_canonical_graph(&g, source, 0, &spec, plugins, NULL, NULL, err);
    if (!rc) {
        if (dot)
            tri_graph_dot(g, out);
        else
            tri_graph_print_to(g, out);
        tri_graph_destroy(g);
    }
    tri_source_close(source);
    return rc;
}

tri_status tri_inspect_graph_text(const tri_inspection *in, bool dot,
    const tri_engine_options *options, tri_buf *out, tri_error *err) {
    tri_plugin_set plugins = {0};
    TRI_TRY(tri_plugin_set_open(
        &plugins, options ? options->plugins : NULL, options ? options->n_plugins : 0, err));
    tri_status rc = tri_inspect_is(in, "engine") ? of_engine(in->path, dot, &plugins, out, err)
                    : tri_inspect_is(in, "rank of an engine")
                        ? of_rank(in->path, dot, &plugins, out, err)
                        : of_model(in->path, dot, &plugins, out, err);
    tri_plugin_set_close(&plugins);
    return rc;
}
