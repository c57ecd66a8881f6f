/* Largest bytes for AVX-512. */
#include "kernels/max_bytes.h"

#ifdef __x86_64__
#pragma GCC target("avx2,avx512f,avx512bw,avx512vl,prefer-vector-width=512")
#define TABLE tt_max_bytes_avx512
#define TABLE_NAME "max_bytes:avx512"
#include "kernels/max_bytes.inc.h"
#endif
