/* DepthToSpace and SpaceToDepth: blocks of pixels <-> channels, as one strided copy
 * over (N, C, H, block, W, block). */
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"

enum { DEPTH_MODE = 11, SPACE_MODE = 28 }; /* opsets that brought the attribute */

static tt_status read_block(const tt_site *site, int64_t *block, tt_error *err)
{
    const tt_shape *src;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    if (src->rank != 4)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the input has rank %d, expected 4", src->rank);
    TT_TRY(tt_attribute_int(site->node, "blocksize", 0, block, err));
    if (*block < 1 || *block > INT32_MAX)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "blocksize is %lld",
                          (long long)*block);
    return TT_OK;
}

static tt_status read_mode(const tt_node *node, int since, bool *rows_first,
                           tt_error *err)
{
    const char *mode = "DCR";
    if (node->version >= since)
        TT_TRY(tt_attribute_string(node, "mode", "DCR", &mode, err));
    *rows_first = strcmp(mode, "DCR") == 0;
    if (*rows_first || strcmp(mode, "CRD") == 0) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "mode must be DCR or CRD, not '%s'",
                      mode);
}

static tt_status infer_depth_to_space(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t block;
    bool rows_first;
    TT_TRY(read_block(site, &block, err));
    TT_TRY(read_mode(site->node, DEPTH_MODE, &rows_first, err));
    *out = *tt_input_shape(site, 0);
    if (out->dims[1] % (block * block) != 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "%lld channels are not a multiple of blocksize %lld squared",
                          (long long)out->dims[1], (long long)block);
    out->dims[1] /= block * block;
    for (int i = 2; i < 4; ++i)
        if (!tt_mul_i64(out->dims[i], block, &out->dims[i]))
            return tt_fail_at(site->node, err, TT_LIMIT, "dim %d times %lld", i,
                              (long long)block);
    return TT_OK;
}

static tt_status infer_space_to_depth(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t block;
    bool rows_first;
    TT_TRY(read_block(site, &block, err));
    TT_TRY(read_mode(site->node, SPACE_MODE, &rows_first, err));
    *out = *tt_input_shape(site, 0);
    if (out->dims[2] % block != 0 || out->dims[3] % block != 0)
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "height %lld and width %lld must be multiples of blocksize %lld",
            (long long)out->dims[2], (long long)out->dims[3], (long long)block);
    if (!tt_mul_i64(out->dims[1], block * block, &out->dims[1]))
        return tt_fail_at(site->node, err, TT_LIMIT, "channels times %lld squared",
                          (long long)block);
    out->dims[2] /= block;
    out->dims[3] /= block;
    return TT_OK;
}

/* Strides of the six dims over the tensor with many channels (`deep`) and the one with
 * many pixels (`wide`). */
static void block_strides(const int64_t *deep, const int64_t *wide, int64_t block,
                          int64_t channels, bool rows_first, int64_t *over_deep,
                          int64_t *over_wide)
{
    int64_t per_channel = rows_first ? 1 : block * block;
    int64_t per_block = rows_first ? channels : 1;
    const int64_t from[6] = {deep[0], deep[1] * per_channel,
                             deep[2], deep[1] * per_block * block,
                             deep[3], deep[1] * per_block};
    const int64_t to[6] = {wide[0], wide[1],         wide[2] * block,
                           wide[2], wide[3] * block, wide[3]};
    memcpy(over_deep, from, sizeof from);
    memcpy(over_wide, to, sizeof to);
}

static tt_status lower_blocks(tt_lower *lower, const tt_node *node, bool to_space,
                              tt_error *err)
{
    int64_t src_strides[TT_MAX_RANK], strides[TT_MAX_RANK], from[6], to[6], block;
    tt_site site = tt_lower_site(lower, node);
    tt_shape shape, dims = {.rank = 6};
    const tt_shape *wide;
    bool rows_first;
    tt_operand src, dst;
    TT_TRY(read_block(&site, &block, err));
    TT_TRY(read_mode(node, to_space ? DEPTH_MODE : SPACE_MODE, &rows_first, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    TT_TRY(tt_lower_dst(lower, node, 0, tt_order_like(lower, src), &dst, err));
    memcpy(src_strides, tt_operand_strides(lower, src), sizeof src_strides);
    memcpy(strides, tt_operand_strides(lower, dst), sizeof strides);
    shape = *tt_operand_shape(lower, dst);
    if (tt_shape_numel(&shape) == 0) return TT_OK;
    wide = to_space ? &shape : tt_operand_shape(lower, src);
    dims.dtype = shape.dtype;
    dims.dims[0] = wide->dims[0];
    dims.dims[1] = wide->dims[1];
    dims.dims[2] = wide->dims[2] / block;
    dims.dims[4] = wide->dims[3] / block;
    dims.dims[3] = dims.dims[5] = block;
    if (to_space)
        block_strides(src_strides, strides, block, wide->dims[1], rows_first, from, to);
    else
        block_strides(strides, src_strides, block, wide->dims[1], rows_first, to, from);
    return tt_move(lower, node, &dims, (tt_move_end){src, from, 0},
                   (tt_move_end){dst, to, 0}, err);
}

static tt_status lower_depth_to_space(tt_lower *lower, const tt_node *node,
                                      tt_error *err)
{
    return lower_blocks(lower, node, true, err);
}

static tt_status lower_space_to_depth(tt_lower *lower, const tt_node *node,
                                      tt_error *err)
{
    return lower_blocks(lower, node, false, err);
}

const tt_op tt_op_depth_to_space = {.name = "DepthToSpace",
                                    .domain = "",
                                    .since = 1,
                                    .summary = "channels to blocks of pixels",
                                    .infer = infer_depth_to_space,
                                    .lower = lower_depth_to_space};

const tt_op tt_op_space_to_depth = {.name = "SpaceToDepth",
                                    .domain = "",
                                    .since = 1,
                                    .summary = "blocks of pixels to channels",
                                    .infer = infer_space_to_depth,
                                    .lower = lower_space_to_depth};
