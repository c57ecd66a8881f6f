/* Updates of weights for AVX2 and FMA. */
#include "kernels/optimizer.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_optimizer_avx2
#include "kernels/optimizer.inc.h"
#endif
