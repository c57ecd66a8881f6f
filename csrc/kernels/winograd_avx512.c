/* Winograd convolution for AVX-512. */
#include "kernels/winograd.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_winograd_avx512
#define TABLE_NAME "winograd_4x4:avx512"
#include "kernels/winograd.inc.h"
#endif
