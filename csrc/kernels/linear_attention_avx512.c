/* Linear attention for AVX-512. */
#include "kernels/linear_attention.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_linear_avx512
#define TABLE_NAME "linear_attention:avx512"
#include "kernels/linear_attention.inc.h"
#endif
