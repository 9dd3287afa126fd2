/* codec_blocks.c - GGUF's blocks of 32.  Layouts and rounding are those of ggml's reference
 * (ggml-common.h, ggml-quants.c): d and m are float16, nibble i of byte j is element j + 16 i. */
#include "base/codec_blocks.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32, HALF = 16 };

const int8_t tri_iq4_values[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static float load_f16(const uint8_t *at) {
    return tri_f16_to_f32((uint16_t)(at[0] | at[1] << 8));
}

static void store_f16(uint8_t *at, float f) {
    uint16_t h = tri_f32_to_f16(f);
    at[0] = (uint8_t)h;
    at[1] = (uint8_t)(h >> 8);
}

static uint32_t load_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- decoding ---- */

/* d [2], nibbles [16]: d * (q - 8) */
void tri_block_decode_q4_0(const uint8_t *block, float *out) {
    float d = load_f16(block);
    for (int j = 0; j < HALF; j++) {
        uint8_t byte = block[2 + j];
        out[j] = d * (float)((byte & 15) - 8);
        out[j + HALF] = d * (float)((byte >> 4) - 8);
    }
}

/* d [2], m [2], nibbles [16]: d * q + m */
void tri_block_decode_q4_1(const uint8_t *block, float *out) {
    float d = load_f16(block), m = load_f16(block + 2);
    for (int j = 0; j < HALF; j++) {
        uint8_t byte = block[4 + j];
        out[j] = d * (float)(byte & 15) + m;
        out[j + HALF] = d * (float)(byte >> 4) + m;
    }
}

/* d [2], fifth bits [4], nibbles [16]: d * (q - 16) */
void tri_block_decode_q5_0(const uint8_t *block, float *out) {
    float d = load_f16(block);
    uint32_t fifth = load_u32(block + 2);
    for (int j = 0; j < HALF; j++) {
        uint8_t byte = block[6 + j];
        int low = (int)((fifth >> j & 1) << 4), high = (int)((fifth >> (j + HALF) & 1) << 4);
        out[j] = d * (float)((byte & 15) + low - 16);
        out[j + HALF] = d * (float)((byte >> 4) + high - 16);
    }
}

/* d [2], m [2], fifth bits [4], nibbles [16]: d * q + m */
void tri_block_decode_q5_1(const uint8_t *block, float *out) {
    float d = load_f16(block), m = load_f16(block + 2);
    uint32_t fifth = load_u32(block + 4);
    for (int j = 0; j < HALF; j++) {
        uint8_t byte = block[8 + j];
        int low = (int)((fifth >> j & 1) << 4), high = (int)((fifth >> (j + HALF) & 1) << 4);
        out[j] = d * (float)((byte & 15) + low) + m;
        out[j + HALF] = d * (float)((byte >> 4) + high) + m;
    }
}

/* d [2], int8 [32]: d * q */
void tri_block_decode_q8_0(const uint8_t *block, float *out) {
    float d = load_f16(block);
    for (int j = 0; j < BLOCK; j++)
        out[j] = d * (float)(int8_t)block[2 + j];
}

/* d [2], nibbles [16]: d * values[q] */
void tri_block_decode_iq4_nl(const uint8_t *block, float *out) {
    float d = load_f16(block);
    for (int j = 0; j < HALF; j++) {
        uint8_t byte = block[2 + j];
        out[j] = d * (float)tri_iq4_values[byte & 15];
        out[j + HALF] = d * (float)tri_iq4_values[byte >> 4];
    }
}

/* exponent [1], nibbles [16]: 2^(e - 127) * e2m1 (OCP microscaling formats 1.0); the table holds
 * twice the e2m1 values, so the power is halved. */
void tri_block_decode_mxfp4(const uint8_t *block, float *out) {
    static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    float d = ldexpf(1.0f, block[0] - 128);
    for (int j = 0; j < HALF; j++) {
        uint8_t byte = block[1 + j];
        out[j] = d * (float)doubled[byte & 15];
        out[j + HALF] = d * (float)doubled[byte >> 4];
    }
}

/* ---- encoding ---- */

/* The element farthest from zero, the first of equals. */
static float extreme(const float *x) {
    float most = 0, value = 0;
    for (int j = 0; j < BLOCK; j++) {
        if (fabsf(x[j]) > most) {
            most = fabsf(x[j]);
            value = x[j];
        }
    }
    return value;
}

static void range(const float *x, float *low, float *high) {
    *low = *high = x[0];
    for (int j = 1; j < BLOCK; j++) {
        *low = x[j] < *low ? x[j] : *low;
        *high = x[j] > *high ? x[j] : *high;
    }
}

static float inverse(float d) {
    return d != 0 ? 1.0f / d : 0.0f;
}

/* Truncated and cut to [0, most]; NaN gives 0. */
static uint8_t level(float x, int most) {
    if (!(x > 0)) return 0;
    return (uint8_t)(x < (float)most ? (int)x : most);
}

static void store_nibbles(const uint8_t q[BLOCK], uint8_t *out) {
    for (int j = 0; j < HALF; j++)
        out[j] = (uint8_t)((q[j] & 15) | q[j + HALF] << 4);
}

static void store_fifth_bits(const uint8_t q[BLOCK], uint8_t *out) {
    uint32_t fifth = 0;
    for (int j = 0; j < BLOCK; j++)
        fifth |= (uint32_t)(q[j] >> 4) << j;
    memcpy(out, &fifth, sizeof fifth);
}

void tri_block_encode_q4_0(const float *x, uint8_t *block) {
    uint8_t q[BLOCK];
    float d = extreme(x) / -8.0f, id = inverse(d);
    for (int j = 0; j < BLOCK; j++)
        q[j] = level(x[j] * id + 8.5f, 15);
    store_f16(block, d);
    store_nibbles(q, block + 2);
}

void tri_block_encode_q4_1(const float *x, uint8_t *block) {
    uint8_t q[BLOCK];
    float low, high;
    range(x, &low, &high);
    float d = (high - low) / 15.0f, id = inverse(d);
    for (int j = 0; j < BLOCK; j++)
        q[j] = level((x[j] - low) * id + 0.5f, 15);
    store_f16(block, d);
    store_f16(block + 2, low);
    store_nibbles(q, block + 4);
}

void tri_block_encode_q5_0(const float *x, uint8_t *block) {
    uint8_t q[BLOCK];
    float d = extreme(x) / -16.0f, id = inverse(d);
    for (int j = 0; j < BLOCK; j++)
        q[j] = level(x[j] * id + 16.5f, 31);
    store_f16(block, d);
    store_fifth_bits(q, block + 2);
    store_nibbles(q, block + 6);
}

void tri_block_encode_q5_1(const float *x, uint8_t *block) {
    uint8_t q[BLOCK];
    float low, high;
    range(x, &low, &high);
    float d = (high - low) / 31.0f, id = inverse(d);
    for (int j = 0; j < BLOCK; j++)
        q[j] = level((x[j] - low) * id + 0.5f, 31);
    store_f16(block, d);
    store_f16(block + 2, low);
    store_fifth_bits(q, block + 4);
    store_nibbles(q, block + 8);
}

/* Half away from zero, as ggml rounds; not a call, so that the loop vectorises. Cut to [-127, 127],
 * NaN too. */
static int8_t round_level(float x) {
    x = x < 127.0f ? x : 127.0f;
    x = x > -127.0f ? x : -127.0f;
    int whole = (int)x;
    float rest = x - (float)whole;
    return (int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
}

void tri_block_encode_q8_0(const float *x, uint8_t *block) {
    float most = 0;
    for (int j = 0; j < BLOCK; j++)
        most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
    float d = most / 127.0f, id = inverse(d);
    for (int j = 0; j < BLOCK; j++)
        block[2 + j] = (uint8_t)round_level(x[j] * id);
    store_f16(block, d);
}
