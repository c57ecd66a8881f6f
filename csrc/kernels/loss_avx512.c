/* Losses of classes for AVX-512. */
#include "kernels/loss.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define TABLE tt_loss_avx512
#define TABLE_NAME "loss:avx512"
#include "kernels/loss.inc.h"
#endif
