#include "engine/plugin_host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/select.h"
#include "trireme/engine.h"

/* What the library's callbacks work on while its init runs. */
typedef struct loading {
    tri_plugin_set *set;
    tri_status status; /* the first refusal */
    tri_error error;
} loading;

static int32_t refused(loading *l, tri_status rc) {
    if (rc && !l->status) l->status = rc;
    return rc ? 1 : 0;
}

static tri_error *first_error(loading *l) {
    return l->status ? NULL : &l->error;
}

static int32_t register_op(void *registry, const tri_plugin_op *op) {
    loading *l = registry;
    return refused(l, tri_plugin_registry_add_op(l->set->ops, op, first_error(l)));
}

static int32_t register_layout(void *registry, const tri_plugin_layout *layout) {
    loading *l = registry;
    return refused(l, tri_kernels_register_layout(l->set->kernels, layout, first_error(l)));
}

static int32_t register_kernel(void *registry, const tri_plugin_kernel *kernel) {
    loading *l = registry;
    return refused(l, tri_kernels_register(l->set->kernels, kernel, first_error(l)));
}

static void fail(void *registry, const char *message) {
    loading *l = registry;
    refused(l, TRI_FAIL(first_error(l), TRI_E_UNSUPPORTED, "%s", message ? message : "refused"));
}

static tri_status check_abi(void *library, tri_error *err) {
    const int32_t *abi = dlsym(library, "tri_plugin_abi");
    if (!abi)
        return TRI_FAIL(err, TRI_E_FORMAT,
            "it exports no tri_plugin_abi: this is no Trireme plugin (trireme/plugin.h)");
    if (*abi != TRI_PLUGIN_ABI)
        return TRI_FAIL(err, TRI_E_VERSION,
            "it was compiled for plugin ABI %" PRId32 ", this is ABI %d: compile it again against "
            "this version's trireme/plugin.h",
            *abi, TRI_PLUGIN_ABI);
    return TRI_OK;
}

static tri_status run_init(tri_plugin_set *set, void *library, tri_error *err) {
    loading l = {.set = set};
    const tri_plugin_host host = {.struct_size = sizeof host,
        .abi = TRI_PLUGIN_ABI,
        .version = TRI_VERSION_STRING,
        .registry = &l,
        .register_op = register_op,
        .register_layout = register_layout,
        .register_kernel = register_kernel,
        .fail = fail};
    tri_plugin_init_fn init;
    void *symbol = dlsym(library, "tri_plugin_init");
    if (!symbol) return TRI_FAIL(err, TRI_E_FORMAT, "it exports no tri_plugin_init");
    memcpy(&init, &symbol, sizeof init); /* ISO C has no conversion between these pointers */
    int32_t result = init(&host);
    if (l.status) {
        if (err) *err = l.error;
        return l.status;
    }
    if (result != 0)
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "tri_plugin_init returned %" PRId32 " and no reason", result);
    return TRI_OK;
}

static tri_status load(tri_plugin_set *set, const char *path, tri_error *err) {
    char here[4096];
    if (!path || !*path) return TRI_FAIL(err, TRI_E_ARGUMENT, "plugin: an empty path");
    if (!strchr(path, '/')) { /* dlopen would look among the system's libraries */
        if (snprintf(here, sizeof here, "./%s", path) >= (int)sizeof here)
            return TRI_FAIL(err, TRI_E_LIMIT, "plugin: a path of %zu bytes", strlen(path));
        path = here;
    }
    tri_status rc = TRI_OK;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        const char *why = dlerror();
        rc = TRI_FAIL(err, TRI_E_NOT_FOUND, "%s", why ? why : "cannot be loaded");
    }
    if (!rc) rc = check_abi(library, err);
    if (!rc) rc = run_init(set, library, err);
    if (rc) tri_error_context(err, "plugin %s", path);
    return rc;
}

tri_status tri_plugin_set_open(
    tri_plugin_set *set, const char *const *paths, int32_t n_paths, tri_error *err) {
    tri_plugin_set made = {0};
    tri_status rc = tri_kernels_create(&made.kernels, err);
    if (!rc) rc = tri_plugin_registry_create(&made.ops, err);
    for (int32_t i = 0; i < n_paths && !rc; i++)
        rc = load(&made, paths[i], err);
    if (rc)
        tri_plugin_set_close(&made);
    else
        *set = made;
    return rc;
}

void tri_plugin_set_close(tri_plugin_set *set) {
    tri_kernels_destroy(set->kernels);
    tri_plugin_registry_destroy(set->ops);
    *set = (tri_plugin_set){0};
}

/* ---- replacing built-in ops ---- */

static tri_attr attr_of(const tri_plugin_field *field) {
    return (tri_attr){.name = field->name,
        .kind = field->kind == 0   ? TRI_ATTR_INT
                : field->kind == 1 ? TRI_ATTR_FLOAT
                                   : TRI_ATTR_STRING,
        .i = field->i,
        .f = field->f,
        .s = field->s ? field->s : ""};
}

static bool matches(
    const tri_plugin_op *op, const tri_node *node, tri_plugin_field fields[TRI_MAX_ATTRS]) {
    tri_plugin_type inputs[TRI_MAX_OPERANDS];
    tri_plugin_field given[TRI_MAX_ATTRS];
    if (node->n_operands != op->n_inputs || node->n_results != op->n_outputs) return false;
    for (int32_t i = 0; i < op->n_fields; i++)
        fields[i] = op->fields[i];
    if (!op->match) return true;
    for (int32_t i = 0; i < node->n_operands; i++)
        inputs[i] = tri_plugin_type_of(node->operands[i]);
    tri_plugin_fields_of(node, given);
    return op->match(inputs, node->n_operands, given, node->n_attrs, fields) != 0;
}

static void replace_node(
    tri_graph *g, tri_node *node, const tri_plugin_op *op, const tri_plugin_field *fields) {
    tri_attr attrs[TRI_MAX_ATTRS];
    for (int32_t i = 0; i < op->n_fields; i++)
        attrs[i] = attr_of(&fields[i]);
    tri_node *made = tri_node_create_plugin(
        g, node, op->name, node->operands, node->n_operands, attrs, op->n_fields);
    if (g->error.status) return;
    made->scope = node->scope;
    for (int32_t i = 0; i < node->n_results; i++)
        tri_value_replace(g, node->results[i], made->results[i]);
    tri_node_remove(g, node);
}

tri_status tri_plugin_set_replace(const tri_plugin_set *set, tri_graph *g, tri_error *err) {
    for (int32_t i = 0; i < tri_plugin_registry_count(set->ops); i++) {
        const tri_plugin_op *op = tri_plugin_registry_op(set->ops, i);
        tri_op replaced;
        if (!op->replaces) continue;
        if (!tri_op_find(op->replaces, &replaced))
            return TRI_FAIL(err, TRI_E_ARGUMENT, "plugin op %s replaces %s, which is no op",
                op->name, op->replaces);
        for (tri_node *node = g->first, *next; node && !g->error.status; node = next) {
            tri_plugin_field fields[TRI_MAX_ATTRS];
            next = node->next;
            if (node->op != replaced || node->plugin || !tri_node_is_launch(node)) continue;
            if (matches(op, node, fields)) replace_node(g, node, op, fields);
        }
    }
    return tri_graph_verify(g, err);
}

static void release_set(void *owned) {
    tri_plugin_set_close(owned);
    free(owned);
}

tri_status tri_graph_load_plugins(
    tri_graph *graph, const char *const *plugins, int32_t n_plugins, tri_error *err) {
    if (graph->plugins)
        return TRI_FAIL(err, TRI_E_ARGUMENT, "graph %s has its plugins already", graph->name);
    tri_plugin_set *set = calloc(1, sizeof *set);
    if (!set) return TRI_FAIL(err, TRI_E_MEMORY, "no memory for plugins");
    tri_status rc = tri_plugin_set_open(set, plugins, n_plugins, err);
    if (rc) {
        free(set);
        return rc;
    }
    tri_graph_set_plugins(graph, set->ops);
    graph->owned = set;
    graph->release = release_set;
    return TRI_OK;
}
