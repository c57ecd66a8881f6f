/* Gradients of rows for AVX2 and FMA. */
#include "kernels/row_grad.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_row_grad_avx2
#define TABLE_NAME "row_grad:avx2"
#include "kernels/row_grad.inc.h"
#endif
