/* Kernel values of support vectors for AVX-512. */
#include "kernels/svm.h"

#ifdef __x86_64__
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define VALUES tt_svm_values_avx512
#include "kernels/svm.inc.h"
#endif
