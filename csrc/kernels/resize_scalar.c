/* Weighted sums of rows for any processor: see resize.inc.h. */
#define RESIZE_TABLE tt_resize_scalar
#define RESIZE_NAME "resize:scalar"
#include "kernels/resize.inc.h"
