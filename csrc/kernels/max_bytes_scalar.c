/* Largest bytes for any processor. */
#include "kernels/max_bytes.h"

#define TABLE tt_max_bytes_scalar
#define TABLE_NAME "max_bytes:scalar"
#include "kernels/max_bytes.inc.h"
