/* Small elements for AVX-512. */
#include "kernels/small.h"

#ifdef __x86_64__
#include <math.h>
#include <string.h>

#pragma GCC optimize("no-trapping-math")
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_small_avx512
#define TABLE_NAME "small:avx512"
#include "kernels/small.inc.h"
#endif
