/* Looking into a plan: steps, times, memory, the graph it came from. */
#include "base/alloc.h"
#include "graph/dump.h"
#include "plan/plan.h"

int tt_plan_n_steps(const tt_plan *plan)
{
    return plan->n_steps;
}

static const char *first_dtype(const tt_plan *plan, const tt_step *step)
{
    tt_operand first = TT_NO_OPERAND;
    int at = 0;
    for (int i = 0; step->prim != NULL && i < step->n_src; ++i)
        if (step->args[i] == TT_ARG_SRC) at = i;
    if (step->n_src > 0) first = plan->pointer_operands[step->first_pointer + at];
    if (first == TT_NO_OPERAND) return "";
    return tt_dtype_name(plan->operands[first].shape.dtype);
}

void tt_plan_step(const tt_plan *plan, int i, tt_step_info *info)
{
    const tt_step *step = &plan->steps[i];
    *info = (tt_step_info){.node = step->node,
                           .op_type = step->op_type,
                           .fused = step->fused,
                           .implementation = step->implementation,
                           .dtype = first_dtype(plan, step),
                           .flops = step->work.flops,
                           .bytes = step->work.bytes,
                           .n_threads =
                               step->is_parallel ? plan->model->options.n_threads : 1};
}

void tt_plan_memory_get(const tt_plan *plan, tt_plan_memory *memory)
{
    *memory = plan->memory;
}

tt_status tt_plan_dump(const tt_plan *plan, char **out, tt_error *err)
{
    return tt_graph_dump(plan->graph, TT_DUMP_JSON, out, err);
}
