#define TRI_ROWS_FUNCTIONS tri_rows_generic
#include "kernels/cpu/rows_body.h"
