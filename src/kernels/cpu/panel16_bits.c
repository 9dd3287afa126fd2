#include "kernels/cpu/panel16_bits.h"

#include <string.h>

#include "base/codec.h"
#include "kernels/cpu/panel_form.h"

enum { ROWS = 16, HALF = 8, RUN = 32, QUADS = RUN / 4, MAX = 256, MAX_RUNS = MAX / RUN };

typedef struct fields { /* of one block of one row */
    uint8_t d[4];       /* f16 d, m */
    uint8_t scales[MAX_RUNS][2];
    uint8_t q[MAX];
} fields;

bool tri_panel_bits_has(int32_t dtype) {
    return dtype == TRI_Q5_0 || dtype == TRI_Q5_1 || dtype == TRI_Q4_K || dtype == TRI_Q5_K ||
           dtype == TRI_Q6_K;
}

static int64_t n_runs(int32_t dtype) {
    return tri_dtype_get((tri_dtype)dtype)->block_elems / RUN;
}

/* ---- blocks of 32: d, (m,) fifth bits, nibbles ---- */

static void read_q5(const uint8_t *block, int64_t head, fields *f) {
    uint32_t fifth;
    memcpy(f->d, block, (size_t)head);
    memcpy(&fifth, block + head, 4);
    const uint8_t *nibbles = block + head + 4;
    for (int64_t j = 0; j < 16; j++) {
        f->q[j] = (uint8_t)((nibbles[j] & 15u) | (fifth >> j & 1u) << 4);
        f->q[j + 16] = (uint8_t)(nibbles[j] >> 4 | (fifth >> (j + 16) & 1u) << 4);
    }
}

static void write_q5(const fields *f, int64_t head, uint8_t *block) {
    uint32_t fifth = 0;
    uint8_t *nibbles = block + head + 4;
    for (int64_t j = 0; j < 16; j++) {
        fifth |= (uint32_t)(f->q[j] >> 4) << j | (uint32_t)(f->q[j + 16] >> 4) << (j + 16);
        nibbles[j] = (uint8_t)((f->q[j] & 15) | f->q[j + 16] << 4);
    }
    memcpy(block, f->d, (size_t)head);
    memcpy(block + head, &fifth, 4);
}

/* ---- q4_k, q5_k: d, dmin, scales [12], (fifth bits [32],) nibbles [128] ---- */

/* Scale and minimum of run 0 to 7 in 12 bytes: base/codec_superblocks.c. */
static void read_scales(const uint8_t *packed, fields *f) {
    for (int64_t j = 0; j < 4; j++) {
        f->scales[j][0] = packed[j] & 63;
        f->scales[j][1] = packed[j + 4] & 63;
        f->scales[j + 4][0] = (uint8_t)((packed[j + 8] & 15) | (packed[j] >> 6) << 4);
        f->scales[j + 4][1] = (uint8_t)(packed[j + 8] >> 4 | (packed[j + 4] >> 6) << 4);
    }
}

static void write_scales(const fields *f, uint8_t *packed) {
    for (int64_t j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(f->scales[j][0] | (f->scales[j + 4][0] >> 4) << 6);
        packed[j + 4] = (uint8_t)(f->scales[j][1] | (f->scales[j + 4][1] >> 4) << 6);
        packed[j + 8] = (uint8_t)((f->scales[j + 4][0] & 15) | f->scales[j + 4][1] << 4);
    }
}

static void read_k(const uint8_t *block, bool has_fifth, fields *f) {
    const uint8_t *fifth = block + 16, *nibbles = has_fifth ? block + 48 : block + 16;
    memcpy(f->d, block, 4);
    read_scales(block + 4, f);
    for (int64_t pair = 0; pair < 4; pair++) {
        for (int64_t j = 0; j < RUN; j++) {
            uint8_t byte = nibbles[pair * RUN + j];
            f->q[pair * 64 + j] = byte & 15;
            f->q[pair * 64 + RUN + j] = byte >> 4;
        }
    }
    for (int64_t i = 0; has_fifth && i < MAX; i++)
        f->q[i] = (uint8_t)(f->q[i] | (fifth[i % RUN] >> (i / RUN) & 1) << 4);
}

static void write_k(const fields *f, bool has_fifth, uint8_t *block) {
    uint8_t *fifth = block + 16, *nibbles = has_fifth ? block + 48 : block + 16;
    memcpy(block, f->d, 4);
    write_scales(f, block + 4);
    for (int64_t pair = 0; pair < 4; pair++) {
        for (int64_t j = 0; j < RUN; j++) {
            nibbles[pair * RUN + j] =
                (uint8_t)((f->q[pair * 64 + j] & 15) | f->q[pair * 64 + RUN + j] << 4);
        }
    }
    if (!has_fifth) return;
    memset(fifth, 0, RUN);
    for (int64_t i = 0; i < MAX; i++)
        fifth[i % RUN] = (uint8_t)(fifth[i % RUN] | (f->q[i] >> 4) << (i / RUN));
}

/* ---- q6_k: nibbles [128], upper bit pairs [64], int8 scales [16], d ---- */

static void read_q6_k(const uint8_t *block, fields *f) {
    const uint8_t *low = block, *high = block + 128;
    memcpy(f->scales, block + 192, 16);
    memcpy(f->d, block + 208, 2);
    for (int64_t half = 0; half < 2; half++, low += 64, high += 32) {
        uint8_t *q = f->q + half * 128;
        for (int64_t j = 0; j < RUN; j++) {
            q[j] = (uint8_t)((low[j] & 15) | (high[j] & 3) << 4);
            q[j + 32] = (uint8_t)((low[j + 32] & 15) | (high[j] >> 2 & 3) << 4);
            q[j + 64] = (uint8_t)(low[j] >> 4 | (high[j] >> 4 & 3) << 4);
            q[j + 96] = (uint8_t)(low[j + 32] >> 4 | (high[j] >> 6) << 4);
        }
    }
}

static void write_q6_k(const fields *f, uint8_t *block) {
    uint8_t *low = block, *high = block + 128;
    memcpy(block + 192, f->scales, 16);
    memcpy(block + 208, f->d, 2);
    for (int64_t half = 0; half < 2; half++, low += 64, high += 32) {
        const uint8_t *q = f->q + half * 128;
        for (int64_t j = 0; j < RUN; j++) {
            low[j] = (uint8_t)((q[j] & 15) | q[j + 64] << 4);
            low[j + 32] = (uint8_t)((q[j + 32] & 15) | q[j + 96] << 4);
            high[j] = (uint8_t)(q[j] >> 4 | (q[j + 32] >> 4) << 2 | (q[j + 64] >> 4) << 4 |
                                (q[j + 96] >> 4) << 6);
        }
    }
}

static void read_fields(int32_t dtype, const uint8_t *block, fields *f) {
    if (dtype == TRI_Q6_K)
        read_q6_k(block, f);
    else if (dtype == TRI_Q4_K || dtype == TRI_Q5_K)
        read_k(block, dtype == TRI_Q5_K, f);
    else
        read_q5(block, dtype == TRI_Q5_1 ? 4 : 2, f);
}

static void write_fields(int32_t dtype, const fields *f, uint8_t *block) {
    if (dtype == TRI_Q6_K)
        write_q6_k(f, block);
    else if (dtype == TRI_Q4_K || dtype == TRI_Q5_K)
        write_k(f, dtype == TRI_Q5_K, block);
    else
        write_q5(f, dtype == TRI_Q5_1 ? 4 : 2, block);
}

/* ---- values of a run: four of a row are a word ---- */

static uint32_t load_word(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static void store_word(uint8_t *at, uint32_t word) {
    memcpy(at, &word, sizeof word);
}

/* The lowest bits of four bytes as four bits, and back: each product's bits are apart. */
static uint64_t gather_bits(uint32_t bytes) {
    return (bytes & 0x01010101u) * 0x10204080u >> 28;
}
static uint32_t spread_bits(uint64_t bits) {
    return (uint32_t)(bits & 15) * 0x00204081u & 0x01010101u;
}

static void pack_run(const fields f[ROWS], int64_t run, int32_t high_bits, uint8_t *out) {
    for (int64_t quad = 0; quad < QUADS; quad++) {
        uint64_t bits[2] = {0};
        for (int64_t r = 0; r < HALF; r++) {
            uint32_t a = load_word(f[r].q + run * RUN + quad * 4);
            uint32_t b = load_word(f[r + HALF].q + run * RUN + quad * 4);
            store_word(out + (quad * HALF + r) * 4, (a & 0x0F0F0F0Fu) | (b & 0x0F0F0F0Fu) << 4);
            for (int32_t i = 0; i < high_bits; i++) {
                bits[i] |= gather_bits(a >> (4 + i)) << (r * 4);
                bits[i] |= gather_bits(b >> (4 + i)) << ((r + HALF) * 4);
            }
        }
        for (int32_t i = 0; i < high_bits; i++)
            memcpy(out + 256 + (ptrdiff_t)i * 64 + quad * 8, &bits[i], 8);
    }
}

static void unpack_run(const uint8_t *in, int64_t run, int32_t high_bits, fields f[ROWS]) {
    for (int64_t quad = 0; quad < QUADS; quad++) {
        uint64_t bits[2] = {0};
        for (int32_t i = 0; i < high_bits; i++)
            memcpy(&bits[i], in + 256 + (ptrdiff_t)i * 64 + quad * 8, 8);
        for (int64_t r = 0; r < HALF; r++) {
            uint32_t both = load_word(in + (quad * HALF + r) * 4);
            uint32_t a = both & 0x0F0F0F0Fu, b = both >> 4 & 0x0F0F0F0Fu;
            for (int32_t i = 0; i < high_bits; i++) {
                a |= spread_bits(bits[i] >> (r * 4)) << (4 + i);
                b |= spread_bits(bits[i] >> ((r + HALF) * 4)) << (4 + i);
            }
            store_word(f[r].q + run * RUN + quad * 4, a);
            store_word(f[r + HALF].q + run * RUN + quad * 4, b);
        }
    }
}

/* ---- blocks ---- */

void tri_panel_bits_pack(int32_t dtype, const uint8_t *const blocks[ROWS], uint8_t *out) {
    const tri_panel_form form = tri_panel_form_of(dtype);
    int64_t d_bytes = form.has_min ? 64 : 32;
    fields f[ROWS];
    for (int64_t r = 0; r < ROWS; r++) {
        if (blocks[r])
            read_fields(dtype, blocks[r], &f[r]);
        else
            memset(&f[r], 0, sizeof f[r]);
        memcpy(out + r * 2, f[r].d, 2);
        if (form.has_min) memcpy(out + 32 + r * 2, f[r].d + 2, 2);
    }
    out += d_bytes; /* a block's head, or the scales of its only record */
    for (int64_t run = 0; run < n_runs(dtype); run++) {
        if (form.scales == TRI_SCALES_BLOCK) {
            for (int64_t i = 0; i < (int64_t)2 * ROWS; i++)
                *out++ = f[i % ROWS].scales[run][i / ROWS];
        }
        pack_run(f, run, form.high_bits, out);
        out += 256 + form.high_bits * 64;
    }
}

void tri_panel_bits_unpack(int32_t dtype, const uint8_t *in, uint8_t *const blocks[ROWS]) {
    const tri_panel_form form = tri_panel_form_of(dtype);
    fields f[ROWS];
    for (int64_t r = 0; r < ROWS; r++) {
        memcpy(f[r].d, in + r * 2, 2);
        if (form.has_min) memcpy(f[r].d + 2, in + 32 + r * 2, 2);
    }
    in += form.has_min ? 64 : 32;
    for (int64_t run = 0; run < n_runs(dtype); run++) {
        if (form.scales == TRI_SCALES_BLOCK) {
            for (int64_t i = 0; i < (int64_t)2 * ROWS; i++)
                f[i % ROWS].scales[run][i / ROWS] = *in++;
        }
        unpack_run(in, run, form.high_bits, f);
        in += 256 + form.high_bits * 64;
    }
    for (int64_t r = 0; r < ROWS; r++) {
        if (blocks[r]) write_fields(dtype, &f[r], blocks[r]);
    }
}

/* ---- reading ---- */

static float f16_at(const uint8_t *at) {
    return tri_f16_to_f32((uint16_t)(at[0] | at[1] << 8));
}

void tri_panel_bits_read(
    int32_t dtype, const uint8_t *block, int64_t record, int64_t r, float out[RUN]) {
    const tri_panel_form form = tri_panel_form_of(dtype);
    const uint8_t *at = block + tri_panel_head_bytes(form) + record * tri_panel_record_bytes(form);
    const uint8_t *values = at + tri_panel_scale_bytes(form);
    float d[2] = {f16_at(block + r * 2), 0.0f},
          m = form.has_min ? f16_at(block + 32 + r * 2) : 0.0f;
    d[1] = d[0];
    if (form.halves) {
        d[0] *= (float)(int8_t)at[r];
        d[1] *= (float)(int8_t)at[ROWS + r];
    } else if (form.scales == TRI_SCALES_BLOCK) {
        d[0] *= (float)at[r];
        d[1] = d[0];
        m = -(m * (float)at[ROWS + r]);
    }
    for (int64_t k = 0; k < RUN; k++) {
        int64_t quad = k / 4, byte = r % HALF * 4 + k % 4;
        int32_t q = values[quad * 32 + byte] >> (r < HALF ? 0 : 4) & 15;
        for (int32_t i = 0; i < form.high_bits; i++) {
            int64_t bit = r * 4 + k % 4;
            q |= (values[256 + i * 64 + quad * 8 + bit / 8] >> (bit % 8) & 1) << (4 + i);
        }
        float w = d[k / 16] * (float)(q - form.offset);
        out[k] = form.has_min ? w + m : w;
    }
}
