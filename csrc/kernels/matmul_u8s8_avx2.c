/* Products of uint8 by int8 for AVX2. */
#include "kernels/matmul_u8s8.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_u8s8_avx2
#define TABLE_NAME "matmul_u8s8:avx2"
#include "kernels/matmul_u8s8.inc.h"
#endif
