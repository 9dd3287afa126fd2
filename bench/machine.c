/* machine.c - what this machine can do at most: the limits that bench/cpu.sh divides by.
 *
 *   machine [N_THREADS]     CSV on stdout: name,threads,value,unit
 *
 * read      1 GiB in 32-byte loads, four streams a thread, 2 MiB pages where the system gives them:
 *           GB/s (1e9) that a weight stream cannot exceed.  One stream, 4 KiB pages (which mapped
 *           files have) or software prefetch are all slower, where this was tried.
 * fma       independent chains of 8-wide float32 multiply-adds: GFLOP/s, two per lane.
 * maddubs   vpmaddubsw, vpmaddwd by ones, vpaddd: the AVX2 way from 32 products of bytes to eight
 *           int32 sums; GOP/s, two per product.
 *
 * Each figure is the best of several runs, so that a moment in which others use the machine does
 * not lower a limit. */
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { READ_BYTES = 1 << 30, N_RUNS = 12, MAX_THREADS = 256, STREAMS = 4, HUGE_PAGE = 2 << 20 };
enum { CHAINS = 12, STEPS = 2000000 };

typedef double probe(int32_t thread, int32_t n_threads); /* seconds */

static uint8_t *memory;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

__attribute__((target("avx2"))) static double read_part(int32_t thread, int32_t n_threads) {
    int64_t part = READ_BYTES / n_threads, stream = part / STREAMS / 4096 * 4096;
    const uint8_t *start = memory + thread * part;
    __m256i s0 = _mm256_setzero_si256(), s1 = s0;
    double start_s = now_s();
    for (int64_t i = 0; i < stream; i += 64)
        for (int s = 0; s < STREAMS; s++) {
            const __m256i *at = (const __m256i *)(const void *)(start + s * stream + i);
            s0 = _mm256_add_epi64(s0, _mm256_load_si256(at));
            s1 = _mm256_add_epi64(s1, _mm256_load_si256(at + 1));
        }
    double seconds = now_s() - start_s;
    __asm__ volatile("" : : "x"(s0), "x"(s1));
    return seconds;
}

/* One line of assembly for each chain: sums in ymm0 to ymm11, operands in ymm12 to ymm14, and what
 * a line needs for itself in ymm15, which renaming makes free. */
/* clang-format off */
#define EACH_CHAIN(LINE)                                                                           \
    LINE("0") LINE("1") LINE("2") LINE("3") LINE("4") LINE("5")                                    \
    LINE("6") LINE("7") LINE("8") LINE("9") LINE("10") LINE("11")
/* clang-format on */
#define ZERO(i) "vpxor %%ymm" i ", %%ymm" i ", %%ymm" i "\n\t"
#define FMA(i) "vfmadd231ps %%ymm13, %%ymm12, %%ymm" i "\n\t"
#define MADDUBS(i)                                                                                 \
    "vpmaddubsw %%ymm13, %%ymm12, %%ymm15\n\t"                                                     \
    "vpmaddwd %%ymm14, %%ymm15, %%ymm15\n\t"                                                       \
    "vpaddd %%ymm15, %%ymm" i ", %%ymm" i "\n\t"
#define RUN(LINE)                                                                                  \
    __asm__ volatile(EACH_CHAIN(ZERO) ZERO("12") ZERO("13")                                        \
                         ZERO("14") "1:\n\t" EACH_CHAIN(LINE) "decl %0\n\tjnz 1b"                  \
                     : "+r"(steps)                                                                 \
                     :                                                                             \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",       \
                     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

__attribute__((target("avx2,fma"))) static double fma_part(int32_t thread, int32_t n_threads) {
    (void)thread, (void)n_threads;
    int32_t steps = STEPS;
    double start = now_s();
    RUN(FMA);
    return now_s() - start;
}

__attribute__((target("avx2"))) static double maddubs_part(int32_t thread, int32_t n_threads) {
    (void)thread, (void)n_threads;
    int32_t steps = STEPS;
    double start = now_s();
    RUN(MADDUBS);
    return now_s() - start;
}

/* ---- threads ---- */

typedef struct worker {
    pthread_t id;
    probe *run;
    pthread_barrier_t *barrier;
    int32_t thread, n_threads;
    double best_s[N_RUNS];
} worker;

static void *work(void *arg) {
    worker *w = arg;
    for (int i = 0; i < N_RUNS; i++) {
        pthread_barrier_wait(w->barrier);
        w->best_s[i] = w->run(w->thread, w->n_threads);
    }
    return NULL;
}

/* Seconds of the best run; a run lasts as long as its slowest thread. */
static double measure(probe *run, int32_t n_threads) {
    static worker workers[MAX_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)n_threads);
    for (int32_t t = 0; t < n_threads; t++) {
        workers[t] = (worker){.run = run, .barrier = &barrier, .thread = t, .n_threads = n_threads};
        if (pthread_create(&workers[t].id, NULL, work, &workers[t])) exit(1);
    }
    for (int32_t t = 0; t < n_threads; t++)
        pthread_join(workers[t].id, NULL);
    pthread_barrier_destroy(&barrier);
    double best = 0;
    for (int i = 0; i < N_RUNS; i++) {
        double slowest = 0;
        for (int32_t t = 0; t < n_threads; t++)
            if (workers[t].best_s[i] > slowest) slowest = workers[t].best_s[i];
        if (i == 0 || slowest < best) best = slowest;
    }
    return best;
}

int main(int argc, char **argv) {
    int32_t most = argc > 1 ? atoi(argv[1]) : 2;
    if (most < 1 || most > MAX_THREADS) {
        fprintf(stderr, "usage: machine [N_THREADS]\n");
        return 2;
    }
    memory = aligned_alloc(HUGE_PAGE, READ_BYTES);
    if (!memory) return 1;
    madvise(memory, READ_BYTES, MADV_HUGEPAGE);
    memset(memory, 1, READ_BYTES);
    printf("name,threads,value,unit\n");
    for (int32_t n = 1; n <= most; n = n < most && 2 * n > most ? most : 2 * n) {
        printf("read,%d,%.1f,GB/s\n", n, (double)READ_BYTES / measure(read_part, n) / 1e9);
        double steps = (double)n * CHAINS * STEPS;
        printf("fma,%d,%.0f,GFLOP/s\n", n, steps * 16 / measure(fma_part, n) / 1e9);
        printf("maddubs,%d,%.0f,GOP/s\n", n, steps * 64 / measure(maddubs_part, n) / 1e9);
    }
    free(memory);
    return 0;
}
