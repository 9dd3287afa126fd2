/* rotate_body.h - the loops of rotate.h; included once for each instruction set, which defines
 * TRI_ROTATE_FUNCTIONS. */
#include <string.h>

#include "kernels/cpu/rotate.h"

/* x = k pi/2 + r.  Adding 1.5 * 2^52 leaves k in the low bits; pi/2 in two parts keeps r to 1e-10
 * for |x| up to 1e8.  Polynomials: Cephes, sinf and cosf, for |r| <= pi/4. */
static void angles(
    int32_t position, const float *frequencies, int64_t n, float magnitude, float *c, float *s) {
    const double two_over_pi = 0.63661977236758134308, to_integer = 6755399441055744.0;
    const double half_pi_high = 1.57079632673412561417, half_pi_low = 6.07710050650619224932e-11;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)position * (double)frequencies[i];
        double shifted = x * two_over_pi + to_integer;
        double k = shifted - to_integer;
        float r = (float)(x - k * half_pi_high - k * half_pi_low);
        uint64_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        uint32_t quadrant = (uint32_t)bits;

        float z = r * r;
        float sine =
            ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
        float cosine =
            ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z *
                z -
            0.5f * z + 1.0f;
        float sin_x = quadrant & 1 ? cosine : sine, cos_x = quadrant & 1 ? sine : cosine;
        sin_x = quadrant & 2 ? -sin_x : sin_x;
        cos_x = (quadrant + 1) & 2 ? -cos_x : cos_x;
        c[i] = cos_x * magnitude;
        s[i] = sin_x * magnitude;
    }
}

static void turn(const float *head, float *out, int64_t head_size, int64_t n, bool interleaved,
    const float *c, const float *s) {
    if (interleaved) {
        for (int64_t i = 0; i < n; i++) {
            float a = head[2 * i], b = head[2 * i + 1];
            out[2 * i] = a * c[i] - b * s[i];
            out[2 * i + 1] = b * c[i] + a * s[i];
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            float a = head[i], b = head[i + n];
            out[i] = a * c[i] - b * s[i];
            out[i + n] = b * c[i] + a * s[i];
        }
    }
    if (out != head) {
        memcpy(out + 2 * n, head + 2 * n, (size_t)(head_size - 2 * n) * sizeof *out);
    }
}

const tri_rotate_functions TRI_ROTATE_FUNCTIONS = {.angles = angles, .turn = turn};
