/* Reductions for any processor. */
#include "kernels/reduce.h"

#define TABLE tt_reduce_scalar
#define TABLE_NAME "reduce:scalar"
#include "kernels/reduce.inc.h"
