/* Direct convolution of few channels for AVX-512. */
#include "kernels/conv_direct.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_conv_direct_avx512
#define TABLE_NAME "conv_direct:avx512"
#include "kernels/conv_direct.inc.h"
#endif
