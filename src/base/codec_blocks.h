/* codec_blocks.h - one block of each GGUF format, for codec.c only. */
#ifndef TRI_BASE_CODEC_BLOCKS_H
#define TRI_BASE_CODEC_BLOCKS_H

#include "base/codec.h"

typedef void (*tri_block_decode_fn)(const uint8_t *block, float *out);
typedef void (*tri_block_encode_fn)(const float *x, uint8_t *block);

/* codec_blocks.c: blocks of 32 */
void tri_block_decode_q4_0(const uint8_t *block, float *out);
void tri_block_decode_q4_1(const uint8_t *block, float *out);
void tri_block_decode_q5_0(const uint8_t *block, float *out);
void tri_block_decode_q5_1(const uint8_t *block, float *out);
void tri_block_decode_q8_0(const uint8_t *block, float *out);
void tri_block_decode_iq4_nl(const uint8_t *block, float *out);
void tri_block_decode_mxfp4(const uint8_t *block, float *out);

void tri_block_encode_q4_0(const float *x, uint8_t *block);
void tri_block_encode_q4_1(const float *x, uint8_t *block);
void tri_block_encode_q5_0(const float *x, uint8_t *block);
void tri_block_encode_q5_1(const float *x, uint8_t *block);
void tri_block_encode_q8_0(const float *x, uint8_t *block);

/* codec_superblocks.c: blocks of 256 */
void tri_block_decode_q2_k(const uint8_t *block, float *out);
void tri_block_decode_q3_k(const uint8_t *block, float *out);
void tri_block_decode_q4_k(const uint8_t *block, float *out);
void tri_block_decode_q5_k(const uint8_t *block, float *out);
void tri_block_decode_q6_k(const uint8_t *block, float *out);
void tri_block_decode_iq4_xs(const uint8_t *block, float *out);

/* The 16 values of IQ4_NL and IQ4_XS: of ggml, fitted to the distribution of weights. */
extern const int8_t tri_iq4_values[16];

#endif
