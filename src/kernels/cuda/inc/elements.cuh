/* elements.cuh - rows of f32, bf16, f16 or i8 elements, as floats: 1, 2 or 4 at a time.
 *
 * type and n are constants where these are used, so that one branch is left.  i is a multiple of n,
 * and n elements from there are aligned to their size. */
#ifndef ELEMENTS_CUH
#define ELEMENTS_CUH

#include "ptx.cuh"

#define ELEMENT_F32 0
#define ELEMENT_BF16 1
#define ELEMENT_F16 2
#define ELEMENT_I8 3

DEVICE float half_element(u32 bits, int type) { /* of the lower half */
    return type == ELEMENT_BF16 ? bf16_low(bits) : f16_to_float((u16)bits);
}
DEVICE u32 half_elements(float lo, float hi, int type) { /* nearest even */
    return type == ELEMENT_BF16 ? pack_bf16(lo, hi) : pack_f16(lo, hi);
}

/* v[0..n) = elements [i, i + n) of a row. */
DEVICE void load_elements(float *v, const void *row, i64 i, int type, int n) {
    if (type == ELEMENT_F32) {
        const float *x = (const float *)row + i;
        if (n == 4) {
            float4 four = *(const float4 *)x;
            v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
        } else if (n == 2) {
            float2 two = *(const float2 *)x;
            v[0] = two.x, v[1] = two.y;
        } else {
            v[0] = *x;
        }
    } else if (type == ELEMENT_I8) {
        const signed char *x = (const signed char *)row + i;
        if (n == 4) {
            char4 four = *(const char4 *)x;
            v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
        } else {
            for (int j = 0; j < n; j++)
                v[j] = x[j];
        }
    } else {
        const u16 *x = (const u16 *)row + i;
        if (n == 1) {
            v[0] = half_element(*x, type);
            return;
        }
        uint2 words = n == 4 ? *(const uint2 *)x : make_uint2(*(const u32 *)x, 0);
        v[0] = half_element(words.x, type), v[1] = half_element(words.x >> 16, type);
        if (n == 4) v[2] = half_element(words.y, type), v[3] = half_element(words.y >> 16, type);
    }
}

/* Elements [i, i + n) of a row = v[0..n), rounded to the type; not i8. */
DEVICE void store_elements(void *row, i64 i, const float *v, int type, int n) {
    if (type == ELEMENT_F32) {
        float *y = (float *)row + i;
        if (n == 4)
            *(float4 *)y = make_float4(v[0], v[1], v[2], v[3]);
        else if (n == 2)
            *(float2 *)y = make_float2(v[0], v[1]);
        else
            *y = v[0];
    } else {
        u16 *y = (u16 *)row + i;
        if (n == 4)
            *(uint2 *)y = make_uint2(
                half_elements(v[0], v[1], type), half_elements(v[2], v[3], type));
        else if (n == 2)
            *(u32 *)y = half_elements(v[0], v[1], type);
        else
            *y = (u16)half_elements(v[0], 0.0f, type);
    }
}

#endif
