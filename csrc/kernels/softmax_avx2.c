/* Softmax for AVX2 and FMA. */
#include "kernels/softmax.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_softmax_avx2
#define TABLE_NAME "softmax:avx2"
#include "kernels/softmax.inc.h"
#endif
