/* Direct convolution of few channels for AVX2 and FMA. */
#include "kernels/conv_direct.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_conv_direct_avx2
#define TABLE_NAME "conv_direct:avx2"
#include "kernels/conv_direct.inc.h"
#endif
