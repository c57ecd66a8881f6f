/* RoiAlign (He et al. 2017): regions of a feature map, sampled bilinearly on a grid and
 * averaged (or the largest taken) per bin. */
#include <math.h>
#include <string.h>

#include "base/threads.h"
#include "ops/fail.h"
#include "ops/move.h"

typedef struct {
    int64_t n_batches, n_channels, height, width, n_rois, out_height, out_width;
    int64_t sampling_ratio; /* 0: as many samples as a bin has pixels */
    float spatial_scale, offset;
    bool is_max, at_least_one; /* regions are at least one pixel large */
} roi_params;

static tt_status read_attributes(const tt_node *node, roi_params *p, tt_error *err)
{
    const char *mode, *transform = "half_pixel";
    TT_TRY(tt_attribute_string(node, "mode", "avg", &mode, err));
    TT_TRY(tt_attribute_int(node, "output_height", 1, &p->out_height, err));
    TT_TRY(tt_attribute_int(node, "output_width", 1, &p->out_width, err));
    TT_TRY(tt_attribute_int(node, "sampling_ratio", 0, &p->sampling_ratio, err));
    TT_TRY(tt_attribute_float(node, "spatial_scale", 1, &p->spatial_scale, err));
    if (node->version < 16)
        transform = "output_half_pixel";
    else
        TT_TRY(tt_attribute_string(node, "coordinate_transformation_mode", transform,
                                   &transform, err));
    p->is_max = strcmp(mode, "max") == 0;
    p->at_least_one = strcmp(transform, "output_half_pixel") == 0;
    p->offset = p->at_least_one ? 0.0f : 0.5f;
    if (!p->is_max && strcmp(mode, "avg") != 0)
        return tt_fail_at(node, err, TT_BAD_MODEL, "mode must be avg or max, not '%s'",
                          mode);
    if (!p->at_least_one && strcmp(transform, "half_pixel") != 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "coordinate_transformation_mode must be half_pixel or "
                          "output_half_pixel, not '%s'",
                          transform);
    if (p->out_height < 1 || p->out_width < 1 || p->sampling_ratio < 0 ||
        p->sampling_ratio > 1024)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "output %lld x %lld with sampling_ratio %lld",
                          (long long)p->out_height, (long long)p->out_width,
                          (long long)p->sampling_ratio);
    return TT_OK;
}

static tt_status resolve(const tt_site *site, roi_params *p, tt_error *err)
{
    const tt_shape *src, *rois, *batches;
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(read_attributes(site->node, p, err));
    TT_TRY(tt_need_index_dtype(site, 2, err));
    src = tt_input_shape(site, 0);
    rois = tt_input_shape(site, 1);
    batches = tt_input_shape(site, 2);
    if (src->rank != 4 || rois->rank != 2 || rois->dims[1] != 4 || batches->rank != 1 ||
        batches->dims[0] != rois->dims[0] || batches->dtype != TT_S64) {
        char a[256], b[256], c[256];
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "expected X [n, c, h, w], rois [k, 4], batch_indices int64 [k], "
            "got %s, %s, %s",
            tt_shape_text(src, a, sizeof a), tt_shape_text(rois, b, sizeof b),
            tt_shape_text(batches, c, sizeof c));
    }
    if (src->dtype != TT_F32 || rois->dtype != TT_F32)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "regions of %s",
                          tt_dtype_name(src->dtype));
    p->n_batches = src->dims[0];
    p->n_channels = src->dims[1];
    p->height = src->dims[2];
    p->width = src->dims[3];
    p->n_rois = rois->dims[0];
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    roi_params p;
    TT_TRY(resolve(site, &p, err));
    *out = (tt_shape){
        .dtype = TT_F32,
        .rank = 4,
        .dims = {p.n_rois, p.n_channels, p.out_height, p.out_width}
    };
    return TT_OK;
}

/* The two pixels around a coordinate and the share of the second; false outside. */
static bool neighbours(float x, int64_t n, int64_t *low, int64_t *high, float *share)
{
    if (n == 0 || !(x >= -1.0f && x <= (float)n)) return false;
    if (x < 0) x = 0;
    *low = (int64_t)x;
    if (*low >= n - 1) {
        *low = *high = n - 1;
        *share = 0;
    } else {
        *high = *low + 1;
        *share = x - (float)*low;
    }
    return true;
}

typedef struct {
    float x, y, bin_width, bin_height;
    int64_t samples_x, samples_y; /* per bin */
} region;

/* false when the numbers of a region make no sense. */
static bool read_region(const roi_params *p, const float *roi, region *r)
{
    float limit = 16 * ((float)p->height + (float)p->width + 64);
    float x = roi[0] * p->spatial_scale - p->offset;
    float y = roi[1] * p->spatial_scale - p->offset;
    float width = roi[2] * p->spatial_scale - p->offset - x;
    float height = roi[3] * p->spatial_scale - p->offset - y;
    if (p->at_least_one) {
        width = width < 1 ? 1 : width;
        height = height < 1 ? 1 : height;
    }
    r->x = x;
    r->y = y;
    r->bin_width = width / (float)p->out_width;
    r->bin_height = height / (float)p->out_height;
    r->samples_x = r->samples_y = p->sampling_ratio;
    if (p->sampling_ratio > 0) return isfinite(width) && isfinite(height);
    if (!(width < limit && height < limit && width > -limit && height > -limit))
        return false;
    r->samples_x = (int64_t)ceilf(r->bin_width);
    r->samples_y = (int64_t)ceilf(r->bin_height);
    return true;
}

static float pool_bin(const roi_params *p, const region *r, const float *plane,
                      int64_t bin_y, int64_t bin_x)
{
    float sum = 0, best = 0;
    int64_t n = r->samples_x * r->samples_y;
    bool first = true;
    for (int64_t iy = 0; iy < r->samples_y; ++iy) {
        int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;
        float fy = 0, fx = 0;
        float y = r->y + (float)bin_y * r->bin_height +
                  ((float)iy + 0.5f) * r->bin_height / (float)r->samples_y;
        bool inside_y = neighbours(y, p->height, &y0, &y1, &fy);
        for (int64_t ix = 0; ix < r->samples_x; ++ix) {
            float x = r->x + (float)bin_x * r->bin_width +
                      ((float)ix + 0.5f) * r->bin_width / (float)r->samples_x;
            float a = 0, b = 0, c = 0, d = 0, most;
            if (inside_y && neighbours(x, p->width, &x0, &x1, &fx)) {
                a = (1 - fy) * (1 - fx) * plane[y0 * p->width + x0];
                b = (1 - fy) * fx * plane[y0 * p->width + x1];
                c = fy * (1 - fx) * plane[y1 * p->width + x0];
                d = fy * fx * plane[y1 * p->width + x1];
            }
            sum += a + b + c + d;
            /* max takes the weighted pixels themselves, as the ONNX reference does */
            most = fmaxf(fmaxf(a, b), fmaxf(c, d));
            best = first ? most : fmaxf(best, most);
            first = false;
        }
    }
    return p->is_max ? best : sum / (float)(n > 1 ? n : 1);
}

typedef struct {
    const roi_params *params;
    const float *src, *rois;
    const int64_t *batches;
    float *dst;
} roi_call;

/* Planes [begin, end) of n_rois * n_channels. */
static void run_planes(void *arg, int64_t begin, int64_t end)
{
    const roi_call *call = arg;
    const roi_params *p = call->params;
    for (int64_t k = begin; k < end; ++k) {
        int64_t roi = k / p->n_channels, channel = k % p->n_channels;
        const float *plane =
            call->src +
            (call->batches[roi] * p->n_channels + channel) * p->height * p->width;
        float *dst = call->dst + k * p->out_height * p->out_width;
        region r;
        (void)read_region(p, call->rois + 4 * roi, &r);
        for (int64_t y = 0; y < p->out_height; ++y)
            for (int64_t x = 0; x < p->out_width; ++x)
                *dst++ = pool_bin(p, &r, plane, y, x);
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const roi_params *p = params;
    roi_call call = {p, ptrs[0], ptrs[1], ptrs[2], ptrs[3]};
    for (int64_t i = 0; i < p->n_rois; ++i) {
        region r;
        if (call.batches[i] < 0 || call.batches[i] >= p->n_batches)
            return tt_fail(err, TT_BAD_INPUT,
                           "batch index %lld of region %lld is outside "
                           "[0, %lld)",
                           (long long)call.batches[i], (long long)i,
                           (long long)p->n_batches);
        if (!read_region(p, call.rois + 4 * i, &r))
            return tt_fail(err, TT_BAD_INPUT,
                           "region %lld is far larger than the image", (long long)i);
    }
    tt_parallel_for(p->n_rois * p->n_channels, 8, run_planes, &call);
    return TT_OK;
}

static tt_status lower_roi_align(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    double n = (double)tt_shape_numel(tt_output_shape(lower, node, 0));
    tt_work work = {.flops = 60 * n, .bytes = 20 * n, .cost_ns = 30 + 40 * n};
    tt_operand operands[4];
    roi_params params;
    memset(&params, 0, sizeof params);
    TT_TRY(resolve(&site, &params, err));
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[3], err));
    return tt_lower_kernel(lower, node, "roi_align", run, &params, sizeof params,
                           operands, 3, 1, &work, err);
}

const tt_op tt_op_roi_align = {.name = "RoiAlign",
                               .domain = "",
                               .since = 10,
                               .summary = "regions of a feature map, pooled to a grid",
                               .infer = infer,
                               .lower = lower_roi_align};
