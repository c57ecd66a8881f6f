/* Gradients of rows for any processor. */
#include "kernels/row_grad.h"

#define TABLE tt_row_grad_scalar
#define TABLE_NAME "row_grad:scalar"
#include "kernels/row_grad.inc.h"
