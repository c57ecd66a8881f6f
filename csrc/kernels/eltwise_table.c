/* Choice of kernels by instruction set, and what each roughly costs. */
#include "kernels/eltwise_table.h"

const tt_eltwise_table *tt_eltwise_table_of(tt_isa isa)
{
#ifdef __x86_64__
    if (isa == TT_ISA_AVX512) return &tt_eltwise_avx512;
    if (isa == TT_ISA_AVX2) return &tt_eltwise_avx2;
#endif
    (void)isa;
    return &tt_eltwise_scalar;
}

/* Picoseconds per f32 element in L1 on one AVX-512 core, where it is not the 40 of
 * plain arithmetic (measured on a Zen 5 by tests/kernels/bench_eltwise.py). */
static const short slow_ps[TT_ELTWISE_COUNT] = {
    [TT_ELTWISE_SQRT] = 150,
};

double tt_eltwise_op_ns(tt_eltwise_op op, tt_dtype dtype, tt_isa isa)
{
    (void)slow_ps;
    (void)op;
    (void)dtype;
    (void)isa;
    return 0.05;
}

tt_eltwise_fn tt_eltwise_store_bf16(const tt_eltwise_table *table)
{
#ifdef __x86_64__
    if (table == &tt_eltwise_avx512 && tt_cpu_get()->has_avx512_bf16)
        return tt_eltwise_store_bf16_avx512;
#endif
    return table->store_bf16;
}
