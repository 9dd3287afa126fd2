/* attention.h - causal attention over a paged cache: the pieces that instruction sets differ in.
 *
 * The loops are attention.c's.  Positions are taken in chunks of TRI_CHUNK from 0, each with a
 * softmax of its own; chunks are merged in order.  So nothing depends on which queries are computed
 * together, or on who computes which chunk. */
#ifndef TRI_KERNELS_CPU_ATTENTION_H
#define TRI_KERNELS_CPU_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TRI_CHUNK = 128,         /* positions */
    TRI_ATTENTION_ROWS = 48, /* most (query, head) rows that share a chunk's keys and values */
    TRI_ATTENTION_COLUMNS = 16
};

typedef struct tri_attention_functions {
    /* panel [d][16]: column j is rows[j] of K.  On the way it asks for the 16 rows of K after
     * these, and for the 16 of V at values, which are wanted soon. */
    void (*load_keys)(int32_t dtype, const uint8_t *const *rows, const uint8_t *const *values,
        int64_t d, float *panel);
    /* panel [n][16]: columns [column, column + width) of n rows of V, zeros beside. */
    void (*load_values)(int32_t dtype, const uint8_t *const *rows, int64_t n, int64_t column,
        int64_t width, float *panel);
    /* sums [m][16] (from 0) = x [m][n] panel [n][16], each a chain along n. */
    void (*multiply)(const float *panel, const float *x, int64_t x_stride, int64_t m, int64_t n,
        float *sums, int64_t sums_stride);
    /* load_values and multiply in one for few rows: sums [m][sums_stride] over the first d columns
     * of V.  False: not done, m is too large. */
    bool (*multiply_values)(int32_t dtype, const uint8_t *const *rows, const float *x,
        int64_t x_stride, int64_t m, int64_t n, int64_t d, float *sums, int64_t sums_stride);
    /* logits [first, last) of s [n] become e^(logit - max), the others 0; n is a multiple of 16.
     * logit = s * scale, then softcap tanh(logit / softcap) when softcap > 0. */
    void (*softmax)(float *s, int64_t n, int64_t first, int64_t last, float scale, float softcap,
        float *max, float *sum);
    /* total = total * a + part * b */
    void (*merge)(float *total, float a, const float *part, float b, int64_t n);
} tri_attention_functions;

extern const tri_attention_functions tri_attention_generic, tri_attention_avx2,
    tri_attention_avx512;

#endif
