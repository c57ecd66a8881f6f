/* Causal convolution for AVX-512. */
#include "kernels/causal_conv.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_causal_conv_avx512
#define TABLE_NAME "causal_conv:avx512"
#include "kernels/causal_conv.inc.h"
#endif
