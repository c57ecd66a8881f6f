/* Tile: repeats along each dim, as one strided copy with strides of 0.  Opset 1 tiles
 * one axis. */
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_repeats(tt_site *site, int64_t *repeats, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    int n, axis;
    TT_TRY(tt_need_inputs(site, node->version < 6 ? 3 : 2, err));
    src = tt_input_shape(site, 0);
    if (node->version < 6) {
        int64_t tiles, position;
        int n_axes;
        TT_TRY(tt_need_ints(site, 1, &tiles, 1, &n, err));
        TT_TRY(tt_need_ints(site, 2, &position, 1, &n_axes, err));
        if (n != 1 || n_axes != 1)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "tiles and axis must be one number each, not %d and %d",
                              n, n_axes);
        TT_TRY(tt_axis(node, position, src->rank, &axis, err));
        for (int i = 0; i < src->rank; ++i)
            repeats[i] = i == axis ? tiles : 1;
    } else {
        TT_TRY(tt_need_ints(site, 1, repeats, TT_MAX_RANK, &n, err));
        if (n != src->rank)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "repeats has %d items, the input %d dims", n, src->rank);
    }
    for (int i = 0; i < src->rank; ++i)
        if (repeats[i] < 0)
            return tt_fail_at(node, err, TT_BAD_MODEL, "repeat %d is %lld", i,
                              (long long)repeats[i]);
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t repeats[TT_MAX_RANK];
    TT_TRY(read_repeats(site, repeats, err));
    *out = *tt_input_shape(site, 0);
    for (int i = 0; i < out->rank; ++i)
        if (!tt_mul_i64(out->dims[i], repeats[i], &out->dims[i]))
            return tt_fail_at(site->node, err, TT_LIMIT, "dim %d repeated %lld times",
                              i, (long long)repeats[i]);
    return TT_OK;
}

/* Repeats one axis of `src` into `dst`: dims before the axis, repeats, the axis, dims
 * after it; those before and after are merged. */
static tt_status repeat_axis(tt_lower *lower, const tt_node *node, tt_operand src,
                             tt_operand dst, int axis, int64_t repeat, tt_error *err)
{
    const tt_shape *shape = tt_operand_shape(lower, src);
    tt_shape dims = {
        .dtype = shape->dtype, .rank = 3, .dims = {1, repeat, 1}
    };
    int64_t from[3] = {0, 0, 1}, to[3] = {0, 0, 1};
    for (int i = 0; i < shape->rank; ++i)
        dims.dims[i < axis ? 0 : 2] *= shape->dims[i];
    from[0] = to[1] = dims.dims[2];
    to[0] = dims.dims[2] * repeat;
    return tt_move(lower, node, &dims, (tt_move_end){src, from, 0},
                   (tt_move_end){dst, to, 0}, err);
}

/* More dims than a copy has: axis by axis through row-major tensors. */
static tt_status tile_by_axis(tt_lower *lower, const tt_node *node,
                              const int64_t *repeats, tt_error *err)
{
    tt_shape shape = *tt_output_shape(lower, node, 0);
    tt_operand src, dst;
    int last = 0;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &src, err));
    for (int i = 0; i < shape.rank; ++i)
        if (repeats[i] != 1) last = i;
    shape = *tt_operand_shape(lower, src);
    for (int i = 0; i < last; ++i) {
        if (repeats[i] == 1) continue;
        shape.dims[i] *= repeats[i];
        TT_TRY(tt_lower_tensor(lower, &shape, NULL, &dst, err));
        TT_TRY(repeat_axis(lower, node, src, dst, i, repeats[i], err));
        src = dst;
    }
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &dst, err));
    return repeat_axis(lower, node, src, dst, last, repeats[last], err);
}

static tt_status lower_tile(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_shape shape = *tt_input_shape(&site, 0), dims = {.dtype = shape.dtype};
    int64_t repeats[TT_MAX_RANK], from[TT_MAX_RANK], to[TT_MAX_RANK];
    int64_t src_strides[TT_MAX_RANK], strides[TT_MAX_RANK];
    tt_operand src, dst;
    bool is_broadcast = true;
    int n = 0;
    TT_TRY(read_repeats(&site, repeats, err));
    for (int i = 0; i < shape.rank; ++i) {
        n += (repeats[i] != 1) + (shape.dims[i] != 1);
        is_broadcast &= repeats[i] == 1 || shape.dims[i] == 1;
    }
    if (n > TT_MAX_RANK && tt_shape_numel(tt_output_shape(lower, node, 0)) > 0)
        return tile_by_axis(lower, node, repeats, err);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    memcpy(src_strides, tt_operand_strides(lower, src), sizeof src_strides);
    if (is_broadcast) {
        for (int i = 0; i < shape.rank; ++i)
            if (repeats[i] != 1) src_strides[i] = 0;
        return tt_lower_view(lower, node, 0, src, src_strides, 0, err);
    }
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ANY, &dst, err));
    if (tt_shape_numel(tt_operand_shape(lower, dst)) == 0) return TT_OK;
    memcpy(strides, tt_operand_strides(lower, dst), sizeof strides);
    for (int i = 0; i < shape.rank; ++i) {
        if (repeats[i] != 1) {
            dims.dims[dims.rank] = repeats[i];
            from[dims.rank] = 0;
            to[dims.rank++] = strides[i] * shape.dims[i];
        }
        if (shape.dims[i] != 1) {
            dims.dims[dims.rank] = shape.dims[i];
            from[dims.rank] = src_strides[i];
            to[dims.rank++] = strides[i];
        }
    }
    return tt_move(lower, node, &dims, (tt_move_end){src, from, 0},
                   (tt_move_end){dst, to, 0}, err);
}

const tt_op tt_op_tile_v1 = {.name = "Tile",
                             .domain = "",
                             .since = 1,
                             .until = 5,
                             .summary = "repeats a tensor along one axis",
                             .infer = infer,
                             .lower = lower_tile,
                             .takes_strings = true};

const tt_op tt_op_tile_v6 = {.name = "Tile",
                             .domain = "",
                             .since = 6,
                             .summary = "repeats a tensor along each dim",
                             .infer = infer,
                             .lower = lower_tile,
                             .takes_strings = true};
