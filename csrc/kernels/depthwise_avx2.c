/* Depthwise convolution of floats for AVX2 and FMA. */
#include "kernels/depthwise.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_depthwise_avx2
#define TABLE_NAME "depthwise:avx2"
#include "kernels/depthwise.inc.h"
#endif
