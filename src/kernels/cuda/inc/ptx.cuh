/* ptx.cuh - one instruction a function, each with the rule that makes it safe. */
#ifndef PTX_CUH
#define PTX_CUH

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define DEVICE static __device__ __forceinline__

/* ---- dependent launches; before sm_90 kernels of a stream never overlap ---- */

/* Lets the next kernel of the stream start its blocks.  Safe at any time, since that kernel reads
 * nothing of ours before its own grid_wait. */
DEVICE void grid_launch_dependents(void) {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/* Returns when all kernels before this one are complete and what they wrote can be read.  Every
 * kernel executes it, also one that needs nothing: the next kernel's wait covers only its
 * predecessor. */
DEVICE void grid_wait(void) {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* ---- clusters, from sm_90 on ---- */

/* Arrive releases, wait acquires: shared memory of all blocks too.  Each thread does the two in
 * turn.  A block's shared memory may be touched by others once a first pair is behind them all, and
 * until it arrives at a pair that they arrive at after their last access. */
DEVICE void cluster_arrive(void) {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}
DEVICE void cluster_wait(void) {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}
/* The same variable of another block of the cluster. */
DEVICE void *cluster_map(void *shared, int part) {
#if __CUDA_ARCH__ >= 900
    void *mapped;
    asm volatile("mapa.u64 %0, %1, %2;" : "=l"(mapped) : "l"(shared), "r"(part));
    return mapped;
#else
    return shared;
#endif
}

/* ---- shared memory and barriers ---- */

DEVICE u32 shared_address(const void *p) {
    return (u32)__cvta_generic_to_shared(p);
}
DEVICE void mbarrier_init(u32 barrier, u32 n_arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(n_arrivals));
}
/* After the inits, before other threads or the copy engine use the barriers. */
DEVICE void mbarrier_fence_init(void) {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
DEVICE void mbarrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/* Arrives and announces n_bytes of copies; before the copies are issued. */
DEVICE void mbarrier_expect(u32 barrier, u32 n_bytes) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
        "r"(n_bytes)
        : "memory");
}
/* Waits for the end of the phase of this parity; acquires what was copied or written before it. */
DEVICE void mbarrier_wait(u32 barrier, u32 parity) {
    u32 done = 0;
    while (!done) {
        asm volatile("{\n\t.reg .pred p;\n\t"
                     "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2;\n\t"
                     "selp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    }
}
/* Among n threads only; barrier 0 is __syncthreads.  The instruction counts whole warps, so each warp
 * must arrive as one: lanes that took a branch of their own are waited for first. */
DEVICE void barrier_sync(u32 barrier, u32 n_threads) {
    __syncwarp();
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(n_threads) : "memory");
}

/* Copy engine: n_bytes, a multiple of 16, both ends 16-byte aligned; ends in barrier's count. */
DEVICE void copy_bulk(u32 to, const void *from, u32 n_bytes, u32 barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(to),
        "l"(from), "r"(n_bytes), "r"(barrier)
        : "memory");
}
/* A box of a tensor, at (x, y, z) of its map; what lies outside the tensor arrives as zeros and
 * counts.  128-byte swizzle: `to` is 1024-byte aligned, and 16-byte piece p of line r is at p ^ r % 8. */
DEVICE void copy_box(u32 to, const void *map, int x, int y, int z, u32 barrier, u64 policy) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".L2::cache_hint [%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(to),
        "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier), "l"(policy)
        : "memory");
}
DEVICE u64 policy_evict_first(void) {
    u64 policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
DEVICE u64 policy_evict_last(void) {
    u64 policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
/* Global writes of other kernels, made by ordinary stores, before the copy engine reads them. */
DEVICE void fence_async_global(void) {
    asm volatile("fence.proxy.async.global;" ::: "memory");
}

DEVICE uint4 load_shared_16(u32 address) {
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(address)
                 : "memory");
    return v;
}

/* Four 8 by 8 matrices of 16-bit elements, rows of 16 bytes at the addresses of lanes 0-7, 8-15, 16-23
 * and 24-31; lane 4g + t gets row g, columns 2t and 2t + 1 of each. */
DEVICE void load_matrices(u32 address, u32 v[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                 : "r"(address)
                 : "memory");
}

/* ---- global memory ---- */

/* Read once, never written while the kernel runs. */
DEVICE uint4 load_global_16(const void *p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

/* The same, turned: lane 4g + t gets rows 2t and 2t + 1, column g. */
DEVICE void load_matrices_turned(u32 address, u32 v[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                 : "r"(address)
                 : "memory");
}

/* 16 bytes from global to shared memory; zeros, and nothing read, when not `there`.  This thread sees
 * them after COPY_ASYNC_WAIT, others after a barrier behind that. */
DEVICE void copy_async_16(u32 to, const void *from, bool there) {
    int n = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(n)
                 : "memory");
}
/* Ends a group of copies, which may be empty. */
DEVICE void copy_async_commit(void) {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* All groups of this thread but the last n, a literal, are complete. */
#define COPY_ASYNC_WAIT(n) asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")

/* ---- arithmetic ---- */

/* Rounded to nearest even; lo in the lower half. */
DEVICE u32 pack_bf16(float lo, float hi) {
    u32 v;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(hi), "f"(lo));
    return v;
}
DEVICE float bf16_low(u32 pair) {
    return __uint_as_float(pair << 16);
}
DEVICE float bf16_high(u32 pair) {
    return __uint_as_float(pair & 0xffff0000u);
}
/* The same in f16; past 65504: infinity. */
DEVICE u32 pack_f16(float lo, float hi) {
    u32 v;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(hi), "f"(lo));
    return v;
}
DEVICE float f16_to_float(u16 h) {
    float v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(h));
    return v;
}
DEVICE u32 mul_bf16x2(u32 a, u32 b) {
    u32 v;
#if __CUDA_ARCH__ >= 900
    asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(v) : "r"(a), "r"(b));
#else
    const u32 minus_zero = 0x80008000u;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(v) : "r"(a), "r"(b), "r"(minus_zero));
#endif
    return v;
}

/* d += a b, a [16, 16] by rows, b [16, 8] by columns, both bf16, d float32.  Lane 4g + t holds
 * a rows g and g + 8, b column g; d rows g (d0, d1) and g + 8 (d2, d3), columns 2t and 2t + 1. */
DEVICE void mma_bf16(float d[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/* The same of f16. */
DEVICE void mma_f16(float d[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/* 2 to the x, 2 ulp; 0 of minus infinity, exactly 1 of 0. */
DEVICE float exp2_quick(float x) {
    float v;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(v) : "f"(x));
    return v;
}

/* Four e4m3 bytes of w as bf16: bytes 0 and 2 in even, 1 and 3 in odd.  The seven bits below the
 * sign are put where bf16 has its exponent's low four bits and mantissa's high three, which is the
 * value times 2^-120, subnormals included; the product undoes that, exactly.  NaN becomes 480. */
DEVICE void e4m3_to_bf16(u32 w, u32 *even, u32 *odd) {
    const u32 two_to_120 = 0x7b807b80u;
    *odd = mul_bf16x2((w & 0x80008000u) | (w >> 4 & 0x07f007f0u), two_to_120);
    *even = mul_bf16x2((w << 8 & 0x80008000u) | (w << 4 & 0x07f007f0u), two_to_120);
}

/* fmaxf passes over NaN; this does not. */
DEVICE float max_or_nan(float a, float b) {
    float v;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(v) : "f"(a), "f"(b));
    return v;
}

/* threadIdx.x, read anew at each call rather than kept in a register. */
DEVICE int thread_index(void) {
    int i;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(i));
    return i;
}

DEVICE float warp_sum(float v) {
    for (int step = 16; step > 0; step >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

#endif
