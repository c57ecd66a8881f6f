/* The state of lowering one graph, shared by the lower_*.c files only. */
#ifndef TT_PLAN_LOWER_STATE_H
#define TT_PLAN_LOWER_STATE_H

#include "graph/layout.h"
#include "plan/plan.h"

/* A copy of an operand in other strides, made once. */
typedef struct {
    tt_operand from, to;
} tt_lower_memo;

struct tt_lower {
    tt_plan *plan;
    tt_model *model;
    tt_graph *graph;
    const tt_layout_hints *hints;
    int node;                   /* index of the node being lowered */
    tt_operand *value_operands; /* per value, TT_NO_OPERAND: none yet */
    int *last_readers;          /* per value: last node reading it; INT_MAX: output */
    int *output_blocks;         /* per model output: block */
    tt_lower_memo *memos;
    size_t n_memos, memos_capacity;
    size_t steps_capacity, blocks_capacity, operands_capacity, pointers_capacity;
    bool created_serial; /* how tt_lower_create made the last primitive */
};

tt_status tt_lower_add_block(tt_lower *, const tt_block *block, int *out, tt_error *);
tt_status tt_lower_add_operand(tt_lower *, const tt_operand_record *, tt_operand *out,
                               tt_error *);
tt_status tt_lower_add_step(tt_lower *, const tt_node *node, const tt_step *step,
                            const tt_operand *operands, tt_error *);
/* Operand of a value; creates the ones of constants. */
tt_status tt_lower_operand_of(tt_lower *, int value, tt_operand *out, tt_error *);
/* Binds the value to the operand and extends the life of its block. */
void tt_lower_bind_value(tt_lower *, int value, tt_operand operand);
/* A step that copies src to dst (same shape). */
tt_status tt_lower_add_copy(tt_lower *, const tt_node *node, tt_operand src,
                            tt_operand dst, tt_error *);
/* clipping.c: a step that counts, if the value is quantised and the plan counts. */
tt_status tt_lower_count_clipping(tt_lower *, int value, tt_error *);
bool tt_order_holds(tt_order order, const tt_shape *shape, const int64_t *strides);
void tt_order_strides(tt_order order, const tt_shape *shape, int64_t *strides);

#endif
