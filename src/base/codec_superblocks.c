/* codec_superblocks.c - GGUF's blocks of 256, as 8 or 16 runs each with a small scale of its own.
 * Layouts are those of ggml's reference (ggml-common.h, ggml-quants.c); d is float16.
 *
 * The quantised bits lie so that a byte serves elements 32 (or 64) apart: bit pair or nibble `i` of
 * byte j belongs to element j + 32 i of its half. */
#include "base/codec_blocks.h"

static float load_f16(const uint8_t *at) {
    return tri_f16_to_f32((uint16_t)(at[0] | at[1] << 8));
}

/* scales [16] (low nibble scale, high nibble minimum of 16 elements), q [64] 2 bits, d, dmin */
void tri_block_decode_q2_k(const uint8_t *block, float *out) {
    const uint8_t *scales = block, *q = block + 16;
    float d = load_f16(block + 80), dmin = load_f16(block + 82);
    for (size_t run = 0; run < 16; run++) {
        const uint8_t *bytes = q + run / 8 * 32 + run % 2 * 16;
        size_t shift = run % 8 / 2 * 2;
        float dl = d * (float)(scales[run] & 15), ml = dmin * (float)(scales[run] >> 4);
        for (int j = 0; j < 16; j++)
            *out++ = dl * (float)(bytes[j] >> shift & 3) - ml;
    }
}

/* Third bits [32] (bit i of byte j: element j + 32 i; set means do not subtract 4), q [64] 2 bits,
 * scales [12] 6 bits with offset 32, d */
void tri_block_decode_q3_k(const uint8_t *block, float *out) {
    const uint8_t *third = block, *q = block + 32, *scales = block + 96;
    float d = load_f16(block + 108);
    for (size_t run = 0; run < 16; run++) {
        const uint8_t *bytes = q + run / 8 * 32 + run % 2 * 16;
        const uint8_t *bits = third + run % 2 * 16;
        size_t shift = run % 8 / 2 * 2, bit = run / 2;
        int low = scales[run % 8] >> (run / 8 * 4) & 15;
        int high = scales[8 + run % 4] >> (run / 4 * 2) & 3;
        float dl = d * (float)((low | high << 4) - 32);
        for (int j = 0; j < 16; j++) {
            int offset = bits[j] >> bit & 1 ? 0 : 4;
            *out++ = dl * (float)((bytes[j] >> shift & 3) - offset);
        }
    }
}

/* Scale and minimum (6 bits each) of run 0..7 from the 12 bytes of Q4_K and Q5_K: the first eight
 * bytes hold those of runs 0 to 3 and in their top bits the upper two bits of runs 4 to 7. */
static void scale_and_minimum(const uint8_t *scales, size_t run, int *scale, int *minimum) {
    if (run < 4) {
        *scale = scales[run] & 63;
        *minimum = scales[run + 4] & 63;
    } else {
        *scale = (scales[run + 4] & 15) | (scales[run - 4] >> 6) << 4;
        *minimum = scales[run + 4] >> 4 | (scales[run] >> 6) << 4;
    }
}

/* d, dmin, scales [12], q [128] nibbles */
void tri_block_decode_q4_k(const uint8_t *block, float *out) {
    const uint8_t *q = block + 16;
    float d = load_f16(block), dmin = load_f16(block + 2);
    for (size_t run = 0; run < 8; run++) {
        const uint8_t *bytes = q + run / 2 * 32;
        size_t shift = run % 2 * 4;
        int scale, minimum;
        scale_and_minimum(block + 4, run, &scale, &minimum);
        float dl = d * (float)scale, ml = dmin * (float)minimum;
        for (int j = 0; j < 32; j++)
            *out++ = dl * (float)(bytes[j] >> shift & 15) - ml;
    }
}

/* d, dmin, scales [12], fifth bits [32] (bit i of byte j: element j + 32 i), q [128] nibbles */
void tri_block_decode_q5_k(const uint8_t *block, float *out) {
    const uint8_t *fifth = block + 16, *q = block + 48;
    float d = load_f16(block), dmin = load_f16(block + 2);
    for (size_t run = 0; run < 8; run++) {
        const uint8_t *bytes = q + run / 2 * 32;
        size_t shift = run % 2 * 4;
        int scale, minimum;
        scale_and_minimum(block + 4, run, &scale, &minimum);
        float dl = d * (float)scale, ml = dmin * (float)minimum;
        for (int j = 0; j < 32; j++) {
            int value = (bytes[j] >> shift & 15) | (fifth[j] >> run & 1) << 4;
            *out++ = dl * (float)value - ml;
        }
    }
}

/* Nibbles [128], upper bit pairs [64], int8 scales [16] of 16 elements, d; offset 32 */
void tri_block_decode_q6_k(const uint8_t *block, float *out) {
    const uint8_t *lower = block, *upper = block + 128, *scales = block + 192;
    float d = load_f16(block + 208);
    for (size_t run = 0; run < 16; run++) {
        size_t half = run / 8, part = run % 8 / 2, side = run % 2 * 16;
        const uint8_t *low = lower + half * 64 + part % 2 * 32 + side;
        const uint8_t *high = upper + half * 32 + side;
        float dl = d * (float)(int8_t)scales[run];
        for (int j = 0; j < 16; j++) {
            int value = (low[j] >> (part / 2 * 4) & 15) | (high[j] >> (part * 2) & 3) << 4;
            *out++ = dl * (float)(value - 32);
        }
    }
}

/* d, upper bit pairs of scales [2], lower nibbles of scales [4], q [128] nibbles of tri_iq4_values;
 * scales have offset 32 */
void tri_block_decode_iq4_xs(const uint8_t *block, float *out) {
    const uint8_t *lower = block + 4, *q = block + 8;
    int upper = block[2] | block[3] << 8;
    float d = load_f16(block);
    for (size_t run = 0; run < 8; run++) {
        const uint8_t *bytes = q + run * 16;
        int scale = (lower[run / 2] >> (run % 2 * 4) & 15) | (upper >> (run * 2) & 3) << 4;
        float dl = d * (float)(scale - 32);
        for (int j = 0; j < 16; j++) {
            out[j] = dl * (float)tri_iq4_values[bytes[j] & 15];
            out[j + 16] = dl * (float)tri_iq4_values[bytes[j] >> 4];
        }
        out += 32;
    }
}
