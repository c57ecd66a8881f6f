/* Largest bytes of sliding windows, channels-last, one or two spatial dims, without
 * dilation: rows of a window first, over all pixels and channels at once, then what is
 * left of it column by column. */
#ifndef TT_KERNELS_MAX_BYTES_H
#define TT_KERNELS_MAX_BYTES_H

#include <stddef.h>

#include "base/shape.h"
#include "base/status.h"

/* Every window has a pixel of the image. */
typedef struct {
    bool is_signed; /* s8, else u8 */
    int64_t batch, channels, src_h, src_w, dst_h, dst_w;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    int n_slots; /* pieces the work is dealt to, each with scratch of its own */
} tt_max_bytes;

enum {
    TT_MAX_BYTES_SRC,
    TT_MAX_BYTES_DST,
    TT_MAX_BYTES_SCRATCH,
    TT_MAX_BYTES_POINTERS
};

/* False: too many. */
bool tt_max_bytes_scratch(const tt_max_bytes *kernel, size_t *out);
/* A tt_kernel of plan/lower.h. */
tt_status tt_max_bytes_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_max_bytes_name(void);

/* ---- per instruction set ------------------------------------------------------- */

/* to[i] = the largest of from[i + j * step], j < n_from; to overlaps none of them. */
typedef void (*tt_max_bytes_fn)(void *to, const void *from, int64_t n, int64_t n_from,
                                int64_t step);

typedef struct {
    const char *name;
    tt_max_bytes_fn u8, s8;
} tt_max_bytes_table;

extern const tt_max_bytes_table tt_max_bytes_scalar, tt_max_bytes_avx2,
    tt_max_bytes_avx512;

#endif
