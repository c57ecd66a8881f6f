/* The inner loops over values of one numeric column, for each instruction set.  All
 * leave the same, bit for bit. */
#ifndef TT_WATCH_TABLE_KERNELS_H
#define TT_WATCH_TABLE_KERNELS_H

#include "watch/table_state.h"

enum {
    /* Values of a call, at most: a quarter is counted in 8 bits, and half of them has
     * squares that fit 64 */
    TT_TILE_ROWS = 512,
    TT_TILE_COLUMNS = 16,
    /* columns of a strip are so far apart that they do not meet in the cache */
    TT_TILE_STRIDE = TT_TILE_ROWS + 16,
};

typedef struct {
    const char *name;
    /* n <= TT_TILE_ROWS; floats need bins->has_f32. */
    void (*add_f32)(const tt_table_bins *bins, const float *x, int64_t n,
                    const tt_table_cells *cells);
    void (*add_f64)(const tt_table_bins *bins, const double *x, int64_t n,
                    const tt_table_cells *cells);
    /* dst[c * TT_TILE_STRIDE + r] = the float at src + r * stride + 4 c; n_columns <=
     * TT_TILE_COLUMNS, n_rows <= TT_TILE_ROWS. */
    void (*columns_f32)(const char *src, int64_t stride, int64_t n_rows,
                        int64_t n_columns, float *dst);
} tt_table_kernels;

extern const tt_table_kernels tt_table_kernels_ref;
#ifdef __x86_64__
extern const tt_table_kernels tt_table_kernels_avx2, tt_table_kernels_avx512;
#endif

/* The kernels of an instruction set, which the processor must have. */
const tt_table_kernels *tt_table_kernels_of(tt_isa isa);

#endif
