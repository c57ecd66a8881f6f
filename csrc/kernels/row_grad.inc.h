/* Gradients of rows of f32; compiled per instruction set (see simd.h).  Lanes beyond the
 * row read as 0, so they add nothing to sums. */
#include "kernels/simd.h"

/* Runs what follows for vectors of `lanes` items at i. */
#define EACH_VECTOR(i, lanes, n)                                  \
    for (int64_t i = 0, lanes = (n) < VF_N ? (n) : VF_N; i < (n); \
         i += lanes, lanes = (n) - i < VF_N ? (n) - i : VF_N)

/* y (g - sum of g y), or g - e^y sum of g. */
static void softmax_grad(const float *y, const float *g, float *dx, int64_t n,
                         bool is_log)
{
    vf sum = vf_zero();
    float total;
    EACH_VECTOR(i, lanes, n)
    {
        vf weight = is_log ? vf_set1(1.0f) : vf_load_n(y + i, lanes);
        sum = vf_fma(vf_load_n(g + i, lanes), weight, sum);
    }
    total = vf_sum(sum);
    EACH_VECTOR(i, lanes, n)
    {
        vf v = vf_load_n(g + i, lanes), p = vf_load_n(y + i, lanes), d;
        if (is_log)
            d = v - vf_exp(p) * vf_set1(total);
        else
            d = p * (v - vf_set1(total));
        vf_store_n(dx + i, d, lanes);
    }
}

/* The slope of x Phi(x): Phi(x) + x phi(x), with Phi of Abramowitz and Stegun 7.1.26
 * (error below 1e-7) from the exponential that phi needs as well. */
static inline vf slope_erf(vf x)
{
    vf a = vf_abs(x), one = vf_set1(1.0f), e = vf_exp(x * x * vf_set1(-0.5f)), p, tail;
    vf t = one / vf_fma(a, vf_set1(0.231641888f), one);
    p = vf_fma(t, vf_set1(1.061405429f), vf_set1(-1.453152027f));
    p = vf_fma(p, t, vf_set1(1.421413741f));
    p = vf_fma(p, t, vf_set1(-0.284496736f));
    p = vf_fma(p, t, vf_set1(0.254829592f)) * t;
    tail = vf_set1(0.5f) * p * e;
    return vf_fma(x * e, vf_set1(0.398942280f),
                  vf_select((vi)(x >= vf_zero()), one - tail, tail));
}

/* The same of the tanh form. */
static inline vf slope_tanh(vf x)
{
    vf s = x * x, one = vf_set1(1.0f), half = vf_set1(0.5f), inner, t;
    t = vf_tanh(x * vf_fma(s, vf_set1(0.0356774081f), vf_set1(0.797884561f)));
    inner = vf_fma(s, vf_set1(0.107032224f), vf_set1(0.797884561f));
    return half * (one + t) + half * x * (one - t * t) * inner;
}

/* Beyond 20 the slope is 0 or 1; NaN stays. */
static void gelu_grad(const float *x, const float *g, float *dx, int64_t n,
                      bool is_tanh)
{
    const vf bound = vf_set1(20.0f);
    EACH_VECTOR(i, lanes, n)
    {
        vf v = vf_max(-bound, vf_min(bound, vf_load_n(x + i, lanes)));
        vf slope = is_tanh ? slope_tanh(v) : slope_erf(v);
        vf_store_n(dx + i, slope * vf_load_n(g + i, lanes), lanes);
    }
}

static tt_norm_stats norm_stats(const float *x, int64_t n, bool is_rms, float epsilon)
{
    vf sum = vf_zero(), squares = vf_zero();
    tt_norm_stats s = {0.0, 0.0};
    EACH_VECTOR(i, lanes, n)
    sum += vf_load_n(x + i, lanes);
    if (!is_rms) s.mean = (double)vf_sum(sum) / (double)n;
    EACH_VECTOR(i, lanes, n)
    {
        vf d = vf_load_n(x + i, lanes) - vf_set1((float)s.mean);
        d = vf_fill_from(d, lanes, 0.0f);
        squares = vf_fma(d, d, squares);
    }
    s.inv_std =
        1.0 / __builtin_sqrt((double)vf_sum(squares) / (double)n + (double)epsilon);
    return s;
}

/* With h = g scale and u = (x - mean) / std: (h - mean of h - u mean of h u) / std. */
static void norm_grad(const float *x, const float *scale, const float *g, float *dx,
                      int64_t n, bool is_rms, float epsilon, tt_norm_stats *stats)
{
    vf sum = vf_zero(), sum_unit = vf_zero(), mean, inv_std, part, part_unit;
    *stats = norm_stats(x, n, is_rms, epsilon);
    mean = vf_set1((float)stats->mean);
    inv_std = vf_set1((float)stats->inv_std);
    EACH_VECTOR(i, lanes, n)
    {
        vf h = vf_load_n(g + i, lanes) * vf_load_n(scale + i, lanes);
        sum += h;
        sum_unit = vf_fma(h, (vf_load_n(x + i, lanes) - mean) * inv_std, sum_unit);
    }
    part = vf_set1(is_rms ? 0.0f : vf_sum(sum) / (float)n);
    part_unit = vf_set1(vf_sum(sum_unit) / (float)n);
    EACH_VECTOR(i, lanes, n)
    {
        vf h = vf_load_n(g + i, lanes) * vf_load_n(scale + i, lanes);
        vf unit = (vf_load_n(x + i, lanes) - mean) * inv_std;
        vf_store_n(dx + i, inv_std * (h - part - unit * part_unit), lanes);
    }
}

/* One vector of columns from row to row. */
static void norm_grad_lanes(const tt_norm_grad_columns *c, int64_t at, int64_t lanes)
{
    vf scale = vf_zero(), shift = vf_zero();
    for (int64_t row = 0; row < c->n_rows; ++row) {
        const tt_norm_stats *s = &c->stats[row];
        vf g = vf_load_n(c->g + row * c->n_columns + at, lanes);
        vf x = vf_load_n(c->x + row * c->n_columns + at, lanes);
        shift += g;
        scale = vf_fma(g, (x - vf_set1((float)s->mean)) * vf_set1((float)s->inv_std),
                       scale);
    }
    if (c->scale != NULL) vf_store_n(c->scale + at, scale, lanes);
    if (c->shift != NULL) vf_store_n(c->shift + at, shift, lanes);
}

static void norm_grad_columns(const tt_norm_grad_columns *c)
{
    EACH_VECTOR(i, lanes, c->n)
    norm_grad_lanes(c, c->first + i, lanes);
}

const tt_row_grad_table TABLE = {TABLE_NAME, softmax_grad, gelu_grad, norm_grad,
                                 norm_grad_columns};
