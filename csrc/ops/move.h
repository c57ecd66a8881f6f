/* What the operators that only move data share: views without a copy, and copies
 * with any strides. */
#ifndef TT_OPS_MOVE_H
#define TT_OPS_MOVE_H

#include "plan/lower.h"

/* Strides of a tensor of shape `dst` over the memory of `src`, row by row in the
 * order of the indices; false when there are none and a copy is needed. */
bool tt_reshape_strides(const tt_shape *src, const int64_t *src_strides,
                        const tt_shape *dst, int64_t *dst_strides);

/* One end of a move: an operand seen with these strides, beginning at `offset`
 * (both count elements; strides of a source may be negative). */
typedef struct {
    tt_operand operand;
    const int64_t *strides;
    int64_t offset;
} tt_move_end;

/* Adds the step dst[i] = src[i] over all indices of dims (its dtype gives the size
 * of an element). */
tt_status tt_move(tt_lower *lower, const tt_node *node, const tt_shape *dims,
                  tt_move_end src, tt_move_end dst, tt_error *err);

/* Several moves as one step: begin with {0}, add, finish (which frees it, as does
 * tt_moves_free).  Ends are numbers of pointers: first the sources, then the
 * destinations of tt_moves_finish.  They run one after the other, so a later move may
 * read what an earlier one wrote. */
typedef struct {
    int n;
    size_t capacity, n_bytes;
    char *blob;
    double bytes, cost_ns;
} tt_moves;

typedef struct {
    int pointer;
    const int64_t *strides;
    int64_t offset;
} tt_moves_end;

tt_status tt_moves_add(tt_moves *moves, const tt_shape *dims, tt_moves_end src,
                       tt_moves_end dst, tt_error *err);
tt_status tt_moves_finish(tt_moves *moves, tt_lower *lower, const tt_node *node,
                          const char *name, const tt_operand *operands, int n_src,
                          int n_dst, tt_error *err);
void tt_moves_free(tt_moves *moves);

/* Output `output` gets all elements of `src` in row-major order under the shape that
 * the graph says: a view where the strides allow, else one copy. */
tt_status tt_lower_reshaped(tt_lower *lower, const tt_node *node, int output,
                            tt_operand src, tt_error *err);

/* .lower of operators whose record says is_reshape: input 0 to output 0. */
tt_status tt_lower_reshape(tt_lower *lower, const tt_node *node, tt_error *err);

/* Bytes of an element that can be moved: 1, 2, 4, 8 or 16. */
static inline size_t tt_lower_item_bytes(const tt_lower *lower, tt_operand operand)
{
    return tt_dtype_bytes(tt_operand_shape(lower, operand)->dtype);
}

/* Shape of output i of a node in the graph that is being lowered. */
static inline const tt_shape *tt_output_shape(const tt_lower *lower,
                                              const tt_node *node, int i)
{
    return &tt_lower_graph(lower)->values[node->outputs[i]].shape;
}

/* The order of a destination that suits this source: channels-last for what lies so
 * in memory, row-major otherwise. */
tt_order tt_order_like(const tt_lower *lower, tt_operand src);

/* Checks that input i is of integer type int32 or int64. */
tt_status tt_need_index_dtype(const tt_site *site, int i, tt_error *err);

#endif
