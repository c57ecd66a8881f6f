/* Causal convolution for AVX2 and FMA. */
#include "kernels/causal_conv.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_causal_conv_avx2
#define TABLE_NAME "causal_conv:avx2"
#include "kernels/causal_conv.inc.h"
#endif
