/* Kernel values of support vectors for AVX2 and FMA. */
#include "kernels/svm.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma")
#define VALUES tt_svm_values_avx2
#include "kernels/svm.inc.h"
#endif
