/* Convolution to a few channels for AVX2 and FMA. */
#include "kernels/conv_dot.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_conv_dot_avx2
#define TABLE_NAME "conv_dot:avx2"
#include "kernels/conv_dot.inc.h"
#endif
