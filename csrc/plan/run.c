/* The loop over steps: the hot path.
 *
 * Runs of steps that use several threads execute inside the model's parallel arena,
 * runs of small ones on the calling thread.  Between steps, at most every 20 ms, the
 * caller's poll is asked whether to go on. */
#include <time.h>

#include "plan/plan.h"

static const int64_t POLL_NS = 20 * 1000 * 1000;

typedef struct {
    const tt_plan *plan;
    tt_context *context;
    int64_t *step_ns;
    int64_t polled_ns;
    int begin, end;
    tt_error *err;
} running;

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline tt_status run_step(const tt_step *step, tt_context *context,
                                 tt_error *err)
{
    if (step->run != NULL)
        return step->run(step->params, context->pointers + step->first_pointer, err);
    return tt_call_execute(context->calls[step->call], err);
}

static tt_status run_timed(running *r, int i)
{
    int64_t start = now_ns();
    tt_status status = run_step(&r->plan->steps[i], r->context, r->err);
    r->step_ns[i] = now_ns() - start;
    return status;
}

tt_status tt_poll_ask(tt_poll poll, void *poll_arg, int64_t *polled_ns, tt_error *err)
{
    int64_t now = now_ns();
    tt_status status;
    if (poll == NULL || now - *polled_ns < POLL_NS) return TT_OK;
    *polled_ns = now;
    status = poll(poll_arg);
    if (status != TT_OK) return tt_fail(err, status, "the run was interrupted");
    return TT_OK;
}

static tt_status run_range(void *arg)
{
    running *r = arg;
    const tt_step *steps = r->plan->steps;
    for (int i = r->begin; i < r->end; ++i) {
        tt_status status = r->step_ns != NULL ? run_timed(r, i)
                                              : run_step(&steps[i], r->context, r->err);
        if (status != TT_OK) {
            tt_error_where(r->err, steps[i].node);
            return status;
        }
    }
    return TT_OK;
}

/* A range ends where the number of threads changes, or after a step so long that the
 * poll must be asked (the poll may need the calling thread outside of any arena). */
static int range_end(const tt_plan *plan, int begin, bool polls)
{
    int end = begin + 1;
    double work = plan->steps[begin].work.flops + plan->steps[begin].work.bytes;
    while (end < plan->n_steps &&
           plan->steps[end].is_parallel == plan->steps[begin].is_parallel) {
        work += plan->steps[end].work.flops + plan->steps[end].work.bytes;
        if (polls && work > 1e9) break;
        ++end;
    }
    return end;
}

tt_status tt_context_run(const tt_plan *plan, tt_context *context, tt_poll poll,
                         void *poll_arg, int64_t *step_ns, tt_error *err)
{
    running r = {.plan = plan, .context = context, .step_ns = step_ns, .err = err};
    if (!plan->needs_arena) {
        r.end = plan->n_steps;
        return run_range(&r);
    }
    if (poll != NULL) r.polled_ns = now_ns();
    while (r.begin < plan->n_steps) {
        const tt_model *model = plan->model;
        bool parallel = plan->steps[r.begin].is_parallel;
        r.end = range_end(plan, r.begin, poll != NULL);
        TT_TRY(tt_arena_run(parallel ? model->parallel : model->serial, run_range, &r,
                            err));
        r.begin = r.end;
        TT_TRY(tt_poll_ask(poll, poll_arg, &r.polled_ns, err));
    }
    return TT_OK;
}
