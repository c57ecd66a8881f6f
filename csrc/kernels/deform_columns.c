/* Columns of a deformable convolution: see deform_columns.h. */
#include "kernels/deform_columns.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"

enum { MAX_CORNERS = 1 << TT_DEFORM_MAX_RANK };

typedef struct {
    const tt_deform_columns *p;
    const void *src, *offset, *mask;
    void *dst;
} deform_call;

/* Coordinates of point k of window `at` before the offset. */
static void place(const tt_deform_columns *p, int64_t at, int64_t k, int64_t *out)
{
    for (int d = p->rank - 1; d >= 0; --d) {
        out[d] = at % p->dst[d] * p->strides[d] - p->pads[d] +
                 k % p->kernel[d] * p->dilations[d];
        at /= p->dst[d];
        k /= p->kernel[d];
    }
}

/* The corners of the cell around a position: items (pixels, row-major) and weights of
 * those that exist; their number. */
static int corners_of(const tt_deform_columns *p, const double *position,
                      int64_t *pixels, double *weights)
{
    int64_t low[TT_DEFORM_MAX_RANK];
    double part[TT_DEFORM_MAX_RANK];
    int n = 0;
    for (int d = 0; d < p->rank; ++d) {
        if (!(position[d] > -1.0 && position[d] < (double)p->src[d])) return 0;
        low[d] = (int64_t)floor(position[d]);
        part[d] = position[d] - (double)low[d];
    }
    for (int corner = 0; corner < 1 << p->rank; ++corner) {
        int64_t pixel = 0;
        double weight = 1.0;
        for (int d = 0; d < p->rank; ++d) {
            int upper = (corner >> d) & 1;
            int64_t at = low[d] + upper;
            weight *= upper ? part[d] : 1.0 - part[d];
            if (at < 0 || at >= p->src[d]) weight = 0.0;
            pixel = pixel * p->src[d] + at;
        }
        if (weight == 0.0) continue;
        pixels[n] = pixel;
        weights[n++] = weight;
    }
    return n;
}

/* Channels [first, end) of one point; the column of channel c is at dst + slot(c). */
#define DEFINE_ROW(name, S, T, LOAD, STORE)                                          \
    static void point_##name(const deform_call *call, int64_t row, int64_t group,    \
                             int64_t k, const int64_t *base)                         \
    {                                                                                \
        const tt_deform_columns *p = call->p;                                        \
        int64_t batch = row / p->n_dst, at = row % p->n_dst;                         \
        int64_t each = p->n_channels / p->n_offset_groups, n_src = 1;                \
        int64_t per_group = p->n_channels / p->n_groups;                             \
        int64_t index = (batch * p->n_offset_groups + group) * p->n_points + k;      \
        const S *offset = (const S *)call->offset + index * p->rank * p->n_dst + at; \
        const S *src = call->src;                                                    \
        S *dst = call->dst;                                                          \
        double position[TT_DEFORM_MAX_RANK], weights[MAX_CORNERS];                   \
        int64_t pixels[MAX_CORNERS];                                                 \
        T mask = 1;                                                                  \
        int n;                                                                       \
        for (int d = 0; d < p->rank; ++d) {                                          \
            position[d] = (double)base[d] + (double)LOAD(offset[d * p->n_dst]);      \
            n_src *= p->src[d];                                                      \
        }                                                                            \
        if (call->mask != NULL)                                                      \
            mask = LOAD(((const S *)call->mask)[index * p->n_dst + at]);             \
        n = corners_of(p, position, pixels, weights);                                \
        for (int64_t c = group * each; c < (group + 1) * each; ++c) {                \
            int64_t rows = p->n_batches * p->n_dst;                                  \
            T sum = 0;                                                               \
            for (int i = 0; i < n; ++i)                                              \
                sum += (T)weights[i] *                                               \
                       LOAD(src[(batch * n_src + pixels[i]) * p->n_channels + c]);   \
            dst[((c / per_group * rows + row) * per_group + c % per_group) *         \
                    p->n_points +                                                    \
                k] = (S)STORE(sum * mask);                                           \
        }                                                                            \
    }

#define SAME(x) (x)
DEFINE_ROW(f32, float, float, SAME, SAME)
DEFINE_ROW(f64, double, double, SAME, SAME)
DEFINE_ROW(f16, uint16_t, float, tt_f32_from_f16, tt_f16_from_f32)
DEFINE_ROW(bf16, uint16_t, float, tt_f32_from_bf16, tt_bf16_from_f32)

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const deform_call *call = arg;
    const tt_deform_columns *p = call->p;
    int64_t n = p->n_offset_groups * p->n_points, base[TT_DEFORM_MAX_RANK];
    for (int64_t i = begin * n; i < end * n; ++i) {
        int64_t row = i / n, group = i % n / p->n_points, k = i % p->n_points;
        place(p, row % p->n_dst, k, base);
        switch (p->dtype) {
        case TT_F32:
            point_f32(call, row, group, k, base);
            break;
        case TT_F64:
            point_f64(call, row, group, k, base);
            break;
        case TT_F16:
            point_f16(call, row, group, k, base);
            break;
        default:
            point_bf16(call, row, group, k, base);
            break;
        }
    }
}

void tt_deform_columns_run(const tt_deform_columns *columns, const void *src,
                           const void *offset, const void *mask, void *dst)
{
    deform_call call = {columns, src, offset, mask, dst};
    int64_t cost = columns->n_points * (columns->n_channels * 8 + 50) + 1;
    tt_parallel_for(columns->n_batches * columns->n_dst, 50000 / cost + 1, run_rows,
                    &call);
}
