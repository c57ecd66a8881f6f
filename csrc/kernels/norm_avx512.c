/* Normalisation with AVX-512: see norm.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")

#define NORM_TABLE tt_norm_avx512
#define LAYER_NAME "layer_norm:avx512"
#define GROUP_NAME "group_norm:avx512"
#include "kernels/norm.inc.h"

#else
typedef int tt_norm_avx512_is_for_x86;
#endif
