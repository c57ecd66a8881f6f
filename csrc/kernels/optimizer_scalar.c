/* Updates of weights for any processor. */
#include "kernels/optimizer.h"

#define TABLE tt_optimizer_scalar
#include "kernels/optimizer.inc.h"
