/* Fourier transforms with plain C: see fft.inc.h. */
#define FFT_TABLE tt_fft_scalar
#define FFT_NAME "fft:scalar"
#include "kernels/fft.inc.h"
