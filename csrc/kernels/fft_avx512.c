/* Fourier transforms with AVX-512: see fft.inc.h. */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")

#define FFT_TABLE tt_fft_avx512
#define FFT_NAME "fft:avx512"
#include "kernels/fft.inc.h"

#else
typedef int tt_fft_avx512_is_for_x86;
#endif
