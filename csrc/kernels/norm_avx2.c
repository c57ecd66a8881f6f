/* Normalisation with AVX2 and FMA: see norm.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx2,fma")

#define NORM_TABLE tt_norm_avx2
#define LAYER_NAME "layer_norm:avx2"
#define GROUP_NAME "group_norm:avx2"
#include "kernels/norm.inc.h"

#else
typedef int tt_norm_avx2_is_for_x86;
#endif
