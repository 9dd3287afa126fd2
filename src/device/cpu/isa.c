#include "device/cpu/isa.h"

#include <stddef.h>
#include <string.h>
#if defined(__x86_64__)
#    include <cpuid.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#endif

enum { ISA_GENERIC, ISA_AVX2, ISA_AVX512, ISA_AMX, N_ISAS };
static const char *const names[N_ISAS] = {"", "avx2", "avx512", "amx"};

int32_t tri_cpu_isa_rank(const char *isa) {
    if (!isa) return ISA_GENERIC;
    if (strcmp(isa, "generic") == 0) return ISA_GENERIC;
    for (int32_t i = 0; i < N_ISAS; i++) {
        if (strcmp(isa, names[i]) == 0) return i;
    }
    return -1;
}

const char *tri_cpu_isa_name(int32_t rank) {
    return names[rank];
}

const char *tri_cpu_isa_list(void) {
    return "generic, avx2, avx512, amx";
}

#if defined(__x86_64__)

/* Register state that the system saves: XCR0 (Intel SDM volume 1, 13.3). */
static uint64_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int all_set(uint64_t word, const int *bits, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!(word >> bits[i] & 1)) return 0;
    }
    return 1;
}
#    define ALL_SET(word, ...)                                                                     \
        all_set(                                                                                   \
            (word), (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* Tile registers must be asked for before first use, once a process: every thread has them from
 * then on, and asking again is harmless (Linux, Documentation/arch/x86/xstate.rst). */
static int tiles_permitted(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

/* CPUID bits: Intel SDM volume 2A, CPUID. */
int32_t tri_cpu_isa_detect(void) {
    uint32_t a, b, c1, c7, d7;
    if (!__get_cpuid(1, &a, &b, &c1, &d7)) return ISA_GENERIC;
    if (!ALL_SET(c1, 12 /* FMA */, 27 /* OSXSAVE */, 28 /* AVX */, 29 /* F16C */)) {
        return ISA_GENERIC;
    }
    uint64_t state = saved_state();
    if (!ALL_SET(state, 1 /* xmm */, 2 /* ymm */)) return ISA_GENERIC;
    uint32_t b7;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return ISA_GENERIC;
    if (!ALL_SET(b7, 5 /* AVX2 */)) return ISA_GENERIC;

    int avx512 = ALL_SET(state, 5 /* mask */, 6 /* zmm */, 7 /* zmm16 to 31 */) &&
                 ALL_SET(b7, 16 /* F */, 17 /* DQ */, 30 /* BW */, 31 /* VL */) &&
                 ALL_SET(c7, 11 /* VNNI */);
    if (!avx512) return ISA_AVX2;
    uint32_t a71, b71, c71, d71;
    int amx = ALL_SET(state, 17 /* tile configuration */, 18 /* tiles */) &&
              ALL_SET(d7, 22 /* BF16 */, 24 /* TILE */, 25 /* INT8 */) &&
              __get_cpuid_count(7, 1, &a71, &b71, &c71, &d71) && ALL_SET(a71, 5 /* AVX512_BF16 */);
    return amx && tiles_permitted() ? ISA_AMX : ISA_AVX512;
}

#else

int32_t tri_cpu_isa_detect(void) {
    return ISA_GENERIC;
}

#endif
