/* Products with weights of 4 and 8 bits for any processor. */
#include "kernels/matmul_nbits.h"

#define TABLE tt_nbits_scalar
#define TABLE_NAME "matmul_nbits:scalar"
#include "kernels/matmul_nbits.inc.h"
