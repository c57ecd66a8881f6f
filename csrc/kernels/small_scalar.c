/* Small elements for any processor. */
#include "kernels/small.h"

#pragma GCC optimize("no-trapping-math")

#define TABLE tt_small_scalar
#define TABLE_NAME "small:scalar"
#include "kernels/small.inc.h"
