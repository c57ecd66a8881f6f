/* GridSample: reads a tensor at the points of a grid.  Opset 16 names the modes
 * bilinear and bicubic and has two spatial dims, opset 20 any number. */
#include "kernels/grid_sample.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

static tt_status find_name(const tt_node *node, const char *attribute,
                           const char *fallback, const char *const *names, int n,
                           int *out, tt_error *err)
{
    const char *name;
    TT_TRY(tt_attribute_string(node, attribute, fallback, &name, err));
    for (*out = 0; *out < n; ++*out)
        if (strcmp(name, names[*out]) == 0) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "%s '%s' is not known", attribute, name);
}

static tt_status resolve(const tt_site *site, tt_grid_sample *s, tt_error *err)
{
    static const char *const old_modes[] = {"bilinear", "nearest", "bicubic"};
    static const char *const modes[] = {"linear", "nearest", "cubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    bool is_old = site->node->version < 20;
    const tt_shape *src, *grid;
    int64_t align, n_src = 1;
    int mode, padding;
    bool fits;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(find_name(site->node, "mode", is_old ? "bilinear" : "linear",
                     is_old ? old_modes : modes, 3, &mode, err));
    TT_TRY(find_name(site->node, "padding_mode", "zeros", paddings, 3, &padding, err));
    TT_TRY(tt_attribute_int(site->node, "align_corners", 0, &align, err));
    src = tt_input_shape(site, 0);
    grid = tt_input_shape(site, 1);
    *s = (tt_grid_sample){.mode = (tt_sample_mode)mode,
                          .padding = (tt_padding)padding,
                          .align_corners = align != 0,
                          .rank = src->rank - 2,
                          .n_points = 1};
    fits = src->rank >= 3 && src->rank <= 5 && grid->rank == src->rank &&
           src->dims[0] == grid->dims[0] && grid->dims[grid->rank - 1] == s->rank;
    for (int i = 2; fits && i < src->rank; ++i) {
        s->dims[i - 2] = src->dims[i];
        s->n_points *= grid->dims[i - 1];
        n_src *= src->dims[i];
    }
    if (!fits || n_src == 0) {
        char a[256], b[256];
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "grid %s does not fit input %s (1 to 3 spatial dims, not empty)",
            tt_shape_text(grid, a, sizeof a), tt_shape_text(src, b, sizeof b));
    }
    if (src->dtype != TT_F32 || grid->dtype != TT_F32)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "sampling %s at points of %s", tt_dtype_name(src->dtype),
                          tt_dtype_name(grid->dtype));
    s->n_batches = src->dims[0];
    s->n_channels = src->dims[1];
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *grid;
    tt_grid_sample s;
    TT_TRY(resolve(site, &s, err));
    grid = tt_input_shape(site, 1);
    *out = *tt_input_shape(site, 0);
    for (int i = 2; i < out->rank; ++i)
        out->dims[i] = grid->dims[i - 1];
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_grid_sample_run(params, ptrs[0], ptrs[1], ptrs[2]);
    return TT_OK;
}

static tt_status lower_grid_sample(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    double n = (double)tt_shape_numel(tt_output_shape(lower, node, 0));
    tt_work work = {.flops = 12 * n, .bytes = 20 * n, .cost_ns = 30 + 12 * n};
    tt_operand operands[3];
    tt_grid_sample sample;
    TT_TRY(resolve(&site, &sample, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "grid_sample", run, &sample, sizeof sample,
                           operands, 2, 1, &work, err);
}

const tt_op tt_op_grid_sample = {.name = "GridSample",
                                 .domain = "",
                                 .since = 16,
                                 .summary = "a tensor read at the points of a grid",
                                 .infer = infer,
                                 .lower = lower_grid_sample};
