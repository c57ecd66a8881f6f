/* Losses of classes for any processor. */
#include "kernels/loss.h"

#define TABLE tt_loss_scalar
#define TABLE_NAME "loss:scalar"
#include "kernels/loss.inc.h"
