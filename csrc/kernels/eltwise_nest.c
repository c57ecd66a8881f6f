/* From dims and strides to loops: order, merge, cut into tiles. */
#include <string.h>

#include "kernels/eltwise_plan.h"

enum {
    N_ROW = 64,      /* rows at least this long are tiles of their own */
    N_GATHERED = 512 /* elements of a tile that holds several rows */
};

/* Inserts dim `d` of the result behind those with smaller strides of the store, so
 * that the store is written in the order of its memory. */
static void insert_dim(tt_eltwise_nest *nest, int64_t dim, const int64_t *strides,
                       int first_store)
{
    int at = nest->n_dims;
    while (at > 0 && nest->strides[first_store][at - 1] > strides[first_store])
        --at;
    for (int i = nest->n_dims; i > at; --i) {
        nest->dims[i] = nest->dims[i - 1];
        for (int k = 0; k < nest->n_operands; ++k)
            nest->strides[k][i] = nest->strides[k][i - 1];
    }
    nest->dims[at] = dim;
    for (int k = 0; k < nest->n_operands; ++k)
        nest->strides[k][at] = strides[k];
    ++nest->n_dims;
}

static bool can_merge(const tt_eltwise_nest *nest, int inner, int outer)
{
    for (int k = 0; k < nest->n_operands; ++k)
        if (nest->strides[k][outer] != nest->strides[k][inner] * nest->dims[inner])
            return false;
    return true;
}

static void merge_dims(tt_eltwise_nest *nest)
{
    int n = 1;
    for (int i = 1; i < nest->n_dims; ++i) {
        if (can_merge(nest, n - 1, i)) {
            nest->dims[n - 1] *= nest->dims[i];
            continue;
        }
        nest->dims[n] = nest->dims[i];
        for (int k = 0; k < nest->n_operands; ++k)
            nest->strides[k][n] = nest->strides[k][i];
        ++n;
    }
    nest->n_dims = n;
}

void tt_eltwise_nest_make(const tt_shape *dims, int n_loads,
                          const int64_t (*load_strides)[TT_MAX_RANK], int n_stores,
                          const int64_t (*store_strides)[TT_MAX_RANK],
                          tt_eltwise_nest *nest)
{
    memset(nest, 0, sizeof *nest);
    nest->n_operands = n_loads + n_stores;
    for (int i = dims->rank - 1; i >= 0; --i) {
        int64_t strides[TT_ELTWISE_MAX_OPERANDS];
        if (dims->dims[i] == 1) continue;
        for (int k = 0; k < n_loads; ++k)
            strides[k] = load_strides[k][i];
        for (int k = 0; k < n_stores; ++k)
            strides[n_loads + k] = store_strides[k][i];
        insert_dim(nest, dims->dims[i], strides, n_loads);
    }
    if (nest->n_dims == 0) {
        nest->n_dims = 1;
        nest->dims[0] = 1;
        for (int k = 0; k < nest->n_operands; ++k)
            nest->strides[k][0] = 1;
    }
    merge_dims(nest);
}

/* ---- tiles ---------------------------------------------------------------- */

static int64_t tile_extent(const tt_eltwise_nest *nest, const tt_eltwise_tiling *tiling,
                           int dim)
{
    return dim == tiling->n_dims - 1 ? tiling->chunk : nest->dims[dim];
}

static tt_tile_kind kind_of(const tt_eltwise_nest *nest,
                            const tt_eltwise_tiling *tiling, int operand)
{
    const int64_t *strides = nest->strides[operand];
    bool is_scalar = true, is_contiguous = true;
    int64_t expected = 1;
    for (int i = 0; i < tiling->n_dims; ++i) {
        int64_t extent = tile_extent(nest, tiling, i);
        if (extent == 1) continue;
        if (strides[i] != 0) is_scalar = false;
        if (strides[i] != expected) is_contiguous = false;
        expected *= extent;
    }
    if (is_contiguous) return TT_TILE_CONTIGUOUS;
    return is_scalar ? TT_TILE_SCALAR : TT_TILE_STRIDED;
}

/* Does no loop move the operand? */
static bool is_fixed(const tt_eltwise_nest *nest, const tt_eltwise_tiling *tiling,
                     int operand)
{
    int last = tiling->n_dims - 1;
    if (tiling->counts[0] > 1 && nest->strides[operand][last] != 0) return false;
    for (int i = tiling->n_dims; i < nest->n_dims; ++i)
        if (nest->strides[operand][i] != 0) return false;
    return true;
}

void tt_eltwise_tile(const tt_eltwise_nest *nest, int64_t n_block,
                     tt_eltwise_tiling *tiling)
{
    int64_t n_inner = 1, n_last_chunk, dim;
    int last = 0;
    if (nest->dims[0] < N_ROW && n_block > N_GATHERED) n_block = N_GATHERED;
    if (nest->dims[0] < N_ROW)
        while (last + 1 < nest->n_dims && n_inner * nest->dims[last] * 2 <= n_block)
            n_inner *= nest->dims[last++];
    memset(tiling, 0, sizeof *tiling);
    dim = nest->dims[last];
    tiling->n_dims = last + 1;
    tiling->chunk = n_block / n_inner < dim ? n_block / n_inner : dim;
    tiling->counts[0] = (dim + tiling->chunk - 1) / tiling->chunk;
    n_last_chunk = dim - (tiling->counts[0] - 1) * tiling->chunk;
    tiling->n_full = n_inner * tiling->chunk;
    tiling->n_last = n_inner * n_last_chunk;
    tiling->n_loops = 1;
    for (int i = last + 1; i < nest->n_dims; ++i)
        tiling->counts[tiling->n_loops++] = nest->dims[i];
    tiling->n_tiles = 1;
    for (int i = 0; i < tiling->n_loops; ++i)
        tiling->n_tiles *= tiling->counts[i];
    for (int k = 0; k < nest->n_operands; ++k) {
        tiling->kinds[k] = kind_of(nest, tiling, k);
        tiling->is_fixed[k] = tiling->n_tiles > 1 && is_fixed(nest, tiling, k);
    }
}
