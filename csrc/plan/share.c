/* Which output may be written over which input: a cache that is appended to in place. */
#include "plan/plan.h"

static const tt_block *block_of(const tt_plan *plan, int pointer, tt_block_kind kind)
{
    tt_operand operand = plan->pointer_operands[pointer];
    const tt_block *block;
    if (operand == TT_NO_OPERAND || plan->operands[operand].offset != 0) return NULL;
    block = &plan->blocks[plan->operands[operand].block];
    return block->kind == kind ? block : NULL;
}

/* Pointers are numbered in the order of the steps, and patches sorted by them: does
 * nothing write the array before this pointer? */
static bool is_first_use(const tt_plan *plan, int external, int pointer)
{
    int at = plan->patch_start[external];
    return at < plan->patch_start[external + 1] && plan->patches[at].pointer == pointer;
}

/* Notes a pair of a step: found[o] is the input of output o, n_uses[o] how many of the
 * uses of that input stand in pairs with it. */
static void note_pair(const tt_plan *plan, int src, int dst, int *found, int *n_uses)
{
    const tt_block *input = block_of(plan, src, TT_BLOCK_INPUT);
    const tt_block *output = block_of(plan, dst, TT_BLOCK_OUTPUT);
    int o;
    if (input == NULL || output == NULL) return;
    o = output->external - plan->n_inputs;
    if (found[o] < 0 && is_first_use(plan, output->external, dst))
        found[o] = input->external;
    if (found[o] == input->external) ++n_uses[o];
}

tt_status tt_plan_find_shared(tt_plan *plan, tt_error *err)
{
    size_t n = (size_t)plan->n_outputs + 1;
    int *n_uses = tt_region_alloc(plan->region, n, sizeof *n_uses);
    plan->shared_inputs = tt_region_alloc(plan->region, n, sizeof *plan->shared_inputs);
    if (n_uses == NULL || plan->shared_inputs == NULL)
        return tt_fail(err, TT_NO_MEMORY, "the shared arrays of a plan");
    for (int o = 0; o < plan->n_outputs; ++o) {
        plan->shared_inputs[o] = -1;
        n_uses[o] = 0;
    }
    for (int s = 0; s < plan->n_steps; ++s)
        for (int pair = 0; pair < plan->steps[s].n_shared; ++pair)
            note_pair(plan,
                      plan->steps[s].first_pointer + plan->steps[s].shared[pair][0],
                      plan->steps[s].first_pointer + plan->steps[s].shared[pair][1],
                      plan->shared_inputs, n_uses);
    for (int o = 0; o < plan->n_outputs; ++o) {
        int input = plan->shared_inputs[o];
        if (input >= 0 &&
            plan->patch_start[input + 1] - plan->patch_start[input] != n_uses[o])
            plan->shared_inputs[o] = -1;
    }
    return TT_OK;
}

int tt_plan_shared_input(const tt_plan *plan, int i)
{
    if (plan->tail != NULL || plan->eval != NULL || plan->shared_inputs == NULL)
        return -1;
    return plan->shared_inputs[i];
}
