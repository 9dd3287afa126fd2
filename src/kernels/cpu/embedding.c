/* embedding.c - y [T, C] = row `token - first` of the table, times its scales; zeros for tokens
 * that this shard does not have, and where an embedding row stands instead of a token (-1).
 *
 * One table serves as the head's weight too, so rows are read from every layout that linear takes.
 *
 * Share    tokens
 * Bound    memory: one row of the table and one of y a token */
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/panel16.h"

enum { TOKENS, TABLE, SCALES };

typedef struct embedding {
    int64_t rows, columns, first;
    int32_t dtype;
    bool panels;
    int64_t n_groups, scale_step; /* 0 groups: no scales */
} embedding;

static int32_t check(
    const tri_plugin_desc *desc, const char *layout, char *reason, size_t reason_bytes) {
    const tri_plugin_type *table = &desc->inputs[TABLE];
    const tri_plugin_type *scales = tri_desc_input(desc, SCALES);
    if (!tri_type_has_layout(table, layout) && !tri_type_has_layout(table, "row")) {
        return tri_reject(reason, reason_bytes, "the table is stored as %s", table->layout);
    }
    if (table->n_dims != 2 || tri_dtype_row_bytes((tri_dtype)table->dtype, table->dims[1]) < 0) {
        return tri_reject(reason, reason_bytes, "the table is no matrix");
    }
    if (tri_require_f32(desc, SCALES, reason, reason_bytes)) return 1;
    if (scales && scales->n_dims == 2 && table->dims[1] % scales->dims[1]) {
        return tri_reject(reason, reason_bytes, "scales do not fit the table");
    }
    return 0;
}

static int32_t supports_row(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    return check(desc, "row", reason, reason_bytes);
}

static int32_t supports_panel(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    const tri_plugin_type *table = &desc->inputs[TABLE];
    if (check(desc, "panel16", reason, reason_bytes)) return 1;
    if (tri_panel16_bytes(table->dtype, table->dims[1]) < 0) {
        return tri_reject(
            reason, reason_bytes, "%s has no panels", tri_dtype_get((tri_dtype)table->dtype)->name);
    }
    return 0;
}

static const char *panel_layout(const tri_plugin_desc *desc, int32_t input) {
    (void)desc;
    return input == TABLE ? "panel16" : NULL;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    const tri_plugin_type *table = &desc->inputs[TABLE];
    const tri_dtype_info *info = tri_dtype_get((tri_dtype)table->dtype);
    double elements = (double)extents->n_tokens * (double)table->dims[1];
    *c = (tri_plugin_cost){
        .bytes = elements * (4.0 + (double)info->block_bytes / info->block_elems)};
}

static int32_t create(const tri_plugin_desc *desc, bool panels, void **state) {
    const tri_plugin_type *table = &desc->inputs[TABLE];
    const tri_plugin_type *scales = tri_desc_input(desc, SCALES);
    embedding *e = calloc(1, sizeof *e);
    if (!e) return 1;
    *e = (embedding){.rows = table->dims[0],
        .columns = table->dims[1],
        .first = tri_desc_int(desc, "first", 0),
        .dtype = table->dtype,
        .panels = panels};
    if (scales) {
        e->n_groups = scales->n_dims == 2 ? scales->dims[1] : 1;
        e->scale_step = scales->n_dims == 1 && scales->dims[0] == 1 ? 0 : e->n_groups;
    }
    *state = e;
    return 0;
}

static int32_t create_row(const tri_plugin_desc *desc, void **state) {
    return create(desc, false, state);
}
static int32_t create_panel(const tri_plugin_desc *desc, void **state) {
    return create(desc, true, state);
}

static void read_row(const embedding *e, const tri_plugin_tensor *table, int64_t row, float *y) {
    if (e->panels) {
        tri_panel16_read_row(e->dtype, e->columns, table->data, row, 0, e->columns, y);
        return;
    }
    const uint8_t *bytes = (const uint8_t *)table->data + row * table->row_stride_bytes;
    tri_codec_decode((tri_dtype)e->dtype, bytes, y, e->columns);
}

static void embedding_launch(void *state, const tri_plugin_launch *launch) {
    const embedding *e = state;
    const int32_t *tokens = launch->inputs[TOKENS].data;
    int64_t first, last;
    tri_launch_share(launch, launch->step->extents.n_tokens, &first, &last);
    for (int64_t t = first; t < last; t++) {
        float *y = tri_row_f32(&launch->outputs[0], t);
        int64_t row = (int64_t)tokens[t] - e->first;
        if (tokens[t] < 0 || row < 0 || row >= e->rows) {
            memset(y, 0, (size_t)e->columns * sizeof *y);
            continue;
        }
        read_row(e, &launch->inputs[TABLE], row, y);
        if (!e->n_groups) continue;
        const float *scales = (const float *)launch->inputs[SCALES].data + row * e->scale_step;
        int64_t group = e->columns / e->n_groups;
        for (int64_t c = 0; c < e->columns; c++)
            y[c] *= scales[c / group];
    }
}

static const tri_plugin_kernel panel16 = {
    TRI_CPU_KERNEL("embedding", "embedding_panel16", "", "f32"),
    .supports = supports_panel,
    .layout = panel_layout,
    .cost = cost,
    .create = create_panel,
    .destroy = free,
    .launch = embedding_launch,
};

static const tri_plugin_kernel row = {
    TRI_CPU_KERNEL("embedding", "embedding_row", "", "f32"),
    .supports = supports_row,
    .cost = cost,
    .create = create_row,
    .destroy = free,
    .launch = embedding_launch,
};

const tri_plugin_kernel *const tri_embedding_kernels[] = {&row, &panel16, NULL};
