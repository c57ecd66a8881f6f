/* Losses of classes for AVX2 and FMA. */
#include "kernels/loss.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_loss_avx2
#define TABLE_NAME "loss:avx2"
#include "kernels/loss.inc.h"
#endif
