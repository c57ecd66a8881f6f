/* Small elements for AVX2. */
#include "kernels/small.h"

#ifdef __x86_64__
#include <math.h>
#include <string.h>

#pragma GCC optimize("no-trapping-math")
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_small_avx2
#define TABLE_NAME "small:avx2"
#include "kernels/small.inc.h"
#endif
