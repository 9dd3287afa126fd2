/* isa.h - instruction sets of CPU kernels, each containing those before it:
 *
 *     ""        what the compiler's default target has (x86-64: SSE2)
 *     "avx2"    AVX2, FMA, F16C
 *     "avx512"  F, BW, DQ, VL, VNNI
 *     "amx"     TILE, INT8, BF16, and AVX512_BF16
 *
 * On a command line "" is spelled "generic". */
#ifndef TRI_DEVICE_CPU_ISA_H
#define TRI_DEVICE_CPU_ISA_H

#include <stdint.h>

/* 0 for "" and "generic", rising; -1 for unknown names. */
int32_t tri_cpu_isa_rank(const char *isa);
const char *tri_cpu_isa_name(int32_t rank);
/* Rank of what this machine and its system support; asks the system for tile registers where there
 * are any, and a refusal means "avx512". */
int32_t tri_cpu_isa_detect(void);
const char *tri_cpu_isa_list(void); /* for messages: "generic, avx2, avx512, amx" */

#endif
