/* Elementwise nodes and chains of them -> one step of kernels/eltwise.
 *
 * Every distinct input becomes a load (scalar constants become immediates), every
 * member node emits its instructions, the last result is stored.  The result takes
 * the strides of the first input of its own shape, and its memory when nobody reads
 * that input any more. */
#include <string.h>

#include "base/alloc.h"
#include "graph/chain.h"
#include "plan/lower_state.h"

typedef struct {
    tt_eltwise_builder builder;
    int n_loads;
    int values[TT_ELTWISE_MAX_OPERANDS];
    int registers[TT_ELTWISE_MAX_OPERANDS];
    tt_operand operands[TT_ELTWISE_MAX_OPERANDS + 1];
    int64_t strides[TT_ELTWISE_MAX_OPERANDS][TT_MAX_RANK];
    int *value_registers; /* per value of the graph: register + 1, 0 none */
} emission;

static tt_status no_room(const tt_node *node, tt_error *err)
{
    return tt_fail(err, TT_UNSUPPORTED, "%s '%s': too many elementwise operands",
                   node->op_type, node->name);
}

static tt_status load_value(tt_lower *lower, const tt_node *node, emission *e,
                            int value, tt_error *err)
{
    const tt_value *v = &lower->graph->values[value];
    double scalar;
    int reg;
    if (e->value_registers[value] != 0) return TT_OK;
    if (tt_chain_immediate(lower->graph, value, &scalar)) {
        reg = tt_eltwise_constant(&e->builder, v->shape.dtype, scalar);
        if (reg < 0) return no_room(node, err);
    } else {
        if (e->n_loads == TT_ELTWISE_MAX_OPERANDS - 1) return no_room(node, err);
        reg = tt_eltwise_load(&e->builder, v->shape.dtype);
        if (reg < 0) return no_room(node, err);
        TT_TRY(
            tt_lower_value(lower, value, TT_ORDER_ANY, &e->operands[e->n_loads], err));
        e->values[e->n_loads] = value;
        e->registers[e->n_loads++] = reg;
    }
    e->value_registers[value] = reg + 1;
    return TT_OK;
}

static tt_status emit_member(tt_lower *lower, const tt_node *member, emission *e,
                             int *result, tt_error *err)
{
    tt_site site = {lower->graph, member, -1};
    int args[TT_ELTWISE_MAX_OPERANDS];
    if (member->n_inputs > TT_ELTWISE_MAX_OPERANDS) return no_room(member, err);
    for (int i = 0; i < member->n_inputs; ++i) {
        args[i] = -1;
        if (member->inputs[i] < 0) continue;
        TT_TRY(load_value(lower, member, e, member->inputs[i], err));
        args[i] = e->value_registers[member->inputs[i]] - 1;
    }
    TT_TRY(member->op->emit(&site, &e->builder, args, result, err));
    e->value_registers[member->outputs[0]] = *result + 1;
    return TT_OK;
}

static void broadcast_strides(const tt_operand_record *record, const tt_shape *output,
                              int64_t *strides)
{
    int missing = output->rank - record->shape.rank;
    for (int i = 0; i < TT_MAX_RANK; ++i) {
        int from = i - missing;
        bool used = i < output->rank && from >= 0 && record->shape.dims[from] != 1;
        strides[i] = used ? record->strides[from] : 0;
    }
}

/* May the result overwrite load i?  No other load may touch the same block unless it
 * is the very same tensor. */
static bool can_overwrite(const tt_lower *lower, const tt_node *node, const emission *e,
                          int i, const tt_shape *output)
{
    const tt_operand_record *record = &lower->plan->operands[e->operands[i]];
    const tt_value_hint *hint = &lower->hints->values[node->outputs[0]];
    if (hint->output >= 0 || hint->concat >= 0) return false;
    if (tt_dtype_bytes(record->shape.dtype) != tt_dtype_bytes(output->dtype))
        return false;
    if (!tt_lower_is_last_use(lower, node, e->values[i])) return false;
    for (int k = 0; k < e->n_loads; ++k) {
        const tt_operand_record *other = &lower->plan->operands[e->operands[k]];
        if (other->block != record->block) continue;
        if (other->offset != record->offset || other->shape.rank != record->shape.rank)
            return false;
        if (memcmp(other->strides, record->strides, sizeof record->strides) != 0 ||
            memcmp(other->shape.dims, record->shape.dims, sizeof record->shape.dims))
            return false;
    }
    return true;
}

static bool same_dims(const tt_shape *a, const tt_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; ++i)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

static tt_status choose_dst(tt_lower *lower, const tt_node *node, const emission *e,
                            tt_operand *out, tt_error *err)
{
    const tt_shape output = lower->graph->values[node->outputs[0]].shape;
    bool reuse = (lower->model->options.passes & TT_PASS_REUSE) != 0;
    if (lower->hints->values[node->outputs[0]].concat >= 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_ANY, out, err);
    for (int i = 0; i < e->n_loads && reuse; ++i) {
        const tt_operand_record *record = &lower->plan->operands[e->operands[i]];
        if (same_dims(&record->shape, &output) &&
            tt_is_dense(&record->shape, record->strides) &&
            can_overwrite(lower, node, e, i, &output))
            return tt_lower_dst_inplace(lower, node, 0, e->operands[i], out, err);
    }
    for (int i = 0; i < e->n_loads; ++i) {
        const tt_operand_record record = lower->plan->operands[e->operands[i]];
        if (same_dims(&record.shape, &output) &&
            tt_is_dense(&record.shape, record.strides))
            return tt_lower_dst_strided(lower, node, 0, record.strides, out, err);
    }
    return tt_lower_dst(lower, node, 0, TT_ORDER_ANY, out, err);
}

static tt_status run_elementwise(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_eltwise_run(params, ptrs);
    return TT_OK;
}

static tt_status add_elementwise(tt_lower *lower, const tt_node *node, emission *e,
                                 tt_error *err)
{
    const tt_shape output = lower->graph->values[node->outputs[0]].shape;
    int64_t store[1][TT_MAX_RANK];
    tt_work work = {0};
    tt_eltwise *eltwise;
    tt_operand dst;
    tt_status status;
    TT_TRY(choose_dst(lower, node, e, &dst, err));
    for (int i = 0; i < e->n_loads; ++i) {
        const tt_operand_record *record = &lower->plan->operands[e->operands[i]];
        broadcast_strides(record, &output, e->strides[i]);
        work.bytes += (double)tt_shape_bytes(&record->shape);
    }
    broadcast_strides(&lower->plan->operands[dst], &output, store[0]);
    work.bytes += (double)tt_shape_bytes(&output);
    work.flops = (double)tt_shape_numel(&output) * e->builder.n_instructions;
    TT_TRY(tt_eltwise_compile(&e->builder, &output,
                              (const int64_t(*)[TT_MAX_RANK])e->strides,
                              (const int64_t(*)[TT_MAX_RANK])store, &eltwise, err));
    work.cost_ns = tt_eltwise_cost_ns(eltwise);
    e->operands[e->n_loads] = dst;
    status = tt_lower_kernel(lower, node, "eltwise", run_elementwise, eltwise,
                             tt_eltwise_bytes(eltwise), e->operands, e->n_loads, 1,
                             &work, err);
    tt_free(eltwise);
    return status;
}

static tt_status lower_members(tt_lower *lower, const tt_node *node,
                               const tt_node *members, int n_members, emission *e,
                               tt_error *err)
{
    tt_dtype dtype = lower->graph->values[node->outputs[0]].shape.dtype;
    int result = -1;
    for (int i = 0; i < n_members; ++i)
        TT_TRY(emit_member(lower, &members[i], e, &result, err));
    if (!tt_eltwise_store(&e->builder, result, dtype)) return no_room(node, err);
    return add_elementwise(lower, node, e, err);
}

tt_status tt_lower_elementwise(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_chain *chain = node->op == &tt_op_chain ? node->extra : NULL;
    emission *e = tt_calloc(1, sizeof *e);
    tt_status status;
    if (e == NULL) return tt_fail(err, TT_NO_MEMORY, "an elementwise program");
    e->value_registers = tt_calloc((size_t)lower->graph->n_values, sizeof(int));
    if (e->value_registers == NULL)
        status = tt_fail(err, TT_NO_MEMORY, "registers of an elementwise program");
    else if (chain != NULL)
        status = lower_members(lower, node, chain->nodes, chain->n_nodes, e, err);
    else
        status = lower_members(lower, node, node, 1, e, err);
    tt_free(e->value_registers);
    tt_free(e);
    return status;
}
