/* The chain from meaning to work, for one set of input shapes.  Read this first.
 *
 *   copy > set shapes > specialise (infer, fold, inline) > [cut] > optimise (fuse,
 *   chain) > lower (layout, steps, memory, weights)
 *
 * When a shape depends on data, the graph is cut there: the nodes before the cut
 * become this plan, the rest becomes the plan's tail, a program compiled once its
 * inputs are known. */
#include <string.h>

#include "base/alloc.h"
#include "kernels/copy.h"
#include "plan/plan.h"

tt_plan *tt_plan_new(tt_model *model, tt_error *err)
{
    tt_plan *plan = tt_calloc(1, sizeof *plan);
    if (plan != NULL && (plan->region = tt_region_new()) == NULL) {
        tt_free(plan);
        plan = NULL;
    }
    if (plan == NULL) {
        (void)tt_fail(err, TT_NO_MEMORY, "a plan");
        return NULL;
    }
    atomic_init(&plan->refs, 1);
    plan->model = model;
    pthread_mutex_init(&plan->lock, NULL);
    return plan;
}

tt_status tt_block_hold(tt_block *block, tt_error *err)
{
    if (block->kind != TT_BLOCK_CONSTANT || block->data != NULL) return TT_OK;
    TT_TRY(tt_constant_pin(block->constant, err));
    block->data = (void *)(uintptr_t)tt_constant_data(block->constant);
    return TT_OK;
}

void tt_block_let_go(tt_block *block)
{
    if (block->kind != TT_BLOCK_CONSTANT || block->constant == NULL) return;
    if (block->data != NULL) tt_constant_unpin(block->constant);
    tt_constant_unref(block->constant);
    block->constant = NULL;
    block->data = NULL;
}

void tt_plan_free(tt_plan *plan)
{
    if (plan == NULL) return;
    while (plan->idle != NULL) {
        tt_context *next = plan->idle->next;
        tt_context_free(plan, plan->idle);
        plan->idle = next;
    }
    for (int i = 0; i < plan->n_steps; ++i)
        tt_prim_free(plan->steps[i].prim);
    for (int i = 0; i < plan->n_blocks; ++i)
        tt_block_let_go(&plan->blocks[i]);
    for (int i = 0; i < plan->n_inputs && plan->inputs != NULL; ++i)
        tt_free(plan->inputs[i].data);
    tt_free(plan->inputs);
    tt_free(plan->outputs);
    tt_free(plan->steps);
    tt_free(plan->blocks);
    tt_free(plan->operands);
    tt_free(plan->pointer_operands);
    tt_program_free(plan->tail);
    tt_graph_free(plan->graph);
    tt_region_free(plan->region);
    pthread_mutex_destroy(&plan->lock);
    tt_free(plan);
}

/* ---- inputs -------------------------------------------------------------------- */

/* The key: shapes, strides, and the values of by-value inputs. */
static tt_status keep_inputs(tt_plan *plan, const tt_program *program,
                             const tt_tensor *inputs, tt_error *err)
{
    int n = program->graph->n_inputs;
    plan->inputs = tt_calloc((size_t)n + 1, sizeof *plan->inputs);
    if (plan->inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "the key of a plan");
    plan->n_inputs = n;
    for (int i = 0; i < n; ++i) {
        size_t bytes = tt_shape_bytes(&inputs[i].shape);
        tt_copy *copy;
        plan->inputs[i] = inputs[i];
        plan->inputs[i].data = NULL;
        if (!program->by_value[i]) continue;
        plan->inputs[i].data = tt_alloc(bytes + 1);
        if (plan->inputs[i].data == NULL)
            return tt_fail(err, TT_NO_MEMORY, "the key of a plan");
        tt_strides_row_major(inputs[i].shape.dims, inputs[i].shape.rank,
                             plan->inputs[i].strides);
        TT_TRY(tt_copy_compile(tt_dtype_bytes(inputs[i].shape.dtype), &inputs[i].shape,
                               inputs[i].strides, plan->inputs[i].strides, &copy, err));
        tt_copy_run(copy, inputs[i].data, plan->inputs[i].data);
        tt_free(copy);
    }
    return TT_OK;
}

static tt_status set_inputs(const tt_plan *plan, tt_graph *graph, tt_error *err)
{
    for (int i = 0; i < graph->n_inputs; ++i) {
        const tt_tensor *input = &plan->inputs[i];
        tt_constant *constant;
        graph->values[graph->inputs[i]].shape = input->shape;
        if (input->data == NULL) continue;
        /* release NULL: the bytes are copied */
        TT_TRY(tt_constant_new(&input->shape, input->data, NULL, NULL, &constant, err));
        tt_graph_set_constant(graph, graph->inputs[i], constant);
    }
    return TT_OK;
}

/* ---- cutting ------------------------------------------------------------------- */

static bool is_read_from(const tt_graph *graph, int value, int first)
{
    for (int i = first; i < graph->n_nodes; ++i)
        for (int k = 0; k < graph->nodes[i].n_inputs && !graph->nodes[i].dead; ++k)
            if (graph->nodes[i].inputs[k] == value) return true;
    return tt_graph_is_output(graph, value);
}

/* Nodes before `first` that go into the tail: those that tell which tensors a sequence
 * has (sequences.c) that is read there, but for the one that is evaluated. */
static bool *moved_nodes(const tt_graph *graph, int first, int evaluated)
{
    bool *moved = tt_calloc((size_t)first + 1, sizeof *moved);
    for (int i = 0; i < first && moved != NULL; ++i)
        moved[i] = i != evaluated && tt_node_lists_tensors(&graph->nodes[i]) &&
                   is_read_from(graph, graph->nodes[i].outputs[0], first);
    return moved;
}

/* Which values the nodes from `first` on, those moved and the outputs read but do not
 * make. */
static int *needed_values(const tt_graph *graph, int first, const bool *moved,
                          int *n_needed)
{
    int *needed =
        tt_region_alloc(graph->region, (size_t)graph->n_values + 1, sizeof *needed);
    bool *seen = tt_calloc((size_t)graph->n_values + 1, sizeof *seen);
    *n_needed = 0;
    for (int i = 0; i < graph->n_nodes + graph->n_outputs && needed && seen; ++i) {
        bool output = i >= graph->n_nodes;
        const tt_node *node = output ? NULL : &graph->nodes[i];
        int n = output ? 1 : node->dead ? 0 : node->n_inputs;
        if (i < first && !moved[i]) continue;
        for (int k = 0; k < n; ++k) {
            int v = output ? graph->outputs[i - graph->n_nodes] : node->inputs[k];
            int producer = v < 0 ? -1 : graph->values[v].producer;
            if (v < 0 || seen[v] || graph->values[v].constant != NULL) continue;
            if (producer >= first || (producer >= 0 && moved[producer])) continue;
            seen[v] = true;
            needed[(*n_needed)++] = v;
        }
    }
    tt_free(seen);
    return seen == NULL ? NULL : needed;
}

static int find(const int *list, int n, int value)
{
    for (int i = 0; i < n; ++i)
        if (list[i] == value) return i;
    return -1;
}

/* Where a value comes from once the head has run; adds it to the head's outputs. */
static tt_tail_source source_of(tt_graph *head, const tt_node *eval, int value)
{
    int at;
    if (value < 0) return (tt_tail_source){TT_FROM_NOWHERE, 0};
    if (eval != NULL && (at = find(eval->outputs, eval->n_outputs, value)) >= 0)
        return (tt_tail_source){TT_FROM_EVAL, at};
    if (head->values[value].constant != NULL)
        return (tt_tail_source){TT_FROM_CONSTANT, value};
    if ((at = find(head->inputs, head->n_inputs, value)) >= 0)
        return (tt_tail_source){TT_FROM_INPUT, at};
    at = find(head->outputs, head->n_outputs, value);
    if (at < 0) {
        at = head->n_outputs++;
        head->outputs[at] = value;
    }
    return (tt_tail_source){TT_FROM_HEAD, at};
}

/* Splits plan->graph (taken from `graph`) at the cut; makes the tail program. */
static tt_status split(tt_plan *plan, tt_graph *head, const tt_cut *cut, tt_error *err)
{
    bool runs = cut->kind == TT_CUT_RUN;
    int first = cut->node + (runs ? 1 : 0), n_needed;
    bool *moved = moved_nodes(head, first, runs ? cut->node : -1);
    int *needed = moved == NULL ? NULL : needed_values(head, first, moved, &n_needed);
    size_t n_eval;
    tt_graph *tail;
    tt_status status = needed == NULL ? tt_fail(err, TT_NO_MEMORY, "cutting a graph")
                                      : tt_graph_copy(head, &tail, err);
    for (int i = 0; i < first && status == TT_OK; ++i)
        tail->nodes[i].dead = tail->nodes[i].dead || !moved[i];
    tt_free(moved);
    if (status != TT_OK) return status;
    tail->inputs = needed; /* head's region lives as long as the plan */
    tail->n_inputs = n_needed;
    tt_graph_sweep(tail);
    TT_TRY(tt_program_new(plan->model, tail, &plan->tail, err));

    plan->eval = runs ? &head->nodes[cut->node] : NULL;
    n_eval = plan->eval != NULL ? (size_t)plan->eval->n_inputs : 0;
    head->outputs = tt_region_alloc(head->region, (size_t)n_needed + n_eval + 1,
                                    sizeof *head->outputs);
    plan->tail_sources =
        tt_region_alloc(plan->region, (size_t)n_needed + 1, sizeof *plan->tail_sources);
    plan->eval_sources =
        tt_region_alloc(plan->region, n_eval + 1, sizeof *plan->eval_sources);
    if (!head->outputs || !plan->tail_sources || !plan->eval_sources)
        return tt_fail(err, TT_NO_MEMORY, "cutting a graph");
    head->n_outputs = 0;
    for (int i = 0; i < n_needed; ++i)
        plan->tail_sources[i] = source_of(head, plan->eval, needed[i]);
    for (size_t i = 0; i < n_eval; ++i)
        plan->eval_sources[i] = source_of(head, plan->eval, plan->eval->inputs[i]);
    for (size_t i = 0; i < n_eval; ++i)
        if (plan->eval_sources[i].kind == TT_FROM_CONSTANT) /* for good */
            TT_TRY(tt_constant_pin(head->values[plan->eval->inputs[i]].constant, err));
    if (plan->eval != NULL) { /* keep it apart: sweeping moves the nodes */
        tt_node *kept = tt_region_alloc(plan->region, 1, sizeof *kept);
        if (kept == NULL) return tt_fail(err, TT_NO_MEMORY, "cutting a graph");
        *kept = *plan->eval;
        plan->eval = kept;
    }
    for (int i = 0; i < head->n_nodes; ++i)
        if (i >= cut->node || tt_node_lists_tensors(&head->nodes[i]))
            head->nodes[i].dead = true;
    return TT_OK;
}

/* ---- the chain ------------------------------------------------------------------ */

/* The input number of a value, or -1. */
static int input_number(const tt_graph *graph, int value)
{
    return find(graph->inputs, graph->n_inputs, value);
}

static tt_status finish(tt_plan *plan, tt_error *err)
{
    tt_graph *graph = plan->graph;
    tt_graph_sweep(graph);
    TT_TRY(tt_plan_mark_quantized(plan, err));
    TT_TRY(tt_graph_optimise(plan->model, graph, err));
    plan->outputs = tt_calloc((size_t)graph->n_outputs + 1, sizeof *plan->outputs);
    if (plan->outputs == NULL) return tt_fail(err, TT_NO_MEMORY, "outputs of a plan");
    plan->n_outputs = graph->n_outputs;
    for (int i = 0; i < graph->n_outputs; ++i)
        plan->outputs[i] = graph->values[graph->outputs[i]].shape;
    TT_TRY(tt_plan_lower(plan, graph, plan->inputs, err));
    plan->memory.plan_bytes = (int64_t)tt_region_bytes(plan->region) +
                              (int64_t)tt_region_bytes(graph->region) +
                              plan->n_calls * INT64_C(120000) +
                              plan->n_operands * (int64_t)sizeof *plan->operands;
    return TT_OK;
}

/* *again: another input was found to matter by value; start over. */
static tt_status attempt(tt_program *program, const tt_tensor *inputs, tt_plan *plan,
                         bool *again, tt_error *err)
{
    tt_cut cut;
    int input;
    *again = false;
    TT_TRY(keep_inputs(plan, program, inputs, err));
    TT_TRY(tt_graph_copy(program->graph, &plan->graph, err));
    TT_TRY(set_inputs(plan, plan->graph, err));
    TT_TRY(tt_graph_specialise(plan->model, plan->graph, &cut, err));
    if (cut.kind == TT_CUT_VALUE) {
        input = input_number(plan->graph, cut.value);
        if (input >= 0 && !program->by_value[input]) {
            program->by_value[input] = true;
            *again = true;
            return TT_OK;
        }
    }
    if (cut.kind != TT_CUT_NONE) TT_TRY(split(plan, plan->graph, &cut, err));
    return finish(plan, err);
}

typedef struct {
    tt_program *program;
    const tt_tensor *inputs;
    tt_plan *plan;
    tt_error *err;
} compiling;

static tt_status compile(void *arg)
{
    compiling *c = arg;
    bool again = true;
    while (again) {
        tt_status status;
        tt_plan_free(c->plan);
        c->plan = tt_plan_new(c->program->model, c->err);
        if (c->plan == NULL) return TT_NO_MEMORY;
        c->plan->program = c->program;
        status = attempt(c->program, c->inputs, c->plan, &again, c->err);
        if (status != TT_OK) {
            tt_plan_free(c->plan);
            c->plan = NULL;
            return status;
        }
    }
    return TT_OK;
}

tt_status tt_plan_compile(tt_program *program, const tt_tensor *inputs, tt_plan **out,
                          tt_error *err)
{
    compiling c = {.program = program, .inputs = inputs, .err = err};
    tt_model *model = program->model;
    tt_arena *arena = model->parallel != NULL ? model->parallel : model->serial;
    long long packed_bytes = atomic_load(&model->packed_bytes);
    tt_status status = tt_arena_run(arena, compile, &c, err);
    if (atomic_load(&model->packed_bytes) != packed_bytes)
        tt_alloc_trim(); /* weights on their way leave holes */
    *out = c.plan;
    atomic_fetch_add(&model->n_compiles, 1);
    return status;
}
