/* Softmax for any processor. */
#include "kernels/softmax.h"

#define TABLE tt_softmax_scalar
#define TABLE_NAME "softmax:scalar"
#include "kernels/softmax.inc.h"
