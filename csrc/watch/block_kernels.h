/* The inner loops over a block of floats, for each instruction set.
 *
 * Counts, minima and maxima are the same on all of them, bit for bit (but for the sign
 * of zeros); sums differ by rounding. */
#ifndef TT_WATCH_BLOCK_KERNELS_H
#define TT_WATCH_BLOCK_KERNELS_H

#include "base/cpu.h"
#include "watch/grid.h"

/* What one block holds; of the finite values. */
typedef struct {
    int64_t n;
    double minimum, maximum, sum; /* +inf, -inf and 0 if n is 0 */
} tt_scan;

/* The same for each of n_columns columns: arrays, which the kernels add to. */
typedef struct {
    int64_t *n;
    double *minimum, *maximum, *sum;
} tt_columns;

typedef struct {
    const char *name;
    void (*scan)(const float *x, int64_t n, tt_scan *out);
    /* The cell of each value, counted from grid->first; TT_GRID_CELLS for one that is
     * not finite.  All others must lie on the grid, which must be within
     * TT_GRID_F32_EXPONENT.  Returns the sum of (x - mean)^2 of the finite ones. */
    double (*cells)(const float *x, int64_t n, const tt_grid *grid, double mean,
                    uint16_t *cells);
    /* Rows `stride` floats apart; n_rows <= TT_SCAN_ROWS. */
    void (*columns)(const float *x, int64_t stride, int64_t n_rows, int64_t n_columns,
                    const tt_columns *out);
} tt_block_kernels;

enum { TT_SCAN_ROWS = 1 << 20 };

extern const tt_block_kernels tt_block_kernels_ref;
#ifdef __x86_64__
extern const tt_block_kernels tt_block_kernels_avx2, tt_block_kernels_avx512;
#endif

/* The kernels of an instruction set, which the processor must have. */
const tt_block_kernels *tt_block_kernels_of(tt_isa isa);

/* The same for doubles, in plain C; any grid. */
void tt_scan_f64(const double *x, int64_t n, tt_scan *out);
double tt_cells_f64(const double *x, int64_t n, const tt_grid *grid, double mean,
                    uint16_t *cells);

#endif
