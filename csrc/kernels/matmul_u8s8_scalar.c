/* Products of uint8 by int8 for any processor. */
#include "kernels/matmul_u8s8.h"

#define TABLE tt_u8s8_scalar
#define TABLE_NAME "matmul_u8s8:scalar"
#include "kernels/matmul_u8s8.inc.h"
