/* rows.h - the row-wise ops: norms, element-wise, activations.
 *
 * One body (rows_body.h) compiled for each instruction set; the bits are the same in all, since
 * sums run over 16 fixed lanes and nothing is fused. */
#ifndef TRI_KERNELS_CPU_ROWS_H
#define TRI_KERNELS_CPU_ROWS_H

#include "kernels/cpu/cpu.h"

typedef struct tri_rows_state tri_rows_state;

typedef struct tri_rows_functions { /* one instruction set's loops */
    /* y = norm(x) by stretches of w's length over n columns. */
    void (*rms_norm)(
        const float *x, const float *w, float *y, int64_t n, int64_t stretch, float eps);
    void (*add)(const float *a, const float *b, float *y, int64_t n);
    void (*mul)(const float *a, const float *b, float *y, int64_t n);
    void (*affine)(const float *x, float *y, int64_t n, float factor, float offset);
    void (*softcap)(const float *x, float *y, int64_t n, float cap);
    void (*activate[4])(const float *x, float *y, int64_t n); /* by tri_activation_of */
    void (*gate[4])(const float *x, const float *up, float *y, int64_t n);
} tri_rows_functions;

extern const tri_rows_functions tri_rows_generic, tri_rows_avx2;

/* Index of "silu", "gelu", "gelu_tanh", "relu"; -1: unknown. */
int32_t tri_activation_of(const char *kind);

#endif
