/* AffineGrid: the sampling grid of affine maps, for GridSample. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

typedef struct {
    int rank; /* spatial: 2 or 3 */
    bool align_corners;
    int64_t n_batches;
    int64_t dims[3]; /* spatial */
} grid_params;

static tt_status resolve(tt_site *site, grid_params *p, tt_error *err)
{
    const tt_shape *theta;
    int64_t size[5], align;
    int n;
    TT_TRY(tt_need_inputs(site, 2, err));
    theta = tt_input_shape(site, 0);
    TT_TRY(tt_need_ints(site, 1, size, 5, &n, err));
    TT_TRY(tt_attribute_int(site->node, "align_corners", 0, &align, err));
    p->align_corners = align != 0;
    p->rank = n - 2;
    if (n < 4 || theta->rank != 3 || theta->dims[0] != size[0] ||
        theta->dims[1] != p->rank || theta->dims[2] != p->rank + 1) {
        char text[256];
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "theta %s does not fit a size of %d dims",
                          tt_shape_text(theta, text, sizeof text), n);
    }
    if (theta->dtype != TT_F32)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "a grid of %s",
                          tt_dtype_name(theta->dtype));
    p->n_batches = size[0];
    for (int i = 0; i < p->rank; ++i) {
        p->dims[i] = size[2 + i];
        if (p->dims[i] < 0)
            return tt_fail_at(site->node, err, TT_BAD_MODEL, "dim %d of size is %lld",
                              2 + i, (long long)p->dims[i]);
    }
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    grid_params p;
    TT_TRY(resolve(site, &p, err));
    *out = (tt_shape){.dtype = TT_F32, .rank = p.rank + 2, .dims = {p.n_batches}};
    for (int i = 0; i < p.rank; ++i)
        out->dims[1 + i] = p.dims[i];
    out->dims[1 + p.rank] = p.rank;
    return TT_OK;
}

/* Place i of n in [-1, 1]. */
static float place(const grid_params *p, int64_t i, int64_t n)
{
    if (p->align_corners)
        return n == 1 ? 0.0f : -1.0f + 2.0f * (float)i / (float)(n - 1);
    return (float)(2 * i + 1) / (float)n - 1.0f;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const grid_params *p = params;
    const float *theta = ptrs[0];
    float *dst = ptrs[1];
    int64_t n = 1;
    (void)err;
    for (int i = 0; i < p->rank; ++i)
        n *= p->dims[i];
    for (int64_t b = 0; b < p->n_batches; ++b, theta += p->rank * (p->rank + 1))
        for (int64_t k = 0; k < n; ++k) {
            float at[4]; /* x, y, (z,) 1: the last dim first */
            int64_t rest = k;
            for (int i = p->rank - 1, to = 0; i >= 0; --i, ++to) {
                at[to] = place(p, rest % p->dims[i], p->dims[i]);
                rest /= p->dims[i];
            }
            at[p->rank] = 1.0f;
            for (int r = 0; r < p->rank; ++r) {
                float sum = 0;
                for (int c = 0; c <= p->rank; ++c)
                    sum += theta[r * (p->rank + 1) + c] * at[c];
                *dst++ = sum;
            }
        }
    return TT_OK;
}

static tt_status lower_affine_grid(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    double n = (double)tt_shape_numel(tt_output_shape(lower, node, 0));
    tt_work work = {.flops = 8 * n, .bytes = 4 * n, .cost_ns = 20 + 5 * n};
    tt_operand operands[2];
    grid_params params;
    memset(&params, 0, sizeof params);
    TT_TRY(resolve(&site, &params, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    return tt_lower_kernel(lower, node, "affine_grid", run, &params, sizeof params,
                           operands, 1, 1, &work, err);
}

const tt_op tt_op_affine_grid = {.name = "AffineGrid",
                                 .domain = "",
                                 .since = 20,
                                 .summary = "the sampling grid of affine maps",
                                 .infer = infer,
                                 .lower = lower_affine_grid};
