/* Windows of max pools for AVX2 and FMA. */
#include "kernels/pool_grad.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_pool_window_avx2
#include "kernels/pool_window.inc.h"
#endif
