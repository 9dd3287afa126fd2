#define TRI_ROWS_FUNCTIONS tri_rows_avx2
#include "kernels/cpu/rows_body.h"
