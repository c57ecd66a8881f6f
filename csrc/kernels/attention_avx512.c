/* Attention for AVX-512. */
#include "kernels/attention.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_attention_avx512
#define TABLE_NAME "attention:avx512"
#define TRANSPOSE tt_transpose_avx512(4)
#include "kernels/attention.inc.h"
#endif
