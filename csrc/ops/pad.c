/* Pad: constant, edge, reflect and wrap, as a list of strided copies.
 *
 * The input goes to the middle; then axis by axis the borders are filled, from the
 * constant or from what is already in the result.  Reflect and wrap borders longer
 * than the input are made by copies that double in length.  Negative pads crop.
 * Opset 1 and 2 have attributes, 11 inputs, 18 axes, 19 wrap. */
#include <string.h>

#include "base/checked.h"
#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

typedef enum { PAD_CONSTANT, PAD_EDGE, PAD_REFLECT, PAD_WRAP } pad_mode;

typedef struct {
    pad_mode mode;
    int64_t begin[TT_MAX_RANK], end[TT_MAX_RANK];
} pad_spec;

static tt_status read_mode(const tt_node *node, pad_mode *mode, tt_error *err)
{
    static const char *const names[] = {"constant", "edge", "reflect", "wrap"};
    const char *name;
    TT_TRY(tt_attribute_string(node, "mode", "constant", &name, err));
    for (int i = 0; i < 4; ++i)
        if (strcmp(name, names[i]) == 0) {
            *mode = (pad_mode)i;
            return TT_OK;
        }
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "mode must be constant, edge, reflect or wrap, not '%s'", name);
}

static tt_status read_pads(tt_site *site, int64_t *pads, int *n, tt_error *err)
{
    const tt_node *node = site->node;
    const int64_t *list;
    if (node->version >= 11) {
        TT_TRY(tt_need_inputs(site, 2, err));
        return tt_need_ints(site, 1, pads, 2 * TT_MAX_RANK, n, err);
    }
    TT_TRY(tt_attribute_ints(node, node->version < 2 ? "paddings" : "pads", &list, n,
                             err));
    if (*n < 0 || *n > 2 * TT_MAX_RANK)
        return tt_fail_at(node, err, TT_BAD_MODEL, "pads has %d items (-1: missing)",
                          *n);
    memcpy(pads, list, (size_t)*n * sizeof *pads);
    return TT_OK;
}

/* One dim: what of the input stays, and how long the result is. */
static tt_status check_dim(const tt_node *node, const tt_shape *src,
                           const pad_spec *spec, int i, int64_t *out, tt_error *err)
{
    int64_t n = src->dims[i], begin = spec->begin[i], end = spec->end[i], left = n;
    if (begin < -n || end < -n || (begin < 0 ? -begin : 0) + (end < 0 ? -end : 0) > n ||
        !tt_add_i64(left, begin, &left) || !tt_add_i64(left, end, &left) || left < 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "pads %lld and %lld do not fit dim %d of %lld",
                          (long long)begin, (long long)end, i, (long long)n);
    if (begin < 0) n += begin;
    if (end < 0) n += end;
    if (n == 0 && spec->mode != PAD_CONSTANT && (begin > 0 || end > 0))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "dim %d has no elements to repeat, only constant can pad it",
                          i);
    *out = left;
    return TT_OK;
}

static tt_status resolve(tt_site *site, pad_spec *spec, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    int64_t pads[2 * TT_MAX_RANK], axes[TT_MAX_RANK];
    const tt_shape *src;
    unsigned seen = 0;
    int n, n_axes = -1;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    TT_TRY(read_mode(node, &spec->mode, err));
    TT_TRY(read_pads(site, pads, &n, err));
    if (node->version >= 18)
        TT_TRY(tt_need_ints(site, 3, axes, TT_MAX_RANK, &n_axes, err));
    if (n_axes < 0)
        for (n_axes = 0; n_axes < src->rank; ++n_axes)
            axes[n_axes] = n_axes;
    if (n != 2 * n_axes)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%d pads for %d axes, expected %d",
                          n, n_axes, 2 * n_axes);
    memset(spec->begin, 0, sizeof spec->begin);
    memset(spec->end, 0, sizeof spec->end);
    for (int i = 0; i < n_axes; ++i) {
        int axis;
        TT_TRY(tt_axis(node, axes[i], src->rank, &axis, err));
        if ((seen & (1u << axis)) != 0)
            return tt_fail_at(node, err, TT_BAD_MODEL, "axis %d is named twice", axis);
        seen |= 1u << axis;
        spec->begin[axis] = pads[i];
        spec->end[axis] = pads[n_axes + i];
    }
    *out = *src;
    for (int i = 0; i < src->rank; ++i)
        TT_TRY(check_dim(node, src, spec, i, &out->dims[i], err));
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    pad_spec spec;
    TT_TRY(resolve(site, &spec, out, err));
    if (site->node->version >= 11 && tt_has_input(site, 2)) {
        const tt_shape *value = tt_input_shape(site, 2);
        if (value->dtype != out->dtype || tt_shape_numel(value) != 1)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "constant_value must be one %s, not %lld of %s",
                              tt_dtype_name(out->dtype),
                              (long long)tt_shape_numel(value),
                              tt_dtype_name(value->dtype));
    }
    return TT_OK;
}

/* ---- lowering ------------------------------------------------------------ */

/* The pointers of the step. */
enum { SRC, VALUE, DST };

typedef struct {
    tt_moves moves;
    tt_shape shape; /* of the region that one move fills */
    int64_t strides[TT_MAX_RANK], start[TT_MAX_RANK];
} pad_work;

/* Fills [to, to + n) of `axis` over the current region of the other dims from the
 * same region at `from`, `step` elements of the axis apart; from_constant: from the
 * value. */
static tt_status fill(pad_work *work, int axis, int64_t to, int64_t n,
                      bool from_constant, int64_t from, int64_t step, tt_error *err)
{
    int64_t zeros[TT_MAX_RANK] = {0}, src_strides[TT_MAX_RANK], offset = 0;
    tt_moves_end src = {VALUE, zeros, 0};
    tt_shape shape = work->shape;
    if (n <= 0) return TT_OK;
    shape.dims[axis] = n;
    for (int i = 0; i < shape.rank; ++i)
        if (i != axis) offset += work->start[i] * work->strides[i];
    if (!from_constant) {
        memcpy(src_strides, work->strides, sizeof src_strides);
        src_strides[axis] *= step;
        src = (tt_moves_end){DST, src_strides, offset + from * work->strides[axis]};
    }
    return tt_moves_add(
        &work->moves, &shape, src,
        (tt_moves_end){DST, work->strides, offset + to * work->strides[axis]}, err);
}

/* The result is periodic with period 2 (n - 1) and symmetric about every multiple of
 * n - 1 past the first element at `low`. */
static tt_status reflect(pad_work *work, int axis, int64_t low, int64_t n,
                         int64_t begin, int64_t end, tt_error *err)
{
    int64_t lo = low, hi = low + n, most;
    while (begin > 0) {
        most = hi - lo - 1 < begin ? hi - lo - 1 : begin;
        TT_TRY(fill(work, axis, lo - most, most, false, lo + most, -1, err));
        lo -= most;
        begin -= most;
    }
    while (end > 0) {
        int64_t whole = (hi - lo - 1) / (n - 1) * (n - 1);
        most = whole < end ? whole : end;
        TT_TRY(fill(work, axis, hi, most, false, hi - 2, -1, err));
        hi += most;
        end -= most;
    }
    return TT_OK;
}

static tt_status wrap(pad_work *work, int axis, int64_t low, int64_t n, int64_t begin,
                      int64_t end, tt_error *err)
{
    int64_t lo = low, hi = low + n;
    while (begin > 0) {
        int64_t whole = (hi - lo) / n * n, most = whole < begin ? whole : begin;
        TT_TRY(fill(work, axis, lo - most, most, false, lo - most + whole, 1, err));
        lo -= most;
        begin -= most;
    }
    while (end > 0) {
        int64_t whole = (hi - lo) / n * n, most = whole < end ? whole : end;
        TT_TRY(fill(work, axis, hi, most, false, hi - whole, 1, err));
        hi += most;
        end -= most;
    }
    return TT_OK;
}

static tt_status fill_axis(pad_work *work, const pad_spec *spec, int axis, int64_t n,
                           tt_error *err)
{
    int64_t begin = spec->begin[axis] > 0 ? spec->begin[axis] : 0;
    int64_t end = spec->end[axis] > 0 ? spec->end[axis] : 0;
    if (spec->mode == PAD_REFLECT && n > 1)
        return reflect(work, axis, begin, n, begin, end, err);
    if (spec->mode == PAD_WRAP) return wrap(work, axis, begin, n, begin, end, err);
    bool is_constant = spec->mode == PAD_CONSTANT;
    TT_TRY(fill(work, axis, 0, begin, is_constant, begin, 0, err));
    return fill(work, axis, begin + n, end, is_constant, begin + n - 1, 0, err);
}

static tt_status add_moves(pad_work *work, const pad_spec *spec, const tt_shape *src,
                           const int64_t *src_strides, const tt_shape *dst,
                           tt_error *err)
{
    int64_t src_offset = 0, dst_offset = 0;
    work->shape = *src;
    for (int i = 0; i < src->rank; ++i) {
        int64_t begin = spec->begin[i], end = spec->end[i];
        work->start[i] = begin > 0 ? begin : 0;
        work->shape.dims[i] += (begin < 0 ? begin : 0) + (end < 0 ? end : 0);
        if (begin < 0) src_offset -= begin * src_strides[i];
        dst_offset += work->start[i] * work->strides[i];
    }
    TT_TRY(tt_moves_add(&work->moves, &work->shape,
                        (tt_moves_end){SRC, src_strides, src_offset},
                        (tt_moves_end){DST, work->strides, dst_offset}, err));
    for (int i = 0; i < src->rank; ++i) {
        TT_TRY(fill_axis(work, spec, i, work->shape.dims[i], err));
        work->start[i] = 0; /* from now on the whole of this axis */
        work->shape.dims[i] = dst->dims[i];
    }
    return TT_OK;
}

/* The operand of the padding value: an input, an attribute, or zero. */
static tt_status find_value(tt_lower *lower, const tt_node *node, tt_operand *out,
                            tt_error *err)
{
    tt_shape single = {.dtype = tt_output_shape(lower, node, 0)->dtype};
    tt_constant *constant;
    void *data;
    float value = 0;
    if (node->version >= 11) {
        TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, out, err));
        if (*out != TT_NO_OPERAND) return TT_OK;
    } else {
        TT_TRY(tt_attribute_float(node, "value", 0, &value, err));
    }
    TT_TRY(tt_constant_empty(&single, &constant, &data, err));
    tt_item_store(single.dtype, data, 0, (double)value);
    return tt_lower_constant(lower, constant, out, err);
}

static tt_status lower_pad(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    int64_t src_strides[TT_MAX_RANK];
    pad_work work = {.moves = {0}};
    tt_shape src, dst;
    tt_operand operands[3];
    tt_order order;
    tt_status status;
    pad_spec spec;
    TT_TRY(resolve(&site, &spec, &dst, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[SRC], err));
    TT_TRY(find_value(lower, node, &operands[VALUE], err));
    order = tt_order_like(lower, operands[SRC]);
    if (order == TT_ORDER_ROW_MAJOR) order = TT_ORDER_ANY;
    TT_TRY(tt_lower_dst(lower, node, 0, order, &operands[DST], err));
    src = *tt_operand_shape(lower, operands[SRC]);
    memcpy(src_strides, tt_operand_strides(lower, operands[SRC]), sizeof src_strides);
    memcpy(work.strides, tt_operand_strides(lower, operands[DST]), sizeof work.strides);
    status = add_moves(&work, &spec, &src, src_strides, &dst, err);
    if (status == TT_OK)
        status = tt_moves_finish(&work.moves, lower, node, "pad", operands, 2, 1, err);
    tt_moves_free(&work.moves);
    return status;
}

const tt_op tt_op_pad = {.name = "Pad",
                         .domain = "",
                         .since = 1,
                         .summary = "a border: constant, edge, reflect or wrap",
                         .infer = infer,
                         .lower = lower_pad};
