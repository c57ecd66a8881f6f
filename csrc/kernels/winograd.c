/* Winograd convolution: packing, and dealing tiles to threads in groups that pass
 * through L2. */
#include "kernels/winograd.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"

enum {
    PLANES = 36,
    PLANE_GAP = 16
}; /* floats that keep planes off each other's sets */

static const tt_winograd_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_winograd_avx512;
    if (isa == TT_ISA_AVX2) return &tt_winograd_avx2;
#endif
    return &tt_winograd_scalar;
}

const char *tt_winograd_name(void)
{
    return table()->name;
}

int64_t tt_winograd_tiles(const tt_conv_own *k)
{
    return k->batch * ((k->dst_h + 3) / 4) * ((k->dst_w + 3) / 4);
}

static tt_channel_cut cut(int64_t dst_channels)
{
    return tt_cut_channels(dst_channels, table()->lanes, table()->max_vectors);
}

/* ---- weights ---------------------------------------------------------------------- */

/* G g, for the points of winograd.inc.h: p^0, p^1, p^2 over the product of p's
 * distances from the other points. */
static void transform(const double g[3], double u[6])
{
    const double a = 0.70710678118654752, b = 1.4142135623730950;
    double even = (g[0] + g[2] * 0.5) / -1.5, odd = g[1] * a / -1.5;
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    even = (g[0] + g[2] * 2.0) / 6.0;
    odd = g[1] * b / 6.0;
    u[3] = even + odd;
    u[4] = even - odd;
    u[5] = g[2];
}

/* G g G^T. */
static void transform_filter(const float *g, int64_t row, int64_t column, double u[36])
{
    double half[3][6], line[6];
    for (int x = 0; x < 3; ++x) {
        double down[3];
        for (int y = 0; y < 3; ++y)
            down[y] = (double)g[y * row + x * column];
        transform(down, half[x]);
    }
    for (int y = 0; y < 6; ++y) {
        double across[3] = {half[0][y], half[1][y], half[2][y]};
        transform(across, line);
        memcpy(u + (size_t)y * 6, line, sizeof line);
    }
}

size_t tt_winograd_packed_bytes(int64_t src_channels, int64_t dst_channels)
{
    tt_channel_cut c = cut(dst_channels);
    return (size_t)(c.blocks * PLANES * src_channels * c.vectors * table()->lanes) *
           sizeof(float);
}

/* [block][plane][src channel][dst channel of the block]; zeros behind the last. */
void tt_winograd_pack(const float *weights, int64_t src_channels, int64_t dst_channels,
                      const int64_t strides[4], float *packed)
{
    tt_channel_cut c = cut(dst_channels);
    int64_t width = c.vectors * table()->lanes;
    memset(packed, 0, tt_winograd_packed_bytes(src_channels, dst_channels));
    for (int64_t to = 0; to < dst_channels; ++to)
        for (int64_t from = 0; from < src_channels; ++from) {
            const float *g = weights + to * strides[0] + from * strides[1];
            float *at = packed + to / width * PLANES * src_channels * width +
                        from * width + to % width;
            double u[PLANES];
            transform_filter(g, strides[2], strides[3], u);
            for (int64_t i = 0; i < PLANES; ++i)
                at[i * src_channels * width] = (float)u[i];
        }
}

/* ---- running ---------------------------------------------------------------------- */

/* The groups of a call: as many tiles as keep inputs and products in most of L2, a
 * multiple of the rows that the products take at once. */
typedef struct {
    int64_t tiles, rows, input_row, product_row, input_plane, product_plane;
    int64_t zeros, slot; /* floats */
} grouping;

static int64_t rounded(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

static grouping group_tiles(const tt_conv_own *k)
{
    const tt_winograd_table *t = table();
    tt_channel_cut c = cut(k->dst_channels);
    int64_t rows = t->rows[c.vectors - 1], all = tt_winograd_tiles(k);
    int64_t l2 = (int64_t)tt_cpu_get()->l2_bytes / (int64_t)sizeof(float), fit;
    grouping g = {.rows = rows,
                  .input_row = rounded(k->src_channels, t->lanes),
                  .product_row = c.vectors * t->lanes};
    fit = l2 * 3 / 4 / (PLANES * (g.input_row + g.product_row));
    if (fit > (all + k->n_slots - 1) / k->n_slots)
        fit = (all + k->n_slots - 1) / k->n_slots;
    g.tiles = rounded(fit < rows ? rows : fit - rows + 1, rows);
    g.input_plane = g.tiles * g.input_row + PLANE_GAP;
    g.product_plane = g.tiles * g.product_row + PLANE_GAP;
    g.zeros = g.input_row;
    g.slot = rounded(g.zeros + PLANES * (g.input_plane + g.product_plane), PLANE_GAP);
    return g;
}

size_t tt_winograd_scratch_bytes(const tt_conv_own *k)
{
    return (size_t)(group_tiles(k).slot * k->n_slots) * sizeof(float);
}

typedef struct {
    tt_winograd_group group;
    grouping size;
    float *scratch;
} winograd_call;

static void run_slot(const winograd_call *call, int64_t slot)
{
    const tt_conv_own *k = call->group.kernel;
    const grouping *size = &call->size;
    tt_winograd_group g = call->group;
    int64_t all = tt_winograd_tiles(k);
    int64_t groups = (all + size->tiles - 1) / size->tiles;
    int64_t end = groups * (slot + 1) / k->n_slots;
    g.zeros = call->scratch + slot * size->slot;
    g.inputs = g.zeros + size->zeros;
    g.products = g.inputs + PLANES * size->input_plane;
    memset(g.zeros, 0, (size_t)size->zeros * sizeof(float));
    for (int64_t i = groups * slot / k->n_slots; i < end; ++i) {
        g.first = i * size->tiles;
        g.n = all - g.first < size->tiles ? all - g.first : size->tiles;
        g.padded_n = rounded(g.n, size->rows);
        table()->run(&g);
    }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    for (int64_t slot = begin; slot < end; ++slot)
        run_slot(arg, slot);
}

tt_status tt_winograd_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_conv_own *k = params;
    winograd_call call = {
        .group = {.kernel = k,
                  .cut = cut(k->dst_channels),
                  .src = ptrs[TT_CONV_OWN_SRC],
                  .weights = ptrs[TT_CONV_OWN_WEIGHTS],
                  .bias = ptrs[TT_CONV_OWN_BIAS],
                  .dst = ptrs[TT_CONV_OWN_DST]},
        .size = group_tiles(k),
        .scratch = ptrs[TT_CONV_OWN_SCRATCH]
    };
    (void)err;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        call.group.operands[i] = ptrs[TT_CONV_OWN_POST + i];
    call.group.input_plane = call.size.input_plane;
    call.group.product_plane = call.size.product_plane;
    tt_parallel_for(k->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
