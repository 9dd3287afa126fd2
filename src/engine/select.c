#include "engine/select.h"

#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "graph/plugins.h"

bool tri_node_is_launch(const tri_node *node) {
    switch (node->op) {
    case TRI_OP_INPUT:
    case TRI_OP_CACHE:
    case TRI_OP_COUNTS:
    case TRI_OP_COLUMNS:
        return false;
    default:
        return node->n_results == 0 || !node->results[0]->constant;
    }
}

const char *tri_node_op_name(const tri_node *node) {
    return node->plugin ? node->plugin : tri_op_get(node->op)->name;
}

static int32_t node_tokens_per_block(const tri_graph *g, const tri_node *node) {
    for (int32_t i = 0; i < node->n_operands; i++) {
        const tri_value *value = node->operands[i];
        if (!value || value->type.kind != TRI_TYPE_CACHE) continue;
        while (value->node->op != TRI_OP_CACHE) {
            const tri_value *before = tri_node_operand(value->node, "cache");
            if (!before) return 0;
            value = before;
        }
        return g->groups[tri_node_int(value->node, "group")].tokens_per_block;
    }
    return 0;
}

tri_status tri_select_describe(const tri_select *select, const tri_graph *g, const tri_node *node,
    tri_arena *arena, tri_plugin_desc **desc, tri_error *err) {
    tri_plugin_desc *d = TRI_NEW(arena, tri_plugin_desc);
    tri_plugin_type *types = TRI_NEW_N(arena, tri_plugin_type, node->n_operands + node->n_results);
    tri_plugin_field *fields = TRI_NEW_N(arena, tri_plugin_field, node->n_attrs);
    if (!d || !types || !fields)
        return TRI_FAIL(err, TRI_E_MEMORY, "%s: out of memory", tri_node_op_name(node));
    for (int32_t i = 0; i < node->n_operands; i++)
        types[i] = tri_plugin_type_of(node->operands[i]);
    for (int32_t i = 0; i < node->n_results; i++)
        types[node->n_operands + i] = tri_plugin_type_of(node->results[i]);
    tri_plugin_fields_of(node, fields);
    *d = (tri_plugin_desc){.struct_size = sizeof *d,
        .op = tri_node_op_name(node),
        .n_inputs = node->n_operands,
        .n_outputs = node->n_results,
        .n_fields = node->n_attrs,
        .inputs = types,
        .outputs = types + node->n_operands,
        .fields = fields,
        .device = select->device,
        .tokens_per_block = node_tokens_per_block(g, node),
        .max_tokens = select->max_tokens,
        .max_sequences = select->max_sequences,
        .max_rows = select->max_rows};
    *desc = d;
    return TRI_OK;
}

/* ---- candidates ---- */

static const char *wanted_layout(
    const tri_plugin_kernel *kernel, const tri_plugin_desc *desc, int32_t input) {
    const char *layout = kernel->layout ? kernel->layout(desc, input) : NULL;
    return layout ? layout : "row";
}

static bool layouts_fit(
    const tri_plugin_kernel *kernel, const tri_plugin_desc *desc, char reason[128]) {
    for (int32_t i = 0; i < desc->n_inputs; i++) {
        if (!desc->inputs[i].constant || desc->inputs[i].n_dims < 0) continue;
        const char *wanted = wanted_layout(kernel, desc, i);
        if (strcmp(wanted, desc->inputs[i].layout) == 0) continue;
        snprintf(reason, 128, "operand %" PRId32 " is stored as %s, it takes %s", i,
            desc->inputs[i].layout, wanted);
        return false;
    }
    return true;
}

bool tri_select_accepts(const tri_select *select, const tri_plugin_kernel *kernel,
    const tri_plugin_desc *desc, char reason[128]) {
    reason[0] = '\0';
    if (strcmp(kernel->op, desc->op) != 0) {
        snprintf(reason, 128, "it computes %s", kernel->op);
        return false;
    }
    if (strcmp(kernel->device, select->device->kind) != 0) {
        snprintf(reason, 128, "it is for %s", kernel->device);
        return false;
    }
    if (!tri_arch_within(
            select->device->kind, kernel->isa ? kernel->isa : "", select->device->arch)) {
        snprintf(reason, 128, "it needs %s, this is %s", kernel->isa,
            select->device->arch[0] ? select->device->arch : "generic");
        return false;
    }
    if (kernel->supports && kernel->supports(desc, reason, 128) != 0) return false;
    return layouts_fit(kernel, desc, reason);
}

static void append(char *text, size_t room, const char *a, const char *b) {
    size_t len = strlen(text);
    snprintf(text + len, room - len, "%s%s: %s", len ? "; " : "", a, b);
}

tri_status tri_select_candidates(const tri_select *select, const tri_plugin_desc *desc,
    tri_arena *arena, tri_kernel_choice **choices, int32_t *n_choices, tri_error *err) {
    tri_kernel_choice *all;
    int32_t n, n_fit = 0;
    TRI_TRY(tri_kernels_choose(select->kernels, desc, arena, &all, &n, err));
    tri_kernel_choice *sorted = TRI_NEW_N(arena, tri_kernel_choice, n);
    if (!sorted) return TRI_FAIL(err, TRI_E_MEMORY, "%s: out of memory", desc->op);
    for (int32_t i = 0; i < n; i++) {
        if (all[i].supported) all[i].supported = layouts_fit(all[i].kernel, desc, all[i].reason);
        if (all[i].supported) sorted[n_fit++] = all[i];
    }
    for (int32_t i = 0, k = n_fit; i < n; i++) {
        if (!all[i].supported) sorted[k++] = all[i];
    }
    if (n_fit == 0) {
        char reasons[768] = "";
        for (int32_t i = 0; i < n; i++)
            append(reasons, sizeof reasons, sorted[i].kernel->name, sorted[i].reason);
        return TRI_FAIL(
            err, TRI_E_UNSUPPORTED, "%s: no kernel can compute it (%s)", desc->op, reasons);
    }
    *choices = sorted;
    *n_choices = n;
    return TRI_OK;
}

/* ---- layouts, for the pass ---- */

static int32_t target_layouts(void *user, const tri_graph *g, const tri_node *node, int32_t slot,
    const char **layouts, int32_t room, tri_error *err) {
    const tri_select *select = user;
    tri_kernel_choice *choices;
    tri_plugin_desc *desc;
    int32_t n_choices, n = 0;
    tri_arena arena;
    tri_arena_init(&arena, 0);
    tri_status rc = tri_select_describe(select, g, node, &arena, &desc, err);
    if (!rc) rc = tri_kernels_choose(select->kernels, desc, &arena, &choices, &n_choices, err);
    for (int32_t i = 0; !rc && i < n_choices && n < room; i++) {
        if (!choices[i].supported) continue;
        const char *layout = wanted_layout(choices[i].kernel, desc, slot);
        bool seen = false;
        for (int32_t k = 0; k < n; k++)
            seen = seen || strcmp(layouts[k], layout) == 0;
        if (!seen) layouts[n++] = layout;
    }
    tri_arena_deinit(&arena);
    return n;
}

tri_target tri_select_target(tri_select *select) {
    return (tri_target){.user = select, .layouts = target_layouts};
}
