/* Linear attention for AVX2 and FMA. */
#include "kernels/linear_attention.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_linear_avx2
#define TABLE_NAME "linear_attention:avx2"
#include "kernels/linear_attention.inc.h"
#endif
