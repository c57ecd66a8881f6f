/* Attention for AVX2 and FMA. */
#include "kernels/attention.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_attention_avx2
#define TABLE_NAME "attention:avx2"
#define TRANSPOSE tt_transpose_avx2(4)
#include "kernels/attention.inc.h"
#endif
