/* Updates of weights: choice of the instruction set, splitting over threads. */
#include "kernels/optimizer.h"

#include "base/cpu.h"

enum { GRAIN = 1 << 14 };

static const tt_optimizer_part *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return tt_optimizer_avx512;
    if (isa == TT_ISA_AVX2) return tt_optimizer_avx2;
#endif
    return tt_optimizer_scalar;
}

static void run_part(void *arg, int64_t begin, int64_t end)
{
    const tt_optimizer_update *u = arg;
    table()[u->kind](u, begin, end);
}

void tt_optimizer_run(const tt_optimizer_update *update)
{
    tt_optimizer_update copy = *update;
    tt_parallel_for(copy.n, GRAIN, run_part, &copy);
}
