/* step_plan.cu - what all layers of a decode step share: work items of attention, angles of rope.
 *
 * Shapes   context_lens [S], positions [S]; items [n] {sequence, chunk, its context, its
 *          chunks}; first_item [S + 1], the
 *          last is n; rotations [S, P_HALF] {cos, sin}
 * Math     chunks of sequence s: ceil(context_lens[s] / P_SPLIT), in order; angle = position *
 *          frequency, float32
 * Grid     (1 + S): block 0 lists the items, block 1 + s has the angles of sequence s
 * Defines  P_SPLIT positions a chunk, P_HALF frequencies      from kernels/cuda/attention.c
 * Needs    S <= 1024 * 8
 * Bound    latency */
#include "ptx.cuh"

#define THREADS 1024

typedef struct plan_arguments {
    const int *context_lens, *positions;
    const float *frequencies;
    int4 *items;
    int *first_item;
    float2 *rotations;
    int n_sequences;
} plan_arguments;

DEVICE int chunks_of(const plan_arguments *a, int s) {
    return s < a->n_sequences ? (a->context_lens[s] + P_SPLIT - 1) / P_SPLIT : 0;
}

/* Prefix sums over blocks of THREADS sequences, warp by warp. */
DEVICE void list_items(const plan_arguments *a, int *warp_sums) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, base = 0;
    for (int s0 = 0; s0 < a->n_sequences; s0 += THREADS) {
        int s = s0 + threadIdx.x, n = chunks_of(a, s), sum = n;
        for (int step = 1; step < 32; step <<= 1) {
            int other = __shfl_up_sync(0xffffffffu, sum, step);
            if (lane >= step) sum += other;
        }
        if (lane == 31) warp_sums[warp] = sum;
        __syncthreads(); /* the sums of all warps before they are read */
        int before = base, total = 0;
        for (int w = 0; w < THREADS / 32; w++) {
            if (w < warp) before += warp_sums[w];
            total += warp_sums[w];
        }
        int first = before + sum - n;
        if (s < a->n_sequences) a->first_item[s] = first;
        for (int c = 0; c < n; c++)
            a->items[first + c] = make_int4(s, c, a->context_lens[s], n);
        base += total;
        __syncthreads(); /* read by all before the next sequences write them */
    }
    if (threadIdx.x == 0) a->first_item[a->n_sequences] = base;
}

extern "C" __global__ void __launch_bounds__(THREADS) step_plan(
    const __grid_constant__ plan_arguments a) {
    __shared__ int warp_sums[THREADS / 32];
    grid_launch_dependents();
    grid_wait();
    if (blockIdx.x == 0) {
        list_items(&a, warp_sums);
        return;
    }
    int s = blockIdx.x - 1;
    for (int i = threadIdx.x; i < P_HALF; i += THREADS) {
        float sine, cosine;
        sincosf((float)a.positions[s] * a.frequencies[i], &sine, &cosine);
        a.rotations[s * P_HALF + i] = make_float2(cosine, sine);
    }
}
