/* Convolution to a few channels for any processor. */
#include "kernels/conv_dot.h"

#define TABLE tt_conv_dot_scalar
#define TABLE_NAME "conv_dot:scalar"
#include "kernels/conv_dot.inc.h"
