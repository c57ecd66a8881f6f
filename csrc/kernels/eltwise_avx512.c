/* Elementwise kernels for AVX-512 F, BW, DQ and VL. */
#include "kernels/eltwise_table.h"

#ifdef __x86_64__
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma GCC optimize("no-trapping-math")
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")

#define TABLE tt_eltwise_avx512
#define TABLE_NAME "eltwise:avx512"
#include "kernels/eltwise_kernels.inc.h"
#endif
