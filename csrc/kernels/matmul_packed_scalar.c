/* Few rows times packed weights for any processor. */
#include "kernels/matmul_packed.h"

#define TABLE tt_matmul_packed_scalar
#define TABLE_NAME "matmul_packed:scalar"
#include "kernels/matmul_packed.inc.h"
