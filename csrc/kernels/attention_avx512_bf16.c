/* Attention with products of bfloat16, for processors with AVX-512 BF16. */
#include "kernels/attention.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16," \
                   "prefer-vector-width=512")
#define ATTENTION_WORDS
#define TABLE tt_attention_avx512_bf16
#define TABLE_NAME "attention:avx512_bf16"
#define TRANSPOSE tt_transpose_avx512(4)
#include "kernels/attention.inc.h"
#endif
