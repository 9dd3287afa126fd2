#define TRI_INT_DECODE tri_int_decode_avx2
#include "kernels/cpu/int_form_body.h"
