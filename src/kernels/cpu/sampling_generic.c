#define TRI_SAMPLING_FUNCTIONS tri_sampling_generic
#include "kernels/cpu/sampling_body.h"
