/* Reductions for AVX2 and FMA. */
#include "kernels/reduce.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_reduce_avx2
#define TABLE_NAME "reduce:avx2"
#include "kernels/reduce.inc.h"
#endif
