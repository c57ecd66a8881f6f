/* Coordinates and filter taps of Resize: see resize_table.h. */
#include "ops/resize_table.h"

#include <math.h>

/* Position in the source of item x of the destination. */
static float coordinate(const tt_resize_options *o, const tt_resize_dim *d, int64_t x)
{
    float at = (float)x, n_src = (float)d->n_src, n_dst = (float)d->n_dst;
    switch (o->coordinate) {
    case TT_RESIZE_HALF_PIXEL:
        return (at + 0.5f) / d->scale - 0.5f;
    case TT_RESIZE_HALF_PIXEL_SYMMETRIC: {
        float adjustment = n_dst / (d->scale * n_src), center = n_src / 2.0f;
        return center * (1.0f - adjustment) + (at + 0.5f) / d->scale - 0.5f;
    }
    case TT_RESIZE_PYTORCH_HALF_PIXEL:
        return d->n_dst > 1 ? (at + 0.5f) / d->scale - 0.5f : 0.0f;
    case TT_RESIZE_ALIGN_CORNERS:
        return d->n_dst == 1 ? 0.0f : at * (n_src - 1.0f) / (n_dst - 1.0f);
    case TT_RESIZE_ASYMMETRIC:
        return at / d->scale;
    case TT_RESIZE_TF_HALF_PIXEL:
        return (at + 0.5f) / d->scale;
    case TT_RESIZE_TF_CROP:
        if (d->n_dst > 1)
            return d->roi_begin * (n_src - 1.0f) +
                   at * (d->roi_end - d->roi_begin) * (n_src - 1.0f) / (n_dst - 1.0f);
        return 0.5f * (d->roi_begin + d->roi_end) * (n_src - 1.0f);
    }
    return at;
}

/* x as an index: clamped to the source, NaN is 0. */
static int32_t clamped(float x, int64_t n_src)
{
    if (!(x > 0.0f)) return 0;
    return x >= (float)n_src ? (int32_t)(n_src - 1) : (int32_t)x;
}

static float nearest_of(const tt_resize_options *o, const tt_resize_dim *d, float x)
{
    switch (o->nearest) {
    case TT_RESIZE_ROUND_PREFER_FLOOR:
        return x == truncf(x) + 0.5f ? floorf(x) : roundf(x);
    case TT_RESIZE_ROUND_PREFER_CEIL:
        return roundf(x);
    case TT_RESIZE_FLOOR:
        return floorf(x);
    case TT_RESIZE_CEIL:
        return ceilf(x);
    case TT_RESIZE_SIMPLE:
        return d->scale < 1.0f ? ceilf(x) : truncf(x);
    }
    return x;
}

/* The cubic convolution filter at distance |x| (Keys 1981). */
static float cubic(float x, float a)
{
    x = fabsf(x);
    if (x < 1.0f) return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
    if (x < 2.0f) return ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a;
    return 0.0f;
}

static float filter(const tt_resize_options *o, float x)
{
    if (o->mode == TT_RESIZE_CUBIC) return cubic(x, o->cubic_a);
    x = fabsf(x);
    return x < 1.0f ? 1.0f - x : 0.0f;
}

/* By how much antialiasing narrows the filter's argument. */
static float narrowing(const tt_resize_options *o, const tt_resize_dim *d)
{
    return o->antialias && d->scale < 1.0f ? d->scale : 1.0f;
}

static float support(const tt_resize_options *o, const tt_resize_dim *d)
{
    return (o->mode == TT_RESIZE_CUBIC ? 2.0f : 1.0f) / narrowing(o, d);
}

int tt_resize_taps(const tt_resize_options *o, const tt_resize_dim *d)
{
    float reach = support(o, d), most = 2.0f * (float)d->n_src + 8.0f;
    if (o->mode == TT_RESIZE_NEAREST) return 1;
    if (reach > most) reach = most; /* all else lies outside */
    return 2 * (int)ceilf(reach);
}

/* The taps around x, from `first` on; weights sum to one. */
static void fill_taps(const tt_resize_options *o, const tt_resize_dim *d, float x,
                      int n_taps, int32_t *index, float *weights)
{
    float base = floorf(x), ratio = x - base, factor = narrowing(o, d), sum = 0.0f;
    for (int t = 0; t < n_taps; ++t) {
        float offset = (float)(t - n_taps / 2 + 1), at = base + offset;
        weights[t] = filter(o, (offset - ratio) * factor);
        index[t] = clamped(at, d->n_src);
        if (o->exclude_outside && (at < 0.0f || at > (float)(d->n_src - 1)))
            weights[t] = 0.0f;
        sum += weights[t];
    }
    if (sum == 0.0f || !(o->exclude_outside || factor != 1.0f)) return;
    for (int t = 0; t < n_taps; ++t)
        weights[t] /= sum;
}

void tt_resize_fill(const tt_resize_options *o, const tt_resize_dim *d, int n_taps,
                    int32_t *index, float *weights)
{
    float last = (float)(d->n_src - 1);
    for (int64_t j = 0; j < d->n_dst; ++j) {
        int32_t *to = index + j * n_taps;
        float x = coordinate(o, d, j);
        bool outside = x < 0.0f || x > last;
        if (o->mode == TT_RESIZE_NEAREST) {
            to[0] = clamped(nearest_of(o, d, x), d->n_src);
            weights[j] = 1.0f;
        } else {
            if (o->mode == TT_RESIZE_LINEAR && !o->antialias)
                x = x < 0.0f ? 0.0f : x > last ? last : x;
            fill_taps(o, d, x, n_taps, to, weights + j * n_taps);
        }
        if (outside && o->coordinate == TT_RESIZE_TF_CROP) to[0] = -1;
    }
}
