/* Weighted sums of rows with AVX-512: see resize.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")

#define RESIZE_TABLE tt_resize_avx512
#define RESIZE_NAME "resize:avx512"
#include "kernels/resize.inc.h"

#else
typedef int tt_resize_avx512_is_for_x86;
#endif
