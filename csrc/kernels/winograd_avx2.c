/* Winograd convolution for AVX2 and FMA. */
#include "kernels/winograd.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_winograd_avx2
#define TABLE_NAME "winograd_4x4:avx2"
#include "kernels/winograd.inc.h"
#endif
