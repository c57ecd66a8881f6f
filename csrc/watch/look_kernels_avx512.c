/* Pixels and samples with AVX-512: see look_kernels.h. */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")

#define VF_N 16
#define LOOK_TABLE tt_look_kernels_avx512
#define LOOK_NAME "avx512"
#include "watch/look_kernels.inc.h"

#else
typedef int tt_look_kernels_avx512_is_for_x86;
#endif
