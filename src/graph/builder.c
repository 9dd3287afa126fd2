/* builder.c - the calls with which models are defined.
 *
 * tri_linear      emits linear(x, weight, bias?, scales?) with activation "f32": a pass chooses
 * other modes.  Scales are name.per_channel_scale or name.weights_scaling_factor, whichever is
 * declared: [out], [out, in / group] or [1]. tri_attention   emits rms_norm of q and of k by heads
 * where norms are given, then rope of q and k with one rope_frequencies node for each distinct
 * description, the layer's cache in the group of its kind (full, or sliding with this window),
 * kv_write, attention. scale 0 becomes 1 / sqrt(head_size) here. magnitude       of rope:
 * attention_factor, or when that is 0: 1; yarn 0.1 ln(factor) + 1 (arXiv:2309.00071, section 3.4);
 * longrope sqrt(1 + ln(factor) / ln(original positions)) (arXiv:2402.13753), factor = max positions
 * / original; 1 for both when factor <= 1. Inputs, weights and rope_frequencies are made once and
 * found again. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "graph/ir.h"
#include "graph/shape.h"

enum { MAX_NAME_BYTES = 1024, MAX_PATH_BYTES = 2 * MAX_NAME_BYTES, MAX_SCOPES = 16 };

#define N_OF(array) ((int32_t)(sizeof(array) / sizeof *(array)))

/* ---- names ---- */

void tri_scope_push(tri_graph *g, const char *format, ...) {
    char text[MAX_NAME_BYTES], path[MAX_PATH_BYTES];
    va_list args;
    if (g->error.status) return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n <= 0 || (size_t)n >= sizeof text) {
        tri_graph_fail(g, TRI_E_ARGUMENT, "scope '%.32s' has %d bytes, 1 to %d can be", text, n,
            MAX_NAME_BYTES - 1);
        return;
    }
    if (text[strspn(text, TRI_NAME_CHARACTERS)] != '\0') {
        tri_graph_fail(g, TRI_E_ARGUMENT, "scope '%.64s': letters, digits and _.- only", text);
        return;
    }
    if (g->n_scopes == MAX_SCOPES) {
        tri_graph_fail(g, TRI_E_LIMIT, "scope '%.64s' is the %dth inside another, %d can be", text,
            MAX_SCOPES + 1, MAX_SCOPES);
        return;
    }
    const char *outer = g->n_scopes > 0 ? g->scopes[g->n_scopes - 1] : "";
    n = snprintf(path, sizeof path, "%s%s%s", outer, *outer ? "." : "", text);
    if ((size_t)n >= MAX_NAME_BYTES) {
        tri_graph_fail(g, TRI_E_LIMIT, "scope '%.64s...' has %d bytes, at most %d can be", path, n,
            MAX_NAME_BYTES - 1);
        return;
    }
    const char *interned = tri_graph_intern(g, path);
    if (interned) g->scopes[g->n_scopes++] = interned;
}

void tri_scope_pop(tri_graph *g) {
    if (g->error.status) return;
    if (g->n_scopes == 0)
        tri_graph_fail(g, TRI_E_ARGUMENT, "tri_scope_pop without a scope");
    else
        g->n_scopes--;
}

/* scope + "." + name + suffix, cut short when too long, which then is no declared weight. */
static void full_name(
    const tri_graph *g, const char *name, const char *suffix, char out[MAX_PATH_BYTES]) {
    const char *scope = g->n_scopes > 0 ? g->scopes[g->n_scopes - 1] : "";
    (void)snprintf(out, MAX_PATH_BYTES, "%s%s%.900s%s", scope, *scope ? "." : "", name, suffix);
}

static bool declared(const tri_graph *g, const char *name, int64_t *index) {
    return tri_map_get(&g->weight_index, tri_str_of(name), index);
}

bool tri_graph_has_weight(const tri_graph *g, const char *name) {
    char full[MAX_PATH_BYTES];
    int64_t index;
    full_name(g, name, "", full);
    return declared(g, full, &index);
}

/* ---- sources ---- */

static tri_value *find_or_create_input(tri_graph *g, const char *name) {
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_INPUT && strcmp(tri_node_string(node, "name"), name) == 0)
            return node->results[0];
    }
    return tri_node_create(g, NULL, TRI_OP_INPUT, NULL, 0, &TRI_AS("name", name), 1)->results[0];
}

tri_value *tri_input_tokens(tri_graph *g) {
    return find_or_create_input(g, "tokens");
}

tri_value *tri_input_positions(tri_graph *g) {
    return find_or_create_input(g, "positions");
}

tri_value *tri_input_rows(tri_graph *g) {
    return find_or_create_input(g, "rows");
}

tri_value *tri_input_logits(tri_graph *g, int64_t vocab_size) {
    tri_type type = tri_type_tensor(TRI_F32, 2, TRI_DIM_R, vocab_size);
    return tri_node_create_typed(
        g, NULL, TRI_OP_INPUT, NULL, 0, &TRI_AS("name", "logits"), 1, &type)
        ->results[0];
}

static tri_value *weight_by_full_name(tri_graph *g, const char *full) {
    int64_t index;
    if (declared(g, full, &index) && g->weights[index].value) return g->weights[index].value;
    tri_node *node = tri_node_create(g, NULL, TRI_OP_WEIGHT, NULL, 0, &TRI_AS("name", full), 1);
    if (!g->error.status && declared(g, full, &index)) g->weights[index].value = node->results[0];
    return node->results[0];
}

static tri_value *weight_or_null(tri_graph *g, const char *name, const char *suffix) {
    char full[MAX_PATH_BYTES];
    int64_t index;
    full_name(g, name, suffix, full);
    return declared(g, full, &index) ? weight_by_full_name(g, full) : NULL;
}

tri_value *tri_weight(tri_graph *g, const char *name) {
    char full[MAX_PATH_BYTES];
    full_name(g, name, "", full);
    return weight_by_full_name(g, full);
}

/* ---- ops ---- */

static tri_value *unary(tri_graph *g, tri_op op, tri_value *x, const tri_attr *attrs, int32_t n) {
    return tri_node_create(g, NULL, op, &x, 1, attrs, n)->results[0];
}

static tri_value *binary(tri_graph *g, tri_op op, tri_value *a, tri_value *b) {
    return tri_node_create(g, NULL, op, (tri_value *[]){a, b}, 2, NULL, 0)->results[0];
}

tri_value *tri_embedding(tri_graph *g, tri_value *tokens, tri_value *table) {
    return binary(g, TRI_OP_EMBEDDING, tokens, table);
}

tri_value *tri_linear(tri_graph *g, tri_value *x, const char *name) {
    char full[MAX_PATH_BYTES];
    full_name(g, name, ".weight", full);
    tri_value *weight = weight_by_full_name(g, full);
    tri_value *bias = weight_or_null(g, name, ".bias");
    tri_value *scales = weight_or_null(g, name, ".per_channel_scale");
    if (!scales) scales = weight_or_null(g, name, ".weights_scaling_factor");
    bool failed = g->error.status != TRI_OK;
    tri_node *node = tri_node_create(
        g, NULL, TRI_OP_LINEAR, (tri_value *[]){x, weight, bias, NULL, scales}, 5, NULL, 0);
    if (!failed && g->error.status) tri_error_context(&g->error, "'%s'", full);
    return node->results[0];
}

tri_value *tri_matmul(tri_graph *g, tri_value *x, tri_value *weight) {
    return binary(g, TRI_OP_LINEAR, x, weight);
}

tri_value *tri_rms_norm(tri_graph *g, tri_value *x, tri_value *w, double eps) {
    return tri_node_create(
        g, NULL, TRI_OP_RMS_NORM, (tri_value *[]){x, w}, 2, &TRI_AF("eps", eps), 1)
        ->results[0];
}

tri_value *tri_add(tri_graph *g, tri_value *a, tri_value *b) {
    return binary(g, TRI_OP_ADD, a, b);
}

tri_value *tri_mul(tri_graph *g, tri_value *a, tri_value *b) {
    return binary(g, TRI_OP_MUL, a, b);
}

tri_value *tri_affine(tri_graph *g, tri_value *x, double factor, double offset) {
    tri_attr attrs[] = {TRI_AF("factor", factor), TRI_AF("offset", offset)};
    return unary(g, TRI_OP_AFFINE, x, attrs, 2);
}

tri_value *tri_softcap(tri_graph *g, tri_value *x, double cap) {
    return unary(g, TRI_OP_SOFTCAP, x, &TRI_AF("cap", cap), 1);
}

tri_value *tri_activation(tri_graph *g, tri_value *x, tri_activation_kind kind) {
    static const char *const names[] = {"silu", "gelu", "gelu_tanh", "relu"};
    if ((uint32_t)kind >= sizeof names / sizeof *names) {
        tri_graph_fail(g, TRI_E_ARGUMENT, "activation: kind %d does not exist", (int)kind);
        return x;
    }
    return unary(g, TRI_OP_ACTIVATION, x, &TRI_AS("kind", names[kind]), 1);
}

tri_value *tri_columns(tri_graph *g, tri_value *x, int64_t first, int64_t n) {
    tri_attr attrs[] = {TRI_AI("first", first), TRI_AI("n", n)};
    return unary(g, TRI_OP_COLUMNS, x, attrs, 2);
}

tri_value *tri_select_rows(tri_graph *g, tri_value *x, tri_value *rows) {
    return binary(g, TRI_OP_SELECT_ROWS, x, rows);
}

/* ---- attention ---- */

static const char *const rope_names[] = {
    "default", "linear", "llama3", "yarn", "longrope", "dynamic"};

static bool same_attrs(const tri_node *node, const tri_attr *attrs, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        const tri_attr *a = tri_node_attr(node, attrs[i].name);
        const tri_attr *b = &attrs[i];
        if (a->kind == TRI_ATTR_INT && a->i != b->i) return false;
        if (a->kind == TRI_ATTR_FLOAT && (a->f < b->f || a->f > b->f)) return false;
        if (a->kind == TRI_ATTR_STRING && strcmp(a->s, b->s) != 0) return false;
        if (a->kind == TRI_ATTR_FLOATS &&
            (a->n_fs != b->n_fs ||
                (a->n_fs > 0 && memcmp(a->fs, b->fs, (size_t)a->n_fs * sizeof *a->fs) != 0)))
            return false;
    }
    return true;
}

/* Fields that the type does not use stay at the op's defaults. */
static int32_t rope_attrs(const tri_rope_desc *rope, int64_t rotary_dim, tri_attr attrs[10]) {
    int32_t n = 0;
    attrs[n++] = TRI_AS("type", rope_names[rope->type]);
    attrs[n++] = TRI_AI("rotary_dim", rotary_dim);
    attrs[n++] = TRI_AF("base", rope->base);
    bool scaled = rope->type == TRI_ROPE_LINEAR || rope->type == TRI_ROPE_LLAMA3 ||
                  rope->type == TRI_ROPE_YARN || rope->type == TRI_ROPE_DYNAMIC;
    attrs[n++] = TRI_AF("factor", scaled ? rope->factor : 1.0);
    bool llama3 = rope->type == TRI_ROPE_LLAMA3;
    attrs[n++] = TRI_AF("low_freq_factor", llama3 ? rope->low_freq_factor : 1.0);
    attrs[n++] = TRI_AF("high_freq_factor", llama3 ? rope->high_freq_factor : 4.0);
    bool yarn = rope->type == TRI_ROPE_YARN;
    attrs[n++] = TRI_AF("beta_fast", yarn && rope->beta_fast > 0.0 ? rope->beta_fast : 32.0);
    attrs[n++] = TRI_AF("beta_slow", yarn && rope->beta_slow > 0.0 ? rope->beta_slow : 1.0);
    attrs[n++] =
        TRI_AI("original_max_positions", llama3 || yarn ? rope->original_max_positions : 0);
    bool lists = rope->type == TRI_ROPE_LONGROPE && rope->frequency_factors;
    attrs[n++] = (tri_attr){.name = "frequency_factors",
        .kind = TRI_ATTR_FLOATS,
        .s = "",
        .fs = lists ? rope->frequency_factors : NULL,
        .n_fs = lists ? (int32_t)(rotary_dim / 2) : 0};
    return n;
}

static tri_value *rope_frequencies(tri_graph *g, const tri_rope_desc *rope, int64_t rotary_dim) {
    tri_attr attrs[10];
    int32_t n = rope_attrs(rope, rotary_dim, attrs);
    for (tri_node *node = g->first; node; node = node->next) {
        if (node->op == TRI_OP_ROPE_FREQUENCIES && same_attrs(node, attrs, n))
            return node->results[0];
    }
    return tri_node_create(g, NULL, TRI_OP_ROPE_FREQUENCIES, NULL, 0, attrs, n)->results[0];
}

double tri_rope_magnitude(const tri_rope_desc *rope) {
    if (rope->attention_factor > 0.0) return rope->attention_factor;
    if (rope->type == TRI_ROPE_YARN && rope->factor > 1.0) return 0.1 * log(rope->factor) + 1.0;
    if (rope->type == TRI_ROPE_LONGROPE && rope->factor > 1.0 && rope->original_max_positions > 1)
        return sqrt(1.0 + log(rope->factor) / log((double)rope->original_max_positions));
    return 1.0;
}

static tri_value *rotate(tri_graph *g, tri_value *x, tri_value *positions, tri_value *frequencies,
    const tri_attention_desc *desc) {
    tri_attr attrs[] = {TRI_AI("head_size", desc->head_size),
        TRI_AI("interleaved", desc->rope->interleaved),
        TRI_AF("magnitude", tri_rope_magnitude(desc->rope))};
    return tri_node_create(
        g, NULL, TRI_OP_ROPE, (tri_value *[]){x, positions, frequencies}, 3, attrs, N_OF(attrs))
        ->results[0];
}

static bool check_attention(tri_graph *g, const tri_attention_desc *desc) {
    if (g->error.status) return false;
    if (desc->n_heads < 1 || desc->n_kv_heads < 1 || desc->head_size < 1 || desc->window < 0 ||
        desc->n_heads % desc->n_kv_heads != 0)
        tri_graph_fail(g, TRI_E_ARGUMENT,
            "attention: n_heads=%" PRId32 " n_kv_heads=%" PRId32 " head_size=%" PRId32
            " window=%" PRId32 ": heads and size are positive, n_kv_heads divides n_heads, "
            "window is 0 or more",
            desc->n_heads, desc->n_kv_heads, desc->head_size, desc->window);
    else if (desc->rope && (uint32_t)desc->rope->type >= sizeof rope_names / sizeof *rope_names)
        tri_graph_fail(
            g, TRI_E_ARGUMENT, "attention: rope type %d does not exist", (int)desc->rope->type);
    return !g->error.status;
}

static tri_value *declare_cache(tri_graph *g, const tri_attention_desc *desc) {
    tri_group_kind kind = desc->window > 0 ? TRI_GROUP_SLIDING : TRI_GROUP_FULL;
    int32_t group = tri_group_find(g, kind, desc->window, g->tokens_per_block);
    if (group < 0) return g->broken->results[0];
    tri_attr attrs[] = {TRI_AI("group", group), TRI_AI("layer", g->groups[group].n_layers)};
    tri_type type = {.kind = TRI_TYPE_CACHE,
        .dtype = g->kv_dtype,
        .n_dims = 2,
        .dims = {desc->n_kv_heads, desc->head_size},
        .layout = "row"};
    return tri_node_create_typed(g, NULL, TRI_OP_CACHE, NULL, 0, attrs, N_OF(attrs), &type)
        ->results[0];
}

tri_value *tri_attention(
    tri_graph *g, tri_value *q, tri_value *k, tri_value *v, const tri_attention_desc *desc) {
    if (!check_attention(g, desc)) return q;
    if (desc->q_norm) q = tri_rms_norm(g, q, desc->q_norm, desc->norm_epsilon);
    if (desc->k_norm) k = tri_rms_norm(g, k, desc->k_norm, desc->norm_epsilon);
    if (desc->rope) {
        int64_t rotary_dim = desc->rope->rotary_dim > 0 ? desc->rope->rotary_dim : desc->head_size;
        tri_value *positions = tri_input_positions(g);
        tri_value *frequencies = rope_frequencies(g, desc->rope, rotary_dim);
        q = rotate(g, q, positions, frequencies, desc);
        k = rotate(g, k, positions, frequencies, desc);
    }
    tri_value *cache = declare_cache(g, desc);
    cache = tri_node_create(g, NULL, TRI_OP_KV_WRITE, (tri_value *[]){k, v, cache}, 3, NULL, 0)
                ->results[0];
    double scale = desc->scale > 0.0 ? desc->scale : 1.0 / sqrt((double)desc->head_size);
    tri_attr attrs[] = {TRI_AI("n_heads", desc->n_heads), TRI_AF("scale", scale),
        TRI_AF("softcap", desc->logit_softcap), TRI_AI("window", desc->window)};
    return tri_node_create(
        g, NULL, TRI_OP_ATTENTION, (tri_value *[]){q, cache}, 2, attrs, N_OF(attrs))
        ->results[0];
}

/* ---- plugins ---- */

tri_value *tri_plugin_op_value(tri_graph *g, const char *op, tri_value *const *inputs,
    int32_t n_inputs, const tri_field *fields, int32_t n_fields) {
    tri_attr attrs[TRI_MAX_ATTRS];
    if (n_fields < 0 || n_fields > TRI_MAX_ATTRS) {
        tri_graph_fail(g, TRI_E_LIMIT, "%s: %" PRId32 " fields, at most %d can be", op, n_fields,
            TRI_MAX_ATTRS);
        return g->broken->results[0];
    }
    for (int32_t i = 0; i < n_fields; i++) {
        attrs[i] = (tri_attr){.name = fields[i].name,
            .kind = fields[i].kind == TRI_FIELD_I64   ? TRI_ATTR_INT
                    : fields[i].kind == TRI_FIELD_F64 ? TRI_ATTR_FLOAT
                                                      : TRI_ATTR_STRING,
            .i = fields[i].i64,
            .f = fields[i].f64,
            .s = fields[i].string};
    }
    return tri_node_create_plugin(g, NULL, op, inputs, n_inputs, attrs, n_fields)->results[0];
}

/* ---- done ---- */

void tri_graph_set_output(tri_graph *g, const char *name, tri_value *value) {
    if (g->error.status) return;
    for (int32_t i = 0; i < g->n_outputs; i++) {
        if (strcmp(g->outputs[i].name, name) == 0) {
            tri_graph_fail(g, TRI_E_ARGUMENT, "output '%s' is given twice", name);
            return;
        }
    }
    if (*name == '\0' || strlen(name) > 64 || name[strspn(name, TRI_NAME_CHARACTERS)] != '\0') {
        tri_graph_fail(
            g, TRI_E_ARGUMENT, "output '%.64s': 1 to 64 letters, digits and _.- are due", name);
        return;
    }
    if (g->n_outputs == TRI_MAX_OUTPUTS || value->type.kind != TRI_TYPE_TENSOR) {
        tri_graph_fail(g, TRI_E_ARGUMENT, "output '%s' is %s; outputs are tensors, at most %d",
            name, tri_type_print(&value->type).s, TRI_MAX_OUTPUTS);
        return;
    }
    const char *interned = tri_graph_intern(g, name);
    if (interned) g->outputs[g->n_outputs++] = (tri_output){interned, value};
}

void tri_output_logits(tri_graph *g, tri_value *logits) {
    const tri_type *t = &logits->type;
    if (g->error.status) return;
    if (!tri_type_is_row(t) || t->dtype != TRI_F32 || t->n_dims != 2 || t->dims[0] != TRI_DIM_R) {
        tri_graph_fail(g, TRI_E_ARGUMENT,
            "logits are %s, f32[R, vocabulary] is due: select the rows wanted first",
            tri_type_print(t).s);
        return;
    }
    tri_graph_set_output(g, "logits", logits);
}

tri_status tri_graph_finish(tri_graph *g, tri_error *err) {
    if (!g->error.status && g->n_scopes > 0)
        tri_graph_fail(g, TRI_E_ARGUMENT, "scope '%s' is not popped", g->scopes[g->n_scopes - 1]);
    return tri_graph_verify(g, err);
}
