/* swish_limit.c - a plugin: y = z * sigmoid(alpha * z) with z = min(x, limit).
 *
 * A SiLU whose input is limited from above and whose slope at zero is alpha / 4, as in gpt-oss
 * (alpha 1.702, limit 7).  At build it stands in for every activation of kind silu; alpha and limit
 * are fields, stored in the engine with each use.
 *
 * Shapes   x, y float32, any row stride, columns dense
 * Share    whole rows, as even as they come
 * Bound    memory: 8 bytes an element */
#include <trireme/plugin.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SWISH_ALPHA
#    define SWISH_ALPHA 1.0
#endif
#ifndef SWISH_LIMIT
#    define SWISH_LIMIT 7.0
#endif

/* ---- the op ---- */

static const tri_plugin_field op_fields[] = {
    {.name = "alpha", .kind = 1, .f = SWISH_ALPHA},
    {.name = "limit", .kind = 1, .f = SWISH_LIMIT},
};
enum { N_FIELDS = sizeof op_fields / sizeof *op_fields };

static const tri_plugin_field *find(
    const tri_plugin_field *fields, int32_t n_fields, const char *name) {
    for (int32_t i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    }
    return NULL;
}

/* An engine's fields may have been tampered with: the host checks their kinds, we their values. */
static int32_t infer(const tri_plugin_type *inputs, int32_t n_inputs,
    const tri_plugin_field *fields, int32_t n_fields, tri_plugin_type *outputs) {
    const tri_plugin_field *limit = find(fields, n_fields, "limit");
    if (n_inputs != 1 || inputs[0].dtype != TRI_F32 || inputs[0].n_dims != 2) return 1;
    if (!limit || !(limit->f > 0)) return 1;
    outputs[0] = inputs[0];
    outputs[0].layout = "row";
    outputs[0].constant = false;
    return 0;
}

static int32_t match(const tri_plugin_type *inputs, int32_t n_inputs,
    const tri_plugin_field *op_fields_of, int32_t n_op_fields, tri_plugin_field *fields) {
    const tri_plugin_field *kind = find(op_fields_of, n_op_fields, "kind");
    (void)inputs;
    (void)n_inputs;
    (void)fields; /* they come with our defaults, which is what we want */
    return kind && kind->kind == 2 && strcmp(kind->s, "silu") == 0;
}

static int32_t reference(const tri_plugin_reference *run) {
    double alpha = find(run->fields, run->n_fields, "alpha")->f;
    double limit = find(run->fields, run->n_fields, "limit")->f;
    int64_t n = run->input_rows[0] * run->input_columns[0];
    for (int64_t i = 0; i < n; i++) {
        double x = (double)run->inputs[0][i], z = x > limit ? limit : x;
        run->outputs[0][i] = (float)(z / (1 + exp(-alpha * z)));
    }
    return 0;
}

static const tri_plugin_op op = {
    .struct_size = sizeof op,
    .name = "swish_limit",
    .version = 1,
    .n_inputs = 1,
    .n_outputs = 1,
    .fields = op_fields,
    .n_fields = N_FIELDS,
    .infer = infer,
    .shard = TRI_SHARD_COLUMNS, /* element by element: any slice of columns is a whole problem */
    .reference = reference,
    .replaces = "activation",
    .match = match,
};

/* ---- its kernel on the CPU ---- */

typedef struct launch_state {
    int64_t first_dim, columns;
    float alpha, limit;
} launch_state;

static int64_t rows_of(int64_t dim, const tri_plugin_extents *extents) {
    switch (dim) {
    case TRI_DIM_T:
        return extents->n_tokens;
    case TRI_DIM_S:
        return extents->n_sequences;
    case TRI_DIM_R:
        return extents->n_rows;
    default:
        return dim;
    }
}

static int32_t supports(const tri_plugin_desc *desc, char *reason, size_t reason_bytes) {
    if (desc->inputs[0].dtype == TRI_F32 && desc->outputs[0].dtype == TRI_F32) return 0;
    snprintf(reason, reason_bytes, "computes float32 only");
    return 1;
}

static void cost(
    const tri_plugin_desc *desc, const tri_plugin_extents *extents, tri_plugin_cost *c) {
    double elements =
        (double)rows_of(desc->inputs[0].dims[0], extents) * (double)desc->inputs[0].dims[1];
    c->bytes = 8 * elements;
    c->flops = 20 * elements; /* exp counted as about 16 */
}

static int32_t create(const tri_plugin_desc *desc, void **state) {
    launch_state *s = malloc(sizeof *s);
    if (!s) return 1;
    s->first_dim = desc->inputs[0].dims[0];
    s->columns = desc->inputs[0].dims[1];
    s->alpha = (float)find(desc->fields, desc->n_fields, "alpha")->f;
    s->limit = (float)find(desc->fields, desc->n_fields, "limit")->f;
    *state = s;
    return 0;
}

static void destroy(void *state) {
    free(state);
}

static void launch(void *state, const tri_plugin_launch *l) {
    const launch_state *s = state;
    int64_t rows = rows_of(s->first_dim, &l->step->extents);
    int64_t first = rows * l->thread / l->n_threads, end = rows * (l->thread + 1) / l->n_threads;
    for (int64_t r = first; r < end; r++) {
        const float *x =
            (const void *)((char *)l->inputs[0].data + r * l->inputs[0].row_stride_bytes);
        float *y = (void *)((char *)l->outputs[0].data + r * l->outputs[0].row_stride_bytes);
        for (int64_t c = 0; c < s->columns; c++) {
            float z = x[c] > s->limit ? s->limit : x[c];
            y[c] = z / (1 + expf(-s->alpha * z));
        }
    }
}

static const tri_plugin_kernel kernel = {
    .struct_size = sizeof kernel,
    .op = "swish_limit",
    .name = "swish_limit_cpu",
    .device = "cpu",
    .numerics = "f32", /* an element depends on itself alone: no order of sums to speak of */
    .isa = "",
    .supports = supports,
    .cost = cost,
    .create = create,
    .destroy = destroy,
    .launch = launch,
};

/* ---- what the host looks for ---- */

TRI_PLUGIN_EXPORT extern const int32_t tri_plugin_abi;
const int32_t tri_plugin_abi = TRI_PLUGIN_ABI;

TRI_PLUGIN_EXPORT int32_t tri_plugin_init(const tri_plugin_host *host);
int32_t tri_plugin_init(const tri_plugin_host *host) {
    if (host->abi != TRI_PLUGIN_ABI) {
        host->fail(host->registry, "swish_limit was written for another plugin ABI");
        return 1;
    }
    if (host->register_op(host->registry, &op)) return 1;
    return host->register_kernel(host->registry, &kernel);
}
