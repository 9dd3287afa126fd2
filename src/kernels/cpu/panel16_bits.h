/* panel16_bits.h - GGUF's blocks with more than four bits a value or with small scales, into panels
 * and back. */
#ifndef TRI_KERNELS_CPU_PANEL16_BITS_H
#define TRI_KERNELS_CPU_PANEL16_BITS_H

#include <stdbool.h>
#include <stdint.h>

/* q5_0, q5_1, q4_k, q5_k, q6_k. */
bool tri_panel_bits_has(int32_t dtype);
/* One block of 32 or 256 of each of 16 rows, NULL: none, as zeros; in the panel's order at out. */
void tri_panel_bits_pack(int32_t dtype, const uint8_t *const blocks[16], uint8_t *out);
void tri_panel_bits_unpack(int32_t dtype, const uint8_t *in, uint8_t *const blocks[16]);
/* Row r of the record `record` of a block that starts at `block`, as float32. */
void tri_panel_bits_read(
    int32_t dtype, const uint8_t *block, int64_t record, int64_t r, float out[32]);

#endif
