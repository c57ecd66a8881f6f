/* Largest bytes for AVX2. */
#include "kernels/max_bytes.h"

#ifdef __x86_64__
#pragma GCC target("avx2")
#define TABLE tt_max_bytes_avx2
#define TABLE_NAME "max_bytes:avx2"
#include "kernels/max_bytes.inc.h"
#endif
