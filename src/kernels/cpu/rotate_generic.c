#define TRI_ROTATE_FUNCTIONS tri_rotate_generic
#include "kernels/cpu/rotate_body.h"
