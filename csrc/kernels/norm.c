/* Loops over the rows of a normalisation: see norm.h.  f32 goes to the row functions of
 * the processor's instruction set, other float types are computed in double here. */
#include "kernels/norm.h"

#include <math.h>

#include "base/threads.h"
#include "kernels/item.h"

enum { GRAIN_ITEMS = 16384 }; /* of a thread's share */

const tt_norm_table *tt_norm_table_of(tt_isa isa)
{
#ifdef __x86_64__
    if (isa == TT_ISA_AVX512) return &tt_norm_avx512;
    if (isa == TT_ISA_AVX2) return &tt_norm_avx2;
#endif
    (void)isa;
    return &tt_norm_ref;
}

typedef struct {
    const void *params;
    void *const *ptrs;
    const tt_norm_table *table;
    tt_status status; /* of embeddings: an index out of range */
} job;

static int64_t grain(int64_t n_columns)
{
    return n_columns >= GRAIN_ITEMS ? 1 : GRAIN_ITEMS / (n_columns + 1);
}

static const float *f32_at(const void *base, int64_t i)
{
    return base == NULL ? NULL : (const float *)base + i;
}

/* ---- layer normalisation --------------------------------------------------- */

static void layer_rows_f32(const tt_layer_norm_kernel *p, void *const *ptrs,
                           const tt_norm_table *table, int64_t begin, int64_t end)
{
    int64_t n = p->n_columns;
    float buffer[TT_LAYER_NORM_BUFFER];
    uint16_t *narrow = ptrs[TT_LAYER_NORM_NARROW];
    for (int64_t r = begin; r < end; ++r) {
        int64_t skip = p->n_skip_rows > 0 ? r % p->n_skip_rows * n : 0;
        tt_norm_row row = {
            .x = f32_at(ptrs[TT_LAYER_NORM_X], r * n),
            .skip = f32_at(ptrs[TT_LAYER_NORM_SKIP], skip),
            .bias = f32_at(ptrs[TT_LAYER_NORM_BIAS], 0),
            .scale = f32_at(ptrs[TT_LAYER_NORM_SCALE], r % p->n_scale_rows * n),
            .shift = f32_at(ptrs[TT_LAYER_NORM_SHIFT], r % p->n_shift_rows * n),
            .y = buffer};
        if (ptrs[TT_LAYER_NORM_Y] != NULL)
            row.y = (float *)ptrs[TT_LAYER_NORM_Y] + r * n;
        if (ptrs[TT_LAYER_NORM_SUM] != NULL)
            row.sum = (float *)ptrs[TT_LAYER_NORM_SUM] + r * n;
        table->row(&row, n, p->is_rms, (float)p->epsilon);
        if (narrow != NULL) table->narrow(row.y, narrow + r * n, n);
        if (ptrs[TT_LAYER_NORM_MEAN] != NULL)
            ((float *)ptrs[TT_LAYER_NORM_MEAN])[r] = row.mean;
        if (ptrs[TT_LAYER_NORM_INV_STD] != NULL)
            ((float *)ptrs[TT_LAYER_NORM_INV_STD])[r] = row.inv_std;
    }
}

static double load(const tt_layer_norm_kernel *p, const void *base, int64_t i,
                   double missing)
{
    return base == NULL ? missing : tt_item_load(p->dtype, base, i);
}

static double summed(const tt_layer_norm_kernel *p, void *const *ptrs, int64_t r,
                     int64_t i)
{
    int64_t skip = p->n_skip_rows > 0 ? r % p->n_skip_rows * p->n_columns + i : 0;
    return load(p, ptrs[TT_LAYER_NORM_X], r * p->n_columns + i, 0.0) +
           load(p, ptrs[TT_LAYER_NORM_SKIP], skip, 0.0) +
           load(p, ptrs[TT_LAYER_NORM_BIAS], i, 0.0);
}

static void layer_row_any(const tt_layer_norm_kernel *p, void *const *ptrs, int64_t r)
{
    int64_t n = p->n_columns, scale = r % p->n_scale_rows * n;
    int64_t shift = r % p->n_shift_rows * n;
    double mean = 0.0, variance = 0.0, inv_std;
    for (int64_t i = 0; i < n && !p->is_rms; ++i)
        mean += summed(p, ptrs, r, i);
    mean /= (double)n;
    for (int64_t i = 0; i < n; ++i) {
        double d = summed(p, ptrs, r, i) - mean;
        variance += d * d;
    }
    inv_std = 1.0 / sqrt(variance / (double)n + p->epsilon);
    for (int64_t i = 0; i < n; ++i) {
        double x = summed(p, ptrs, r, i), y = (x - mean) * inv_std;
        y = y * load(p, ptrs[TT_LAYER_NORM_SCALE], scale + i, 1.0) +
            load(p, ptrs[TT_LAYER_NORM_SHIFT], shift + i, 0.0);
        if (ptrs[TT_LAYER_NORM_SUM] != NULL)
            tt_item_store(p->dtype, ptrs[TT_LAYER_NORM_SUM], r * n + i, x);
        tt_item_store(p->dtype, ptrs[TT_LAYER_NORM_Y], r * n + i, y);
    }
    if (ptrs[TT_LAYER_NORM_MEAN] != NULL)
        tt_item_store(p->stat_dtype, ptrs[TT_LAYER_NORM_MEAN], r, mean);
    if (ptrs[TT_LAYER_NORM_INV_STD] != NULL)
        tt_item_store(p->stat_dtype, ptrs[TT_LAYER_NORM_INV_STD], r, inv_std);
}

static void run_layer_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_layer_norm_kernel *p = j->params;
    if (p->dtype == TT_F32 && p->stat_dtype == TT_F32) {
        layer_rows_f32(p, j->ptrs, j->table, begin, end);
        return;
    }
    for (int64_t r = begin; r < end; ++r)
        layer_row_any(p, j->ptrs, r);
}

tt_status tt_layer_norm_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_layer_norm_kernel *p = params;
    job j = {params, ptrs, tt_norm_table_of(tt_cpu_get()->isa), TT_OK};
    (void)err;
    tt_parallel_for(p->n_rows, grain(p->n_columns), run_layer_rows, &j);
    return TT_OK;
}

/* ---- embeddings -------------------------------------------------------------- */

/* Item i of the ids, or -1 when it is not an index below n. */
static int64_t index_at(const tt_embed_norm_kernel *p, const void *ids, int64_t i,
                        int64_t n)
{
    int64_t at = tt_item_load_int(p->index_dtype, ids, i);
    return at >= 0 && at < n ? at : -1;
}

static bool embed_row(const tt_embed_norm_kernel *p, void *const *ptrs,
                      const tt_norm_table *table, int64_t r)
{
    int64_t n = p->norm.n_columns;
    int64_t word = index_at(p, ptrs[TT_EMBED_NORM_IDS], r, p->n_words);
    int64_t segment = 0, position = r % p->n_positions;
    tt_norm_row row = {.scale = ptrs[TT_EMBED_NORM_SCALE],
                       .shift = ptrs[TT_EMBED_NORM_SHIFT],
                       .y = (float *)ptrs[TT_EMBED_NORM_Y] + r * n};
    if (ptrs[TT_EMBED_NORM_SEGMENT_IDS] != NULL)
        segment = index_at(p, ptrs[TT_EMBED_NORM_SEGMENT_IDS], r, p->n_segments);
    if (ptrs[TT_EMBED_NORM_POSITION_IDS] != NULL)
        position = index_at(p, ptrs[TT_EMBED_NORM_POSITION_IDS], r, p->n_position_rows);
    if (word < 0 || segment < 0 || position < 0) return false;
    row.x = f32_at(ptrs[TT_EMBED_NORM_WORDS], word * n);
    row.skip = f32_at(ptrs[TT_EMBED_NORM_POSITIONS], position * n);
    if (ptrs[TT_EMBED_NORM_SEGMENT_IDS] != NULL)
        row.bias = f32_at(ptrs[TT_EMBED_NORM_SEGMENTS], segment * n);
    if (ptrs[TT_EMBED_NORM_SUM] != NULL)
        row.sum = (float *)ptrs[TT_EMBED_NORM_SUM] + r * n;
    table->row(&row, n, false, (float)p->norm.epsilon);
    return true;
}

static void run_embed_rows(void *arg, int64_t begin, int64_t end)
{
    job *j = arg;
    for (int64_t r = begin; r < end; ++r)
        if (!embed_row(j->params, j->ptrs, j->table, r))
            __atomic_store_n(&j->status, TT_BAD_INPUT, __ATOMIC_RELAXED);
}

tt_status tt_embed_norm_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_embed_norm_kernel *p = params;
    job j = {params, ptrs, tt_norm_table_of(tt_cpu_get()->isa), TT_OK};
    tt_parallel_for(p->norm.n_rows, grain(p->norm.n_columns), run_embed_rows, &j);
    if (j.status == TT_OK) return TT_OK;
    return tt_fail(err, j.status,
                   "EmbedLayerNormalization: an id is outside its table (%lld words, "
                   "%lld positions, %lld segments)",
                   (long long)p->n_words, (long long)p->n_position_rows,
                   (long long)p->n_segments);
}

/* ---- groups --------------------------------------------------------------------- */

static void group_row_any(const tt_group_norm_kernel *p, void *const *ptrs, int64_t r)
{
    int64_t n = p->n_channels * p->n_items, group = r % p->n_groups;
    double mean = 0.0, variance = 0.0, inv_std;
    for (int64_t i = 0; i < n; ++i)
        mean += tt_item_load(p->dtype, ptrs[TT_GROUP_NORM_X], r * n + i);
    mean /= (double)n;
    for (int64_t i = 0; i < n; ++i) {
        double d = tt_item_load(p->dtype, ptrs[TT_GROUP_NORM_X], r * n + i) - mean;
        variance += d * d;
    }
    inv_std = 1.0 / sqrt(variance / (double)n + p->epsilon);
    for (int64_t i = 0; i < n; ++i) {
        int64_t c = p->per_group ? group : group * p->n_channels + i / p->n_items;
        double x = tt_item_load(p->dtype, ptrs[TT_GROUP_NORM_X], r * n + i);
        double scale = tt_item_load(p->dtype, ptrs[TT_GROUP_NORM_SCALE], c);
        double shift = tt_item_load(p->dtype, ptrs[TT_GROUP_NORM_SHIFT], c);
        tt_item_store(p->dtype, ptrs[TT_GROUP_NORM_Y], r * n + i,
                      (x - mean) * inv_std * scale + shift);
    }
}

static void run_group_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_group_norm_kernel *p = j->params;
    int64_t n = p->n_channels * p->n_items;
    for (int64_t r = begin; r < end; ++r) {
        int64_t group = r % p->n_groups;
        int64_t c = p->per_group ? group : group * p->n_channels;
        if (p->dtype == TT_F32)
            j->table->group(f32_at(j->ptrs[TT_GROUP_NORM_X], r * n),
                            f32_at(j->ptrs[TT_GROUP_NORM_SCALE], c),
                            f32_at(j->ptrs[TT_GROUP_NORM_SHIFT], c),
                            (float *)j->ptrs[TT_GROUP_NORM_Y] + r * n, p->n_channels,
                            p->n_items, p->per_group ? 0 : 1, (float)p->epsilon);
        else
            group_row_any(p, j->ptrs, r);
    }
}

tt_status tt_group_norm_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_group_norm_kernel *p = params;
    job j = {params, ptrs, tt_norm_table_of(tt_cpu_get()->isa), TT_OK};
    (void)err;
    tt_parallel_for(p->n_rows, grain(p->n_channels * p->n_items), run_group_rows, &j);
    return TT_OK;
}
