/* Causal convolution for any processor. */
#include "kernels/causal_conv.h"

#define TABLE tt_causal_conv_scalar
#define TABLE_NAME "causal_conv:scalar"
#include "kernels/causal_conv.inc.h"
