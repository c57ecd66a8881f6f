/* Quantising for AVX2. */
#include "kernels/quantize.h"

#ifdef __x86_64__
#include <math.h>
#include <string.h>

#pragma GCC optimize("no-trapping-math")
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_quantize_avx2
#define TABLE_NAME "quantize:avx2"
#include "kernels/quantize.inc.h"
#endif
