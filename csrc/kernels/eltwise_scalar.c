/* Elementwise kernels for any processor (on x86-64 the compiler's baseline, SSE2). */
#include "kernels/eltwise_table.h"

#pragma GCC optimize("no-trapping-math")

#define TABLE tt_eltwise_scalar
#define TABLE_NAME "eltwise:scalar"
#include "kernels/eltwise_kernels.inc.h"
