/* sample.cu - logits to a token and its log-probability a row; penalties and masks applied as they
 * are read, where the op asks for it.
 *
 *     temperature 0   the largest logit, the lowest id among equals; so is one whose inverse is
 *                     not finite
 *     else            p = softmax(logits / temperature), tokens in order of (logit descending, id
 *                     ascending); of these the first top_k; the shortest prefix whose p add up to
 *                     top_p; those with p >= min_p * the largest.  One is drawn by inverse CDF at
 *                     u * (sum of theirs), u = uniform(seed, counter)
 *     log-probability in log_softmax of the logits (penalised and masked), without temperature
 *
 * A row with a NaN, or whose largest logit is not finite, gets token -1 and log-probability NaN.
 *
 * The order is never made.  A histogram of tokens and of their p by distance from the largest logit
 * tells in which bin the order is cut; its few tokens are listed and compared with each other, or,
 * when they are many, split by histograms of (logit, id) until they are few.  The draw is found
 * alike.  Mostly both lie near the largest logit, where few tokens are: these are set aside while p
 * are summed, and looked at alone when their sum shows that they are enough.
 *
 * Shapes   logits [R, V] float32, rows 16-byte aligned; tokens int32 and logprobs float32 [R],
 *          strides in bytes; step, counts, masks as in sampling.cuh
 * Math     p = e^((logit - largest) / temperature) in float32, as integers in units of 2^-44: sums
 *          are exact whatever their order, so that results are the same for any grid.  Of sums
 *          over all tokens four neighbours are added first, in float32
 * Grid     (P_CLUSTER, R), block P_THREADS: the blocks of a cluster share a row
 * Defines  P_THREADS, P_CLUSTER, P_RESIDENT: a row stays in shared memory, else it is read again
 *          and again, P_COUNTS: penalties come first, P_MASKS: masks do; sampling.cuh's
 *                                                            from kernels/cuda/sampling.c
 * Needs    V <= 2^19, so that sums stay below 2^64; P_CLUSTER > 1 from sm_90 on; P_RESIDENT: 16
 *          bytes of dynamic shared memory for each of a block's vectors
 * Bound    memory, 4 R V bytes; a sampled row adds passes over shared memory
 */
#include "sampling.cuh"

#define ONE_BITS 44
#define ONE ((double)(1ull << ONE_BITS))
#define BINS 512
#define BINS_BITS 9
/* How far from the largest logit one looks, in nats over the temperature: p is at least 2^-45 up to
 * the far end, and 0 beyond. */
#define NEAR 8.0f
#define FAR 31.0f
#define NEAR_BINS_PER_NAT 64.0f
#define FAR_BINS_PER_NAT 16.0f
#define NEAR_TOKENS 2048 /* that a block sets aside */
#define LIST 256 /* tokens that are compared each with each */
#define WARPS (P_THREADS / 32)
#define CLUSTER_THREADS (P_CLUSTER * P_THREADS)
#define PER_THREAD ((VECTORS + CLUSTER_THREADS - 1) / CLUSTER_THREADS)
#define NEVER (~0ull)

static_assert(P_VOCAB <= 1 << 19, "sums of V terms of at most 2^44");
static_assert(BINS <= P_THREADS && LIST <= P_THREADS, "one a thread");

typedef struct sample_arguments {
    const u8 *step;
    const float *logits;
    i64 logits_stride; /* elements */
    u8 *tokens, *logprobs;
    i64 token_stride, logprob_stride; /* bytes */
    count_slots counts;
    mask_slots masks;
} sample_arguments;

typedef struct prefix { /* of the order: how many, and the sum of their p */
    u64 sum;
    u32 n;
} prefix;

typedef struct item { /* a token: its place in the order, and p */
    u64 place, p;
} item;

typedef struct near_token {
    float x;
    int id;
} near_token;

typedef struct histogram { /* sums in two words, as there are no wide atomics in shared memory */
    u32 n[BINS], low[BINS], high[BINS];
} histogram;
typedef struct merged_histogram {
    u64 sum[BINS];
    u32 n[BINS];
} merged_histogram;

typedef struct group { /* tokens that stand together in the order; n 0: none */
    prefix before;
    u64 first, last; /* their places, once it is by_place; else those of this bin */
    int n, bin;
    bool by_place;
} group;

enum { TOTAL, ORDERED, NEAR_SUM, NEAR_COUNT, SUMS }; /* of p, but the last */

typedef struct row { /* what does not change while it is looked at; also in shared memory */
    const step_sampling *p;
    const float *logits;
    const u8 *counts; /* NULL: no penalties */
    const u32 *words;
    bool masked;
    float most, least;        /* least: logits below it have p = 0, for min_p */
    float sharpness, sharper; /* 1 / temperature, and what is missing to it */
    float reach, bins_per_nat;
} row;

typedef struct shared_state {
    row r;
    u64 sum; /* of the log-probability */
    u64 warps[WARPS], from_peers[2][P_CLUSTER];
    u64 warp_sums[WARPS][SUMS], sums_from_peers[P_CLUSTER][SUMS];
    prefix warp_prefixes[WARPS];
    histogram local;
    merged_histogram coarse, fine; /* of the first block in a cluster */
    group at;
    item list[LIST];
    int n_listed;
    near_token near[NEAR_TOKENS];
    int n_near; /* more than NEAR_TOKENS: not all of them */
    item found; /* by the first block; p: the sum up to and with it */
} shared_state;

/* ---- places in the order: (logit descending, id ascending) as one ascending number ---- */

DEVICE u64 place_of(float x, int id) {
    u32 bits = __float_as_uint(x + 0.0f); /* -0 is 0 */
    u32 falling = bits >> 31 ? bits : bits ^ 0x7fffffffu;
    return (u64)falling << 32 | (u32)id;
}
DEVICE float logit_of(u64 place) {
    u32 falling = place >> 32;
    return __uint_as_float(falling >> 31 ? falling : falling ^ 0x7fffffffu);
}
#define NOT_A_NUMBER 0ull /* before all places there are */

/* ---- the cluster ---- */

DEVICE int part_of(void) {
    return P_CLUSTER > 1 ? blockIdx.x : 0;
}
DEVICE void *peer(void *shared, int part) {
    return P_CLUSTER > 1 ? cluster_map(shared, part) : shared;
}
/* What any thread of the cluster wrote before is seen by all behind it. */
DEVICE void cluster_sync(void) {
    if (P_CLUSTER > 1) {
        cluster_arrive();
        cluster_wait();
    } else {
        __syncthreads();
    }
}

DEVICE u64 combine(u64 a, u64 b, bool least) {
    return !least ? a + b : a < b ? a : b;
}
/* The least, or the sum, of a value of each thread; for all threads.  Blocks may still read what one
 * reduction gave them when another begins, so neighbours take turns with `slot`, 0 and 1. */
DEVICE u64 cluster_reduce(shared_state *s, int slot, u64 value, bool least) {
    for (int step = 16; step > 0; step >>= 1)
        value = combine(value, __shfl_xor_sync(0xffffffffu, value, step), least);
    if (threadIdx.x % 32 == 0) s->warps[threadIdx.x / 32] = value;
    __syncthreads(); /* values of all warps */
    if (threadIdx.x < P_CLUSTER) {
        u64 all = s->warps[0];
        for (int i = 1; i < WARPS; i++)
            all = combine(all, s->warps[i], least);
        ((u64 *)peer(s->from_peers[slot], threadIdx.x))[part_of()] = all;
    }
    cluster_sync(); /* values of all blocks */
    u64 all = s->from_peers[slot][0];
#pragma unroll
    for (int i = 1; i < P_CLUSTER; i++)
        all = combine(all, s->from_peers[slot][i], least);
    return all;
}

/* Sums over the cluster, in place; once in a launch. */
DEVICE void cluster_sums(shared_state *s, u64 sums[SUMS]) {
#pragma unroll
    for (int k = 0; k < SUMS; k++) {
        for (int step = 16; step > 0; step >>= 1)
            sums[k] += __shfl_xor_sync(0xffffffffu, sums[k], step);
        if (threadIdx.x % 32 == 0) s->warp_sums[threadIdx.x / 32][k] = sums[k];
    }
    __syncthreads(); /* sums of all warps */
    if (threadIdx.x < P_CLUSTER * SUMS) {
        int k = threadIdx.x % SUMS;
        u64 all = 0;
        for (int i = 0; i < WARPS; i++)
            all += s->warp_sums[i][k];
        u64(*to)[SUMS] = (u64(*)[SUMS])peer(s->sums_from_peers, threadIdx.x / SUMS);
        to[part_of()][k] = all;
    }
    cluster_sync(); /* sums of all blocks */
#pragma unroll
    for (int k = 0; k < SUMS; k++) {
        sums[k] = 0;
#pragma unroll 2
        for (int i = 0; i < P_CLUSTER; i++)
            sums[k] += s->sums_from_peers[i][k];
    }
}

/* ---- logits ---- */

DEVICE int vector_at(int i) {
    return i * CLUSTER_THREADS + part_of() * P_THREADS + threadIdx.x;
}
DEVICE float4 load_vector(const row *r, int vector) {
    if (vector >= VECTORS)
        return make_float4(MINUS_INFINITY, MINUS_INFINITY, MINUS_INFINITY, MINUS_INFINITY);
    return ((const float4 *)r->logits)[vector];
}
/* Without what is beyond the row. */
DEVICE float4 adjust_vector(const row *r, int vector, float4 x) {
    if (P_COUNTS && r->counts && vector < VECTORS)
        x = penalise_vector(x, load_counts(r->counts, vector), r->p);
    if (P_MASKS && r->masked && vector < VECTORS) x = mask_vector(x, load_mask(r->words, vector));
    if (P_VOCAB % 4 && vector == VECTORS - 1) {
        if (P_VOCAB % 4 < 2) x.y = MINUS_INFINITY;
        if (P_VOCAB % 4 < 3) x.z = MINUS_INFINITY;
        x.w = MINUS_INFINITY;
    }
    return x;
}

/* A block's share of the row, [PER_THREAD][P_THREADS]: each thread has its own vectors only, so no
 * barrier is needed. */
extern __shared__ float4 share[];

DEVICE float4 vector_of(const row *r, int i) {
    if (P_RESIDENT) return share[i * P_THREADS + threadIdx.x];
    return adjust_vector(r, vector_at(i), load_vector(r, vector_at(i)));
}
DEVICE void begin_share(const row *r) {
#pragma unroll 8
    for (int i = 0; i < PER_THREAD; i++) {
        float4 *to = &share[i * P_THREADS + threadIdx.x];
        if (vector_at(i) < VECTORS)
            copy_async_16(shared_address(to), (const float4 *)r->logits + vector_at(i), true);
        else
            *to = load_vector(r, vector_at(i));
    }
    copy_async_commit();
}
DEVICE void finish_share(const row *r) {
    COPY_ASYNC_WAIT(0);
    bool adjusts = (P_COUNTS && r->counts) || (P_MASKS && r->masked);
    if (!adjusts && (P_VOCAB % 4 == 0)) return;
#pragma unroll 2
    for (int i = 0; i < PER_THREAD; i++) {
        float4 *at = &share[i * P_THREADS + threadIdx.x];
        *at = adjust_vector(r, vector_at(i), *at);
    }
}

DEVICE u64 weigh(float p) {
    return __float2ull_rn(p * (float)ONE);
}
/* For the log-probability the short exponential will do: its errors, 2^-22 and as much for each ten
 * nats below the largest, are small against what float32 says of a logarithm. */
DEVICE u64 sum_vector(float4 x, float most) {
    return weigh(
        (__expf(x.x - most) + __expf(x.y - most)) + (__expf(x.z - most) + __expf(x.w - most)));
}

/* ---- sweeps over a row that is sampled ---- */

/* Rises as logits fall, with no exceptions: bins keep the order. */
DEVICE float distance_of(const row *r, float x) {
    return (r->most - x) * r->sharpness;
}
DEVICE float p_of(const row *r, float x) {
    float distance = x - r->most;
    return expf(__fmaf_rn(distance, r->sharper, distance * r->sharpness));
}

DEVICE void set_aside(shared_state *s, float x, int id) {
    int at = atomicAdd(&s->n_near, 1);
    if (at >= NEAR_TOKENS) return;
    s->near[at].x = x;
    s->near[at].id = id;
}
/* p, 0 where it does not count; tokens that are near are set aside. */
DEVICE float first_look(shared_state *s, const row *r, float x, int id) {
    float distance = distance_of(r, x);
    if (distance < NEAR && x >= r->least) set_aside(s, x, id);
    return distance < FAR ? p_of(r, x) : 0.0f;
}
DEVICE void sum_row(shared_state *s, u64 sums[SUMS]) {
    row r = s->r;
    bool has_least = r.least > MINUS_INFINITY;
#pragma unroll 1
    for (int i = 0; i < PER_THREAD; i++) {
        float4 x = vector_of(&r, i), p;
        int id = 4 * vector_at(i);
        p.x = first_look(s, &r, x.x, id);
        p.y = first_look(s, &r, x.y, id + 1);
        p.z = first_look(s, &r, x.z, id + 2);
        p.w = first_look(s, &r, x.w, id + 3);
        sums[TOTAL] += weigh((p.x + p.y) + (p.z + p.w));
        if (!has_least) continue;
        if (x.x < r.least) p.x = 0.0f;
        if (x.y < r.least) p.y = 0.0f;
        if (x.z < r.least) p.z = 0.0f;
        if (x.w < r.least) p.w = 0.0f;
        sums[ORDERED] += weigh((p.x + p.y) + (p.z + p.w));
    }
    if (!has_least) sums[ORDERED] = sums[TOTAL];
    __syncthreads(); /* all that is near is set aside */
}

typedef enum sweep { ADD_UP, COUNT_BINS, FIND_ENDS, COUNT_PLACES, LIST_PLACES } sweep;

typedef struct ends { /* places: the least, and the complement of the greatest */
    u64 first, not_last;
} ends;

typedef struct sweep_state {
    prefix sums;    /* ADD_UP, COUNT_BINS */
    ends ends;      /* FIND_ENDS */
    u64 first;      /* COUNT_PLACES: bins begin here, and are 2^shift wide */
    int shift;
} sweep_state;

DEVICE void add_to_bin(histogram *h, int bin, u64 p) {
    u32 low = (u32)p, old = atomicAdd(&h->low[bin], low);
    u32 high = (u32)(p >> 32) + (old + low < old);
    if (high) atomicAdd(&h->high[bin], high);
    atomicAdd(&h->n[bin], 1u);
}
DEVICE void visit(shared_state *s, const row *r, const group *at, sweep what, sweep_state *w,
    float x, int id) {
    float distance = distance_of(r, x);
    if (!(distance < r->reach) || x < r->least) return;
    int bin = (int)(distance * r->bins_per_nat);
    if (what == ADD_UP || what == COUNT_BINS) {
        u64 p = weigh(p_of(r, x));
        w->sums.sum += p;
        w->sums.n++;
        if (what == COUNT_BINS) add_to_bin(&s->local, bin, p);
        return;
    }
    u64 place = place_of(x, id);
    bool within = at->by_place ? place >= at->first && place <= at->last : bin == at->bin;
    if (!within) return;
    if (what == FIND_ENDS) {
        w->ends.first = place < w->ends.first ? place : w->ends.first;
        w->ends.not_last = ~place < w->ends.not_last ? ~place : w->ends.not_last;
    } else if (what == COUNT_PLACES) {
        add_to_bin(&s->local, (int)((place - w->first) >> w->shift), weigh(p_of(r, x)));
    } else {
        shared_state *first = (shared_state *)peer(s, 0);
        item *to = &first->list[atomicAdd(&first->n_listed, 1)];
        to->place = place;
        to->p = weigh(p_of(r, x));
    }
}
/* All tokens of this block within the row's reach. */
DEVICE void sweep_row(shared_state *s, sweep what, sweep_state *w) {
    row r = s->r;
    group at = s->at;
    if (r.reach == NEAR && s->n_near <= NEAR_TOKENS) {
#pragma unroll 1
        for (int i = threadIdx.x; i < s->n_near; i += P_THREADS)
            visit(s, &r, &at, what, w, s->near[i].x, s->near[i].id);
        return;
    }
#pragma unroll 1
    for (int i = 0; i < PER_THREAD; i++) {
        float4 x = vector_of(&r, i);
        int id = 4 * vector_at(i);
        visit(s, &r, &at, what, w, x.x, id);
        visit(s, &r, &at, what, w, x.y, id + 1);
        visit(s, &r, &at, what, w, x.z, id + 2);
        visit(s, &r, &at, what, w, x.w, id + 3);
    }
}

/* ---- histograms ---- */

DEVICE void clear_bins(shared_state *s) {
    for (int i = threadIdx.x; i < BINS; i += P_THREADS)
        s->local.n[i] = s->local.low[i] = s->local.high[i] = 0;
    __syncthreads(); /* empty before anything is added */
}
/* Those of all blocks into one of the first block's.  Behind it the local ones are free again. */
DEVICE void merge_bins(shared_state *s, merged_histogram *to) {
    cluster_sync(); /* all blocks have counted */
    merged_histogram *first = (merged_histogram *)peer(to, 0);
    for (int bin = part_of() * P_THREADS + threadIdx.x; bin < BINS; bin += CLUSTER_THREADS) {
        u64 sum = 0;
        u32 n = 0;
#pragma unroll 4
        for (int part = 0; part < P_CLUSTER; part++) {
            const histogram *h = (const histogram *)peer(&s->local, part);
            sum += (u64)h->high[bin] << 32 | h->low[bin];
            n += h->n[bin];
        }
        first->sum[bin] = sum;
        first->n[bin] = n;
    }
    cluster_sync();
}

DEVICE bool reaches(prefix have, prefix wanted) {
    return have.n >= wanted.n || have.sum >= wanted.sum;
}
DEVICE prefix longer(prefix have, u32 n, u64 sum) {
    have.sum += sum;
    have.n += n;
    return have;
}

/* The first block: which bin the prefix that is wanted ends in.  s->at becomes its group. */
DEVICE void pick_bin(
    shared_state *s, const merged_histogram *h, prefix start, prefix wanted) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, bin = threadIdx.x;
    prefix own = {};
    if (bin < BINS) own = longer(own, h->n[bin], h->sum[bin]);
    prefix up_to = own;
    for (int step = 1; step < 32; step <<= 1) {
        u32 n = __shfl_up_sync(0xffffffffu, up_to.n, step);
        u64 sum = __shfl_up_sync(0xffffffffu, up_to.sum, step);
        if (lane >= step) up_to = longer(up_to, n, sum);
    }
    if (lane == 31) s->warp_prefixes[warp] = up_to;
    if (threadIdx.x == 0) {
        s->at.n = 0;
        s->n_listed = 0;
    }
    __syncthreads(); /* prefixes of warps are there; at is empty */
    prefix before = start;
    for (int i = 0; i < warp; i++)
        before = longer(before, s->warp_prefixes[i].n, s->warp_prefixes[i].sum);
    before = longer(before, up_to.n - own.n, up_to.sum - own.sum);
    prefix after = longer(before, own.n, own.sum);
    if (!reaches(before, wanted) && reaches(after, wanted)) { /* true in one thread at most */
        s->at.before = before;
        s->at.n = (int)own.n;
        s->at.bin = bin;
        s->at.by_place = false;
    }
    __syncthreads(); /* the group is known */
}
/* To all blocks, from the first. */
DEVICE void share_group(shared_state *s) {
    __syncthreads(); /* the group is written */
    if (P_CLUSTER > 1 && part_of() == 0 && threadIdx.x < P_CLUSTER && threadIdx.x > 0)
        *(group *)peer(&s->at, threadIdx.x) = s->at;
    cluster_sync();
}

/* ---- finding ---- */

/* Splits a group that is too large for the list. */
DEVICE void split_group(shared_state *s, prefix wanted) {
    sweep_state w = {};
    w.ends.first = w.ends.not_last = NEVER;
    sweep_row(s, FIND_ENDS, &w);
    w.first = cluster_reduce(s, 0, w.ends.first, true);
    u64 width = ~cluster_reduce(s, 1, w.ends.not_last, true) - w.first;
    int bits = 64 - __clzll((long long)width);
    w.shift = bits > BINS_BITS ? bits - BINS_BITS : 0;
    clear_bins(s);
    sweep_row(s, COUNT_PLACES, &w);
    merge_bins(s, &s->fine);
    if (part_of() == 0) {
        pick_bin(s, &s->fine, s->at.before, wanted);
        if (threadIdx.x == 0) {
            s->at.by_place = true;
            s->at.first = w.first + ((u64)s->at.bin << w.shift);
            u64 last = s->at.first + (1ull << w.shift) - 1; /* maybe beyond the group */
            s->at.last = last < w.first + width ? last : w.first + width;
        }
    }
    share_group(s);
}

/* The first block: the token of the listed group with which the prefix is as long as wanted. */
DEVICE void pick_token(shared_state *s, prefix wanted) {
    int n = s->n_listed;
    if (threadIdx.x < n) {
        item own = s->list[threadIdx.x];
        prefix before = s->at.before;
        for (int i = 0; i < n; i++) {
            item other = s->list[i];
            if (other.place < own.place) before = longer(before, 1, other.p);
        }
        prefix after = longer(before, 1, own.p);
        if (!reaches(before, wanted) && reaches(after, wanted)) {
            s->found.place = own.place;
            s->found.p = after.sum;
        }
    }
    __syncthreads(); /* found, and the list is read */
}

/* The first block knows in s->found where the order's prefix is as long as `wanted` (which only it
 * need know).  False: the whole order is shorter. */
DEVICE bool find(shared_state *s, prefix wanted) {
    prefix none = {};
    if (part_of() == 0) pick_bin(s, &s->coarse, none, wanted);
    share_group(s);
    if (s->at.n == 0) {
        cluster_sync(); /* all have seen it: the next search writes it */
        return false;
    }
    while (s->at.n > LIST)
        split_group(s, wanted);
    sweep_state w = {};
    sweep_row(s, LIST_PLACES, &w);
    cluster_sync(); /* the list is complete */
    if (part_of() == 0) pick_token(s, wanted);
    return true;
}

/* base/rng.h: 24 bits of Philox 4x32-10. */
DEVICE u32 uniform_bits(u64 seed, u64 counter) {
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
    u32 c0 = (u32)counter, c1 = (u32)(counter >> 32), c2 = 0, c3 = 0;
    for (int round = 0; round < 10; round++) {
        u32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        u32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c0 >> 8;
}

/* The prefix of the order that top_k and top_p leave, of p that add up to `total`. */
DEVICE prefix cut_of(const step_sampling *p, u64 total) {
    prefix wanted = {NEVER, 0xffffffffu};
    if (p->top_p > 0.0f && p->top_p < 1.0f)
        wanted.sum = __double2ull_ru((double)p->top_p * (double)total);
    if (p->top_k > 0) wanted.n = p->top_k;
    return wanted;
}
/* The one whose sum is the first to exceed u * kept: integers, so exactly that. */
DEVICE prefix drawn_of(const step_sampling *p, u64 kept) {
    u64 u = uniform_bits(p->seed, p->counter);
    prefix wanted = {(__umul64hi(u, kept) << 40 | (u * kept) >> 24) + 1, 0xffffffffu};
    return wanted;
}

/* Looks at tokens up to `reach`: their histogram, in the first block. */
DEVICE prefix look(shared_state *s, float reach, float bins_per_nat) {
    sweep_state w = {};
    if (threadIdx.x == 0) {
        s->r.reach = reach;
        s->r.bins_per_nat = bins_per_nat;
    }
    clear_bins(s); /* its barrier: reach is there */
    sweep_row(s, COUNT_BINS, &w);
    merge_bins(s, &s->coarse);
    return w.sums;
}

/* The place of the token that is drawn; for the first block. */
DEVICE u64 draw(shared_state *s) {
    u64 sums[SUMS] = {};
    sweep_state w = {};
    sum_row(s, sums);
    sweep_row(s, ADD_UP, &w);
    sums[NEAR_SUM] = w.sums.sum;
    sums[NEAR_COUNT] = w.sums.n;
    cluster_sums(s, sums);
    u64 kept = sums[ORDERED];
    prefix near = {sums[NEAR_SUM], (u32)sums[NEAR_COUNT]};
    prefix wanted = cut_of(s->r.p, sums[TOTAL]);
    bool cuts = wanted.n != 0xffffffffu || wanted.sum != NEVER;
    if (reaches(near, cuts ? wanted : drawn_of(s->r.p, kept))) {
        look(s, NEAR, NEAR_BINS_PER_NAT);
    } else {
        prefix all = look(s, FAR, FAR_BINS_PER_NAT);
        kept = cluster_reduce(s, 0, all.sum, false); /* as the histogram has it */
    }
#pragma unroll 1
    for (int step = cuts ? 0 : 1; step < 2; step++) {
        if (step == 1) wanted = drawn_of(s->r.p, kept);
        if (find(s, wanted)) kept = s->found.p;
    }
    return s->found.place;
}

/* ---- the kernel ---- */

DEVICE float sharpness_of(const step_sampling *p) {
    float inverse = p->temperature > 0.0f ? 1.0f / p->temperature : 0.0f;
    return isfinite(inverse) ? inverse : 0.0f;
}
/* min_p as a logit, rounded up: p >= min_p * the largest, where no p is rounded. */
DEVICE float least_of(const step_sampling *p, float most) {
    if (!(p->min_p > 0.0f)) return MINUS_INFINITY;
    return __double2float_ru((double)most + (double)p->temperature * log((double)p->min_p));
}

/* This thread's first place in the order. */
DEVICE u64 best_of(const row *r) {
    float most = MINUS_INFINITY, all = MINUS_INFINITY;
    int best = 0; /* the first vector that has it */
#pragma unroll 4
    for (int i = 0; i < PER_THREAD; i++) {
        float4 x = vector_of(r, i);
        float more = max_or_nan(max_or_nan(x.x, x.y), max_or_nan(x.z, x.w));
        all = max_or_nan(all, more);
        if (more > most) {
            most = more;
            best = i;
        }
    }
    if (all != all) return NOT_A_NUMBER;
    float4 x = vector_of(r, best);
    int lane = x.x == most ? 0 : x.y == most ? 1 : x.z == most ? 2 : 3;
    return place_of(most, 4 * vector_at(best) + lane);
}
DEVICE u64 sum_of(const row *r) {
    u64 sum = 0;
#pragma unroll 2
    for (int i = 0; i < PER_THREAD; i++)
        sum += sum_vector(vector_of(r, i), r->most);
    return sum;
}

/* By one thread of the cluster. */
DEVICE void write_row(const sample_arguments *a, int token, float logprob) {
    if (part_of() != 0 || threadIdx.x != 0) return;
    *(int *)(a->tokens + blockIdx.y * a->token_stride) = token;
    *(float *)(a->logprobs + blockIdx.y * a->logprob_stride) = logprob;
}

#if P_CLUSTER > 1
#define CLUSTERED __cluster_dims__(P_CLUSTER, 1, 1)
#else
#define CLUSTERED
#endif

extern "C" __global__ void CLUSTERED __launch_bounds__(P_THREADS, P_RESIDENT ? 1024 / P_THREADS : 1) sample(
    const __grid_constant__ sample_arguments a) {
    __shared__ shared_state s;
    grid_launch_dependents();
    if (P_CLUSTER > 1) cluster_arrive();
    grid_wait();
    int index = blockIdx.y;
    row r = {};
    r.p = sampling_of(a.step, index);
    r.logits = a.logits + index * a.logits_stride;
    if (P_RESIDENT) begin_share(&r); /* before it is known what else the row wants */
    if (P_COUNTS && is_penalised(r.p)) r.counts = counts_of(&a.counts, r.p);
    r.masked = P_MASKS && r.p->mask_slot >= 0;
    if (r.masked) r.words = mask_of(&a.masks, r.p);
    if (P_RESIDENT) finish_share(&r);
    if (threadIdx.x == 0) s.n_near = 0;
    u64 first = best_of(&r);
    if (P_CLUSTER > 1) cluster_wait(); /* all blocks run, and may be written to */
    first = cluster_reduce(&s, 0, first, true);
    float most = r.most = logit_of(first);
    if (first == NOT_A_NUMBER || !isfinite(r.most)) {
        write_row(&a, -1, __int_as_float(0x7fc00000));
        return;
    }
    u64 sum = cluster_reduce(&s, 1, sum_of(&r), false);
    r.sharpness = sharpness_of(r.p);
    /* Where a single token stays it is the first. */
    if (r.sharpness > 0.0f && r.p->top_k != 1 && !(r.p->min_p > 1.0f)) {
        r.sharper = (float)(1.0 / (double)r.p->temperature - (double)r.sharpness);
        r.least = least_of(r.p, r.most);
        r.reach = NEAR;
        if (threadIdx.x == 0) {
            s.r = r;
            s.sum = sum;
        }
        __syncthreads(); /* the row is there */
        first = draw(&s);
        most = s.r.most; /* registers were for the draw */
        sum = s.sum;
    }
    if (part_of() != 0 || threadIdx.x != 0) return; /* the logarithm is long */
    double log_sum = log((double)sum) - ONE_BITS * 0.69314718055994530942;
    write_row(&a, (int)(u32)first, (float)((double)logit_of(first) - (double)most - log_sum));
}
