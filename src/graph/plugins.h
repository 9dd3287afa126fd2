/* plugins.h - the ops of plugins that a graph may use, by name.
 *
 * A registry is filled before graphs are made with it and read-only after: then any number of
 * threads may read it.  Ops are borrowed: they and what they point to must outlive the registry. */
#ifndef TRI_GRAPH_PLUGINS_H
#define TRI_GRAPH_PLUGINS_H

#include "base/status.h"
#include "graph/ir.h"
#include "trireme/plugin.h"

typedef struct tri_plugin_registry tri_plugin_registry;

tri_status tri_plugin_registry_create(tri_plugin_registry **registry, tri_error *err);
void tri_plugin_registry_destroy(tri_plugin_registry *registry);
/* TRI_E_ARGUMENT names what is wrong with the op: its name (taken, not lower case), its counts, a
 * field, a missing callback, struct_size. */
tri_status tri_plugin_registry_add_op(
    tri_plugin_registry *registry, const tri_plugin_op *op, tri_error *err);
const tri_plugin_op *tri_plugin_registry_find_op(
    const tri_plugin_registry *registry, const char *name); /* NULL: unknown, or no registry */
int32_t tri_plugin_registry_count(const tri_plugin_registry *registry);
const tri_plugin_op *tri_plugin_registry_op(const tri_plugin_registry *registry, int32_t index);

/* The graph's view of a type or of a node's attributes, as plugins see them; fields needs room for
 * node->n_attrs. */
tri_plugin_type tri_plugin_type_of(const tri_value *value); /* NULL: an operand left out */
void tri_plugin_fields_of(const tri_node *node, tri_plugin_field *fields);

#endif
