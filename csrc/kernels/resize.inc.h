/* Weighted sums of rows with the vectors of simd.h; included once per instruction
 * set, which defines RESIZE_TABLE and RESIZE_NAME. */
#include "kernels/resize.h"
#include "kernels/simd.h"

static void blend_two(const float *a, const float *b, float wa, float wb, float *dst,
                      int64_t n)
{
    const vf x = vf_set1(wa), y = vf_set1(wb);
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(dst + i, vf_fma(vf_load(b + i), y, vf_load(a + i) * x));
    if (i < n)
        vf_store_n(dst + i,
                   vf_fma(vf_load_n(b + i, n - i), y, vf_load_n(a + i, n - i) * x),
                   n - i);
}

static void blend(const float *const *rows, const float *weights, int n_taps,
                  float *dst, int64_t n)
{
    if (n_taps == 2) {
        blend_two(rows[0], rows[1], weights[0], weights[1], dst, n);
        return;
    }
    for (int64_t i = 0; i < n; i += VF_N) {
        int64_t left = n - i < VF_N ? n - i : VF_N;
        vf sum = vf_zero();
        for (int t = 0; t < n_taps; ++t)
            sum = vf_fma(vf_load_n(rows[t] + i, left), vf_set1(weights[t]), sum);
        vf_store_n(dst + i, sum, left);
    }
}

static void blend_items(const float *src, const int32_t *index, const float *weights,
                        int n_taps, float *dst, int64_t n)
{
    for (int64_t j = 0; j < n; ++j) {
        float sum = 0.0f;
        for (int t = 0; t < n_taps; ++t)
            sum += weights[j * n_taps + t] * src[index[j * n_taps + t]];
        dst[j] = sum;
    }
}

const tt_resize_table RESIZE_TABLE = {RESIZE_NAME, blend, blend_items};
