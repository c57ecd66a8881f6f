/* Reductions for AVX-512. */
#include "kernels/reduce.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_reduce_avx512
#define TABLE_NAME "reduce:avx512"
#include "kernels/reduce.inc.h"
#endif
