/* Updates of weights for AVX-512. */
#include "kernels/optimizer.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_optimizer_avx512
#include "kernels/optimizer.inc.h"
#endif
