/* Quantising for any processor. */
#include "kernels/quantize.h"

#pragma GCC optimize("no-trapping-math")

#define TABLE tt_quantize_scalar
#define TABLE_NAME "quantize:scalar"
#include "kernels/quantize.inc.h"
