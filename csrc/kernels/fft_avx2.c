/* Fourier transforms with AVX2 and FMA: see fft.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx2,fma")

#define FFT_TABLE tt_fft_avx2
#define FFT_NAME "fft:avx2"
#include "kernels/fft.inc.h"

#else
typedef int tt_fft_avx2_is_for_x86;
#endif
