/* The plain form of the loops over columns, and which form this processor gets: see
 * table_kernels.h. */
#include "watch/table_kernels.h"

const tt_table_kernels *tt_table_kernels_of(tt_isa isa)
{
#ifdef __x86_64__
    if (isa == TT_ISA_AVX512) return &tt_table_kernels_avx512;
    if (isa == TT_ISA_AVX2) return &tt_table_kernels_avx2;
#endif
    (void)isa;
    return &tt_table_kernels_ref;
}

static void add_f32(const tt_table_bins *bins, const float *x, int64_t n,
                    const tt_table_cells *cells)
{
    for (int64_t i = 0; i < n; ++i)
        tt_table_add_number(bins, (double)x[i], cells);
}

static void add_f64(const tt_table_bins *bins, const double *x, int64_t n,
                    const tt_table_cells *cells)
{
    for (int64_t i = 0; i < n; ++i)
        tt_table_add_number(bins, x[i], cells);
}

static void columns_f32(const char *src, int64_t stride, int64_t n_rows,
                        int64_t n_columns, float *dst)
{
    for (int64_t r = 0; r < n_rows; ++r, src += stride)
        for (int64_t c = 0; c < n_columns; ++c)
            memcpy(dst + c * TT_TILE_STRIDE + r, src + c * (int64_t)sizeof *dst,
                   sizeof *dst);
}

const tt_table_kernels tt_table_kernels_ref = {"ref", add_f32, add_f64, columns_f32};
