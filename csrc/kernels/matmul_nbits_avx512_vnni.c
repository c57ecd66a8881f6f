/* Products with weights of 4 and 8 bits for AVX-512 with VNNI. */
#include "kernels/matmul_nbits.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
#define TABLE tt_nbits_avx512_vnni
#define TABLE_NAME "matmul_nbits:avx512_vnni"
#include "kernels/matmul_nbits.inc.h"
#endif
