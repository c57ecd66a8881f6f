/* Fourier transforms for one instruction set, which FFT_TABLE and FFT_NAME name; see
 * fft.h.  Plain loops that the compiler turns into vectors. */
#include <string.h>

#include "kernels/fft.h"

#define T float
#define NAME(x) x##_f32
#include "kernels/fft_passes.inc.h"
#undef T
#undef NAME

#define T double
#define NAME(x) x##_f64
#include "kernels/fft_passes.inc.h"
#undef T
#undef NAME

const tt_fft_kernels FFT_TABLE = {FFT_NAME, run_f32, run_f64};
