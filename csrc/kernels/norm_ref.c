/* Normalisation of f32 rows from the definition, in double. */
#include <math.h>

#include "kernels/item.h"
#include "kernels/norm.h"

static void norm_row(tt_norm_row *row, int64_t n, bool is_rms, float epsilon)
{
    float *sum = row->sum != NULL ? row->sum : row->y;
    double mean = 0.0, variance = 0.0, inv_std;
    for (int64_t i = 0; i < n; ++i) {
        float v = row->x[i];
        if (row->skip != NULL) v += row->skip[i];
        if (row->bias != NULL) v += row->bias[i];
        sum[i] = v;
        mean += (double)v;
    }
    mean = is_rms ? 0.0 : mean / (double)n;
    for (int64_t i = 0; i < n; ++i)
        variance += ((double)sum[i] - mean) * ((double)sum[i] - mean);
    inv_std = 1.0 / sqrt(variance / (double)n + (double)epsilon);
    for (int64_t i = 0; i < n; ++i) {
        double v = ((double)sum[i] - mean) * inv_std;
        if (row->scale != NULL) v *= (double)row->scale[i];
        if (row->shift != NULL) v += (double)row->shift[i];
        row->y[i] = (float)v;
    }
    row->mean = (float)mean;
    row->inv_std = (float)inv_std;
}

static void norm_group(const float *x, const float *scale, const float *shift, float *y,
                       int64_t n_channels, int64_t n_items, int64_t scale_step,
                       float epsilon)
{
    int64_t n = n_channels * n_items;
    double mean = 0.0, variance = 0.0, inv_std;
    for (int64_t i = 0; i < n; ++i)
        mean += (double)x[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; ++i)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean);
    inv_std = 1.0 / sqrt(variance / (double)n + (double)epsilon);
    for (int64_t i = 0; i < n; ++i) {
        int64_t c = i / n_items * scale_step;
        y[i] = (float)(((double)x[i] - mean) * inv_std * (double)scale[c] +
                       (double)shift[c]);
    }
}

static void narrow(const float *x, uint16_t *y, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] = tt_bf16_from_f32(x[i]);
}

const tt_norm_table tt_norm_ref = {"layer_norm:ref", "group_norm:ref", norm_row, narrow,
                                   norm_group};
