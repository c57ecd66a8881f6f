/* Resize (opsets 10, 11, 13, 18, 19) and Upsample (7, 9).
 *
 * Nearest neighbour is one gather over all dims; linear and cubic filters run dim by
 * dim, channels-last images without a copy. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/resize.h"
#include "ops/fail.h"
#include "ops/resize_table.h"
#include "plan/lower.h"

typedef struct {
    tt_resize_options options;
    tt_resize_dim dims[TT_MAX_RANK];
    bool resized[TT_MAX_RANK];
} resize;

/* ---- reading ------------------------------------------------------------------ */

#define NAME_OF(code, name) name,
static const char *const COORDINATES[] = {TT_RESIZE_COORDINATE_LIST(NAME_OF)};
static const char *const NEARESTS[] = {TT_RESIZE_NEAREST_LIST(NAME_OF)};
#undef NAME_OF

/* Index of the attribute's text in `names`. */
static tt_status read_choice(const tt_node *node, const char *attribute,
                             const char *fallback, const char *const *names, size_t n,
                             int *out, tt_error *err)
{
    const char *text;
    TT_TRY(tt_attribute_string(node, attribute, fallback, &text, err));
    for (size_t i = 0; i < n; ++i) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (int)i;
        return TT_OK;
    }
    return tt_fail_at(node, err, TT_UNSUPPORTED, "%s '%s' is not known", attribute,
                      text);
}

static bool is_old(const tt_node *node)
{
    return strcmp(node->op->name, "Upsample") == 0 || node->version < 11;
}

static tt_status read_options(const tt_node *node, tt_resize_options *out,
                              tt_error *err)
{
    static const char *const MODES[] = {"nearest", "linear", "cubic", "bilinear"};
    int mode = 0, coordinate = TT_RESIZE_ASYMMETRIC, nearest = TT_RESIZE_SIMPLE;
    int64_t antialias, exclude;
    TT_TRY(read_choice(node, "mode", "nearest", MODES, 4, &mode, err));
    if (!is_old(node)) {
        TT_TRY(read_choice(node, "coordinate_transformation_mode", "half_pixel",
                           COORDINATES, sizeof COORDINATES / sizeof *COORDINATES,
                           &coordinate, err));
        TT_TRY(read_choice(node, "nearest_mode", "round_prefer_floor", NEARESTS,
                           sizeof NEARESTS / sizeof *NEARESTS - 1, &nearest, err));
    }
    TT_TRY(tt_attribute_int(node, "antialias", 0, &antialias, err));
    TT_TRY(tt_attribute_int(node, "exclude_outside", 0, &exclude, err));
    TT_TRY(tt_attribute_float(node, "cubic_coeff_a", -0.75f, &out->cubic_a, err));
    TT_TRY(tt_attribute_float(node, "extrapolation_value", 0.0f, &out->fill, err));
    out->mode = mode == 3 ? TT_RESIZE_LINEAR : (tt_resize_mode)mode;
    out->coordinate = (tt_resize_coordinate)coordinate;
    out->nearest = (tt_resize_nearest)nearest;
    out->antialias = antialias != 0;
    out->exclude_outside = exclude != 0;
    return TT_OK;
}

/* The dims that scales, sizes and roi speak of. */
static tt_status read_axes(const tt_node *node, int rank, int *axes, int *n,
                           tt_error *err)
{
    const int64_t *given;
    bool seen[TT_MAX_RANK] = {false};
    TT_TRY(tt_attribute_ints(node, "axes", &given, n, err));
    if (given == NULL || *n == 0) {
        *n = rank;
        for (int i = 0; i < rank; ++i)
            axes[i] = i;
        return TT_OK;
    }
    if (*n > rank)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%d axes for rank %d", *n, rank);
    for (int i = 0; i < *n; ++i) {
        TT_TRY(tt_axis(node, given[i], rank, &axes[i], err));
        if (seen[axes[i]])
            return tt_fail_at(node, err, TT_BAD_MODEL, "axis %lld is named twice",
                              (long long)given[i]);
        seen[axes[i]] = true;
    }
    return TT_OK;
}

/* Output sizes from scales (n_scales > 0) for the given axes. */
static tt_status apply_scales(const tt_node *node, const float *scales, const int *axes,
                              int n, resize *out, tt_error *err)
{
    for (int i = 0; i < n; ++i) {
        tt_resize_dim *d = &out->dims[axes[i]];
        float size = floorf((float)d->n_src * scales[i]);
        if (!(scales[i] > 0.0f) || !(size < 2147483648.0f))
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "scale %g of dim %d with %lld items is not allowed",
                              (double)scales[i], axes[i], (long long)d->n_src);
        d->scale = scales[i];
        d->n_dst = (int64_t)size;
    }
    return TT_OK;
}

static tt_status apply_sizes(const tt_node *node, const int64_t *sizes, const int *axes,
                             int n, resize *out, tt_error *err)
{
    const char *policy;
    bool larger, smaller;
    float scale = 0.0f;
    TT_TRY(
        tt_attribute_string(node, "keep_aspect_ratio_policy", "stretch", &policy, err));
    larger = strcmp(policy, "not_larger") == 0;
    smaller = strcmp(policy, "not_smaller") == 0;
    if (!larger && !smaller && strcmp(policy, "stretch") != 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "keep_aspect_ratio_policy '%s' is not known", policy);
    for (int i = 0; i < n; ++i) {
        tt_resize_dim *d = &out->dims[axes[i]];
        if (sizes[i] < 0 || sizes[i] > INT32_MAX || (d->n_src == 0 && sizes[i] > 0))
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "size %lld of dim %d with %lld items is not allowed",
                              (long long)sizes[i], axes[i], (long long)d->n_src);
        d->n_dst = sizes[i];
        if (d->n_src > 0) d->scale = (float)sizes[i] / (float)d->n_src;
        if (i == 0 || (larger ? d->scale < scale : d->scale > scale)) scale = d->scale;
    }
    if (!larger && !smaller) return TT_OK;
    for (int i = 0; i < n; ++i) {
        tt_resize_dim *d = &out->dims[axes[i]];
        float size = floorf(scale * (float)d->n_src + 0.5f);
        d->scale = scale;
        d->n_dst = size < 2147483648.0f ? (int64_t)size : INT32_MAX;
    }
    return TT_OK;
}

static tt_status read_scales(tt_site *site, float *scales, int *n, tt_error *err)
{
    const tt_node *node = site->node;
    const float *given;
    int at = is_old(node) ? 1 : 2;
    *n = -1;
    if (node->n_inputs > 1)
        return tt_need_floats(site, at, scales, TT_MAX_RANK, n, err);
    TT_TRY(tt_attribute_floats(node, "scales", &given, n, err));
    for (int i = 0; i < *n && i < TT_MAX_RANK; ++i)
        scales[i] = given[i];
    return TT_OK;
}

static tt_status read_roi(tt_site *site, const int *axes, int n_axes, resize *out,
                          tt_error *err)
{
    float roi[2 * TT_MAX_RANK];
    int n;
    if (out->options.coordinate != TT_RESIZE_TF_CROP) return TT_OK;
    TT_TRY(tt_need_floats(site, 1, roi, 2 * TT_MAX_RANK, &n, err));
    if (n != 2 * n_axes)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "roi has %d items, expected %d", n, 2 * n_axes);
    for (int i = 0; i < n_axes; ++i) {
        out->dims[axes[i]].roi_begin = roi[i];
        out->dims[axes[i]].roi_end = roi[n_axes + i];
    }
    return TT_OK;
}

static tt_status read_resize(tt_site *site, resize *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *x;
    float scales[TT_MAX_RANK];
    int64_t sizes[TT_MAX_RANK];
    int axes[TT_MAX_RANK], n_axes, n_scales, n_sizes = -1;
    memset(out, 0, sizeof *out);
    TT_TRY(tt_need_inputs(site, 1, err));
    x = tt_input_shape(site, 0);
    TT_TRY(read_options(node, &out->options, err));
    TT_TRY(read_axes(node, x->rank, axes, &n_axes, err));
    for (int i = 0; i < x->rank; ++i)
        out->dims[i] = (tt_resize_dim){
            .n_src = x->dims[i], .n_dst = x->dims[i], .scale = 1.0f, .roi_end = 1.0f};
    TT_TRY(read_scales(site, scales, &n_scales, err));
    if (!is_old(node)) TT_TRY(tt_need_ints(site, 3, sizes, TT_MAX_RANK, &n_sizes, err));
    if ((n_scales > 0) == (n_sizes > 0) && x->rank > 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "expected either scales or sizes, got %d and %d items",
                          n_scales, n_sizes);
    if ((n_scales > 0 ? n_scales : n_sizes) != n_axes && x->rank > 0)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%d scales or sizes for %d dims",
                          n_scales > 0 ? n_scales : n_sizes, n_axes);
    TT_TRY(read_roi(site, axes, n_axes, out, err));
    if (n_scales > 0)
        TT_TRY(apply_scales(node, scales, axes, n_axes, out, err));
    else
        TT_TRY(apply_sizes(node, sizes, axes, n_axes, out, err));
    for (int i = 0; i < x->rank; ++i) {
        const tt_resize_dim *d = &out->dims[i];
        out->resized[i] = d->n_src != d->n_dst || d->scale != 1.0f ||
                          d->roi_begin != 0.0f || d->roi_end != 1.0f;
    }
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    resize r;
    const tt_shape *x;
    bool any = false;
    TT_TRY(read_resize(site, &r, err));
    x = tt_input_shape(site, 0);
    out[0] = *x;
    for (int i = 0; i < x->rank; ++i) {
        out[0].dims[i] = r.dims[i].n_dst;
        any = any || (r.resized[i] && x->dims[i] == 0 && r.dims[i].n_dst > 0);
    }
    if (any)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "an empty dim %s",
                          "cannot grow");
    if (r.options.mode != TT_RESIZE_NEAREST && !tt_dtype_is_float(x->dtype) &&
        !tt_dtype_is_int(x->dtype))
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "%s cannot be interpolated",
                          tt_dtype_name(x->dtype));
    return tt_check_shape(site, &out[0], err);
}

/* ---- lowering ------------------------------------------------------------------- */

/* The dims in memory order: channels last or as they are. */
static tt_order memory_order(const tt_lower *lower, tt_operand src, int rank, int *dims)
{
    const tt_shape *shape = tt_operand_shape(lower, src);
    const int64_t *strides = tt_operand_strides(lower, src);
    bool last = rank >= 3 && tt_is_channels_last(shape, strides) &&
                !tt_is_row_major(shape, strides);
    for (int i = 0; i < rank; ++i)
        dims[i] = !last || i == 0 ? i : i == rank - 1 ? 1 : i + 1;
    return last ? TT_ORDER_CHANNELS_LAST : TT_ORDER_ROW_MAJOR;
}

/* Index and weights of every resized dim; freed with free_tables. */
typedef struct {
    int n_taps[TT_MAX_RANK];
    int32_t *index[TT_MAX_RANK];
    float *weights[TT_MAX_RANK];
} tables;

static void free_tables(tables *t)
{
    for (int i = 0; i < TT_MAX_RANK; ++i) {
        tt_free(t->index[i]);
        tt_free(t->weights[i]);
    }
}

static tt_status make_tables(const resize *r, int rank, tables *t, tt_error *err)
{
    for (int i = 0; i < rank; ++i) {
        const tt_resize_dim *d = &r->dims[i];
        size_t n = (size_t)d->n_dst;
        if (!r->resized[i]) continue;
        t->n_taps[i] = tt_resize_taps(&r->options, d);
        t->index[i] = tt_calloc(n, (size_t)t->n_taps[i] * sizeof(int32_t));
        t->weights[i] = tt_calloc(n, (size_t)t->n_taps[i] * sizeof(float));
        if (t->index[i] == NULL || t->weights[i] == NULL)
            return tt_fail(err, TT_NO_MEMORY, "tables for %zu positions", n);
        tt_resize_fill(&r->options, d, t->n_taps[i], t->index[i], t->weights[i]);
    }
    return TT_OK;
}

static tt_status lower_nearest(tt_lower *lower, const tt_node *node, const resize *r,
                               const tables *t, const int *dims, tt_operand src,
                               tt_operand dst, const tt_work *work, tt_error *err)
{
    const tt_shape *shape = tt_operand_shape(lower, src);
    const int32_t *index[TT_MAX_RANK];
    int64_t from[TT_MAX_RANK], to[TT_MAX_RANK];
    tt_operand operands[2] = {src, dst};
    tt_resize_gather *gather;
    tt_status status;
    for (int i = 0; i < shape->rank; ++i) {
        index[i] = t->index[dims[i]];
        from[i] = r->dims[dims[i]].n_src;
        to[i] = r->dims[dims[i]].n_dst;
    }
    TT_TRY(tt_resize_gather_new(shape->dtype, shape->rank, from, to, index,
                                (double)r->options.fill, &gather, err));
    status =
        tt_lower_kernel(lower, node, "resize:nearest", tt_resize_gather_run, gather,
                        tt_resize_gather_bytes(gather), operands, 1, 1, work, err);
    tt_free(gather);
    return status;
}

/* One pass over the dim at place `at` of the memory order; *now are the sizes. */
static tt_status lower_pass(tt_lower *lower, const tt_node *node, const resize *r,
                            const tables *t, const int *dims, int rank, int at,
                            int64_t *now, tt_operand src, tt_operand dst, tt_error *err)
{
    int dim = dims[at];
    tt_operand operands[2] = {src, dst};
    tt_resize_dims d = {.src_dtype = tt_operand_shape(lower, src)->dtype,
                        .dst_dtype = tt_operand_shape(lower, dst)->dtype,
                        .outer = 1,
                        .n_src = now[at],
                        .n_dst = r->dims[dim].n_dst,
                        .inner = 1,
                        .n_taps = t->n_taps[dim],
                        .fill = (double)r->options.fill};
    tt_work work = {0};
    tt_resize_pass *pass;
    tt_status status;
    for (int i = 0; i < rank; ++i)
        if (i != at) *(i < at ? &d.outer : &d.inner) *= now[i];
    now[at] = d.n_dst;
    work.flops =
        2.0 * (double)d.n_taps * (double)d.n_dst * (double)d.outer * (double)d.inner;
    work.bytes = 4.0 * (double)(d.n_src + d.n_dst) * (double)d.outer * (double)d.inner;
    work.cost_ns = work.flops * (d.inner == 1 ? 0.5 : 0.05);
    TT_TRY(tt_resize_pass_new(&d, t->index[dim], t->weights[dim], &pass, err));
    status = tt_lower_kernel(lower, node, tt_resize_name(), tt_resize_pass_run, pass,
                             tt_resize_pass_bytes(pass), operands, 1, 1, &work, err);
    tt_free(pass);
    return status;
}

/* Intermediate results are float32 (float64 for float64), the last is the output. */
static tt_status lower_filter(tt_lower *lower, const tt_node *node, const resize *r,
                              const tables *t, const int *dims, tt_operand src,
                              tt_operand dst, tt_error *err)
{
    tt_shape shape = *tt_operand_shape(lower, src);
    int rank = shape.rank, left = 0;
    int64_t now[TT_MAX_RANK];
    bool done[TT_MAX_RANK] = {false};
    shape.dtype = shape.dtype == TT_F64 ? TT_F64 : TT_F32;
    for (int i = 0; i < rank; ++i) {
        now[i] = shape.dims[dims[i]];
        left += r->resized[dims[i]] ? 1 : 0;
    }
    for (; left > 0; --left) { /* the dim that shrinks most (or grows least) first */
        tt_operand to = dst;
        int at = -1;
        for (int i = 0; i < rank; ++i)
            if (r->resized[dims[i]] && !done[i] &&
                (at < 0 || r->dims[dims[i]].scale < r->dims[dims[at]].scale))
                at = i;
        done[at] = true;
        if (left > 1) {
            for (int i = 0; i < rank; ++i)
                shape.dims[i] = i == at ? r->dims[dims[i]].n_dst : now[i];
            TT_TRY(tt_lower_tensor(lower, &shape, NULL, &to, err));
        }
        TT_TRY(lower_pass(lower, node, r, t, dims, rank, at, now, src, to, err));
        src = to;
    }
    return TT_OK;
}

static tt_status lower_resize(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape to = site.graph->values[node->outputs[0]].shape;
    int dims[TT_MAX_RANK];
    tables t = {{0}, {NULL}, {NULL}};
    tt_work work = {.bytes = 2.0 * (double)tt_shape_bytes(&to)};
    tt_operand src, dst;
    tt_status status;
    tt_order order;
    resize r;
    bool any = false;
    TT_TRY(read_resize(&site, &r, err));
    for (int i = 0; i < to.rank; ++i)
        any = any || r.resized[i];
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    if (!any) {
        tt_lower_bind(lower, node, 0, src);
        return TT_OK;
    }
    order = memory_order(lower, src, to.rank, dims);
    TT_TRY(tt_lower_src(lower, node, 0, order, &src, err));
    TT_TRY(tt_lower_dst(lower, node, 0, order, &dst, err));
    if (tt_shape_numel(&to) == 0) return TT_OK;
    status = make_tables(&r, to.rank, &t, err);
    if (status == TT_OK && r.options.mode == TT_RESIZE_NEAREST)
        status = lower_nearest(lower, node, &r, &t, dims, src, dst, &work, err);
    else if (status == TT_OK)
        status = lower_filter(lower, node, &r, &t, dims, src, dst, err);
    free_tables(&t);
    return status;
}

const tt_op tt_op_resize = {
    .name = "Resize",
    .domain = "",
    .since = 10,
    .summary = "resampling by nearest neighbour, linear or cubic filters",
    .infer = infer,
    .lower = lower_resize,
};

const tt_op tt_op_upsample = {
    .name = "Upsample",
    .domain = "",
    .since = 7,
    .summary = "Resize of old opsets",
    .infer = infer,
    .lower = lower_resize,
};
