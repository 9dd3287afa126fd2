/* own_model.c - a model of one's own: defined with graph.h, built, run, and checked.
 *
 *   cc own_model.c -o own_model $(pkg-config --cflags --libs trireme) -lm
 *   ./own_model ENGINE_DIR
 *
 * Two layers, of no known family: learned positions instead of rotation, attention and MLP side by
 * side on one norm, squared ReLU (arXiv:2109.08668) as the activation, full attention in the first
 * layer and a window of 5 tokens in the second, logits capped.  The weights come from a hash of
 * their index.  Below the definition stands the same model as plain loops, without a cache: what
 * the engine generates is held to it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <trireme/engine.h>
#include <trireme/executor.h>
#include <trireme/graph.h>

enum { V = 101, P = 64, C = 64, H = 4, G = 2, D = 16, F = 96, N_LAYERS = 2, N_WEIGHTS = 19 };
static const int window[N_LAYERS] = {0, 5}; /* 0: all */
static const double eps = 1e-5, cap = 15.0;

/* ---- weights ---- */

typedef struct model { /* every matrix [out, in] */
    float tokens[V * C], positions[P * C], norm[C];
    struct {
        float norm[C], q[H * D * C], k[G * D * C], v[G * D * C], dense[C * H * D];
        float fc[F * C], proj[C * F], fc_bias[F];
    } layers[N_LAYERS];
} model;

typedef struct weight {
    char name[40];
    float *data;
    int64_t dims[2];
    int32_t n_dims;
    float mean, spread; /* uniform in mean +- spread */
} weight;

static weight matrix(float *data, int64_t rows, int64_t columns, float gain) {
    /* Uniform in +-sqrt(3 / columns): sums over a row of inputs of variance 1 keep that variance.
     */
    float spread = gain * sqrtf(3.0F / (float)columns);
    return (weight){.data = data, .dims = {rows, columns}, .n_dims = 2, .spread = spread};
}

static weight vector(float *data, int64_t n, float mean, float spread) {
    return (weight){.data = data, .dims = {n}, .n_dims = 1, .mean = mean, .spread = spread};
}

static void layer_weights(model *m, int i, weight *w) {
    const char *names[] = {"norm.weight", "q.weight", "k.weight", "v.weight", "dense.weight",
        "fc.weight", "fc.bias", "proj.weight"};
    w[0] = vector(m->layers[i].norm, C, 1.0F, 0.5F);
    w[1] = matrix(m->layers[i].q, H * D, C, 2.0F);
    w[2] = matrix(m->layers[i].k, G * D, C, 2.0F);
    w[3] = matrix(m->layers[i].v, G * D, C, 1.0F);
    w[4] = matrix(m->layers[i].dense, C, H * D, 2.0F);
    w[5] = matrix(m->layers[i].fc, F, C, 1.0F);
    w[6] = vector(m->layers[i].fc_bias, F, 0.0F, 0.5F);
    w[7] = matrix(m->layers[i].proj, C, F, 2.0F);
    for (int k = 0; k < 8; k++)
        snprintf(w[k].name, sizeof w[k].name, "layers.%d.%s", i, names[k]);
}

static void all_weights(model *m, weight w[N_WEIGHTS]) {
    w[0] = matrix(m->tokens, V, C, 5.0F);
    w[1] = matrix(m->positions, P, C, 5.0F);
    w[2] = vector(m->norm, C, 1.0F, 0.5F);
    const char *names[] = {"tokens.weight", "positions.weight", "norm.weight"};
    for (int i = 0; i < 3; i++)
        snprintf(w[i].name, sizeof w[i].name, "%s", names[i]);
    for (int i = 0; i < N_LAYERS; i++)
        layer_weights(m, i, w + 3 + 8 * i);
}

/* splitmix64's finaliser, as a number in [-1, 1). */
static float hashed(uint64_t x) {
    x *= 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return (float)((double)((x ^ (x >> 31)) >> 11) * 0x1p-52 - 1.0);
}

static int64_t n_elements(const weight *w) {
    return w->dims[0] * (w->n_dims == 2 ? w->dims[1] : 1);
}

static void fill_weights(const weight w[N_WEIGHTS]) {
    uint64_t next = 1;
    for (int i = 0; i < N_WEIGHTS; i++) {
        for (int64_t k = 0; k < n_elements(&w[i]); k++)
            w[i].data[k] = w[i].mean + w[i].spread * hashed(next++);
    }
}

/* What tri_build_graph calls for each weight that the graph uses. */
static tri_status read_weight(
    void *user, const char *name, void *out, int64_t n_bytes, tri_error *err) {
    const weight *w = user;
    for (int i = 0; i < N_WEIGHTS; i++) {
        if (strcmp(w[i].name, name) != 0) continue;
        if (n_bytes != n_elements(&w[i]) * (int64_t)sizeof(float)) break;
        memcpy(out, w[i].data, (size_t)n_bytes);
        return TRI_OK;
    }
    snprintf(
        err->message, sizeof err->message, "no weight %s of %lld bytes", name, (long long)n_bytes);
    return err->status = TRI_E_NOT_FOUND;
}

/* ---- the model, as a graph ---- */

static tri_value *layer(tri_graph *g, int i, tri_value *x) {
    tri_scope_push(g, "layers.%d", i);
    tri_value *h = tri_rms_norm(g, x, tri_weight(g, "norm.weight"), eps);
    tri_value *a = tri_attention(g, tri_linear(g, h, "q"), tri_linear(g, h, "k"),
        tri_linear(g, h, "v"),
        &(tri_attention_desc){.n_heads = H, .n_kv_heads = G, .head_size = D, .window = window[i]});
    tri_value *f = tri_activation(g, tri_linear(g, h, "fc"), TRI_RELU);
    x = tri_add(g, x, tri_linear(g, a, "dense"));
    x = tri_add(g, x, tri_linear(g, tri_mul(g, f, f), "proj"));
    tri_scope_pop(g);
    return x;
}

static tri_status define(tri_graph **graph, const weight w[N_WEIGHTS], tri_error *err) {
    tri_status rc = tri_graph_create(graph, "OwnModel", err);
    if (rc) return rc;
    tri_graph *g = *graph;
    for (int i = 0; i < N_WEIGHTS; i++)
        tri_graph_declare_weight(g, w[i].name, TRI_F32, w[i].dims, w[i].n_dims);

    tri_value *table = tri_weight(g, "tokens.weight");
    tri_value *x = tri_add(g, tri_embedding(g, tri_input_tokens(g), table),
        tri_embedding(g, tri_input_positions(g), tri_weight(g, "positions.weight")));
    for (int i = 0; i < N_LAYERS; i++)
        x = layer(g, i, x);
    x = tri_select_rows(g, x, tri_input_rows(g));
    x = tri_rms_norm(g, x, tri_weight(g, "norm.weight"), eps);
    tri_output_logits(g, tri_softcap(g, tri_matmul(g, x, table), cap));
    return tri_graph_finish(g, err); /* reports the first mistake made above */
}

/* ---- the same model, as loops ---- */

static void multiply(float *y, const float *w, const float *x, int out, int in) {
    for (int o = 0; o < out; o++) {
        double sum = 0;
        for (int i = 0; i < in; i++)
            sum += (double)w[o * in + i] * (double)x[i];
        y[o] = (float)sum;
    }
}

static void normalise(float *y, const float *x, const float *w) {
    double squares = 0;
    for (int c = 0; c < C; c++)
        squares += (double)x[c] * (double)x[c];
    double scale = 1 / sqrt(squares / C + eps);
    for (int c = 0; c < C; c++)
        y[c] = (float)((double)x[c] * scale * (double)w[c]);
}

/* The last position of n attends, one query head: y [D]. */
static void attend(
    float *y, const float *q, float k[][G * D], float v[][G * D], int group, int first, int n) {
    double weights[P], total = 0, best = -INFINITY, sum[D] = {0};
    for (int t = first; t < n; t++) {
        weights[t] = 0;
        for (int d = 0; d < D; d++)
            weights[t] += (double)q[d] * (double)k[t][group * D + d] / sqrt(D);
        best = fmax(best, weights[t]);
    }
    for (int t = first; t < n; t++) {
        weights[t] = exp(weights[t] - best);
        total += weights[t];
        for (int d = 0; d < D; d++)
            sum[d] += weights[t] * (double)v[t][group * D + d];
    }
    for (int d = 0; d < D; d++)
        y[d] = (float)(sum[d] / total);
}

static void layer_loops(const model *m, int i, float x[][C], int n) {
    static float k[P][G * D], v[P][G * D];
    for (int t = 0; t < n; t++) {
        float h[C], q[H * D], a[H * D], f[F], y[C];
        int first = window[i] && t + 1 > window[i] ? t + 1 - window[i] : 0;
        normalise(h, x[t], m->layers[i].norm);
        multiply(q, m->layers[i].q, h, H * D, C);
        multiply(k[t], m->layers[i].k, h, G * D, C);
        multiply(v[t], m->layers[i].v, h, G * D, C);
        for (int head = 0; head < H; head++)
            attend(a + head * D, q + head * D, k, v, head / (H / G), first, t + 1);
        multiply(y, m->layers[i].dense, a, C, H * D);
        multiply(f, m->layers[i].fc, h, F, C);
        for (int c = 0; c < C; c++)
            x[t][c] += y[c];
        for (int c = 0; c < F; c++) {
            float positive = fmaxf(f[c] + m->layers[i].fc_bias[c], 0.0F);
            f[c] = positive * positive;
        }
        multiply(y, m->layers[i].proj, f, C, F);
        for (int c = 0; c < C; c++)
            x[t][c] += y[c];
    }
}

/* Logits [V] after n tokens. */
static void forward(const model *m, const int32_t *tokens, int n, float *logits) {
    static float x[P][C];
    float h[C];
    for (int t = 0; t < n; t++) {
        for (int c = 0; c < C; c++)
            x[t][c] = m->tokens[tokens[t] * C + c] + m->positions[t * C + c];
    }
    for (int i = 0; i < N_LAYERS; i++)
        layer_loops(m, i, x, n);
    normalise(h, x[n - 1], m->norm);
    multiply(logits, m->tokens, h, V, C);
    for (int i = 0; i < V; i++)
        logits[i] = (float)(cap * tanh((double)logits[i] / cap));
}

/* ---- running, and holding one to the other ---- */

enum { N_PROMPTS = 2, N_GENERATED = 24 };

/* The engine sums in float32, in another order than the loops: over three sums of at most 96 terms
 * deep, on values of size 10, that is some 1e-5. */
static const float tolerance = 2e-4F;

static int check(const model *m, const int32_t *prompt, int n_prompt, const tri_response *r) {
    int32_t tokens[P];
    float expected[V], worst = 0;
    int n_wrong = 0;
    memcpy(tokens, prompt, (size_t)n_prompt * sizeof *tokens);
    for (int i = 0; i < r->n_output_token_ids; i++) {
        int best = 0, token = r->output_token_ids[i];
        forward(m, tokens, n_prompt + i, expected);
        for (int v = 0; v < V; v++) {
            worst = fmaxf(worst, fabsf(expected[v] - r->generation_logits[i * V + v]));
            if (expected[v] > expected[best]) best = v;
        }
        if (expected[token] < expected[best] - tolerance) n_wrong++;
        tokens[n_prompt + i] = token;
        printf("%d ", token);
    }
    printf("\n  largest error of a logit %.1e, %d of %d tokens are not the loops'\n", (double)worst,
        n_wrong, r->n_output_token_ids);
    return n_wrong == 0 && worst <= tolerance && r->n_output_token_ids == N_GENERATED;
}

static tri_status run(tri_executor *executor, const model *m, int *n_good, tri_error *err) {
    static const int32_t prompts[N_PROMPTS][12] = {
        {7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9}, {99, 0, 42}};
    static const int lengths[N_PROMPTS] = {12, 3};
    uint64_t ids[N_PROMPTS];
    tri_status rc = TRI_OK;
    for (int i = 0; i < N_PROMPTS && !rc; i++) { /* both run together */
        tri_request request = {.struct_size = sizeof request,
            .input_token_ids = prompts[i],
            .n_input_token_ids = lengths[i],
            .max_tokens = N_GENERATED,
            .output_config = {.return_generation_logits = true},
            .end_id = -1};
        rc = tri_executor_enqueue(executor, &request, &ids[i], err);
    }
    for (int i = 0; i < N_PROMPTS && !rc; i++) {
        tri_response *response;
        rc = tri_executor_await(executor, ids[i], -1, &response, err);
        if (rc) break;
        if (response->error_msg[0]) fprintf(stderr, "own_model: %s\n", response->error_msg);
        *n_good += check(m, prompts[i], lengths[i], response);
        tri_response_free(response);
    }
    return rc;
}

int main(int argc, char **argv) {
    static model m;
    const char *dir = argc > 1 ? argv[1] : "own_model.engine";
    weight weights[N_WEIGHTS];
    tri_graph *graph = NULL;
    tri_engine *engine = NULL;
    tri_executor *executor = NULL;
    tri_error err = {0};
    int n_good = 0;

    all_weights(&m, weights);
    fill_weights(weights);
    tri_build_options build = {
        .struct_size = sizeof build, .output_dir = dir, .max_batch_size = 2, .max_seq_len = P};
    tri_engine_options open = {.struct_size = sizeof open};
    tri_executor_config config = {.struct_size = sizeof config};
    tri_status rc = define(&graph, weights, &err);
    if (!rc) rc = tri_build_graph(graph, read_weight, weights, &build, &err);
    if (!rc) rc = tri_engine_open(&engine, dir, &open, &err);
    if (!rc) rc = tri_executor_create(&executor, engine, &config, &err);
    if (!rc) rc = run(executor, &m, &n_good, &err);
    if (rc) fprintf(stderr, "own_model: %s\n", err.message);

    tri_executor_destroy(executor);
    tri_engine_close(engine);
    tri_graph_destroy(graph);
    return rc || n_good != N_PROMPTS;
}
