/* Contexts: the arena, addresses and primitive calls of one running call.
 *
 * A plan keeps idle contexts; a call leases one, so that any number of threads may
 * run the same plan.  Addresses inside the arena and of constants are set once; the
 * caller's arrays are patched in per call. */
#include <string.h>

#include "base/alloc.h"
#include "base/fork.h"
#include "plan/plan.h"

enum { MAX_IDLE = 16 };

static void *operand_address(const tt_plan *plan, const tt_context *context,
                             tt_operand operand)
{
    const tt_operand_record *record;
    const tt_block *block;
    if (operand == TT_NO_OPERAND) return NULL;
    record = &plan->operands[operand];
    block = &plan->blocks[record->block];
    switch (block->kind) {
    case TT_BLOCK_ARENA:
        return (char *)context->arena + block->offset + record->offset;
    case TT_BLOCK_CONSTANT:
        return (char *)block->data + record->offset;
    case TT_BLOCK_INPUT:
    case TT_BLOCK_OUTPUT:
        break;
    }
    return NULL;
}

static tt_status bind_call(const tt_plan *plan, tt_context *context,
                           const tt_step *step, void *scratchpad, tt_error *err)
{
    tt_arg args[TT_ARG_COUNT + 1];
    tt_call *call;
    int n = step->n_pointers;
    memcpy(args, step->args, (size_t)n * sizeof *args);
    args[n] = TT_ARG_SCRATCHPAD;
    bool scratch = tt_prim_scratchpad_bytes(step->prim) > 0;
    TT_TRY(tt_call_new(plan->model->engine, step->prim, args, n + (scratch ? 1 : 0),
                       &context->calls[step->call], err));
    call = context->calls[step->call];
    for (int k = 0; k < n; ++k) {
        void *data = context->pointers[step->first_pointer + k];
        if (data != NULL) TT_TRY(tt_call_bind(call, k, data, err));
    }
    if (scratch) TT_TRY(tt_call_bind(call, n, scratchpad, err));
    return TT_OK;
}

static tt_status build(const tt_plan *plan, tt_context *context, tt_error *err)
{
    size_t arena_bytes = (size_t)plan->memory.arena_bytes;
    void *scratchpad;
    context->arena = tt_alloc_pages(arena_bytes + 1);
    context->pointers = tt_calloc((size_t)plan->n_pointers + 1, sizeof(void *));
    context->calls = tt_calloc((size_t)plan->n_calls + 1, sizeof(tt_call *));
    if (!context->arena || !context->pointers || !context->calls)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes of working memory", arena_bytes);
    scratchpad =
        (char *)context->arena + arena_bytes - (size_t)plan->memory.scratchpad_bytes;
    for (int i = 0; i < plan->n_pointers; ++i)
        context->pointers[i] =
            operand_address(plan, context, plan->pointer_operands[i]);
    for (int i = 0; i < plan->n_steps; ++i)
        if (plan->steps[i].prim != NULL)
            TT_TRY(bind_call(plan, context, &plan->steps[i], scratchpad, err));
    return TT_OK;
}

void tt_context_free(tt_plan *plan, tt_context *context)
{
    if (context == NULL) return;
    for (int i = 0; i < plan->n_calls && context->calls != NULL; ++i)
        tt_call_free(context->calls[i]);
    tt_free(context->calls);
    tt_free(context->pointers);
    if (context->arena != NULL) {
        atomic_fetch_sub(&plan->model->contexts_bytes,
                         (long long)plan->memory.arena_bytes);
        atomic_fetch_sub(&plan->model->n_contexts, 1);
    }
    tt_free_pages(context->arena, (size_t)plan->memory.arena_bytes + 1);
    tt_free(context);
}

tt_status tt_context_lease(tt_plan *plan, tt_context **out, tt_error *err)
{
    tt_context *context;
    tt_status status;
    tt_mutex_lock(&plan->lock);
    context = plan->idle;
    if (context != NULL) {
        plan->idle = context->next;
        plan->n_idle--;
    }
    tt_mutex_unlock(&plan->lock);
    *out = context;
    if (context != NULL) return TT_OK;
    context = tt_calloc(1, sizeof *context);
    if (context == NULL) return tt_fail(err, TT_NO_MEMORY, "a context");
    status = build(plan, context, err);
    if (context->arena != NULL) {
        atomic_fetch_add(&plan->model->contexts_bytes,
                         (long long)plan->memory.arena_bytes);
        atomic_fetch_add(&plan->model->n_contexts, 1);
    }
    if (status != TT_OK) {
        tt_context_free(plan, context);
        return status;
    }
    *out = context;
    return TT_OK;
}

void tt_context_return(tt_plan *plan, tt_context *context)
{
    tt_mutex_lock(&plan->lock);
    if (plan->n_idle < MAX_IDLE) {
        context->next = plan->idle;
        plan->idle = context;
        plan->n_idle++;
        context = NULL;
    }
    tt_mutex_unlock(&plan->lock);
    tt_context_free(plan, context);
}

tt_status tt_context_set(const tt_plan *plan, tt_context *context, int external,
                         void *data, tt_error *err)
{
    int end = plan->patch_start[external + 1];
    for (int i = plan->patch_start[external]; i < end; ++i) {
        const tt_patch *patch = &plan->patches[i];
        void *address = (char *)data + patch->offset;
        context->pointers[patch->pointer] = address;
        if (patch->call >= 0)
            TT_TRY(tt_call_bind(context->calls[patch->call], patch->argument, address,
                                err));
    }
    return TT_OK;
}
