/* codec.h - element types and block codecs: the only place that knows a block's bits.
 *
 * Rows are packed without gaps.  Block formats follow ggml's layouts (GGUF v3). */
#ifndef TRI_BASE_CODEC_H
#define TRI_BASE_CODEC_H

#include "base/buf.h"

typedef struct tri_dtype_info {
    const char *name;        /* ours: "f32", "q4_0" */
    const char *safetensors; /* "F32"; NULL when safetensors has none */
    const char *config;      /* TensorRT-LLM's and torch's: "float32"; NULL when none */
    int32_t block_elems;     /* 1 for plain types, 2 for i4 */
    int32_t block_bytes;
    bool is_float, is_block;
    int32_t gguf_type; /* ggml type number, -1 when GGUF has none */
} tri_dtype_info;

const tri_dtype_info *tri_dtype_get(tri_dtype dtype);
bool tri_dtype_from_gguf(int32_t gguf_type, tri_dtype *dtype);
bool tri_dtype_from_safetensors(tri_str name, tri_dtype *dtype);

/* Bytes of a row of n elements; -1 when n is negative, not a multiple of the block, or too large.
 */
int64_t tri_dtype_row_bytes(tri_dtype dtype, int64_t n_elems);

/* One row to float32 and back.  n_elems is a multiple of the block.  Every dtype decodes; encode is
 * for f32 f16 bf16 f64 f8 (nearest even, saturating f8), q8_0, q4_0, q4_1, q5_0, q5_1 (ggml's
 * reference rounding) and the integers (exact or TRI_ASSERT): tri_codec_can_encode tells. */
void tri_codec_decode(tri_dtype dtype, const void *row, float *out, int64_t n_elems);
bool tri_codec_can_encode(tri_dtype dtype);
void tri_codec_encode(tri_dtype dtype, const float *row, void *out, int64_t n_elems);

float tri_f16_to_f32(uint16_t h);
uint16_t tri_f32_to_f16(float f); /* nearest even */
float tri_bf16_to_f32(uint16_t h);
uint16_t tri_f32_to_bf16(float f); /* nearest even; NaN stays NaN */

/* Symmetric activation blocks of 32: scale = max|x| / 127, q = round-half-even(x / scale).  What
 * int8 activations mean everywhere (interpreter and kernels).  n_elems % 32 == 0. */
void tri_quantize_activations(const float *x, int8_t *q, float *scales, int64_t n_elems);

#endif
