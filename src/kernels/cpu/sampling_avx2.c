#define TRI_SAMPLING_FUNCTIONS tri_sampling_avx2
#include "kernels/cpu/sampling_body.h"
