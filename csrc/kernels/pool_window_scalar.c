/* Windows of max pools for any processor. */
#include "kernels/pool_grad.h"

#define TABLE tt_pool_window_scalar
#include "kernels/pool_window.inc.h"
