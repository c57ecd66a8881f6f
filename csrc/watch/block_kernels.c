/* The plain form of the loops over blocks, and which form this processor gets: see
 * block_kernels.h. */
#include "watch/block_kernels.h"

const tt_block_kernels *tt_block_kernels_of(tt_isa isa)
{
#ifdef __x86_64__
    if (isa == TT_ISA_AVX512) return &tt_block_kernels_avx512;
    if (isa == TT_ISA_AVX2) return &tt_block_kernels_avx2;
#endif
    (void)isa;
    return &tt_block_kernels_ref;
}

/* Loops over values of a type; the cells of finite values lie on the grid. */
#define DEFINE_SCAN(name, type)                                      \
    void name(const type *x, int64_t n, tt_scan *out)                \
    {                                                                \
        *out = (tt_scan){.minimum = HUGE_VAL, .maximum = -HUGE_VAL}; \
        for (int64_t i = 0; i < n; ++i) {                            \
            double v = (double)x[i];                                 \
            if (!isfinite(v)) continue;                              \
            ++out->n;                                                \
            out->sum += v;                                           \
            if (v < out->minimum) out->minimum = v;                  \
            if (v > out->maximum) out->maximum = v;                  \
        }                                                            \
    }

#define DEFINE_CELLS(name, type)                                            \
    double name(const type *x, int64_t n, const tt_grid *grid, double mean, \
                uint16_t *cells)                                            \
    {                                                                       \
        double m2 = 0.0, scale = tt_grid_scale(grid->exponent);             \
        for (int64_t i = 0; i < n; ++i) {                                   \
            double v = (double)x[i];                                        \
            cells[i] = TT_GRID_CELLS;                                       \
            if (!isfinite(v)) continue;                                     \
            cells[i] = (uint16_t)(tt_grid_cell(v, scale) - grid->first);    \
            m2 += (v - mean) * (v - mean);                                  \
        }                                                                   \
        return m2;                                                          \
    }

DEFINE_SCAN(tt_scan_f64, double)
DEFINE_CELLS(tt_cells_f64, double)
static DEFINE_SCAN(scan_f32, float) static DEFINE_CELLS(cells_f32, float)

    static void columns_f32(const float *x, int64_t stride, int64_t n_rows,
                            int64_t n_columns, const tt_columns *out)
{
    for (int64_t r = 0; r < n_rows; ++r, x += stride)
        for (int64_t c = 0; c < n_columns; ++c) {
            double v = (double)x[c];
            if (!isfinite(v)) continue;
            ++out->n[c];
            out->sum[c] += v;
            if (v < out->minimum[c]) out->minimum[c] = v;
            if (v > out->maximum[c]) out->maximum[c] = v;
        }
}

const tt_block_kernels tt_block_kernels_ref = {"ref", scan_f32, cells_f32, columns_f32};
