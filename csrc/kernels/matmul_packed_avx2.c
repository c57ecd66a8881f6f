/* Few rows times packed weights for AVX2 and FMA. */
#include "kernels/matmul_packed.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c")
#define TABLE tt_matmul_packed_avx2
#define TABLE_NAME "matmul_packed:avx2"
#include "kernels/matmul_packed.inc.h"
#endif
