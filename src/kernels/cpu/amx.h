/* amx.h - one tile instruction a macro; registers are numbers 0 to 7.
 *
 * Every one clobbers memory, so that stores before it are seen by loads of tiles and stores of
 * tiles by loads after it.  Between tri_amx_begin and tri_amx_end a thread's tiles are its own;
 * the system has permitted them (device/cpu/isa.c). */
#ifndef TRI_KERNELS_CPU_AMX_H
#define TRI_KERNELS_CPU_AMX_H

#include <stdint.h>

enum {
    TRI_AMX_ROWS = 16, /* of A and C tiles; columns of B and C */
    TRI_AMX_K = 32,    /* bf16 of a row of A; pairs of rows of B are 16 */
    TRI_AMX_TILE_BYTES = 1024
};

typedef struct tri_amx_config { /* palette 1: Intel SDM volume 1, 18.2 */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tri_amx_config;

/* Tiles 0 to 3 are C and 4, 5 are A, of n_rows each; 6 and 7 are B. */
static inline tri_amx_config tri_amx_config_for(int32_t n_rows) {
    tri_amx_config config = {.palette = 1};
    for (int32_t i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = (uint8_t)(i < 6 ? n_rows : TRI_AMX_ROWS);
    }
    return config;
}

#define TRI_AMX_BEGIN(config) __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory")
#define TRI_AMX_END() __asm__ volatile("tilerelease" : : : "memory")
#define TRI_AMX_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : : : "memory")
#define TRI_AMX_LOAD(t, at, stride_bytes)                                                          \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t                                               \
                     :                                                                             \
                     : "r"(at), "r"((int64_t)(stride_bytes))                                       \
                     : "memory")
#define TRI_AMX_STORE(t, at, stride_bytes)                                                         \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)"                                           \
                     :                                                                             \
                     : "r"(at), "r"((int64_t)(stride_bytes))                                       \
                     : "memory")
/* c += a b: products of bfloat16 pairs, sums in float32; denormals count as zeros. */
#define TRI_AMX_DOT_BF16(c, a, b)                                                                  \
    __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : : : "memory")

#endif
