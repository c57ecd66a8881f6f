/* Blocks of matrix transposition, one function per item size and instruction set
 * (internal to kernels/copy*.c).
 *
 * Row b of src holds n_a contiguous items at src + b * src_step; row a of dst holds
 * n_b contiguous items at dst + a * dst_step; dst[a][b] = src[b][a].  Steps count
 * bytes and may be negative in src.  Only the named items are read and written. */
#ifndef TT_KERNELS_COPY_TRANSPOSE_H
#define TT_KERNELS_COPY_TRANSPOSE_H

#include <stdint.h>

#include "base/cpu.h"

typedef void (*tt_transpose)(const char *src, int64_t src_step, char *dst,
                             int64_t dst_step, int64_t n_a, int64_t n_b);

/* Any instruction set; item_bytes is 1, 2, 4, 8 or 16. */
tt_transpose tt_transpose_scalar(int item_bytes);

#ifdef __x86_64__
tt_transpose tt_transpose_avx2(int item_bytes);
tt_transpose tt_transpose_avx512(int item_bytes);
#endif

#endif
