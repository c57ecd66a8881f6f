/* Few rows times packed weights for AVX-512. */
#include "kernels/matmul_packed.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_matmul_packed_avx512
#define TABLE_NAME "matmul_packed:avx512"
#include "kernels/matmul_packed.inc.h"
#endif
