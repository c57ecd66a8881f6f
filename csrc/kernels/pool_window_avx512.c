/* Windows of max pools for AVX-512. */
#include "kernels/pool_grad.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_pool_window_avx512
#include "kernels/pool_window.inc.h"
#endif
