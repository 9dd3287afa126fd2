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

/* ---- global memory ---- */

/* Read once, never written while the kernel runs. */
DEVICE uint4 load_global_16(const void *p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

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
/* 2^x to 2 ulp and 1 / x to 1 ulp; what is subnormal is 0. */
DEVICE float exp2_approx(float x) {
    float v;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(v) : "f"(x));
    return v;
}
DEVICE float reciprocal_approx(float x) {
    float v;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(v) : "f"(x));
    return v;
}
DEVICE u32 mul_bf16x2(u32 a, u32 b) {
    u32 v;
    asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(v) : "r"(a), "r"(b));
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

/* Four e4m3 bytes of w as bf16: bytes 0 and 2 in even, 1 and 3 in odd.  The seven bits below the
 * sign are put where bf16 has its exponent's low four bits and mantissa's high three, which is the
 * value times 2^-120, subnormals included; the product undoes that, exactly.  NaN becomes 480. */
DEVICE void e4m3_to_bf16(u32 w, u32 *even, u32 *odd) {
    const u32 two_to_120 = 0x7b807b80u;
    *odd = mul_bf16x2((w & 0x80008000u) | (w >> 4 & 0x07f007f0u), two_to_120);
    *even = mul_bf16x2((w << 8 & 0x80008000u) | (w << 4 & 0x07f007f0u), two_to_120);
}

DEVICE float warp_sum(float v) {
    for (int step = 16; step > 0; step >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

#endif
