/* Winograd convolution for any processor. */
#include "kernels/winograd.h"

#define TABLE tt_winograd_scalar
#define TABLE_NAME "winograd_4x4:scalar"
#include "kernels/winograd.inc.h"
