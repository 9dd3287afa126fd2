/* codec.c - the table of element types and the codecs of the plain ones (declared in codec.h).
 *
 * Loops over a row have no branch on data, so that they vectorise. Bytes are little-endian. */
#include "base/codec.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/codec_blocks.h"

typedef void (*decode_fn)(const uint8_t *row, float *out, int64_t n);
typedef void (*encode_fn)(const float *row, uint8_t *out, int64_t n);

/* ---- single numbers ---- */

static float f32_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of_f32(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* a or b by masks: compilers vectorise this where a choice between results of float operations,
 * which might trap, makes them branch. */
static inline uint32_t choose(bool condition, uint32_t a, uint32_t b) {
    uint32_t mask = (uint32_t)0 - condition;
    return (a & mask) | (b & ~mask);
}

/* Small IEEE-like formats: a sign, exponent bits with a bias, man_bits of mantissa, subnormals. The
 * callers' constants fold. */

/* Without sign, NaN and infinity. Subnormals are made as normal numbers and shifted down by one
 * subtraction, so that flush-to-zero modes do not matter. */
static inline uint32_t widen(uint32_t magnitude, uint32_t bias, uint32_t man_bits) {
    uint32_t normal = (magnitude << (23 - man_bits)) + ((127 - bias) << 23);
    float least = f32_of_bits((128 - bias) << 23);
    uint32_t subnormal = bits_of_f32(f32_of_bits(normal + (1u << 23)) - least);
    return choose(magnitude >> man_bits != 0, normal, subnormal);
}

/* Nearest even, from the bits of a float32 without sign; may exceed the largest number. Subnormal
 * results are rounded by adding a float whose last bit is theirs. */
static inline uint32_t narrow(uint32_t bits, uint32_t bias, uint32_t man_bits) {
    uint32_t shift = 23 - man_bits;
    uint32_t odd = (bits >> shift) & 1;
    uint32_t normal = (bits + (1u << (shift - 1)) - 1 + odd - ((127 - bias) << 23)) >> shift;
    uint32_t magic = (127 - bias + shift + 1) << 23;
    uint32_t subnormal = bits_of_f32(f32_of_bits(bits) + f32_of_bits(magic)) - magic;
    return choose(bits >= (128 - bias) << 23, normal, subnormal);
}

static inline float f16_to_f32(uint16_t h) {
    uint32_t magnitude = h & 0x7FFFu, sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t bits = widen(magnitude, 15, 10);
    bits = choose(magnitude >= 0x7C00, bits | 0x7F800000u, bits); /* infinity, NaN */
    return f32_of_bits(bits | sign);
}

static inline uint16_t f32_to_f16(float f) {
    uint32_t bits = bits_of_f32(f), sign = (bits >> 16) & 0x8000u;
    bits &= 0x7FFFFFFFu;
    uint32_t h = narrow(bits, 15, 10);
    h = choose(bits >= 0x47800000u, 0x7C00, h); /* 65536; from 65520 rounding made infinity */
    h = choose(bits > 0x7F800000u, 0x7E00, h);
    return (uint16_t)(h | sign);
}

static inline float bf16_to_f32(uint16_t h) {
    return f32_of_bits((uint32_t)h << 16);
}

static inline uint16_t f32_to_bf16(float f) {
    uint32_t bits = bits_of_f32(f);
    uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    uint32_t nan = (bits >> 16) | 0x40; /* quiet */
    return (uint16_t)choose((bits & 0x7FFFFFFFu) > 0x7F800000u, nan, rounded);
}

/* OCP 8-bit floating point, 1.0: e4m3 has no infinity and one NaN, e5m2 is IEEE-like. */
static inline float e4m3_to_f32(uint8_t code) {
    uint32_t magnitude = code & 0x7Fu, sign = (uint32_t)(code & 0x80u) << 24;
    uint32_t bits = widen(magnitude, 7, 3);
    bits = choose(magnitude == 0x7F, 0x7FC00000u, bits);
    return f32_of_bits(bits | sign);
}

static inline float e5m2_to_f32(uint8_t code) {
    return f16_to_f32((uint16_t)(code << 8));
}

static inline uint8_t f32_to_e4m3(float f) {
    uint32_t bits = bits_of_f32(f), sign = (bits >> 24) & 0x80u;
    bits &= 0x7FFFFFFFu;
    uint32_t code = narrow(bits, 7, 3);
    code = choose(bits >= 0x43E00000u, 0x7E, code); /* 448 and more */
    code = choose(bits > 0x7F800000u, 0x7F, code);
    return (uint8_t)(code | sign);
}

static inline uint8_t f32_to_e5m2(float f) {
    uint32_t bits = bits_of_f32(f), sign = (bits >> 24) & 0x80u;
    bits &= 0x7FFFFFFFu;
    uint32_t code = narrow(bits, 15, 2);
    code = choose(bits >= 0x47600000u, 0x7B, code); /* 57344 and more */
    code = choose(bits > 0x7F800000u, 0x7F, code);
    return (uint8_t)(code | sign);
}

float tri_f16_to_f32(uint16_t h) {
    return f16_to_f32(h);
}

uint16_t tri_f32_to_f16(float f) {
    return f32_to_f16(f);
}

float tri_bf16_to_f32(uint16_t h) {
    return bf16_to_f32(h);
}

uint16_t tri_f32_to_bf16(float f) {
    return f32_to_bf16(f);
}

/* ---- rows of plain types ---- */

/* Decodes elements of `type` by `expression` of x, and encodes them likewise; rows in files need
 * not be aligned. */
#define DECODE_ROW(name, type, expression)                                                         \
    static void decode_##name(const uint8_t *row, float *out, int64_t n) {                         \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type x;                                                                                \
            memcpy(&x, row + i * (int64_t)sizeof x, sizeof x);                                     \
            out[i] = (expression);                                                                 \
        }                                                                                          \
    }
#define ENCODE_ROW(name, type, expression)                                                         \
    static void encode_##name(const float *row, uint8_t *out, int64_t n) {                         \
        for (int64_t i = 0; i < n; i++) {                                                          \
            float x = row[i];                                                                      \
            type y = (expression);                                                                 \
            memcpy(out + i * (int64_t)sizeof y, &y, sizeof y);                                     \
        }                                                                                          \
    }

DECODE_ROW(f16, uint16_t, f16_to_f32(x))
DECODE_ROW(bf16, uint16_t, bf16_to_f32(x))
DECODE_ROW(f64, double, (float)x)
DECODE_ROW(e4m3, uint8_t, e4m3_to_f32(x))
DECODE_ROW(e5m2, uint8_t, e5m2_to_f32(x))
DECODE_ROW(truth, uint8_t, x ? 1.0f : 0.0f)
DECODE_ROW(i8, int8_t, (float)x)
DECODE_ROW(u8, uint8_t, (float)x)
DECODE_ROW(i16, int16_t, (float)x)
DECODE_ROW(u16, uint16_t, (float)x)
DECODE_ROW(i32, int32_t, (float)x)
DECODE_ROW(u32, uint32_t, (float)x)
DECODE_ROW(i64, int64_t, (float)x)
DECODE_ROW(u64, uint64_t, (float)x)

ENCODE_ROW(f16, uint16_t, f32_to_f16(x))
ENCODE_ROW(bf16, uint16_t, f32_to_bf16(x))
ENCODE_ROW(f64, double, (double)x)
ENCODE_ROW(e4m3, uint8_t, f32_to_e4m3(x))
ENCODE_ROW(e5m2, uint8_t, f32_to_e5m2(x))

/* Whole and in [low, high): false for NaN too. */
static bool is_whole(float x, float low, float high) {
    return x >= low && x < high && truncf(x) == x;
}

#define ENCODE_INTEGER(name, type, low, high)                                                      \
    ENCODE_ROW(name, type, (TRI_ASSERT(is_whole(x, (low), (high))), (type)x))
ENCODE_INTEGER(truth, uint8_t, 0, 2)
ENCODE_INTEGER(i8, int8_t, -0x1p7f, 0x1p7f)
ENCODE_INTEGER(u8, uint8_t, 0, 0x1p8f)
ENCODE_INTEGER(i16, int16_t, -0x1p15f, 0x1p15f)
ENCODE_INTEGER(u16, uint16_t, 0, 0x1p16f)
ENCODE_INTEGER(i32, int32_t, -0x1p31f, 0x1p31f)
ENCODE_INTEGER(u32, uint32_t, 0, 0x1p32f)
ENCODE_INTEGER(i64, int64_t, -0x1p63f, 0x1p63f)
ENCODE_INTEGER(u64, uint64_t, 0, 0x1p64f)

static void decode_f32(const uint8_t *row, float *out, int64_t n) {
    if (n) memcpy(out, row, (size_t)n * sizeof *out);
}

static void encode_f32(const float *row, uint8_t *out, int64_t n) {
    if (n) memcpy(out, row, (size_t)n * sizeof *row);
}

static void decode_i4(const uint8_t *row, float *out, int64_t n) {
    for (int64_t i = 0; i < n / 2; i++) {
        out[2 * i] = (float)(((row[i] & 15) ^ 8) - 8);
        out[2 * i + 1] = (float)(((row[i] >> 4) ^ 8) - 8);
    }
}

static void encode_i4(const float *row, uint8_t *out, int64_t n) {
    for (int64_t i = 0; i < n / 2; i++) {
        float low = row[2 * i], high = row[2 * i + 1];
        TRI_ASSERT(is_whole(low, -8, 8) && is_whole(high, -8, 8));
        out[i] = (uint8_t)(((int)low & 15) | ((int)high & 15) << 4);
    }
}

/* ---- the table ---- */

enum { NO_GGUF = -1 };

/* name, safetensors, config, bytes, float?, ggml type, codec */
#define PLAIN(name, safetensors, config, n_bytes, is_float, gguf, codec)                           \
    {                                                                                              \
        .info = {name, safetensors, config, 1, n_bytes, is_float, false, gguf},                    \
        .decode = decode_##codec, .encode = encode_##codec                                         \
    }
/* name, elements and bytes of a block, ggml type, codec */
#define BLOCK(name, n_elems, n_bytes, gguf, codec)                                                 \
    {                                                                                              \
        .info = {name, NULL, NULL, n_elems, n_bytes, false, true, gguf},                           \
        .decode_block = tri_block_decode_##codec                                                   \
    }
#define BLOCK_BOTH_WAYS(name, n_elems, n_bytes, gguf, codec)                                       \
    {                                                                                              \
        .info = {name, NULL, NULL, n_elems, n_bytes, false, true, gguf},                           \
        .decode_block = tri_block_decode_##codec, .encode_block = tri_block_encode_##codec         \
    }

static const struct {
    tri_dtype_info info;
    decode_fn decode; /* of a row: plain types */
    encode_fn encode;
    tri_block_decode_fn decode_block; /* of one block: block types */
    tri_block_encode_fn encode_block;
} types[TRI_N_DTYPES] = {
    [TRI_F32] = PLAIN("f32", "F32", "float32", 4, true, 0, f32),
    [TRI_F16] = PLAIN("f16", "F16", "float16", 2, true, 1, f16),
    [TRI_BF16] = PLAIN("bf16", "BF16", "bfloat16", 2, true, 30, bf16),
    [TRI_F64] = PLAIN("f64", "F64", "float64", 8, true, 28, f64),
    [TRI_F8_E4M3] = PLAIN("f8_e4m3", "F8_E4M3", "fp8", 1, true, NO_GGUF, e4m3),
    [TRI_F8_E5M2] = PLAIN("f8_e5m2", "F8_E5M2", "float8_e5m2", 1, true, NO_GGUF, e5m2),
    [TRI_BOOL] = PLAIN("bool", "BOOL", "bool", 1, false, NO_GGUF, truth),
    [TRI_I8] = PLAIN("i8", "I8", "int8", 1, false, 24, i8),
    [TRI_U8] = PLAIN("u8", "U8", "uint8", 1, false, NO_GGUF, u8),
    [TRI_I16] = PLAIN("i16", "I16", "int16", 2, false, 25, i16),
    [TRI_U16] = PLAIN("u16", "U16", "uint16", 2, false, NO_GGUF, u16),
    [TRI_I32] = PLAIN("i32", "I32", "int32", 4, false, 26, i32),
    [TRI_U32] = PLAIN("u32", "U32", "uint32", 4, false, NO_GGUF, u32),
    [TRI_I64] = PLAIN("i64", "I64", "int64", 8, false, 27, i64),
    [TRI_U64] = PLAIN("u64", "U64", "uint64", 8, false, NO_GGUF, u64),
    [TRI_I4] = {.info = {"i4", NULL, "int4", 2, 1, false, false, NO_GGUF},
        .decode = decode_i4,
        .encode = encode_i4},
    [TRI_Q4_0] = BLOCK_BOTH_WAYS("q4_0", 32, 18, 2, q4_0),
    [TRI_Q4_1] = BLOCK_BOTH_WAYS("q4_1", 32, 20, 3, q4_1),
    [TRI_Q5_0] = BLOCK_BOTH_WAYS("q5_0", 32, 22, 6, q5_0),
    [TRI_Q5_1] = BLOCK_BOTH_WAYS("q5_1", 32, 24, 7, q5_1),
    [TRI_Q8_0] = BLOCK_BOTH_WAYS("q8_0", 32, 34, 8, q8_0),
    [TRI_Q2_K] = BLOCK("q2_k", 256, 84, 10, q2_k),
    [TRI_Q3_K] = BLOCK("q3_k", 256, 110, 11, q3_k),
    [TRI_Q4_K] = BLOCK("q4_k", 256, 144, 12, q4_k),
    [TRI_Q5_K] = BLOCK("q5_k", 256, 176, 13, q5_k),
    [TRI_Q6_K] = BLOCK("q6_k", 256, 210, 14, q6_k),
    [TRI_IQ4_NL] = BLOCK("iq4_nl", 32, 18, 20, iq4_nl),
    [TRI_IQ4_XS] = BLOCK("iq4_xs", 256, 136, 23, iq4_xs),
    [TRI_MXFP4] = BLOCK("mxfp4", 32, 17, 39, mxfp4),
};

static bool is_dtype(tri_dtype dtype) {
    return (unsigned)dtype < TRI_N_DTYPES;
}

const tri_dtype_info *tri_dtype_get(tri_dtype dtype) {
    TRI_ASSERT(is_dtype(dtype));
    return &types[dtype].info;
}

const char *tri_dtype_name(tri_dtype dtype) {
    return is_dtype(dtype) ? types[dtype].info.name : "unknown";
}

bool tri_dtype_parse(const char *name, tri_dtype *dtype) {
    for (int i = 0; i < TRI_N_DTYPES; i++) {
        const tri_dtype_info *info = &types[i].info;
        if (strcasecmp(name, info->name) == 0 ||
            (info->safetensors && strcasecmp(name, info->safetensors) == 0) ||
            (info->config && strcasecmp(name, info->config) == 0)) {
            *dtype = (tri_dtype)i;
            return true;
        }
    }
    if (strcasecmp(name, "float8_e4m3fn") == 0) { /* torch's; "fp8" is TensorRT-LLM's */
        *dtype = TRI_F8_E4M3;
        return true;
    }
    return false;
}

bool tri_dtype_from_gguf(int32_t gguf_type, tri_dtype *dtype) {
    for (int i = 0; gguf_type >= 0 && i < TRI_N_DTYPES; i++) {
        if (types[i].info.gguf_type == gguf_type) {
            *dtype = (tri_dtype)i;
            return true;
        }
    }
    return false;
}

bool tri_dtype_from_safetensors(tri_str name, tri_dtype *dtype) {
    for (int i = 0; i < TRI_N_DTYPES; i++) {
        const char *known = types[i].info.safetensors;
        if (known && tri_str_is(name, known)) {
            *dtype = (tri_dtype)i;
            return true;
        }
    }
    return false;
}

int64_t tri_dtype_row_bytes(tri_dtype dtype, int64_t n_elems) {
    const tri_dtype_info *info = tri_dtype_get(dtype);
    int64_t n_bytes;
    if (n_elems < 0 || n_elems % info->block_elems != 0) return -1;
    if (__builtin_mul_overflow(n_elems / info->block_elems, (int64_t)info->block_bytes, &n_bytes)) {
        return -1;
    }
    return n_bytes;
}

void tri_codec_decode(tri_dtype dtype, const void *row, float *out, int64_t n_elems) {
    TRI_ASSERT(tri_dtype_row_bytes(dtype, n_elems) >= 0);
    const tri_dtype_info *info = &types[dtype].info;
    const uint8_t *bytes = row;
    if (!info->is_block) {
        types[dtype].decode(bytes, out, n_elems);
        return;
    }
    for (int64_t i = 0; i < n_elems; i += info->block_elems, bytes += info->block_bytes) {
        types[dtype].decode_block(bytes, out + i);
    }
}

bool tri_codec_can_encode(tri_dtype dtype) {
    return is_dtype(dtype) && (types[dtype].encode || types[dtype].encode_block);
}

void tri_codec_encode(tri_dtype dtype, const float *row, void *out, int64_t n_elems) {
    TRI_ASSERT(tri_codec_can_encode(dtype) && tri_dtype_row_bytes(dtype, n_elems) >= 0);
    const tri_dtype_info *info = &types[dtype].info;
    uint8_t *bytes = out;
    if (!info->is_block) {
        types[dtype].encode(row, bytes, n_elems);
        return;
    }
    for (int64_t i = 0; i < n_elems; i += info->block_elems, bytes += info->block_bytes) {
        types[dtype].encode_block(row + i, bytes);
    }
}

/* ---- activations ---- */

/* One block. A scale too small to be a normal number counts as zero, so that flush-to-zero modes do
 * not matter; a block with NaN or infinity gets a NaN scale, so that products with it are NaN as
 * they would be unquantised. Else |x / scale| <= 127 up to one rounding, and adding 1.5 * 2^23
 * rounds half to even into the low bits. */
static void quantize_block(const float *x, int8_t *q, float *scale_out) {
    enum { BLOCK = 32 };
    uint32_t most = 0; /* bits of |x| order like its value; those of NaN above all */
    for (int i = 0; i < BLOCK; i++) {
        uint32_t bits = bits_of_f32(x[i]) & 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    float scale = f32_of_bits(most) / 127.0f;
    bool usable = most < 0x7F800000u && scale >= 0x1p-126f;
    *scale_out = most >= 0x7F800000u ? NAN : usable ? scale : 0.0f;
    if (!usable) {
        memset(q, 0, BLOCK);
        return;
    }
    for (int i = 0; i < BLOCK; i++) {
        q[i] = (int8_t)((int32_t)bits_of_f32(x[i] / scale + 0x1.8p23f) - 0x4B400000);
    }
}

void tri_quantize_activations(const float *x, int8_t *q, float *scales, int64_t n_elems) {
    TRI_ASSERT(n_elems >= 0 && n_elems % 32 == 0);
    for (int64_t i = 0; i < n_elems / 32; i++) {
        quantize_block(x + i * 32, q + i * 32, &scales[i]);
    }
}
