/* GridSample; see grid_sample.h.
 *
 * Per point: the few pixels that count and their weights are found once, as products
 * over the dims, and then applied to each channel. */
#include "kernels/grid_sample.h"

#include <math.h>

#include "base/threads.h"

enum { MAX_TAPS = 64 }; /* 4 x 4 x 4 of cubic in three dims */

/* Reflects x into [low, high], any number of times. */
static float reflect(float x, float low, float high)
{
    float range = high - low, past, rest;
    if (!(range > 0)) return low;
    if (x >= low && x <= high) return x;
    past = x < low ? low - x : x - high;
    rest = fmodf(past, 2 * range);
    if (rest > range) rest = 2 * range - rest;
    return x < low ? low + rest : high - rest;
}

/* From [-1, 1] to pixels, kept where an integer holds it; NaN becomes -1. */
static float to_pixels(float x, int64_t n, bool align_corners)
{
    float at =
        align_corners ? (x + 1) / 2 * (float)(n - 1) : ((x + 1) * (float)n - 1) / 2;
    if (at != at) return -1;
    return at < -1e9f ? -1e9f : at > 1e9f ? 1e9f : at;
}

/* The pixel that stands for index i, -1 for none. */
static int64_t padded(const tt_grid_sample *s, int64_t i, int64_t n)
{
    float low = s->align_corners ? 0 : -0.5f;
    float high = s->align_corners ? (float)(n - 1) : (float)n - 0.5f;
    if (i >= 0 && i < n) return i;
    if (s->padding == TT_PADDING_ZEROS) return -1;
    if (s->padding == TT_PADDING_REFLECTION) i = (int64_t)reflect((float)i, low, high);
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* Keys' cubic with a = -3/4, at distances 1 + t, t, 1 - t, 2 - t. */
static void cubic_weights(float t, float *w)
{
    const float a = -0.75f;
    for (int k = 0; k < 4; ++k) {
        float d = fabsf(t + 1 - (float)k);
        w[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1
                      : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
}

/* Pixels and weights along one dim; returns how many. */
static int taps_of(const tt_grid_sample *s, float at, int64_t n, int64_t *pixel,
                   float *weight)
{
    float low = s->align_corners ? 0 : -0.5f;
    float high = s->align_corners ? (float)(n - 1) : (float)n - 0.5f;
    int64_t first;
    int count = s->mode == TT_SAMPLE_NEAREST ? 1 : s->mode == TT_SAMPLE_LINEAR ? 2 : 4;
    if (s->mode == TT_SAMPLE_NEAREST) at = nearbyintf(at);
    if (s->mode != TT_SAMPLE_CUBIC && (at < low || at > high)) {
        if (s->padding == TT_PADDING_BORDER)
            at = at < 0 ? 0 : (float)(n - 1);
        else if (s->padding == TT_PADDING_REFLECTION)
            at = reflect(at, low, high);
    }
    first = (int64_t)floorf(at);
    if (s->mode == TT_SAMPLE_NEAREST) {
        first = (int64_t)nearbyintf(at);
        weight[0] = 1;
    } else if (s->mode == TT_SAMPLE_LINEAR) {
        weight[1] = at - (float)first;
        weight[0] = 1 - weight[1];
    } else {
        cubic_weights(at - (float)first, weight);
        first -= 1;
    }
    for (int k = 0; k < count; ++k)
        pixel[k] = padded(s, first + k, n);
    return count;
}

typedef struct {
    const tt_grid_sample *sample;
    const float *src, *grid;
    float *dst;
} sample_call;

/* All taps of one point: flat places and weights. */
static int find_taps(const tt_grid_sample *s, const float *point, int64_t *place,
                     float *weight)
{
    int n = 1;
    place[0] = 0;
    weight[0] = 1;
    for (int d = 0; d < s->rank; ++d) {
        int64_t pixel[4], next_place[MAX_TAPS];
        float share[4], next_weight[MAX_TAPS];
        float at = to_pixels(point[s->rank - 1 - d], s->dims[d], s->align_corners);
        int count = taps_of(s, at, s->dims[d], pixel, share), made = 0;
        for (int i = 0; i < n; ++i)
            for (int k = 0; k < count; ++k) {
                if (pixel[k] < 0) continue;
                next_place[made] = place[i] * s->dims[d] + pixel[k];
                next_weight[made++] = weight[i] * share[k];
            }
        n = made;
        for (int i = 0; i < n; ++i) {
            place[i] = next_place[i];
            weight[i] = next_weight[i];
        }
    }
    return n;
}

/* Points [begin, end) of all batches. */
static void run_points(void *arg, int64_t begin, int64_t end)
{
    const sample_call *call = arg;
    const tt_grid_sample *s = call->sample;
    int64_t plane = 1;
    for (int d = 0; d < s->rank; ++d)
        plane *= s->dims[d];
    for (int64_t k = begin; k < end; ++k) {
        int64_t batch = k / s->n_points, point = k % s->n_points, place[MAX_TAPS];
        const float *src = call->src + batch * s->n_channels * plane;
        float *dst = call->dst + batch * s->n_channels * s->n_points + point;
        float weight[MAX_TAPS];
        int n = find_taps(s, call->grid + k * s->rank, place, weight);
        for (int64_t c = 0; c < s->n_channels; ++c) {
            float sum = 0;
            for (int i = 0; i < n; ++i)
                sum += weight[i] * src[c * plane + place[i]];
            dst[c * s->n_points] = sum;
        }
    }
}

void tt_grid_sample_run(const tt_grid_sample *sample, const float *src,
                        const float *grid, float *dst)
{
    sample_call call = {sample, src, grid, dst};
    tt_parallel_for(sample->n_batches * sample->n_points, 512, run_points, &call);
}
