/* int_form_body.h - tri_int_decode_*, included once for each instruction set, which defines
 * TRI_INT_DECODE.  Block layouts: ggml's (GGUF v3). */
#include <math.h>
#include <string.h>

#include "base/codec.h"
#include "kernels/cpu/int_form.h"

static float f16_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return tri_f16_to_f32(h);
}

/* ---- blocks of 32: [d] [m] [fifth bits] nibbles ---- */

static void nibbles(const uint8_t *qs, int32_t offset, int8_t *q) {
    for (int64_t j = 0; j < 16; j++) {
        q[j] = (int8_t)((qs[j] & 15) - offset);
        q[j + 16] = (int8_t)((qs[j] >> 4) - offset);
    }
}

static void nibbles_and_fifth(const uint8_t *qh, const uint8_t *qs, int32_t offset, int8_t *q) {
    uint32_t bits;
    memcpy(&bits, qh, sizeof bits);
    for (int64_t j = 0; j < 16; j++) {
        q[j] = (int8_t)((int32_t)((qs[j] & 15u) | (bits >> j & 1u) << 4) - offset);
        q[j + 16] = (int8_t)((int32_t)((qs[j] >> 4u) | (bits >> (j + 16) & 1u) << 4) - offset);
    }
}

static const int8_t iq4_values[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void from_table(const int8_t *table, const uint8_t *qs, int8_t *q) {
    for (int64_t j = 0; j < 16; j++) {
        q[j] = table[qs[j] & 15];
        q[j + 16] = table[qs[j] >> 4];
    }
}

static void decode_q4_0(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    d[0] = f16_at(b);
    nibbles(b + 2, 8, q);
}

static void decode_q4_1(const uint8_t *b, int8_t *q, float *d, float *m) {
    d[0] = f16_at(b);
    m[0] = f16_at(b + 2);
    nibbles(b + 4, 0, q);
}

static void decode_q5_0(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    d[0] = f16_at(b);
    nibbles_and_fifth(b + 2, b + 6, 16, q);
}

static void decode_q5_1(const uint8_t *b, int8_t *q, float *d, float *m) {
    d[0] = f16_at(b);
    m[0] = f16_at(b + 2);
    nibbles_and_fifth(b + 4, b + 8, 0, q);
}

static void decode_q8_0(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    d[0] = f16_at(b);
    memcpy(q, b + 2, 32);
}

static void decode_iq4_nl(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    d[0] = f16_at(b);
    from_table(iq4_values, b + 2, q);
}

static void decode_mxfp4(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    d[0] = ldexpf(1.0f, (int32_t)b[0] - 128); /* the table holds twice the E2M1 values */
    from_table(mxfp4_values, b + 1, q);
}

/* ---- blocks of 256 ---- */

/* 16 4-bit scales and minima; 2-bit values: byte l of a half serves elements l, l + 32, ... */
static void decode_q2_k(const uint8_t *b, int8_t *q, float *d, float *m) {
    const uint8_t *scales = b, *qs = b + 16;
    float scale = f16_at(b + 80), min = f16_at(b + 82);
    for (int64_t j = 0; j < 16; j++) {
        d[j] = scale * (float)(scales[j] & 15);
        m[j] = -(min * (float)(scales[j] >> 4));
    }
    for (int32_t half = 0; half < 2; half++) {
        for (int32_t part = 0; part < 4; part++) {
            for (int32_t l = 0; l < 32; l++) {
                q[half * 128 + part * 32 + l] = (int8_t)(qs[half * 32 + l] >> (2 * part) & 3);
            }
        }
    }
}

/* 2-bit values as in q2_k, a third bit in hmask (clear: minus 4), 16 6-bit scales minus 32. */
static void decode_q3_k(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    const uint8_t *hmask = b, *qs = b + 32, *packed = b + 96;
    float scale = f16_at(b + 108);
    for (int64_t j = 0; j < 16; j++) {
        int32_t low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
        int32_t high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
        d[j] = scale * (float)((low | high << 4) - 32);
    }
    for (int32_t half = 0; half < 2; half++) {
        for (int32_t part = 0; part < 4; part++) {
            int32_t bit = half * 4 + part;
            for (int32_t l = 0; l < 32; l++) {
                int32_t low = qs[half * 32 + l] >> (2 * part) & 3;
                int32_t high = hmask[l] >> bit & 1;
                q[half * 128 + part * 32 + l] = (int8_t)(low - 4 + 4 * high);
            }
        }
    }
}

/* Eight 6-bit scales and minima in 12 bytes. */
static void scales_k4(const uint8_t *b, const uint8_t *packed, float *d, float *m) {
    float scale = f16_at(b), min = f16_at(b + 2);
    for (int64_t j = 0; j < 8; j++) {
        int32_t s = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
        int32_t o = j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | (packed[j] >> 6) << 4;
        d[j] = scale * (float)s;
        m[j] = -(min * (float)o);
    }
}

static void decode_q4_k(const uint8_t *b, int8_t *q, float *d, float *m) {
    scales_k4(b, b + 4, d, m);
    const uint8_t *qs = b + 16;
    for (int32_t part = 0; part < 4; part++) {
        for (int32_t l = 0; l < 32; l++) {
            q[part * 64 + l] = (int8_t)(qs[part * 32 + l] & 15);
            q[part * 64 + 32 + l] = (int8_t)(qs[part * 32 + l] >> 4);
        }
    }
}

static void decode_q5_k(const uint8_t *b, int8_t *q, float *d, float *m) {
    scales_k4(b, b + 4, d, m);
    const uint8_t *qh = b + 16, *qs = b + 48;
    for (int32_t part = 0; part < 4; part++) {
        for (int32_t l = 0; l < 32; l++) {
            int32_t low = qs[part * 32 + l] & 15, high = qs[part * 32 + l] >> 4;
            q[part * 64 + l] = (int8_t)(low | (qh[l] >> (2 * part) & 1) << 4);
            q[part * 64 + 32 + l] = (int8_t)(high | (qh[l] >> (2 * part + 1) & 1) << 4);
        }
    }
}

static void decode_q6_k(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    const uint8_t *ql = b, *qh = b + 128;
    float scale = f16_at(b + 208);
    for (int64_t j = 0; j < 16; j++)
        d[j] = scale * (float)(int8_t)b[192 + j];
    for (int32_t half = 0; half < 2; half++, ql += 64, qh += 32, q += 128) {
        for (int32_t l = 0; l < 32; l++) {
            q[l] = (int8_t)(((ql[l] & 15) | (qh[l] & 3) << 4) - 32);
            q[l + 32] = (int8_t)(((ql[l + 32] & 15) | (qh[l] >> 2 & 3) << 4) - 32);
            q[l + 64] = (int8_t)((ql[l] >> 4 | (qh[l] >> 4 & 3) << 4) - 32);
            q[l + 96] = (int8_t)((ql[l + 32] >> 4 | (qh[l] >> 6 & 3) << 4) - 32);
        }
    }
}

static void decode_iq4_xs(const uint8_t *b, int8_t *q, float *d, float *m) {
    (void)m;
    float scale = f16_at(b);
    uint32_t high = (uint32_t)b[2] | (uint32_t)b[3] << 8;
    for (int64_t j = 0; j < 8; j++) {
        uint32_t low = (uint32_t)b[4 + j / 2] >> (4 * (j % 2)) & 15u;
        uint32_t s = low | (high >> (2 * j) & 3u) << 4;
        d[j] = scale * (float)((int32_t)s - 32);
        from_table(iq4_values, b + 8 + 16 * j, q + 32 * j);
    }
}

/* ---- rows ---- */

typedef void (*decode_block_fn)(const uint8_t *block, int8_t *q, float *d, float *m);

static const decode_block_fn decode_block[TRI_N_DTYPES] = {
    [TRI_Q4_0] = decode_q4_0,
    [TRI_Q4_1] = decode_q4_1,
    [TRI_Q5_0] = decode_q5_0,
    [TRI_Q5_1] = decode_q5_1,
    [TRI_Q8_0] = decode_q8_0,
    [TRI_Q2_K] = decode_q2_k,
    [TRI_Q3_K] = decode_q3_k,
    [TRI_Q4_K] = decode_q4_k,
    [TRI_Q5_K] = decode_q5_k,
    [TRI_Q6_K] = decode_q6_k,
    [TRI_IQ4_NL] = decode_iq4_nl,
    [TRI_IQ4_XS] = decode_iq4_xs,
    [TRI_MXFP4] = decode_mxfp4,
};

void TRI_INT_DECODE(int32_t dtype, const uint8_t *row, int64_t n, int8_t *q, float *d, float *m) {
    const tri_dtype_info *info = tri_dtype_get((tri_dtype)dtype);
    decode_block_fn decode = decode_block[dtype];
    int32_t per_block = info->block_elems / tri_int_form_of(dtype).sub;
    for (int64_t i = 0; i < n; i += info->block_elems) {
        decode(row, q + i, d, m);
        row += info->block_bytes;
        d += per_block;
        if (m) m += per_block;
    }
}
