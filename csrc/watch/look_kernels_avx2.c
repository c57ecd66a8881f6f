/* Pixels and samples with AVX2: see look_kernels.h. */
#ifdef __x86_64__
#pragma GCC target("avx2")

#define VF_N 8
#define LOOK_TABLE tt_look_kernels_avx2
#define LOOK_NAME "avx2"
#include "watch/look_kernels.inc.h"

#else
typedef int tt_look_kernels_avx2_is_for_x86;
#endif
