#define TRI_ROTATE_FUNCTIONS tri_rotate_avx2
#include "kernels/cpu/rotate_body.h"
