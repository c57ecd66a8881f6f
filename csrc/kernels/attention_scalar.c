/* Attention for any processor. */
#include "kernels/attention.h"

#define TABLE tt_attention_scalar
#define TABLE_NAME "attention:scalar"
#define TRANSPOSE tt_transpose_scalar(4)
#include "kernels/attention.inc.h"
