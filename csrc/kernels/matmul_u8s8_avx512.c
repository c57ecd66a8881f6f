/* Products of uint8 by int8 for AVX-512. */
#include "kernels/matmul_u8s8.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_u8s8_avx512
#define TABLE_NAME "matmul_u8s8:avx512"
#include "kernels/matmul_u8s8.inc.h"
#endif
