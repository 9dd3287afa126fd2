/* panel16.h - the layout "panel16": matrices [N, K] in panels of 16 rows, so that 16 results are
 * computed side by side from one contiguous stream.
 *
 *     f32, f16    [N/16][K][16]
 *     bf16        [N/16][K/2][16][2]   pairs along K, the odd one out beside a zero
 *     i8          [N/16][K/4][16][4]   quads along K, missing ones zero
 *     i4          [N/16][K/4][8][4]    as q4_0's quads; nibbles offset by 8 (0 stands for -8)
 *     q8_0        [N/16][K/32] { f16 d[16]; i8 q[8][16][4] }
 *     q4_0        [N/16][K/32] { f16 d[16]; u8 q[8][8][4] }
 *     q4_1        [N/16][K/32] { f16 d[16], m[16]; u8 q[8][8][4] }
 *     q5_0        [N/16][K/32] { f16 d[16]; u8 q[8][8][4]; u64 fifth[8] }
 *     q5_1        [N/16][K/32] { f16 d[16], m[16]; u8 q[8][8][4]; u64 fifth[8] }
 *     q4_k        [N/16][K/256] { f16 d[16], m[16]; { u8 d[16], m[16]; u8 q[8][8][4] } [8] }
 *     q5_k        as q4_k, and u64 fifth[8] behind each q
 *     q6_k        [N/16][K/256] { f16 d[16]; { i8 d[2][16]; u8 q[8][8][4]; u64 high[2][8] } [8] }
 *
 * A quad's byte [r][i] holds k = 4 quad + i of row r in its low nibble and of row r + 8 in its high
 * one.  Bit 4 r + i of a quad's u64 is the fifth (sixth) bit of its k = 4 quad + i of row r.  N is
 * rounded up to whole panels; the rows past the end hold zeros. */
#ifndef TRI_KERNELS_CPU_PANEL16_H
#define TRI_KERNELS_CPU_PANEL16_H

#include "trireme/plugin.h"

enum { TRI_PANEL_ROWS = 16, TRI_PANEL_BLOCK = 32 };

/* Bytes from one panel to the next; -1: this dtype or K has no such form. */
int64_t tri_panel16_bytes(int32_t dtype, int64_t k);

/* Weights [k0, k0 + n) of one packed row as float32; block formats want whole blocks, k0 and n
 * multiples of 32.  i8 and i4 come as plain integers, their scales are the caller's. */
void tri_panel16_read_row(
    int32_t dtype, int64_t k, const void *packed, int64_t row, int64_t k0, int64_t n, float *out);

#endif
