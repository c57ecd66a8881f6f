/* Weighted sums of rows with AVX2 and FMA: see resize.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx2,fma")

#define RESIZE_TABLE tt_resize_avx2
#define RESIZE_NAME "resize:avx2"
#include "kernels/resize.inc.h"

#else
typedef int tt_resize_avx2_is_for_x86;
#endif
