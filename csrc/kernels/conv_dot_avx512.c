/* Convolution to a few channels for AVX-512. */
#include "kernels/conv_dot.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_conv_dot_avx512
#define TABLE_NAME "conv_dot:avx512"
#include "kernels/conv_dot.inc.h"
#endif
