/* Depthwise convolution of floats for AVX-512. */
#include "kernels/depthwise.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_depthwise_avx512
#define TABLE_NAME "depthwise:avx512"
#include "kernels/depthwise.inc.h"
#endif
