/* Normalisation of f32 rows with the vectors of simd.h; included once per
 * instruction set, which defines NORM_TABLE, LAYER_NAME and GROUP_NAME. */
#include "kernels/item.h"
#include "kernels/norm.h"
#include "kernels/simd.h"

/* sum = x + skip + bias; returns the sum of it (0 when is_rms: nobody asks). */
static float add_parts(const tt_norm_row *row, float *sum, int64_t n)
{
    vf total[2] = {vf_zero(), vf_zero()};
    for (int64_t i = 0, k = 0; i < n; i += VF_N, ++k) {
        int64_t left = n - i < VF_N ? n - i : VF_N;
        vf v = vf_load_n(row->x + i, left);
        if (row->skip != NULL) v += vf_load_n(row->skip + i, left);
        if (row->bias != NULL) v += vf_load_n(row->bias + i, left);
        vf_store_n(sum + i, v, left);
        total[k & 1] += v;
    }
    return vf_sum(total[0] + total[1]);
}

static float sum_of(const float *x, int64_t n)
{
    vf a = vf_zero(), b = vf_zero(), c = vf_zero(), d = vf_zero();
    int64_t i = 0;
    for (; i + 4 * VF_N <= n; i += 4 * VF_N) {
        a += vf_load(x + i);
        b += vf_load(x + i + VF_N);
        c += vf_load(x + i + 2 * VF_N);
        d += vf_load(x + i + 3 * VF_N);
    }
    for (; i + VF_N <= n; i += VF_N)
        a += vf_load(x + i);
    if (i < n) b += vf_load_n(x + i, n - i);
    return vf_sum((a + b) + (c + d));
}

/* Sum of (x - mean)^2. */
static float squares_of(const float *x, int64_t n, float mean)
{
    const vf m = vf_set1(mean);
    vf a = vf_zero(), b = vf_zero(), c = vf_zero(), d = vf_zero();
    int64_t i = 0;
    for (; i + 4 * VF_N <= n; i += 4 * VF_N) {
        vf p = vf_load(x + i) - m, q = vf_load(x + i + VF_N) - m;
        vf r = vf_load(x + i + 2 * VF_N) - m, s = vf_load(x + i + 3 * VF_N) - m;
        a = vf_fma(p, p, a);
        b = vf_fma(q, q, b);
        c = vf_fma(r, r, c);
        d = vf_fma(s, s, d);
    }
    for (; i + VF_N <= n; i += VF_N) {
        vf p = vf_load(x + i) - m;
        a = vf_fma(p, p, a);
    }
    if (i < n) {
        vf p = vf_fill_from(vf_load_n(x + i, n - i) - m, n - i, 0.0f);
        b = vf_fma(p, p, b);
    }
    return vf_sum((a + b) + (c + d));
}

static void norm_row(tt_norm_row *row, int64_t n, bool is_rms, float epsilon)
{
    const float *x = row->x;
    float mean = 0.0f, inv_std;
    if (row->skip != NULL || row->bias != NULL || row->sum != NULL) {
        float *sum = row->sum != NULL ? row->sum : row->y;
        mean = add_parts(row, sum, n) / (float)n;
        x = sum;
    } else if (!is_rms) {
        mean = sum_of(x, n) / (float)n;
    }
    if (is_rms) mean = 0.0f;
    inv_std = 1.0f / __builtin_sqrtf(squares_of(x, n, mean) / (float)n + epsilon);
    for (int64_t i = 0; i < n; i += VF_N) {
        int64_t left = n - i < VF_N ? n - i : VF_N;
        vf v = (vf_load_n(x + i, left) - vf_set1(mean)) * vf_set1(inv_std);
        if (row->scale != NULL) v *= vf_load_n(row->scale + i, left);
        if (row->shift != NULL) v += vf_load_n(row->shift + i, left);
        vf_store_n(row->y + i, v, left);
    }
    row->mean = mean;
    row->inv_std = inv_std;
}

static void norm_group(const float *x, const float *scale, const float *shift, float *y,
                       int64_t n_channels, int64_t n_items, int64_t scale_step,
                       float epsilon)
{
    int64_t n = n_channels * n_items;
    float mean = sum_of(x, n) / (float)n;
    float inv_std = 1.0f / __builtin_sqrtf(squares_of(x, n, mean) / (float)n + epsilon);
    for (int64_t c = 0; c < n_channels; ++c) {
        float factor = inv_std * scale[c * scale_step];
        const vf a = vf_set1(factor), b = vf_set1(shift[c * scale_step]);
        const vf m = vf_set1(mean);
        const float *from = x + c * n_items;
        float *to = y + c * n_items;
        int64_t i = 0;
        for (; i + VF_N <= n_items; i += VF_N)
            vf_store(to + i, vf_fma(vf_load(from + i) - m, a, b));
        if (i < n_items)
            vf_store_n(to + i, vf_fma(vf_load_n(from + i, n_items - i) - m, a, b),
                       n_items - i);
    }
}

static void narrow(const float *x, uint16_t *y, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] = tt_bf16_from_f32(x[i]);
}

const tt_norm_table NORM_TABLE = {LAYER_NAME, GROUP_NAME, norm_row, narrow, norm_group};
