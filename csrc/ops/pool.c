/* MaxPool (1, 8, 10, 11, 12, 22), AveragePool (1, 7, 10, 11, 19, 22) and LpPool
 * (1, 2, 11, 18, 22) over one to three spatial dims.
 *
 * oneDNN pools channels-last; what it lacks goes to kernels/pool.h. */
#include <string.h>

#include "kernels/max_bytes.h"
#include "ops/fail.h"
#include "ops/pool.h"
#include "plan/lower.h"

tt_status tt_pool_read(const tt_site *site, tt_pool_mode mode, tt_pool_geometry *out,
                       tt_error *err)
{
    const tt_node *node = site->node;
    int64_t flag = 0;
    TT_TRY(tt_need_inputs(site, 1, err));
    *out = (tt_pool_geometry){.mode = mode};
    TT_TRY(tt_window_slide(node, tt_input_shape(site, 0), NULL, &out->window, err));
    if (mode == TT_POOL_MAX) {
        TT_TRY(tt_attribute_int(node, "storage_order", 0, &flag, err));
        out->column_major = flag != 0;
    } else if (mode == TT_POOL_MEAN) {
        TT_TRY(tt_attribute_int(node, "count_include_pad", 0, &flag, err));
        if (flag != 0) out->mode = TT_POOL_MEAN_PADS;
    } else {
        TT_TRY(tt_attribute_int(node, "p", 2, &out->p, err));
        if (out->p < 1)
            return tt_fail_at(node, err, TT_BAD_MODEL, "p is %lld, expected 1 or more",
                              (long long)out->p);
    }
    for (int i = 0; i < out->window.rank; ++i) {
        tt_window *w = &out->window;
        if (w->src[i] < 1)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "pooling over an empty spatial dim %d", i);
        out->real_pads_end[i] = w->pads_end[i];
        w->pads_end[i] = (w->dst[i] - 1) * w->strides[i] + tt_window_extent(w, i) -
                         w->src[i] - w->pads_begin[i];
    }
    return TT_OK;
}

static tt_pool_mode mode_of(const tt_node *node)
{
    return strcmp(node->op->name, "MaxPool") == 0       ? TT_POOL_MAX
           : strcmp(node->op->name, "AveragePool") == 0 ? TT_POOL_MEAN
                                                        : TT_POOL_NORM;
}

static tt_status infer_pool(tt_site *site, tt_pool_mode mode, tt_shape *out,
                            tt_error *err)
{
    tt_pool_geometry g;
    tt_dtype dtype;
    TT_TRY(tt_pool_read(site, mode, &g, err));
    dtype = tt_input_shape(site, 0)->dtype;
    if (!tt_dtype_is_float(dtype) && (mode != TT_POOL_MAX || !tt_dtype_is_int(dtype)))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "an input of %s cannot be pooled", tt_dtype_name(dtype));
    for (int i = 0; i < site->node->n_outputs; ++i) {
        if (i == (mode == TT_POOL_MAX ? 2 : 1))
            return tt_fail_at(site->node, err, TT_BAD_MODEL, "has %d outputs",
                              site->node->n_outputs);
        out[i] = *tt_input_shape(site, 0);
        for (int k = 0; k < g.window.rank; ++k)
            out[i].dims[2 + k] = g.window.dst[k];
        if (i == 1) out[i].dtype = TT_S64;
        TT_TRY(tt_check_shape(site, &out[i], err));
    }
    return TT_OK;
}

static tt_status infer_max(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer_pool(site, TT_POOL_MAX, out, err);
}

static tt_status infer_average(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer_pool(site, TT_POOL_MEAN, out, err);
}

static tt_status infer_lp(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer_pool(site, TT_POOL_NORM, out, err);
}

/* ---- oneDNN ------------------------------------------------------------------ */

static tt_status create_pool(tt_engine *engine, const void *params, tt_prim **out,
                             tt_error *err)
{
    return tt_pool_new(engine, params, out, err);
}

static bool is_native(const tt_node *node, const tt_pool_geometry *g, tt_dtype dtype)
{
    if (dtype != TT_F32 && dtype != TT_BF16 && dtype != TT_U8 && dtype != TT_S8)
        return false;
    if (g->mode == TT_POOL_NORM) return false;
    if (node->n_outputs > 1 && node->outputs[1] >= 0) return false;
    for (int i = 0; i < g->window.rank; ++i) {
        const tt_window *w = &g->window;
        /* oneDNN always divides by the whole kernel */
        if (g->mode == TT_POOL_MEAN_PADS && w->pads_end[i] > g->real_pads_end[i])
            return false;
        if (w->pads_begin[i] >= tt_window_extent(w, i) ||
            w->pads_end[i] >= tt_window_extent(w, i))
            return false;
    }
    return true;
}

/* *out is NULL when oneDNN has only its reference implementation. */
static tt_status create(tt_lower *lower, const tt_pool_geometry *g, const tt_md *src,
                        const tt_md *dst, const tt_work *work, tt_prim **out,
                        tt_error *err)
{
    const tt_window *w = &g->window;
    tt_pool_params p = {
        .alg = TT_ALG_POOL_MAX, .src = *src, .dst = *dst, .attr = tt_attr_default()};
    tt_status status;
    if (g->mode == TT_POOL_MEAN) p.alg = TT_ALG_POOL_AVG_EXCLUDE;
    if (g->mode == TT_POOL_MEAN_PADS) p.alg = TT_ALG_POOL_AVG_INCLUDE;
    for (int i = 0; i < w->rank; ++i) {
        p.kernel[i] = w->kernel[i];
        p.strides[i] = w->strides[i];
        p.dilations[i] = w->dilations[i] - 1;
        p.pads_begin[i] = w->pads_begin[i];
        p.pads_end[i] = w->pads_end[i];
    }
    status = tt_lower_create(lower, create_pool, &p, work, out, err);
    if (status == TT_UNSUPPORTED) {
        *out = NULL;
        return TT_OK;
    }
    TT_TRY(status);
    if (tt_prim_is_reference(*out)) {
        tt_prim_free(*out);
        *out = NULL;
    }
    return TT_OK;
}

/* ---- own kernel --------------------------------------------------------------- */

void tt_pool_five(const int64_t *from, int rank, int64_t *to)
{
    to[0] = from[0];
    to[1] = from[1];
    for (int i = 0; i < 3; ++i)
        to[2 + i] = i < 5 - rank ? 0 : from[i + rank - 3];
}

tt_pool_kernel tt_pool_plain_kernel(const tt_pool_geometry *g, const tt_shape *src)
{
    const tt_window *w = &g->window;
    tt_pool_kernel k = {.mode = g->mode,
                        .dtype = src->dtype,
                        .column_major = g->column_major,
                        .p = (double)g->p,
                        .batch = src->dims[0],
                        .channels = src->dims[1]};
    for (int i = 0; i < 3; ++i) {
        int from = i - (3 - w->rank);
        k.src[i] = from < 0 ? 1 : w->src[from];
        k.dst[i] = from < 0 ? 1 : w->dst[from];
        k.kernel[i] = from < 0 ? 1 : w->kernel[from];
        k.strides[i] = from < 0 ? 1 : w->strides[from];
        k.dilations[i] = from < 0 ? 1 : w->dilations[from];
        k.pads_begin[i] = from < 0 ? 0 : w->pads_begin[from];
        k.pads_end[i] = from < 0 ? 0 : g->real_pads_end[from];
    }
    return k;
}

static tt_status add_own(tt_lower *lower, const tt_node *node,
                         const tt_pool_geometry *g, tt_work work, tt_error *err)
{
    tt_operand operands[3];
    tt_pool_kernel k;
    tt_shape src;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ANY, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 1, TT_ORDER_ANY, &operands[2], err));
    src = *tt_operand_shape(lower, operands[0]);
    k = tt_pool_plain_kernel(g, &src);
    k.has_indices = operands[2] != TT_NO_OPERAND;
    tt_pool_five(tt_operand_strides(lower, operands[0]), src.rank, k.src_strides);
    tt_pool_five(tt_operand_strides(lower, operands[1]), src.rank, k.dst_strides);
    if (k.has_indices)
        tt_pool_five(tt_operand_strides(lower, operands[2]), src.rank, k.index_strides);
    work.cost_ns = 3.0 * work.flops;
    return tt_lower_kernel(lower, node, "pool:ref", tt_pool_run_ref, &k, sizeof k,
                           operands, 1, 2, &work, err);
}

/* Largest bytes of windows over one or two dims, which oneDNN finds item by item. */
static bool wants_bytes(const tt_lower *lower, const tt_pool_geometry *g,
                        tt_dtype dtype)
{
    if (g->mode != TT_POOL_MAX || (dtype != TT_U8 && dtype != TT_S8) ||
        g->window.rank > 2 || !tt_lower_wants_kernels(lower))
        return false;
    for (int i = 0; i < g->window.rank; ++i)
        if (g->window.dilations[i] != 1) return false;
    return true;
}

static tt_status add_bytes(tt_lower *lower, const tt_node *node,
                           const tt_pool_geometry *g, tt_work work, tt_error *err)
{
    const tt_shape *src = &tt_lower_graph(lower)->values[node->inputs[0]].shape;
    const tt_window w = tt_window_plane(&g->window);
    tt_max_bytes k = {.is_signed = src->dtype == TT_S8,
                      .batch = src->dims[0],
                      .channels = src->dims[1],
                      TT_WINDOW_FIELDS(w)};
    tt_operand operands[TT_MAX_BYTES_POINTERS];
    size_t scratch;
    work.cost_ns = work.bytes / 20.0;
    k.n_slots = tt_lower_is_parallel(lower, &work) ? tt_lower_threads(lower) : 1;
    if (!tt_max_bytes_scratch(&k, &scratch))
        return tt_fail(err, TT_LIMIT, "%s '%s': a row of %lld x %lld bytes",
                       node->op_type, node->name, (long long)k.src_w,
                       (long long)k.channels);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_CHANNELS_LAST,
                        &operands[TT_MAX_BYTES_SRC], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST,
                        &operands[TT_MAX_BYTES_DST], err));
    TT_TRY(tt_lower_temporary(lower, scratch, &operands[TT_MAX_BYTES_SCRATCH], err));
    return tt_lower_kernel(lower, node, tt_max_bytes_name(), tt_max_bytes_run, &k,
                           sizeof k, operands, TT_MAX_BYTES_DST, 2, &work, err);
}

static tt_status lower_pool(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape dst = site.graph->values[node->outputs[0]].shape;
    const tt_arg args[2] = {TT_ARG_SRC, TT_ARG_DST};
    tt_operand operands[2];
    tt_prim *prim = NULL;
    tt_work work = {0};
    tt_md src_md, dst_md;
    tt_pool_geometry g;
    TT_TRY(tt_pool_read(&site, mode_of(node), &g, err));
    work.flops = (double)tt_shape_numel(&dst);
    for (int i = 0; i < g.window.rank; ++i)
        work.flops *= (double)g.window.kernel[i];
    work.bytes =
        (double)tt_shape_bytes(tt_input_shape(&site, 0)) + (double)tt_shape_bytes(&dst);
    if (work.flops == 0.0 || !is_native(node, &g, dst.dtype))
        return add_own(lower, node, &g, work, err);
    if (wants_bytes(lower, &g, dst.dtype)) return add_bytes(lower, node, &g, work, err);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_CHANNELS_LAST, &operands[0], err));
    src_md = tt_operand_md(lower, operands[0]);
    tt_strides_channels_last(src_md.dims, src_md.ndims, src_md.strides);
    dst_md = (tt_md){.dtype = dst.dtype, .ndims = dst.rank};
    memcpy(dst_md.dims, dst.dims, sizeof dst_md.dims);
    tt_strides_channels_last(dst_md.dims, dst_md.ndims, dst_md.strides);
    TT_TRY(create(lower, &g, &src_md, &dst_md, &work, &prim, err));
    if (prim == NULL) return add_own(lower, node, &g, work, err);
    tt_status status =
        tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, &operands[1], err);
    if (status != TT_OK) {
        tt_prim_free(prim);
        return status;
    }
    return tt_lower_prim(lower, node, prim, args, operands, 1, 1, &work, err);
}

const tt_op tt_op_max_pool = {
    .name = "MaxPool",
    .domain = "",
    .since = 1,
    .summary = "largest item of sliding windows, and where it was",
    .infer = infer_max,
    .lower = lower_pool,
};

const tt_op tt_op_average_pool = {
    .name = "AveragePool",
    .domain = "",
    .since = 1,
    .summary = "mean of sliding windows",
    .infer = infer_average,
    .lower = lower_pool,
};

const tt_op tt_op_lp_pool = {
    .name = "LpPool",
    .domain = "",
    .since = 2,
    .summary = "p-norm of sliding windows",
    .infer = infer_lp,
    .lower = lower_pool,
};
