/* count_tokens.cu - the step's tokens added to their sequences' counts; position 0 clears first.
 *
 * Shapes   tokens [T] int32 (outside [0, V): none), counts [slots] of u16 [V]: bit 15 in the
 *          prompt, the low 15 how often in the output, at most 32767; step: the bytes of a tri_step
 * Math     integers, so the order does not matter
 * Grid     (S), block P_THREADS: a sequence a block
 * Defines  P_THREADS, P_PROMPT_LENS_AT: where the step's header has that offset; sampling.cuh's
 *                                                            from kernels/cuda/sampling.c
 * Bound    latency; 2 V bytes for each sequence that begins */
#include "sampling.cuh"

typedef struct count_arguments {
    const u8 *step;
    const int *tokens, *cu_seqlens, *context_lens;
    count_slots counts;
} count_arguments;

/* One of two counts in a word; neighbours may be counted at the same time. */
DEVICE void count(u32 *words, int token, bool in_prompt) {
    u32 *word = words + token / 2, shift = token % 2 * 16;
    if (in_prompt) {
        atomicOr(word, IN_PROMPT << shift);
        return;
    }
    for (u32 old = *word;;) {
        if ((old >> shift & MAX_COUNT) == MAX_COUNT) return;
        u32 found = atomicCAS(word, old, old + (1u << shift));
        if (found == old) return;
        old = found;
    }
}

extern "C" __global__ void __launch_bounds__(P_THREADS) count_tokens(
    const __grid_constant__ count_arguments a) {
    grid_launch_dependents();
    grid_wait();
    int sequence = blockIdx.x, first = a.cu_seqlens[sequence], last = a.cu_seqlens[sequence + 1];
    if (first == last) return;
    const u8 *slot = a.counts.base + a.counts.slots[sequence] * a.counts.stride_bytes;
    int position = a.context_lens[sequence] - (last - first);
    int n_prompt = ((const int *)(a.step + *(const u32 *)(a.step + P_PROMPT_LENS_AT)))[sequence];
    if (position == 0) {
        for (int i = threadIdx.x; i < VECTORS; i += P_THREADS)
            ((uint2 *)slot)[i] = make_uint2(0, 0);
        __syncthreads(); /* cleared before anything is counted */
    }
    for (int t = first + threadIdx.x; t < last; t += P_THREADS) {
        int token = a.tokens[t];
        if (token < 0 || token >= P_VOCAB) continue;
        count((u32 *)slot, token, position + (t - first) < n_prompt);
    }
}
