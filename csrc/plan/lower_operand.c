/* Operands: a value's place in memory, found or made in the order asked for. */
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "kernels/copy.h"
#include "plan/lower_state.h"

/* ---- looking ------------------------------------------------------------- */

const tt_graph *tt_lower_graph(const tt_lower *lower)
{
    return lower->graph;
}

tt_engine *tt_lower_engine(const tt_lower *lower)
{
    return lower->model->engine;
}

int tt_lower_threads(const tt_lower *lower)
{
    return lower->model->options.n_threads;
}

bool tt_lower_wants_kernels(const tt_lower *lower)
{
    return (lower->model->options.passes & TT_PASS_KERNELS) != 0;
}

bool tt_lower_wants_primitives(const tt_lower *lower)
{
    return (lower->model->options.passes & TT_PASS_PRIMITIVES) != 0;
}

const tt_shape *tt_operand_shape(const tt_lower *lower, tt_operand operand)
{
    return &lower->plan->operands[operand].shape;
}

const int64_t *tt_operand_strides(const tt_lower *lower, tt_operand operand)
{
    return lower->plan->operands[operand].strides;
}

tt_md tt_operand_md(const tt_lower *lower, tt_operand operand)
{
    const tt_operand_record *record = &lower->plan->operands[operand];
    tt_md md = {.dtype = record->shape.dtype, .ndims = record->shape.rank};
    memcpy(md.dims, record->shape.dims, sizeof md.dims);
    memcpy(md.strides, record->strides, sizeof md.strides);
    return md;
}

const void *tt_operand_constant(const tt_lower *lower, tt_operand operand)
{
    const tt_operand_record *record = &lower->plan->operands[operand];
    tt_block *block = &lower->plan->blocks[record->block];
    tt_error err = {0};
    if (block->kind != TT_BLOCK_CONSTANT) return NULL;
    if (!tt_is_row_major(&record->shape, record->strides)) return NULL;
    /* Failing here is not lost: a step that reads the constant fails the same way. */
    if (tt_block_hold(block, &err) != TT_OK) return NULL;
    return (const char *)block->data + record->offset;
}

bool tt_order_holds(tt_order order, const tt_shape *shape, const int64_t *strides)
{
    switch (order) {
    case TT_ORDER_ANY:
        return true;
    case TT_ORDER_DENSE:
        return tt_is_dense(shape, strides);
    case TT_ORDER_ROW_MAJOR:
        return tt_is_row_major(shape, strides);
    case TT_ORDER_CHANNELS_LAST:
        return shape->rank < 3 ? tt_is_row_major(shape, strides)
                               : tt_is_channels_last(shape, strides);
    case TT_ORDER_ROWS:
        return shape->rank == 0 || shape->dims[shape->rank - 1] <= 1 ||
               strides[shape->rank - 1] == 1;
    }
    return false;
}

void tt_order_strides(tt_order order, const tt_shape *shape, int64_t *strides)
{
    if (order == TT_ORDER_CHANNELS_LAST)
        tt_strides_channels_last(shape->dims, shape->rank, strides);
    else
        tt_strides_row_major(shape->dims, shape->rank, strides);
}

/* ---- making -------------------------------------------------------------- */

tt_status tt_lower_add_block(tt_lower *lower, const tt_block *block, int *out,
                             tt_error *err)
{
    tt_plan *plan = lower->plan;
    if (!tt_grow((void **)&plan->blocks, &lower->blocks_capacity,
                 (size_t)plan->n_blocks + 1, sizeof *plan->blocks))
        return tt_fail(err, TT_NO_MEMORY, "%d blocks of a plan", plan->n_blocks);
    *out = plan->n_blocks;
    plan->blocks[plan->n_blocks++] = *block;
    return TT_OK;
}

tt_status tt_lower_add_operand(tt_lower *lower, const tt_operand_record *record,
                               tt_operand *out, tt_error *err)
{
    tt_plan *plan = lower->plan;
    if (!tt_grow((void **)&plan->operands, &lower->operands_capacity,
                 (size_t)plan->n_operands + 1, sizeof *plan->operands))
        return tt_fail(err, TT_NO_MEMORY, "%d operands of a plan", plan->n_operands);
    *out = plan->n_operands;
    plan->operands[plan->n_operands++] = *record;
    return TT_OK;
}

tt_status tt_lower_constant(tt_lower *lower, tt_constant *constant, tt_operand *out,
                            tt_error *err)
{
    tt_operand_record record = {.shape = *tt_constant_shape(constant)};
    tt_block block = {.kind = TT_BLOCK_CONSTANT,
                      .bytes = tt_shape_bytes(&record.shape),
                      .constant = constant,
                      .last_reader = INT_MAX};
    tt_status status = TT_OK;
    /* A lazy one may be needed in packed form only, which may be there. */
    if (!tt_constant_is_lazy(constant)) status = tt_block_hold(&block, err);
    if (status == TT_OK) status = tt_lower_add_block(lower, &block, &record.block, err);
    if (status != TT_OK) {
        tt_constant_unref(constant);
        return status;
    }
    tt_strides_row_major(record.shape.dims, record.shape.rank, record.strides);
    return tt_lower_add_operand(lower, &record, out, err);
}

static tt_status arena_operand(tt_lower *lower, const tt_shape *shape,
                               const int64_t *strides, tt_operand *out, tt_error *err)
{
    tt_operand_record record = {.shape = *shape};
    tt_block block = {.kind = TT_BLOCK_ARENA,
                      .first = INT_MAX,
                      .last = -1,
                      .last_reader = lower->node};
    int64_t span;
    memcpy(record.strides, strides, sizeof record.strides);
    span = tt_span(shape, strides);
    if (!tt_mul_size((size_t)span, tt_dtype_bytes(shape->dtype), &block.bytes))
        return tt_fail(err, TT_LIMIT, "a tensor of %lld elements", (long long)span);
    TT_TRY(tt_lower_add_block(lower, &block, &record.block, err));
    return tt_lower_add_operand(lower, &record, out, err);
}

tt_status tt_lower_tensor(tt_lower *lower, const tt_shape *shape,
                          const int64_t *strides, tt_operand *out, tt_error *err)
{
    int64_t row_major[TT_MAX_RANK] = {0};
    tt_strides_row_major(shape->dims, shape->rank, row_major);
    if (strides == NULL) return arena_operand(lower, shape, row_major, out, err);
    memcpy(row_major, strides, (size_t)shape->rank * sizeof *strides);
    return arena_operand(lower, shape, row_major, out, err);
}

tt_status tt_lower_temporary(tt_lower *lower, size_t n_bytes, tt_operand *out,
                             tt_error *err)
{
    tt_shape shape = {.dtype = TT_U8, .rank = 1, .dims = {(int64_t)n_bytes}};
    return tt_lower_tensor(lower, &shape, NULL, out, err);
}

tt_status tt_lower_subview(tt_lower *lower, tt_operand src, const tt_shape *shape,
                           const int64_t *strides, int64_t offset, tt_operand *out,
                           tt_error *err)
{
    tt_operand_record record = lower->plan->operands[src];
    size_t item = tt_dtype_bytes(record.shape.dtype);
    record.shape = *shape;
    memset(record.strides, 0, sizeof record.strides);
    memcpy(record.strides, strides, (size_t)shape->rank * sizeof *strides);
    record.offset += offset * (int64_t)item;
    return tt_lower_add_operand(lower, &record, out, err);
}

/* ---- values -------------------------------------------------------------- */

void tt_lower_bind_value(tt_lower *lower, int value, tt_operand operand)
{
    tt_block *block = &lower->plan->blocks[lower->plan->operands[operand].block];
    lower->value_operands[value] = operand;
    if (lower->last_readers[value] > block->last_reader)
        block->last_reader = lower->last_readers[value];
}

void tt_lower_bind(tt_lower *lower, const tt_node *node, int i, tt_operand operand)
{
    if (i < node->n_outputs && node->outputs[i] >= 0)
        tt_lower_bind_value(lower, node->outputs[i], operand);
}

/* A transposed weight is its base in other strides. */
static tt_status constant_operand(tt_lower *lower, tt_constant *constant,
                                  tt_operand *out, tt_error *err)
{
    const int64_t *strides;
    tt_constant *base = tt_constant_base(constant, &strides);
    tt_operand whole;
    if (base == NULL)
        return tt_lower_constant(lower, tt_constant_ref(constant), out, err);
    TT_TRY(tt_lower_constant(lower, tt_constant_ref(base), &whole, err));
    return tt_lower_subview(lower, whole, tt_constant_shape(constant), strides,
                            /*offset=*/0, out, err);
}

tt_status tt_lower_operand_of(tt_lower *lower, int value, tt_operand *out,
                              tt_error *err)
{
    tt_constant *constant = lower->graph->values[value].constant;
    if (lower->value_operands[value] == TT_NO_OPERAND) {
        if (constant == NULL)
            return tt_fail(err, TT_INTERNAL, "value '%s' is read before it is made",
                           lower->graph->values[value].name);
        TT_TRY(constant_operand(lower, constant, out, err));
        tt_lower_bind_value(lower, value, *out);
    }
    *out = lower->value_operands[value];
    return TT_OK;
}

/* A constant in other strides is made now, not at every run. */
static tt_status copy_constant(tt_lower *lower, tt_operand src, const int64_t *strides,
                               tt_operand *out, tt_error *err)
{
    tt_operand_record from = lower->plan->operands[src];
    tt_block *block = &lower->plan->blocks[from.block];
    const char *data;
    size_t item = tt_dtype_bytes(from.shape.dtype);
    tt_shape flat = {
        .dtype = from.shape.dtype, .rank = 1, .dims = {tt_span(&from.shape, strides)}};
    tt_constant *constant;
    tt_operand whole;
    tt_copy *copy;
    void *dst;
    TT_TRY(tt_block_hold(block, err));
    data = (const char *)block->data + from.offset;
    TT_TRY(tt_constant_empty(&flat, &constant, &dst, err));
    tt_status status =
        tt_copy_compile(item, &from.shape, from.strides, strides, &copy, err);
    if (status != TT_OK) {
        tt_constant_unref(constant);
        return status;
    }
    tt_copy_run(copy, data, dst);
    tt_free(copy);
    TT_TRY(tt_lower_constant(lower, constant, &whole, err));
    return tt_lower_subview(lower, whole, &from.shape, strides, 0, out, err);
}

static bool same_strides(const tt_shape *shape, const int64_t *a, const int64_t *b)
{
    for (int i = 0; i < shape->rank; ++i)
        if (shape->dims[i] > 1 && a[i] != b[i]) return false;
    return true;
}

tt_status tt_lower_add_copy(tt_lower *lower, const tt_node *node, tt_operand src,
                            tt_operand dst, tt_error *err);

tt_status tt_lower_copy(tt_lower *lower, tt_operand src, const int64_t *strides,
                        tt_operand *out, tt_error *err)
{
    const tt_plan *plan = lower->plan;
    tt_shape shape = plan->operands[src].shape;
    int64_t wanted[TT_MAX_RANK] = {0};
    memcpy(wanted, strides, (size_t)shape.rank * sizeof *strides);
    if (same_strides(&shape, plan->operands[src].strides, wanted)) {
        *out = src;
        return TT_OK;
    }
    for (size_t i = 0; i < lower->n_memos; ++i) {
        const tt_lower_memo *memo = &lower->memos[i];
        if (memo->from == src &&
            same_strides(&shape, plan->operands[memo->to].strides, wanted)) {
            *out = memo->to;
            return TT_OK;
        }
    }
    if (plan->blocks[plan->operands[src].block].kind == TT_BLOCK_CONSTANT) {
        TT_TRY(copy_constant(lower, src, wanted, out, err));
    } else {
        const tt_node *node = &lower->graph->nodes[lower->node];
        TT_TRY(tt_lower_tensor(lower, &shape, wanted, out, err));
        TT_TRY(tt_lower_add_copy(lower, node, src, *out, err));
        lower->plan->blocks[lower->plan->operands[*out].block].last_reader = INT_MAX;
    }
    if (!tt_grow((void **)&lower->memos, &lower->memos_capacity, lower->n_memos + 1,
                 sizeof *lower->memos))
        return tt_fail(err, TT_NO_MEMORY, "%zu copies of a plan", lower->n_memos);
    lower->memos[lower->n_memos++] = (tt_lower_memo){.from = src, .to = *out};
    return TT_OK;
}

tt_status tt_lower_value(tt_lower *lower, int value, tt_order order, tt_operand *out,
                         tt_error *err)
{
    int64_t strides[TT_MAX_RANK];
    tt_operand operand = TT_NO_OPERAND;
    const tt_operand_record *record;
    *out = TT_NO_OPERAND;
    if (value < 0) return TT_OK;
    TT_TRY(tt_lower_operand_of(lower, value, &operand, err));
    record = &lower->plan->operands[operand];
    if (tt_order_holds(order, &record->shape, record->strides)) {
        *out = operand;
        return TT_OK;
    }
    tt_order_strides(order, &record->shape, strides);
    return tt_lower_copy(lower, operand, strides, out, err);
}

tt_status tt_lower_src(tt_lower *lower, const tt_node *node, int i, tt_order order,
                       tt_operand *out, tt_error *err)
{
    int value = i < node->n_inputs ? node->inputs[i] : TT_ABSENT;
    return tt_lower_value(lower, value, order, out, err);
}

bool tt_lower_is_last_use(const tt_lower *lower, const tt_node *node, int value)
{
    const tt_block *block;
    tt_operand operand = value < 0 ? TT_NO_OPERAND : lower->value_operands[value];
    (void)node;
    if (operand == TT_NO_OPERAND) return false;
    block = &lower->plan->blocks[lower->plan->operands[operand].block];
    return block->kind == TT_BLOCK_ARENA && block->last_reader <= lower->node;
}

bool tt_lower_is_output(const tt_lower *lower, const tt_node *node, int i)
{
    return i < node->n_outputs && node->outputs[i] >= 0 &&
           lower->hints->values[node->outputs[i]].output >= 0;
}

/* ---- destinations -------------------------------------------------------- */

/* The place of a value inside the memory of a concatenation. */
static tt_status place_in_concat(tt_lower *lower, int value, tt_order order,
                                 tt_operand *out, tt_error *err)
{
    const tt_value_hint *hint = &lower->hints->values[value];
    const tt_shape *shape = &lower->graph->values[value].shape;
    tt_operand whole = lower->value_operands[hint->concat];
    const tt_operand_record *record;
    *out = TT_NO_OPERAND;
    if (whole == TT_NO_OPERAND) {
        const tt_shape *full = &lower->graph->values[hint->concat].shape;
        const tt_value_hint *above = &lower->hints->values[hint->concat];
        if (above->output >= 0) {
            tt_operand_record made = {.shape = *full,
                                      .block = lower->output_blocks[above->output]};
            if (above->is_output_transposed)
                memcpy(made.strides, above->strides, sizeof made.strides);
            else
                tt_strides_row_major(full->dims, full->rank, made.strides);
            TT_TRY(tt_lower_add_operand(lower, &made, &whole, err));
        } else {
            TT_TRY(tt_lower_tensor(lower, full, NULL, &whole, err));
        }
        tt_lower_bind_value(lower, hint->concat, whole);
    }
    record = &lower->plan->operands[whole];
    if (order == TT_ORDER_ROWS && shape->rank > 0 &&
        record->strides[shape->rank - 1] != 1)
        return TT_OK;
    return tt_lower_subview(lower, whole, shape, record->strides,
                            hint->concat_start * record->strides[hint->concat_axis],
                            out, err);
}

tt_status tt_lower_dst_strided(tt_lower *lower, const tt_node *node, int i,
                               const int64_t *strides, tt_operand *out, tt_error *err)
{
    int value = i < node->n_outputs ? node->outputs[i] : TT_ABSENT;
    const tt_shape *shape;
    const tt_value_hint *hint;
    *out = TT_NO_OPERAND;
    if (value < 0) return TT_OK;
    shape = &lower->graph->values[value].shape;
    hint = &lower->hints->values[value];
    if (hint->output >= 0 &&
        (hint->is_output_transposed ? same_strides(shape, strides, hint->strides)
                                    : tt_is_row_major(shape, strides))) {
        tt_operand_record record = {.shape = *shape,
                                    .block = lower->output_blocks[hint->output]};
        memcpy(record.strides, strides, (size_t)shape->rank * sizeof *strides);
        TT_TRY(tt_lower_add_operand(lower, &record, out, err));
    } else {
        TT_TRY(tt_lower_tensor(lower, shape, strides, out, err));
    }
    tt_lower_bind_value(lower, value, *out);
    return TT_OK;
}

tt_status tt_lower_dst(tt_lower *lower, const tt_node *node, int i, tt_order order,
                       tt_operand *out, tt_error *err)
{
    int value = i < node->n_outputs ? node->outputs[i] : TT_ABSENT;
    int64_t strides[TT_MAX_RANK];
    const tt_shape *shape;
    const tt_value_hint *hint;
    *out = TT_NO_OPERAND;
    if (value < 0) return TT_OK;
    shape = &lower->graph->values[value].shape;
    hint = &lower->hints->values[value];
    if (hint->concat >= 0 && (order == TT_ORDER_ANY || order == TT_ORDER_ROWS)) {
        TT_TRY(place_in_concat(lower, value, order, out, err));
        if (*out != TT_NO_OPERAND) {
            tt_lower_bind_value(lower, value, *out);
            return TT_OK;
        }
    }
    tt_order_strides(order, shape, strides);
    if (hint->has_strides && order != TT_ORDER_CHANNELS_LAST &&
        tt_order_holds(order, shape, hint->strides))
        memcpy(strides, hint->strides, sizeof strides);
    return tt_lower_dst_strided(lower, node, i, strides, out, err);
}

tt_status tt_lower_dst_inplace(tt_lower *lower, const tt_node *node, int i,
                               tt_operand src, tt_operand *out, tt_error *err)
{
    tt_operand_record record = lower->plan->operands[src];
    record.shape = lower->graph->values[node->outputs[i]].shape;
    TT_TRY(tt_lower_add_operand(lower, &record, out, err));
    tt_lower_bind_value(lower, node->outputs[i], *out);
    return TT_OK;
}

tt_status tt_lower_view(tt_lower *lower, const tt_node *node, int i, tt_operand src,
                        const int64_t *strides, int64_t offset, tt_error *err)
{
    int value = i < node->n_outputs ? node->outputs[i] : TT_ABSENT;
    tt_operand view;
    if (value < 0) return TT_OK;
    TT_TRY(tt_lower_subview(lower, src, &lower->graph->values[value].shape, strides,
                            offset, &view, err));
    tt_lower_bind_value(lower, value, view);
    return TT_OK;
}

bool tt_lower_is_placed(const tt_lower *lower, const tt_node *node, int i)
{
    int value = node->inputs[i];
    const tt_value_hint *hint = &lower->hints->values[value];
    tt_operand whole = lower->value_operands[node->outputs[0]];
    tt_operand part = lower->value_operands[value];
    if (hint->concat != node->outputs[0] || whole == TT_NO_OPERAND ||
        part == TT_NO_OPERAND)
        return false;
    return lower->plan->operands[part].block == lower->plan->operands[whole].block;
}
