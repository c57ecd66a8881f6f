/* Gradients of rows for AVX-512. */
#include "kernels/row_grad.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_row_grad_avx512
#define TABLE_NAME "row_grad:avx512"
#include "kernels/row_grad.inc.h"
#endif
