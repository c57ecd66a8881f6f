/* Depthwise convolution to bfloat16 for AVX-512 BF16. */
#include "kernels/depthwise.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16," \
                   "prefer-vector-width=512")
#define DEPTHWISE_WORDS
#define TABLE tt_depthwise_avx512_bf16
#define TABLE_NAME "depthwise:avx512_bf16"
#include "kernels/depthwise.inc.h"
#endif
