/* rope_kv_write.cu - rope of q and k, k and v to their places in a paged cache; any tokens a sequence.
 *
 * Shapes   qkv [T, (H + 2 G) D] bf16, q is turned in place; positions, slots [T]: the position, and
 *          the row of the block table of the token's sequence; cache as in plugin.h, bf16
 * Math     pairs (i, i + P_HALF), angle = position * frequency in float32, sines accurate to 2 ulp;
 *          one rounding to bf16
 * Grid     (T, H + 2 G), block P_D / 2: a pair a thread
 * Defines  P_HEADS = H, P_KV_HEADS = G, P_D = D, P_HALF = rotated pairs, P_BLOCK tokens a cache block
 *                                                              from kernels/cuda/rope.c
 * Needs    D even, D / 2 <= 1024, P_HALF <= D / 2
 * Bound    memory, 4 T (H + 2 G) D bytes */
#include "ptx.cuh"

#define ROW ((P_HEADS + 2 * P_KV_HEADS) * P_D)

typedef struct rope_arguments {
    u16 *qkv;
    const int *positions, *cache_positions, *slots;
    const float *frequencies;
    u8 *cache;
    i64 block_stride, v_offset; /* bytes */
    const int *block_tables;
    int max_blocks;
    float magnitude;
} rope_arguments;

DEVICE u8 *place_of(const rope_arguments *a, int token, int head) {
    int position = a->cache_positions[token];
    i64 block = a->block_tables[(i64)a->slots[token] * a->max_blocks + position / P_BLOCK];
    if (block < 0) return 0;
    return a->cache + block * a->block_stride +
           (i64)(head * P_BLOCK + position % P_BLOCK) * (P_D * 2);
}

extern "C" __global__ void rope_kv_write(const __grid_constant__ rope_arguments a) {
    grid_launch_dependents();
    grid_wait();
    int token = blockIdx.x, head = blockIdx.y, i = threadIdx.x;
    u16 *row = a.qkv + (i64)token * ROW + head * P_D;
    bool is_v = head >= P_HEADS + P_KV_HEADS, turned = !is_v && i < P_HALF;
    int low = is_v || i >= P_HALF ? 2 * i : i, high = turned ? i + P_HALF : low + 1;
    u16 x = row[low], y = row[high];
    if (turned) {
        float sine, cosine, fx = bf16_low(x), fy = bf16_low(y);
        sincosf((float)a.positions[token] * a.frequencies[i], &sine, &cosine);
        sine *= a.magnitude;
        cosine *= a.magnitude;
        u32 both = pack_bf16(fx * cosine - fy * sine, fy * cosine + fx * sine);
        x = (u16)both;
        y = (u16)(both >> 16);
    }
    u16 *to = row;
    if (head >= P_HEADS) {
        u8 *place = place_of(&a, token, (head - P_HEADS) % P_KV_HEADS);
        if (!place) return;
        to = (u16 *)(place + (is_v ? a.v_offset : 0));
    }
    to[low] = x;
    to[high] = y;
}
