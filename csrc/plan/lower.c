/* Lowering: a specialised graph -> the steps, memory and address table of a plan. */
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/chain.h"
#include "plan/lower_state.h"

/* ---- before ---------------------------------------------------------------- */

static tt_status find_last_readers(tt_lower *lower, tt_error *err)
{
    const tt_graph *graph = lower->graph;
    size_t n = (size_t)graph->n_values + 1;
    lower->last_readers = tt_calloc(n, sizeof *lower->last_readers);
    lower->value_operands = tt_calloc(n, sizeof *lower->value_operands);
    lower->output_blocks = tt_calloc((size_t)graph->n_outputs + 1, sizeof(int));
    if (!lower->last_readers || !lower->value_operands || !lower->output_blocks)
        return tt_fail(err, TT_NO_MEMORY, "lowering %d values", graph->n_values);
    for (int i = 0; i < graph->n_values; ++i) {
        lower->value_operands[i] = TT_NO_OPERAND;
        lower->last_readers[i] = -1;
    }
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        if (node->dead) continue;
        for (int k = 0; k < node->n_inputs; ++k)
            if (node->inputs[k] >= 0) lower->last_readers[node->inputs[k]] = i;
        for (int k = 0; k < node->n_posts; ++k)
            if (node->posts[k].value >= 0)
                lower->last_readers[node->posts[k].value] = i;
    }
    for (int i = 0; i < graph->n_outputs; ++i)
        lower->last_readers[graph->outputs[i]] = INT_MAX;
    return TT_OK;
}

static tt_status add_externals(tt_lower *lower, const tt_tensor *inputs, tt_error *err)
{
    const tt_graph *graph = lower->graph;
    for (int i = 0; i < graph->n_inputs; ++i) {
        int value = graph->inputs[i];
        tt_block block = {
            .kind = TT_BLOCK_INPUT, .external = i, .last_reader = INT_MAX};
        tt_operand_record record = {.shape = graph->values[value].shape};
        tt_operand operand;
        TT_TRY(tt_lower_add_block(lower, &block, &record.block, err));
        if (inputs == NULL)
            tt_strides_row_major(record.shape.dims, record.shape.rank, record.strides);
        else
            memcpy(record.strides, inputs[i].strides, sizeof record.strides);
        TT_TRY(tt_lower_add_operand(lower, &record, &operand, err));
        if (graph->values[value].constant == NULL)
            tt_lower_bind_value(lower, value, operand);
    }
    for (int i = 0; i < graph->n_outputs; ++i) {
        tt_block block = {.kind = TT_BLOCK_OUTPUT,
                          .external = graph->n_inputs + i,
                          .last_reader = INT_MAX};
        TT_TRY(tt_lower_add_block(lower, &block, &lower->output_blocks[i], err));
    }
    return TT_OK;
}

/* ---- nodes ------------------------------------------------------------------ */

static tt_status lower_node(tt_lower *lower, const tt_node *node, tt_error *err)
{
    if (node->op == &tt_op_chain ||
        (node->op != NULL && node->op->lower == NULL && node->op->emit != NULL))
        return tt_lower_elementwise(lower, node, err);
    if (node->op == NULL || node->op->lower == NULL)
        return tt_fail(err, TT_UNSUPPORTED,
                       "%s '%s' cannot run with these shapes and types", node->op_type,
                       node->name);
    return node->op->lower(lower, node, err);
}

static tt_status lower_nodes(tt_lower *lower, tt_error *err)
{
    for (int i = 0; i < lower->graph->n_nodes; ++i) {
        const tt_node *node = &lower->graph->nodes[i];
        if (node->dead) continue;
        lower->node = i;
        tt_status status = lower_node(lower, node, err);
        if (status != TT_OK) {
            tt_error_where(err, node->name);
            return status;
        }
        for (int k = 0; k < node->n_outputs; ++k) {
            int value = node->outputs[k];
            if (value >= 0 && lower->last_readers[value] >= 0 &&
                lower->value_operands[value] == TT_NO_OPERAND)
                return tt_fail(err, TT_INTERNAL, "%s '%s' did not make its output %d",
                               node->op_type, node->name, k);
            if (value >= 0 && lower->value_operands[value] != TT_NO_OPERAND)
                TT_TRY(tt_lower_count_clipping(lower, value, err));
        }
    }
    return TT_OK;
}

/* ---- after ------------------------------------------------------------------ */

static tt_status finish_output(tt_lower *lower, int i, tt_error *err)
{
    int value = lower->graph->outputs[i], block = lower->output_blocks[i];
    const tt_value *v = &lower->graph->values[value];
    tt_node copier = {.name = v->name, .op_type = "Output"};
    tt_operand_record made = {.shape = v->shape, .block = block};
    tt_operand src, dst;
    const tt_operand_record *record;
    TT_TRY(tt_lower_operand_of(lower, value, &src, err));
    record = &lower->plan->operands[src];
    if (record->block == block && record->offset == 0 &&
        tt_is_row_major(&record->shape, record->strides))
        return TT_OK;
    tt_strides_row_major(made.shape.dims, made.shape.rank, made.strides);
    TT_TRY(tt_lower_add_operand(lower, &made, &dst, err));
    return tt_lower_add_copy(lower, &copier, src, dst, err);
}

/* Which pointers the caller's arrays go to, sorted by array. */
static tt_status make_patches(tt_plan *plan, tt_error *err)
{
    int n_external = plan->n_inputs + plan->n_outputs, n = 0;
    plan->patch_start =
        tt_region_alloc(plan->region, (size_t)n_external + 2, sizeof(int));
    plan->patches = tt_region_alloc(plan->region, (size_t)plan->n_pointers + 1,
                                    sizeof *plan->patches);
    if (plan->patch_start == NULL || plan->patches == NULL)
        return tt_fail(err, TT_NO_MEMORY, "the address table of a plan");
    for (int external = 0; external < n_external; ++external) {
        plan->patch_start[external] = n;
        for (int s = 0; s < plan->n_steps; ++s) {
            const tt_step *step = &plan->steps[s];
            for (int k = 0; k < step->n_pointers; ++k) {
                int pointer = step->first_pointer + k;
                tt_operand operand = plan->pointer_operands[pointer];
                const tt_operand_record *record;
                const tt_block *block;
                if (operand == TT_NO_OPERAND) continue;
                record = &plan->operands[operand];
                block = &plan->blocks[record->block];
                if (block->kind != TT_BLOCK_INPUT && block->kind != TT_BLOCK_OUTPUT)
                    continue;
                if (block->external != external) continue;
                plan->patches[n++] = (tt_patch){.pointer = pointer,
                                                .call = step->call,
                                                .argument = k,
                                                .offset = record->offset};
            }
        }
    }
    plan->patch_start[n_external] = plan->n_patches = n;
    return TT_OK;
}

/* Constants that no step reads, since their packed form is read, are let go; the bytes
 * of the others must be there from now on. */
static tt_status hold_what_is_read(tt_plan *plan, tt_error *err)
{
    tt_status status = TT_OK;
    bool *is_read = tt_calloc((size_t)plan->n_blocks + 1, sizeof *is_read);
    if (is_read == NULL) return tt_fail(err, TT_NO_MEMORY, "the blocks of a plan");
    for (int i = 0; i < plan->n_pointers; ++i) {
        tt_operand operand = plan->pointer_operands[i];
        if (operand != TT_NO_OPERAND) is_read[plan->operands[operand].block] = true;
    }
    for (int i = 0; i < plan->n_blocks && status == TT_OK; ++i) {
        if (is_read[i])
            status = tt_block_hold(&plan->blocks[i], err);
        else
            tt_block_let_go(&plan->blocks[i]);
    }
    tt_free(is_read);
    return status;
}

/* Small kernels never split their work and may run where the caller is. */
static bool wants_arena(const tt_plan *plan)
{
    static const double SMALL_NS = 10e3;
    for (int i = 0; i < plan->n_steps; ++i) {
        const tt_step *step = &plan->steps[i];
        if (step->prim != NULL || step->is_parallel) return true;
        if (step->work.cost_ns > SMALL_NS || step->work.bytes > 100e3 ||
            step->work.flops > 1e6)
            return true;
    }
    return false;
}

tt_status tt_plan_lower(tt_plan *plan, tt_graph *graph, const tt_tensor *inputs,
                        tt_error *err)
{
    unsigned passes = plan->model->options.passes;
    tt_layout_hints hints;
    tt_lower lower = {
        .plan = plan, .model = plan->model, .graph = graph, .hints = &hints};
    tt_status status = find_last_readers(&lower, err);
    if (status == TT_OK)
        status = tt_layout_hint(graph, (passes & TT_PASS_LAYOUT) != 0,
                                (passes & TT_PASS_VIEWS) != 0, &hints, err);
    if (status == TT_OK) status = add_externals(&lower, inputs, err);
    if (status == TT_OK) status = lower_nodes(&lower, err);
    lower.node = graph->n_nodes;
    for (int i = 0; i < graph->n_outputs && status == TT_OK; ++i)
        status = finish_output(&lower, i, err);
    if (status == TT_OK) status = make_patches(plan, err);
    if (status == TT_OK) status = tt_plan_find_shared(plan, err);
    if (status == TT_OK) status = hold_what_is_read(plan, err);
    if (status == TT_OK)
        status = tt_plan_memory_assign(plan, (passes & TT_PASS_REUSE) != 0, err);
    plan->needs_arena = wants_arena(plan);
    tt_free(lower.last_readers);
    tt_free(lower.value_operands);
    tt_free(lower.output_blocks);
    tt_free(lower.memos);
    return status;
}
