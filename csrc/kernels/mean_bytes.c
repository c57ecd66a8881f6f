/* Sums of bytes by rows or by runs; see mean_bytes.h. */
#include "kernels/mean_bytes.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/quantize.h"

enum {
    COLUMNS = 512,         /* sums of a block, on the stack */
    LONGEST_RUN = 1 << 24, /* bytes whose sum fits 32 bits */
    GRAIN_BYTES = 1 << 17  /* of one thread at least */
};

typedef struct {
    const tt_mean_bytes *mean;
    const tt_quantize_table *table;
    const uint8_t *src;
    float *dst;
    uint8_t flip; /* 0x80 turns s8 into u8 + 128 */
    int64_t n_reduced, n_columns, n_blocks;
} job;

static float finish(const job *j, uint64_t sum)
{
    const double zero = j->mean->zero_point + (j->flip != 0 ? 128.0 : 0.0);
    return (float)(((double)sum / (double)j->n_reduced - zero) * j->mean->scale);
}

/* Sums of n neighbouring columns over all reduced items. */
static void sum_columns(const job *j, const uint8_t *src, int64_t n, uint64_t *sums)
{
    const tt_reduce_kernel *k = &j->mean->dims;
    const int last = k->n_reduced - 1;
    const int64_t n_rows = last < 0 ? 1 : k->reduced[last];
    const int64_t stride = last < 0 ? 0 : k->reduced_strides[last];
    const int64_t n_outer = last <= 0 ? 1 : tt_dims_product(k->reduced, last);
    memset(sums, 0, (size_t)n * sizeof *sums);
    for (int64_t i = 0; i < n_outer; ++i) {
        int64_t at =
            last <= 0 ? 0 : tt_dims_offset(i, k->reduced, k->reduced_strides, last);
        for (int64_t row = 0; row < n_rows; row += 256) {
            int64_t rows = n_rows - row < 256 ? n_rows - row : 256;
            uint16_t partial[COLUMNS] = {0};
            j->table->add_rows(src + at + row * stride, stride, rows, j->flip, partial,
                               n);
            for (int64_t c = 0; c < n; ++c)
                sums[c] += partial[c];
        }
    }
}

/* The innermost reduced dim is contiguous: its runs; else element by element. */
static uint64_t sum_one(const job *j, const uint8_t *src)
{
    const tt_reduce_kernel *k = &j->mean->dims;
    const int last = k->n_reduced - 1;
    const bool is_run = last >= 0 && k->reduced_strides[last] == 1;
    const int64_t length = is_run ? k->reduced[last] : 1;
    const int n_dims = is_run ? last : k->n_reduced;
    const int64_t n_outer = tt_dims_product(k->reduced, n_dims);
    uint64_t sum = 0;
    for (int64_t i = 0; i < n_outer; ++i) {
        const uint8_t *at =
            src + tt_dims_offset(i, k->reduced, k->reduced_strides, n_dims);
        for (int64_t done = 0; done < length; done += LONGEST_RUN) {
            int64_t n = length - done < LONGEST_RUN ? length - done : LONGEST_RUN;
            sum += j->table->sum_run(at + done, n, j->flip);
        }
    }
    return sum;
}

static void mean_range(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_reduce_kernel *k = &j->mean->dims;
    for (int64_t i = begin; i < end; ++i) {
        if (j->n_columns == 0) {
            int64_t at = tt_dims_offset(i, k->kept, k->kept_strides, k->n_kept);
            j->dst[i] = finish(j, sum_one(j, j->src + at));
        } else {
            uint64_t sums[COLUMNS];
            int64_t outer = i / j->n_blocks, first = i % j->n_blocks * COLUMNS;
            int64_t n = j->n_columns - first < COLUMNS ? j->n_columns - first : COLUMNS;
            int64_t at = tt_dims_offset(outer, k->kept, k->kept_strides, k->n_kept - 1);
            sum_columns(j, j->src + at + first, n, sums);
            for (int64_t c = 0; c < n; ++c)
                j->dst[outer * j->n_columns + first + c] = finish(j, sums[c]);
        }
    }
}

tt_status tt_mean_bytes_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_mean_bytes *mean = params;
    const tt_reduce_kernel *k = &mean->dims;
    const int last = k->n_kept - 1;
    job j = {.mean = mean,
             .table = tt_quantize_table_best(),
             .src = ptrs[0],
             .dst = ptrs[1],
             .flip = k->dtype == TT_S8 ? 0x80 : 0,
             .n_reduced = tt_dims_product(k->reduced, k->n_reduced)};
    int64_t n_items = tt_dims_product(k->kept, k->n_kept), item_bytes = j.n_reduced;
    (void)err;
    if (last >= 0 && k->kept_strides[last] == 1 && k->kept[last] > 1) {
        j.n_columns = k->kept[last];
        j.n_blocks = (j.n_columns + COLUMNS - 1) / COLUMNS;
        n_items = n_items / j.n_columns * j.n_blocks;
        item_bytes *= j.n_columns < COLUMNS ? j.n_columns : COLUMNS;
    }
    tt_parallel_for(n_items, 1 + GRAIN_BYTES / (item_bytes + 1), mean_range, &j);
    return TT_OK;
}
