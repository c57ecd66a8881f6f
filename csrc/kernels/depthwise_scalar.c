/* Depthwise convolution of floats for any processor. */
#include "kernels/depthwise.h"

#define TABLE tt_depthwise_scalar
#define TABLE_NAME "depthwise:scalar"
#include "kernels/depthwise.inc.h"
