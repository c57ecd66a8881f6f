/* Views and strided copies; see move.h. */
#include "ops/move.h"

#include <string.h>

#include "base/alloc.h"
#include "kernels/copy.h"
#include "ops/fail.h"

/* Groups of source dims that lie row by row in memory carry groups of destination
 * dims with the same number of elements. */
bool tt_reshape_strides(const tt_shape *src, const int64_t *src_strides,
                        const tt_shape *dst, int64_t *dst_strides)
{
    int64_t dims[TT_MAX_RANK], strides[TT_MAX_RANK];
    int n = 0, from = 0, to = 0;
    for (int i = 0; i < src->rank; ++i) {
        if (src->dims[i] == 0) {
            tt_strides_row_major(dst->dims, dst->rank, dst_strides);
            return true;
        }
        if (src->dims[i] == 1) continue;
        dims[n] = src->dims[i];
        strides[n++] = src_strides[i];
    }
    while (to < dst->rank) {
        int64_t n_src, n_dst = dst->dims[to], step;
        int last = to, end = from;
        if (n_dst == 1) {
            dst_strides[to++] = 1;
            continue;
        }
        if (from == n) return false;
        n_src = dims[end++];
        while (n_src != n_dst) {
            if (n_src < n_dst) {
                if (end == n) return false;
                if (strides[end - 1] != strides[end] * dims[end]) return false;
                n_src *= dims[end++];
            } else {
                if (++last == dst->rank) return false;
                n_dst *= dst->dims[last];
            }
        }
        step = strides[end - 1];
        for (int i = last; i >= to; --i) {
            dst_strides[i] = step;
            step *= dst->dims[i];
        }
        from = end;
        to = last + 1;
    }
    return from == n;
}

typedef struct {
    int64_t src_bytes, dst_bytes; /* where the first elements are */
} move_params;

static tt_status run_move(const void *params, void *const *ptrs, tt_error *err)
{
    const move_params *move = params;
    const tt_copy *copy = (const void *)(move + 1);
    (void)err;
    tt_copy_run(copy, (const char *)ptrs[0] + move->src_bytes,
                (char *)ptrs[1] + move->dst_bytes);
    return TT_OK;
}

tt_status tt_move(tt_lower *lower, const tt_node *node, const tt_shape *dims,
                  tt_move_end src, tt_move_end dst, tt_error *err)
{
    tt_operand operands[2] = {src.operand, dst.operand};
    int64_t item = (int64_t)tt_dtype_bytes(dims->dtype);
    tt_work work = {0};
    tt_status status;
    tt_copy *copy;
    move_params *move;
    size_t n_bytes;
    TT_TRY(tt_copy_compile((size_t)item, dims, src.strides, dst.strides, &copy, err));
    work.bytes = 2 * (double)tt_shape_bytes(dims);
    work.cost_ns = tt_copy_cost_ns(copy);
    n_bytes = sizeof *move + tt_copy_bytes(copy);
    move = tt_alloc(n_bytes);
    if (move == NULL) {
        tt_free(copy);
        return tt_fail_at(node, err, TT_NO_MEMORY, "%zu bytes of parameters", n_bytes);
    }
    move->src_bytes = src.offset * item;
    move->dst_bytes = dst.offset * item;
    memcpy(move + 1, copy, tt_copy_bytes(copy));
    status = tt_lower_kernel(lower, node, tt_copy_name(copy), run_move, move, n_bytes,
                             operands, 1, 1, &work, err);
    tt_free(copy);
    tt_free(move);
    return status;
}

/* ---- several moves ------------------------------------------------------- */

typedef struct {
    int src, dst; /* numbers of pointers */
    int64_t src_bytes, dst_bytes;
} moves_entry;

enum { MOVES_HEADER = 16 }; /* bytes; the number of entries, padded */

static tt_status run_moves(const void *params, void *const *ptrs, tt_error *err)
{
    const char *at = (const char *)params + MOVES_HEADER;
    int64_t n;
    (void)err;
    memcpy(&n, params, sizeof n);
    for (int64_t i = 0; i < n; ++i) {
        const moves_entry *entry = (const void *)at;
        const tt_copy *copy = (const void *)(entry + 1);
        tt_copy_run(copy, (const char *)ptrs[entry->src] + entry->src_bytes,
                    (char *)ptrs[entry->dst] + entry->dst_bytes);
        at += sizeof *entry + tt_copy_bytes(copy);
    }
    return TT_OK;
}

tt_status tt_moves_add(tt_moves *moves, const tt_shape *dims, tt_moves_end src,
                       tt_moves_end dst, tt_error *err)
{
    int64_t item = (int64_t)tt_dtype_bytes(dims->dtype);
    moves_entry entry = {src.pointer, dst.pointer, src.offset * item,
                         dst.offset * item};
    size_t at = moves->n == 0 ? MOVES_HEADER : moves->n_bytes, wanted;
    tt_copy *copy;
    if (tt_shape_numel(dims) == 0) return TT_OK;
    TT_TRY(tt_copy_compile((size_t)item, dims, src.strides, dst.strides, &copy, err));
    wanted = at + sizeof entry + tt_copy_bytes(copy);
    if (!tt_grow((void **)&moves->blob, &moves->capacity, wanted, 1)) {
        tt_free(copy);
        return tt_fail(err, TT_NO_MEMORY, "%d moves", moves->n);
    }
    memcpy(moves->blob + at, &entry, sizeof entry);
    memcpy(moves->blob + at + sizeof entry, copy, tt_copy_bytes(copy));
    moves->n_bytes = wanted;
    moves->n++;
    moves->bytes += 2 * (double)tt_shape_bytes(dims);
    moves->cost_ns += tt_copy_cost_ns(copy);
    tt_free(copy);
    return TT_OK;
}

tt_status tt_moves_finish(tt_moves *moves, tt_lower *lower, const tt_node *node,
                          const char *name, const tt_operand *operands, int n_src,
                          int n_dst, tt_error *err)
{
    tt_work work = {.bytes = moves->bytes, .cost_ns = moves->cost_ns};
    tt_status status = TT_OK;
    int64_t n = moves->n;
    if (n > 0) {
        memcpy(moves->blob, &n, sizeof n);
        status = tt_lower_kernel(lower, node, name, run_moves, moves->blob,
                                 moves->n_bytes, operands, n_src, n_dst, &work, err);
    }
    tt_moves_free(moves);
    return status;
}

void tt_moves_free(tt_moves *moves)
{
    tt_free(moves->blob);
    *moves = (tt_moves){0};
}

/* ---- reshaping ----------------------------------------------------------- */

tt_status tt_lower_reshaped(tt_lower *lower, const tt_node *node, int output,
                            tt_operand src, tt_error *err)
{
    tt_shape from = *tt_operand_shape(lower, src), to;
    int64_t src_strides[TT_MAX_RANK], strides[TT_MAX_RANK] = {0};
    tt_operand dst;
    if (output >= node->n_outputs || node->outputs[output] < 0) return TT_OK;
    to = *tt_output_shape(lower, node, output);
    memcpy(src_strides, tt_operand_strides(lower, src), sizeof src_strides);
    if (tt_reshape_strides(&from, src_strides, &to, strides))
        return tt_lower_view(lower, node, output, src, strides, 0, err);
    TT_TRY(tt_lower_dst(lower, node, output, TT_ORDER_ROW_MAJOR, &dst, err));
    tt_strides_row_major(from.dims, from.rank, strides);
    return tt_move(lower, node, &from, (tt_move_end){src, src_strides, 0},
                   (tt_move_end){dst, strides, 0}, err);
}

/* A tensor that several nodes read is brought into row-major order once for all. */
tt_status tt_lower_reshape(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_operand src;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    if (tt_graph_n_uses(tt_lower_graph(lower), node->inputs[0]) > 1) {
        int64_t strides[TT_MAX_RANK];
        tt_shape to = *tt_output_shape(lower, node, 0);
        if (!tt_reshape_strides(tt_operand_shape(lower, src),
                                tt_operand_strides(lower, src), &to, strides))
            TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &src, err));
    }
    return tt_lower_reshaped(lower, node, 0, src, err);
}

tt_order tt_order_like(const tt_lower *lower, tt_operand src)
{
    const tt_shape *shape = tt_operand_shape(lower, src);
    const int64_t *strides = tt_operand_strides(lower, src);
    if (shape->rank < 3 || tt_is_row_major(shape, strides)) return TT_ORDER_ROW_MAJOR;
    if (tt_is_channels_last(shape, strides)) return TT_ORDER_CHANNELS_LAST;
    return strides[1] == 1 && shape->dims[1] > 1 ? TT_ORDER_CHANNELS_LAST
                                                 : TT_ORDER_ROW_MAJOR;
}

tt_status tt_need_index_dtype(const tt_site *site, int i, tt_error *err)
{
    tt_dtype dtype = tt_input_shape(site, i)->dtype;
    if (dtype == TT_S64 || dtype == TT_S32) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d must be int64 or int32, not %s", i,
                      tt_dtype_name(dtype));
}
