/* Which calls are looked at: one in so many, or as many as a share of their time pays for.
 *
 * By cost: every call earns a share of the time it took; a look is taken when what was
 * earned covers what looks have cost lately, times a random factor around 1, so that
 * traffic with a period is not sampled in step with it.  The first looks are on the
 * house.  Plain data; whoever has one changes it from one thread at a time. */
#ifndef TT_WATCH_BUDGET_H
#define TT_WATCH_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t every;   /* look at the first of so many calls; 0: by cost */
    double share;     /* of the calls' time that looking may take */
    double credit_ns; /* earned and not spent */
    double cost_ns;   /* of a look, lately; a guess at first */
    double call_ns;   /* of a call, lately; 0: none came */
    uint64_t n_calls, random;
} tt_budget;

/* Times far beyond the usual are those of threads that lost their core. */
static inline double tt_budget_tame(double time_ns, double usual_ns)
{
    static const double most = 8.0;
    return time_ns < most * usual_ns ? time_ns : most * usual_ns;
}

static inline tt_budget tt_budget_new(uint64_t every, double share)
{
    static const double gift_ns = 1e6, guess_ns = 1e4;
    return (tt_budget){.every = every,
                       .share = share,
                       .credit_ns = share > 0.0 ? gift_ns : 0.0,
                       .cost_ns = guess_ns,
                       .random = 0x9e3779b97f4a7c15u};
}

/* Marsaglia, "Xorshift RNGs" (2003). */
static inline uint64_t tt_budget_random(tt_budget *budget)
{
    uint64_t x = budget->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return budget->random = x;
}

/* A call has taken so long: look at it? */
static inline bool tt_budget_wants(tt_budget *budget, double call_ns)
{
    static const double looks_saved = 4.0; /* a burst of looks at most, after a lull */
    static const double memory = 0.05;
    double factor;
    if (budget->every > 0) return budget->n_calls++ % budget->every == 0;
    if (budget->call_ns == 0.0) budget->call_ns = call_ns;
    call_ns = tt_budget_tame(call_ns, budget->call_ns);
    budget->call_ns += memory * (call_ns - budget->call_ns);
    if (budget->credit_ns < looks_saved * budget->cost_ns)
        budget->credit_ns += budget->share * call_ns;
    if (budget->credit_ns < 0.5 * budget->cost_ns) return false;
    factor = 0.5 + (double)(tt_budget_random(budget) >> 11) * 0x1p-53;
    return budget->credit_ns >= factor * budget->cost_ns;
}

/* The look has taken so long. */
static inline void tt_budget_spent(tt_budget *budget, double look_ns)
{
    static const double memory = 0.1;
    look_ns = tt_budget_tame(look_ns, budget->cost_ns);
    budget->credit_ns -= look_ns;
    budget->cost_ns += memory * (look_ns - budget->cost_ns);
}

#endif
