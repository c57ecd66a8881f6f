/* Elementwise kernels for AVX2, FMA and F16C. */
#include "kernels/eltwise_table.h"

#ifdef __x86_64__
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma GCC optimize("no-trapping-math")
#pragma GCC target("avx2,fma,f16c")

#define TABLE tt_eltwise_avx2
#define TABLE_NAME "eltwise:avx2"
#include "kernels/eltwise_kernels.inc.h"
#endif
