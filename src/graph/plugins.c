/* plugins.c - a plain list: a process has a handful of plugin ops. */
#include "graph/plugins.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLUGIN_OPS = 4096, MAX_NAME = 64 };

struct tri_plugin_registry {
    const tri_plugin_op **ops;
    int32_t n, cap;
};

tri_status tri_plugin_registry_create(tri_plugin_registry **registry, tri_error *err) {
    tri_plugin_registry *made = calloc(1, sizeof *made);
    if (!made) return TRI_FAIL(err, TRI_E_MEMORY, "plugin registry: out of memory");
    *registry = made;
    return TRI_OK;
}

void tri_plugin_registry_destroy(tri_plugin_registry *registry) {
    if (!registry) return;
    free(registry->ops);
    free(registry);
}

static bool identifier(const char *name) {
    if (!name || !(*name >= 'a' && *name <= 'z')) return false;
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[n] == '\0' && n <= MAX_NAME;
}

static tri_status check_fields(const tri_plugin_op *op, tri_error *err) {
    for (int32_t i = 0; i < op->n_fields; i++) {
        const tri_plugin_field *field = &op->fields[i];
        if (!identifier(field->name))
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "field %" PRId32 " is named '%s'; names are [a-z][a-z0-9_]*, at most %d bytes", i,
                field->name ? field->name : "(null)", MAX_NAME);
        if (field->kind < 0 || field->kind > 2)
            return TRI_FAIL(err, TRI_E_ARGUMENT,
                "field %s has kind %" PRId32 "; 0 integer, 1 float, 2 string", field->name,
                field->kind);
        if (field->kind == 1 && !isfinite(field->f))
            return TRI_FAIL(
                err, TRI_E_ARGUMENT, "field %s has a default that is not finite", field->name);
        for (int32_t k = 0; k < i; k++) {
            if (strcmp(op->fields[k].name, field->name) == 0)
                return TRI_FAIL(err, TRI_E_ARGUMENT, "field %s is given twice", field->name);
        }
    }
    return TRI_OK;
}

static tri_status check_op(const tri_plugin_op *op, tri_error *err) {
    tri_op built_in;
    if (op->struct_size < sizeof *op)
        return TRI_FAIL(err, TRI_E_VERSION,
            "struct_size is %" PRIu32
            ", this build reads %zu bytes: compile the plugin against its plugin.h",
            op->struct_size, sizeof *op);
    if (!identifier(op->name))
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "names are [a-z][a-z0-9_]*, at most %d bytes", MAX_NAME);
    if (tri_op_find(op->name, &built_in))
        return TRI_FAIL(err, TRI_E_ARGUMENT, "a built-in op has this name; choose another");
    if (op->version < 1)
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "version is %" PRId32 "; versions start at 1", op->version);
    if (op->n_inputs < 0 || op->n_inputs > TRI_MAX_OPERANDS)
        return TRI_FAIL(
            err, TRI_E_LIMIT, "%" PRId32 " inputs, at most %d", op->n_inputs, TRI_MAX_OPERANDS);
    if (op->n_outputs < 1 || op->n_outputs > TRI_MAX_RESULTS)
        return TRI_FAIL(err, TRI_E_LIMIT, "%" PRId32 " outputs, 1 to %d can be had", op->n_outputs,
            TRI_MAX_RESULTS);
    if (op->n_fields < 0 || op->n_fields > TRI_MAX_ATTRS || (op->n_fields > 0 && !op->fields))
        return TRI_FAIL(
            err, TRI_E_LIMIT, "%" PRId32 " fields, at most %d", op->n_fields, TRI_MAX_ATTRS);
    if (!op->infer) return TRI_FAIL(err, TRI_E_ARGUMENT, "infer is missing");
    if (op->shard != TRI_SHARD_REPLICATE && op->shard != TRI_SHARD_COLUMNS)
        return TRI_FAIL(
            err, TRI_E_ARGUMENT, "shard is %" PRId32 "; 0 replicate, 1 columns", op->shard);
    return check_fields(op, err);
}

tri_status tri_plugin_registry_add_op(
    tri_plugin_registry *registry, const tri_plugin_op *op, tri_error *err) {
    tri_status rc = TRI_OK;
    if (!op) return TRI_FAIL(err, TRI_E_ARGUMENT, "plugin op: NULL");
    rc = check_op(op, err);
    if (rc) goto done;
    if (tri_plugin_registry_find_op(registry, op->name)) {
        rc = TRI_FAIL(err, TRI_E_ARGUMENT, "registered already; load each plugin once");
        goto done;
    }
    if (registry->n == MAX_PLUGIN_OPS) {
        rc = TRI_FAIL(err, TRI_E_LIMIT, "%d ops are registered, no more can be", MAX_PLUGIN_OPS);
        goto done;
    }
    if (registry->n == registry->cap) {
        int32_t cap = registry->cap ? 2 * registry->cap : 8;
        const tri_plugin_op **grown = realloc(registry->ops, (size_t)cap * sizeof *grown);
        if (!grown) {
            rc = TRI_FAIL(err, TRI_E_MEMORY, "out of memory");
            goto done;
        }
        registry->ops = grown;
        registry->cap = cap;
    }
    registry->ops[registry->n++] = op;

done:
    if (rc)
        tri_error_context(err, "plugin op %s",
            op->struct_size >= sizeof *op && op->name ? op->name : "(unnamed)");
    return rc;
}

const tri_plugin_op *tri_plugin_registry_find_op(
    const tri_plugin_registry *registry, const char *name) {
    if (!registry || !name) return NULL;
    for (int32_t i = 0; i < registry->n; i++) {
        if (strcmp(registry->ops[i]->name, name) == 0) return registry->ops[i];
    }
    return NULL;
}

int32_t tri_plugin_registry_count(const tri_plugin_registry *registry) {
    return registry ? registry->n : 0;
}

const tri_plugin_op *tri_plugin_registry_op(const tri_plugin_registry *registry, int32_t index) {
    TRI_ASSERT(index >= 0 && index < tri_plugin_registry_count(registry));
    return registry->ops[index];
}

tri_plugin_type tri_plugin_type_of(const tri_value *value) {
    tri_plugin_type out = {.n_dims = -1, .layout = "row"};
    if (!value) return out;
    out.dtype = (int32_t)value->type.dtype;
    out.n_dims = value->type.n_dims;
    memcpy(out.dims, value->type.dims, sizeof out.dims);
    out.layout = value->type.layout;
    out.constant = value->constant;
    return out;
}

void tri_plugin_fields_of(const tri_node *node, tri_plugin_field *fields) {
    for (int32_t i = 0; i < node->n_attrs; i++) {
        const tri_attr *a = &node->attrs[i];
        fields[i] = (tri_plugin_field){.name = a->name,
            .kind = a->kind == TRI_ATTR_INT     ? 0
                    : a->kind == TRI_ATTR_FLOAT ? 1
                                                : 2,
            .i = a->i,
            .f = a->f,
            .s = a->kind == TRI_ATTR_STRING ? a->s : NULL};
    }
}
