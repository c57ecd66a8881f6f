/* Determinants: see det.h. */
#include "kernels/det.h"

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/item.h"

bool tt_det_scratch_bytes(const tt_det *det, size_t *out)
{
    size_t n = (size_t)det->n;
    return tt_mul_size(n, n, &n) && tt_mul_size(n, sizeof(double), &n) &&
           tt_mul_size(n, (size_t)det->n_parts, out);
}

/* The row from `row` on whose item of this column is the largest; NaN counts as large,
 * so that it gets into the result. */
static int64_t pivot_of(const double *a, int64_t n, int64_t row)
{
    int64_t best = row;
    for (int64_t i = row + 1; i < n; ++i) {
        if (a[best * n + row] != a[best * n + row]) break;
        if (!(fabs(a[i * n + row]) <= fabs(a[best * n + row]))) best = i;
    }
    return best;
}

static void swap_rows(double *a, double *b, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        double item = a[i];
        a[i] = b[i];
        b[i] = item;
    }
}

/* Destroys a. */
static double determinant(double *a, int64_t n)
{
    double product = 1.0;
    for (int64_t row = 0; row < n; ++row) {
        int64_t pivot = pivot_of(a, n, row);
        double *from = a + row * n, item;
        if (pivot != row) {
            swap_rows(from + row, a + pivot * n + row, n - row);
            product = -product;
        }
        item = from[row];
        product *= item;
        if (item == 0.0) continue; /* and so are all below it */
        for (int64_t i = row + 1; i < n; ++i) {
            double *to = a + i * n, factor = to[row] / item;
            if (factor == 0.0) continue;
            for (int64_t k = row + 1; k < n; ++k)
                to[k] -= factor * from[k];
        }
    }
    return product;
}

typedef struct {
    const tt_det *det;
    const void *src;
    void *dst;
    double *scratch;
} det_call;

static void run_parts(void *arg, int64_t begin, int64_t end)
{
    const det_call *call = arg;
    const tt_det *det = call->det;
    int64_t n_items = det->n * det->n;
    for (int64_t part = begin; part < end; ++part) {
        double *a = call->scratch + part * n_items;
        for (int64_t m = part; m < det->n_matrices; m += det->n_parts) {
            for (int64_t i = 0; i < n_items; ++i)
                a[i] = tt_item_load(det->dtype, call->src, m * n_items + i);
            tt_item_store(det->dtype, call->dst, m, determinant(a, det->n));
        }
    }
}

void tt_det_run(const tt_det *det, const void *src, void *dst, double *scratch)
{
    det_call call = {det, src, dst, scratch};
    tt_parallel_for(det->n_parts, 1, run_parts, &call);
}
