/* Plans and tables of Fourier transforms: see fft.h. */
#include "kernels/fft.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"

static const int64_t MAX_LENGTH = INT64_C(1) << 30;

/* Divides *n by radix as often as that goes. */
static void take(tt_fft *fft, int radix, int64_t *n)
{
    while (*n % radix == 0) {
        fft->factors[fft->n_factors++] = radix;
        *n /= radix;
    }
}

bool tt_fft_plan(int64_t n, tt_fft *out)
{
    int64_t rest = n;
    *out = (tt_fft){.n = n, .m = n};
    if (n < 1 || n > MAX_LENGTH) return false;
    take(out, 4, &rest);
    for (int radix = 2; radix <= TT_FFT_MAX_RADIX; ++radix)
        take(out, radix, &rest);
    if (rest == 1) return true;
    out->m = 1;
    out->n_factors = 0;
    while (out->m < 2 * n - 1)
        out->m *= 2;
    rest = out->m;
    take(out, 4, &rest);
    take(out, 2, &rest);
    return true;
}

int64_t tt_fft_table_items(const tt_fft *fft)
{
    return 2 * fft->m + (fft->m == fft->n ? 0 : 2 * fft->n + 2 * fft->m);
}

static const double PI = 3.14159265358979323846;

/* exp(-2 pi j k / n) for all k. */
static void turns(int64_t n, double *re, double *im)
{
    for (int64_t k = 0; k < n; ++k) {
        re[k] = cos(2.0 * PI * (double)k / (double)n);
        im[k] = -sin(2.0 * PI * (double)k / (double)n);
    }
}

/* chirp[k] = exp(-pi j k^2 / n), and 1/m times the transform of its conjugate, laid out
 * so that a cyclic convolution of length m is the linear one of length n. */
static tt_status fill_chirp(const tt_fft *fft, double *table, tt_error *err)
{
    int64_t n = fft->n, m = fft->m;
    double *re = table + 2 * m, *im = re + n, *sr = im + n, *si = sr + m;
    tt_fft power = *fft;
    double *scratch =
        tt_calloc(2 * (size_t)tt_fft_array_items(fft, 1), sizeof *scratch);
    if (scratch == NULL)
        return tt_fail(err, TT_NO_MEMORY, "a Fourier transform of %lld items",
                       (long long)n);
    power.n = m;
    memset(sr, 0, 2 * (size_t)m * sizeof *sr);
    for (int64_t k = 0; k < n; ++k) {
        double angle = PI * (double)(k * k % (2 * n)) / (double)n;
        re[k] = cos(angle);
        im[k] = -sin(angle);
        sr[k] = sr[(m - k) % m] = re[k] / (double)m;
        si[k] = si[(m - k) % m] = -im[k] / (double)m;
    }
    tt_fft_get()->run_f64(&power, table, 1, sr, si, scratch);
    tt_free(scratch);
    return TT_OK;
}

tt_status tt_fft_fill_f64(const tt_fft *fft, double *table, tt_error *err)
{
    turns(fft->m, table, table + fft->m);
    return fft->m == fft->n ? TT_OK : fill_chirp(fft, table, err);
}

tt_status tt_fft_fill_f32(const tt_fft *fft, float *table, tt_error *err)
{
    int64_t n = tt_fft_table_items(fft);
    double *exact = tt_calloc((size_t)n, sizeof *exact);
    tt_status status;
    if (exact == NULL)
        return tt_fail(err, TT_NO_MEMORY, "a Fourier transform of %lld items",
                       (long long)fft->n);
    status = tt_fft_fill_f64(fft, exact, err);
    for (int64_t i = 0; i < n && status == TT_OK; ++i)
        table[i] = (float)exact[i];
    tt_free(exact);
    return status;
}

const tt_fft_kernels *tt_fft_get(void)
{
#ifdef __x86_64__
    if (tt_cpu_get()->isa == TT_ISA_AVX512) return &tt_fft_avx512;
    if (tt_cpu_get()->isa == TT_ISA_AVX2) return &tt_fft_avx2;
#endif
    return &tt_fft_scalar;
}
