#define TRI_INT_DECODE tri_int_decode_generic
#include "kernels/cpu/int_form_body.h"

tri_int_form tri_int_form_of(int32_t dtype) {
    switch (dtype) {
    case TRI_Q4_0:
    case TRI_Q5_0:
    case TRI_Q8_0:
    case TRI_IQ4_NL:
    case TRI_IQ4_XS:
    case TRI_MXFP4:
        return (tri_int_form){32, false};
    case TRI_Q4_1:
    case TRI_Q5_1:
    case TRI_Q4_K:
    case TRI_Q5_K:
        return (tri_int_form){32, true};
    case TRI_Q3_K:
    case TRI_Q6_K:
        return (tri_int_form){16, false};
    case TRI_Q2_K:
        return (tri_int_form){16, true};
    default:
        return (tri_int_form){0, false};
    }
}
