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
DEVICE u64 policy_evict_normal(void) {
    u64 policy;
    asm volatile("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
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

/* Adds, and returns what was there: what other blocks wrote before their additions to it can be read
 * after this one, and what this thread has seen is shown to those whose additions come later. */
DEVICE u32 add_and_synchronize(u32 *counter, u32 n) {
    u32 v;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;"
                 : "=r"(v)
                 : "l"(counter), "r"(n)
                 : "memory");
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

/* ---- products of a warpgroup, 128 threads as one (sm_90a) ----
 *
 * Registers that a product in flight reads or adds to are left alone until WGMMA_WAIT. */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Before a group's first product, behind all that wrote its registers. */
DEVICE void wgmma_fence(void) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
/* Ends a group of products. */
DEVICE void wgmma_commit(void) {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* All groups but the last n, a literal, are complete. */
#    define WGMMA_WAIT(n) asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(n) : "memory")

/* What the compiler may not move across this point. */
#    define KEEP(x) asm volatile("" : "+f"(x)::"memory")

/* Ordinary stores of this thread to shared memory, before a barrier behind which products or the copy
 * engine read them. */
DEVICE void fence_async_shared(void) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* More, or fewer, registers for each thread of a warpgroup; n is a literal. */
#    define REGISTERS_INCREASE(n) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(n))
#    define REGISTERS_DECREASE(n) asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(n))

/* An operand in shared memory, lines of 128 bytes swizzled as copy_box leaves them, 8 lines each 1024
 * bytes on.  leap: bytes to the next 64 columns, where those are the result's columns. */
DEVICE u64 wgmma_operand(u32 address, u32 leap) {
    return (u64)1 << 62 | (u64)(1024 >> 4) << 32 | (u64)(leap >> 4) << 16 | (address >> 4 & 0x3fff);
}

/* d [64, 128] = or += a b: a [64, 16] and b [128, 16], both in lines of 16. */
DEVICE void wgmma_64x128(float d[64], u64 a, u64 b, int adds) {
    asm volatile(
        "{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %66, 0;\n\t"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, p, 1, 1, 0, 0;\n\t}"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "l"(a), "l"(b), "r"(adds));
}
/* d [64, 128] += a b: a [64, 16] in registers as mma's, b [16, 128] in lines of its columns. */
DEVICE void wgmma_rows_64x128(float d[64], const u32 a[4], u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
/* d [64, 64] += a b, likewise. */
DEVICE void wgmma_rows_64x64(float d[32], const u32 a[4], u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#endif

#endif
