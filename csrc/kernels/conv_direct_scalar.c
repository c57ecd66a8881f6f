/* Direct convolution of few channels for any processor. */
#include "kernels/conv_direct.h"

#define TABLE tt_conv_direct_scalar
#define TABLE_NAME "conv_direct:scalar"
#include "kernels/conv_direct.inc.h"
