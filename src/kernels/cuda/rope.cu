/* rope.cu - heads of q and k normalised and turned by their positions; k and v into a paged cache.
 *
 * Shapes   q [T, H * D] to y, k, v [T, G * D], row strides in bytes; cache as in plugin.h; lengths and
 *          block tables of the step.  Without q, or without a cache, the rest
 * Math     norm: squares in float32, a lane's in order, P_LANES by halving.  Angles: position * frequency
 *          reduced to [-pi/4, pi/4] in double, then polynomials good to 2 ulp; products and sums in
 *          float32, one rounding at the store
 * Grid     (T, any number): groups of P_LANES share a token's heads, a head at a time, k and v first;
 *          a lane keeps its pairs, and their sines, from head to head
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_D = D, P_PAIRS rotated, P_INTERLEAVED, P_UNIT pairs or columns
 *          at a time, P_LANES a head, P_Q, P_K, P_V, P_Y, P_CACHE types of elements, P_Q_NORM, P_K_NORM (-1: none),
 *          P_BLOCK tokens a cache block, P_WARPS                    from kernels/cuda/rope.c
 * Needs    P_UNIT divides P_PAIRS and D; y may be q.  The step's arrays and all constants are read
 *          before the wait: no kernel writes them.  Tokens whose place is not mapped are not written
 * Bound    memory: q, k, v, y and the cache's part once each */
#include "elements.cuh"

#define WARP 32
#define GROUPS_A_WARP (WARP / P_LANES)
#define GROUPS (P_WARPS * GROUPS_A_WARP)
#define TURNED (P_PAIRS / P_UNIT)              /* units of pairs */
#define KEPT ((P_D - 2 * P_PAIRS) / P_UNIT)    /* of columns behind them */
#define TURNED_A_LANE ((TURNED + P_LANES - 1) / P_LANES)
#define KEPT_A_LANE ((KEPT + P_LANES - 1) / P_LANES)
#define VALUES (2 * TURNED_A_LANE + KEPT_A_LANE) /* units a lane holds of a head */

#define ELEM_BYTES (P_CACHE == ELEMENT_F32 ? 4 : 2)
#define HAS_CACHE (P_KV_HEADS > 0)

static_assert(P_PAIRS % P_UNIT == 0 && P_D % P_UNIT == 0, "whole units");
static_assert(P_UNIT == 1 || P_UNIT == 2 || P_UNIT == 4, "what a load can take");
static_assert(WARP % P_LANES == 0, "whole groups in a warp");

typedef struct rope_arguments {
    const u8 *q, *k, *v;
    u8 *y;
    i64 q_stride, k_stride, v_stride, y_stride; /* bytes */
    const u8 *q_norm, *k_norm;
    const float *frequencies;
    const int *positions, *cu_seqlens, *context_lens, *block_tables;
    u8 *cache;
    i64 block_stride, v_offset; /* bytes */
    int max_blocks, n_blocks, n_sequences;
    float magnitude, eps;
} rope_arguments;

typedef float unit[P_UNIT];

/* ---- where a token belongs ---- */

/* The sequence that holds the token: the last one to begin at or before it, for those without tokens
 * begin where the next one does.  Each round tells 32 stretches of sequences apart.  Whole warps. */
DEVICE int sequence_of(const rope_arguments *a, int token) {
    int first = 0, n = a->n_sequences;
    while (n > 1) {
        int step = (n + WARP - 1) / WARP, at = threadIdx.x % WARP * step;
        u32 begun = __ballot_sync(0xffffffffu, at < n && a->cu_seqlens[first + at] <= token);
        int passed = (31 - __clz(begun)) * step; /* lane 0's always: tokens are in a sequence */
        first += passed;
        n = n - passed < step ? n - passed : step;
    }
    return first;
}

/* The token's K of head 0; NULL where nothing is mapped. */
DEVICE u8 *place_of(const rope_arguments *a, int token) {
    int s = sequence_of(a, token);
    int position = a->context_lens[s] - (a->cu_seqlens[s + 1] - token);
    int entry = position / P_BLOCK;
    if (entry < 0 || entry >= a->max_blocks) return 0;
    i64 block = a->block_tables[(i64)s * a->max_blocks + entry];
    if (block < 0 || block >= a->n_blocks) return 0;
    return a->cache + block * a->block_stride + position % P_BLOCK * (P_D * ELEM_BYTES);
}

/* ---- angles ---- */

/* cos and sin of position * frequency, times the magnitude.  pi/2 in two parts leaves the rest right
 * to 1e-10 for angles up to 1e8.  Polynomials: Cephes, sinf and cosf. */
DEVICE void rotation(int position, float frequency, float magnitude, float *c, float *s) {
    const double two_over_pi = 0.63661977236758134308;
    const double half_pi_high = 1.57079632673412561417, half_pi_low = 6.07710050650619224932e-11;
    double x = (double)position * (double)frequency, k = rint(x * two_over_pi);
    float r = (float)(x - k * half_pi_high - k * half_pi_low), z = r * r;
    int quadrant = (int)k;
    float sine = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
    float cosine = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) *
                       z * z -
                   0.5f * z + 1.0f;
    float sin_x = quadrant & 1 ? cosine : sine, cos_x = quadrant & 1 ? sine : cosine;
    *s = magnitude * (quadrant & 2 ? -sin_x : sin_x);
    *c = magnitude * ((quadrant + 1) & 2 ? -cos_x : cos_x);
}

/* ---- heads ---- */

/* Column where lane's j-th unit begins: of pairs, both halves; of columns behind them.  Interleaved,
 * P_UNIT pairs are 2 * P_UNIT columns side by side. */
DEVICE int column_of(int j, int lane) {
    int half = j < TURNED_A_LANE ? 0 : 1, i = j - half * TURNED_A_LANE;
    if (j < 2 * TURNED_A_LANE) {
        int u = i * P_LANES + lane;
        if (u >= TURNED) return -1;
        return P_INTERLEAVED ? (2 * u + half) * P_UNIT : u * P_UNIT + half * P_PAIRS;
    }
    int u = (j - 2 * TURNED_A_LANE) * P_LANES + lane;
    return u < KEPT ? 2 * P_PAIRS + u * P_UNIT : -1;
}

DEVICE void load_head(unit v[VALUES], const u8 *row, int head, int type, int lane) {
#pragma unroll
    for (int j = 0; j < VALUES; j++) {
        int column = column_of(j, lane);
        if (column >= 0) load_elements(v[j], row, head * P_D + column, type, P_UNIT);
    }
}

DEVICE void store_head(u8 *row, int head, const unit v[VALUES], int type, int lane) {
#pragma unroll
    for (int j = 0; j < VALUES; j++) {
        int column = column_of(j, lane);
        if (column >= 0) store_elements(row, head * P_D + column, v[j], type, P_UNIT);
    }
}

/* Over the lanes of a head; other groups of the warp may be elsewhere. */
DEVICE float group_sum(float v) {
    u32 first = threadIdx.x % WARP / P_LANES * P_LANES;
    u32 lanes = P_LANES == WARP ? 0xffffffffu : (1u << P_LANES) - 1 << first;
    for (int step = P_LANES / 2; step > 0; step >>= 1)
        v += __shfl_xor_sync(lanes, v, step);
    return v;
}

DEVICE void normalise(unit v[VALUES], const u8 *w, int type, float eps, int lane) {
    float sum = 0.0f;
#pragma unroll
    for (int j = 0; j < VALUES; j++) {
        if (column_of(j, lane) < 0) continue;
        for (int e = 0; e < P_UNIT; e++)
            sum += v[j][e] * v[j][e];
    }
    float scale = rsqrtf(group_sum(sum) / P_D + eps);
#pragma unroll
    for (int j = 0; j < VALUES; j++) {
        unit weight;
        int column = column_of(j, lane);
        if (column < 0) continue;
        load_elements(weight, w, column, type, P_UNIT);
        for (int e = 0; e < P_UNIT; e++)
            v[j][e] *= scale * weight[e];
    }
}

/* Pair e of a unit: (low[e], high[e]); interleaved, neighbours among the 2 * P_UNIT columns side by
 * side. */
DEVICE void turn(unit v[VALUES], const unit c[], const unit s[]) {
#pragma unroll
    for (int i = 0; i < TURNED_A_LANE; i++) {
        float *low = v[i], *high = v[TURNED_A_LANE + i];
#pragma unroll
        for (int e = 0; e < P_UNIT; e++) {
            bool side_by_side = P_INTERLEAVED && P_UNIT > 1;
            float *half = 2 * e < P_UNIT ? &low[2 * e] : &high[2 * e - P_UNIT];
            float *x = side_by_side ? half : &low[e], *y = side_by_side ? half + 1 : &high[e];
            float a = *x, b = *y;
            *x = a * c[i][e] - b * s[i][e];
            *y = b * c[i][e] + a * s[i][e];
        }
    }
}

/* Heads of a token in the order of their numbers: k, v, q. */
typedef struct token {
    const u8 *k, *v, *q;
    u8 *y, *place;
} token;

DEVICE void load_numbered(unit v[VALUES], const token *t, int n, int lane) {
    if (n < P_KV_HEADS)
        load_head(v, t->k, n, P_K, lane);
    else if (n < 2 * P_KV_HEADS)
        load_head(v, t->v, n - P_KV_HEADS, P_V, lane);
    else if (n < 2 * P_KV_HEADS + P_HEADS)
        load_head(v, t->q, n - 2 * P_KV_HEADS, P_Q, lane);
}

DEVICE void finish_numbered(const rope_arguments *a, const token *t, unit v[VALUES], const unit c[],
    const unit s[], int n, int lane) {
    bool is_v = n >= P_KV_HEADS && n < 2 * P_KV_HEADS;
    if (n < P_KV_HEADS && P_K_NORM >= 0) normalise(v, a->k_norm, P_K_NORM, a->eps, lane);
    if (n >= 2 * P_KV_HEADS && P_Q_NORM >= 0) normalise(v, a->q_norm, P_Q_NORM, a->eps, lane);
    if (!is_v) turn(v, c, s);
    if (n >= 2 * P_KV_HEADS) {
        store_head(t->y, n - 2 * P_KV_HEADS, v, P_Y, lane);
    } else if (t->place) {
        int head = is_v ? n - P_KV_HEADS : n;
        u8 *place = t->place + (is_v ? a->v_offset : 0);
        store_head(place + (i64)head * (P_BLOCK * P_D * ELEM_BYTES), 0, v, P_CACHE, lane);
    }
}

extern "C" __global__ void __launch_bounds__(P_WARPS *WARP) rope(
    const __grid_constant__ rope_arguments a) {
    const int n_heads = 2 * P_KV_HEADS + P_HEADS, stride = gridDim.y * GROUPS;
    int lane = threadIdx.x % P_LANES, n = blockIdx.y * GROUPS + threadIdx.x / P_LANES;
    int warp_first = n - n % GROUPS_A_WARP;
    i64 row = blockIdx.x;
    unit c[TURNED_A_LANE + 1], s[TURNED_A_LANE + 1], v[VALUES], next[VALUES];
    token t = {a.k + row * a.k_stride, a.v + row * a.v_stride, a.q + row * a.q_stride,
        a.y + row * a.y_stride, 0};
    grid_launch_dependents();
    if (HAS_CACHE && warp_first < 2 * P_KV_HEADS) t.place = place_of(&a, blockIdx.x);
    int position = TURNED ? a.positions[row] : 0;
    grid_wait();
    if (n < n_heads) load_numbered(next, &t, n, lane);
#pragma unroll
    for (int i = 0; i < TURNED_A_LANE; i++) { /* while the first head is on its way */
        int u = i * P_LANES + lane;
        for (int e = 0; e < P_UNIT && u < TURNED; e++)
            rotation(position, a.frequencies[u * P_UNIT + e], a.magnitude, &c[i][e], &s[i][e]);
    }
    for (; n < n_heads; n += stride) {
#pragma unroll
        for (int j = 0; j < VALUES; j++)
            for (int e = 0; e < P_UNIT; e++)
                v[j][e] = next[j][e];
        load_numbered(next, &t, n + stride, lane); /* while this one is worked on */
        finish_numbered(&a, &t, v, c, s, n, lane);
    }
}
