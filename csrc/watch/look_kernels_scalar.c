/* Pixels and samples without vector instructions of x86's, and the choice: see
 * look_kernels.h. */
#define VF_N 4
#define LOOK_TABLE tt_look_kernels_scalar
#define LOOK_NAME "scalar"
#include "watch/look_kernels.inc.h"

const tt_look_kernels *tt_look_kernels_of(tt_isa isa)
{
#ifdef __x86_64__
    if (isa == TT_ISA_AVX512) return &tt_look_kernels_avx512;
    if (isa == TT_ISA_AVX2) return &tt_look_kernels_avx2;
#endif
    (void)isa;
    return &tt_look_kernels_scalar;
}
