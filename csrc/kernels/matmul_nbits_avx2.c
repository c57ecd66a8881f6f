/* Products with weights of 4 and 8 bits for AVX2. */
#include "kernels/matmul_nbits.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_nbits_avx2
#define TABLE_NAME "matmul_nbits:avx2"
#include "kernels/matmul_nbits.inc.h"
#endif
