/* Fast Fourier transforms of any length, several at a time.
 *
 * Lengths whose primes are at most TT_FFT_MAX_RADIX are factored; others go through a
 * convolution of a power of two (Bluestein), so that n log n holds for primes too. */
#ifndef TT_KERNELS_FFT_H
#define TT_KERNELS_FFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { TT_FFT_MAX_RADIX = 31, TT_FFT_MAX_FACTORS = 32 };

/* Plain data: a plan without its table. */
typedef struct {
    int64_t n; /* length */
    int64_t m; /* product of the factors: n, or the power of two of the convolution */
    int n_factors;
    int factors[TT_FFT_MAX_FACTORS];
} tt_fft;

/* 1 <= n <= 2^30; false otherwise. */
bool tt_fft_plan(int64_t n, tt_fft *out);

/* Items of the table (float or double). */
int64_t tt_fft_table_items(const tt_fft *fft);
/* Fills a table: exact to the last bit of double, then rounded. */
tt_status tt_fft_fill_f32(const tt_fft *fft, float *table, tt_error *err);
tt_status tt_fft_fill_f64(const tt_fft *fft, double *table, tt_error *err);

/* Distance between the arrays of a transform in memory: not a power of two, so that
 * they do not compete for the same sets of a cache. */
static inline int64_t tt_fft_array_items(const tt_fft *fft, int64_t lanes)
{
    return fft->m * lanes + 48;
}

/* Transforms `lanes` signals, in place: sample i of signal l is re[i * lanes + l] and
 * im[i * lanes + l].  re and im have room for tt_fft_array_items, scratch for twice that.
 * X[k] = sum over i of x[i] exp(-2 pi j i k / n); with re and im exchanged it is the
 * inverse times n. */
typedef struct {
    const char *name;
    void (*run_f32)(const tt_fft *fft, const float *table, int64_t lanes, float *re,
                    float *im, float *scratch);
    void (*run_f64)(const tt_fft *fft, const double *table, int64_t lanes, double *re,
                    double *im, double *scratch);
} tt_fft_kernels;

/* The one for this processor. */
const tt_fft_kernels *tt_fft_get(void);

extern const tt_fft_kernels tt_fft_scalar, tt_fft_avx2, tt_fft_avx512;

#endif
