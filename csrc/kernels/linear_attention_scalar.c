/* Linear attention for any processor. */
#include "kernels/linear_attention.h"

#define TABLE tt_linear_scalar
#define TABLE_NAME "linear_attention:scalar"
#include "kernels/linear_attention.inc.h"
