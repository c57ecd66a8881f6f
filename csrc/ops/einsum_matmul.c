/* Einsum of two tensors as a batch of matrix products: see einsum_lower.h.
 *
 * Labels fall into four groups: batch (in both, kept), rows (of x), columns (of y) and
 * inner ones (in both, summed).  Rows, columns and inner labels must each look like one
 * dim in memory; a tensor where they do not is copied.  Where the output cannot be
 * written row-major it is written as [batch, rows, columns] and seen with other strides. */
#include <string.h>

#include "ops/einsum_lower.h"
#include "ops/matmul_common.h"

typedef struct {
    const tt_einsum_state *s;
    tt_einsum_view x, y, dst;
    tt_label_list batch, rows, columns, inner;
} product;

/* Do the labels have strides like those of a single dim? */
static bool is_one_dim(const product *p, const tt_label_list *list,
                       const int64_t *strides)
{
    for (int i = 0; i + 1 < list->n; ++i) {
        int label = list->labels[i], next = list->labels[i + 1];
        if (strides[label] != strides[next] * p->s->e.dims[next]) return false;
    }
    return true;
}

static int64_t last_stride(const tt_label_list *list, const int64_t *strides)
{
    return list->n == 0 ? 1 : strides[list->labels[list->n - 1]];
}

static int64_t size_of(const product *p, const tt_label_list *list)
{
    int64_t n = 1;
    for (int i = 0; i < list->n; ++i)
        n *= p->s->e.dims[list->labels[i]];
    return n;
}

/* ---- layouts ------------------------------------------------------------------ */

static void append(tt_label_list *list, const tt_label_list *more)
{
    for (int i = 0; i < more->n; ++i)
        list->labels[list->n++] = more->labels[i];
}

/* A copy of `view` with its dims in this order. */
static tt_status copy_view(const product *p, tt_einsum_view *view, tt_label_list a,
                           const tt_label_list *b, const tt_label_list *c,
                           tt_error *err)
{
    tt_shape shape = {.dtype = p->s->dtype};
    int64_t from[TT_MAX_RANK], to[TT_MAX_RANK];
    append(&a, b);
    append(&a, c);
    shape.rank = a.n;
    for (int i = 0; i < a.n; ++i) {
        shape.dims[i] = p->s->e.dims[a.labels[i]];
        from[i] = view->strides[a.labels[i]];
    }
    tt_strides_row_major(shape.dims, shape.rank, to);
    TT_TRY(tt_lower_subview(p->s->lower, view->operand, &shape, from, 0, &view->operand,
                            err));
    TT_TRY(tt_lower_copy(p->s->lower, view->operand, to, &view->operand, err));
    view->is_constant = false;
    for (int i = 0; i < a.n; ++i)
        view->strides[a.labels[i]] = to[i];
    return TT_OK;
}

/* The order of the inner labels, and copies where it does not suit. */
static tt_status settle_operands(product *p, tt_labels inner, tt_error *err)
{
    bool x_fits, y_fits;
    TT_TRY(tt_einsum_list(p->s, inner, p->x.strides, &p->inner, err));
    if (!is_one_dim(p, &p->inner, p->x.strides))
        TT_TRY(tt_einsum_list(p->s, inner, p->y.strides, &p->inner, err));
    x_fits =
        is_one_dim(p, &p->inner, p->x.strides) && is_one_dim(p, &p->rows, p->x.strides);
    y_fits = is_one_dim(p, &p->inner, p->y.strides) &&
             is_one_dim(p, &p->columns, p->y.strides);
    if (!x_fits) TT_TRY(copy_view(p, &p->x, p->batch, &p->rows, &p->inner, err));
    if (y_fits) return TT_OK;
    return copy_view(p, &p->y, p->batch, &p->inner, &p->columns, err);
}

/* Rows and columns in the order of the output, if it can be written row-major. */
static tt_status try_row_major(product *p, tt_labels rows, tt_labels columns,
                               tt_labels batch, bool *fits, tt_error *err)
{
    int64_t strides[TT_EINSUM_LABELS];
    tt_einsum_row_major(p->s, strides);
    TT_TRY(tt_einsum_list(p->s, batch, strides, &p->batch, err));
    TT_TRY(tt_einsum_list(p->s, rows, strides, &p->rows, err));
    TT_TRY(tt_einsum_list(p->s, columns, strides, &p->columns, err));
    *fits = is_one_dim(p, &p->rows, strides) && is_one_dim(p, &p->columns, strides) &&
            last_stride(&p->columns, strides) == 1;
    return *fits ? tt_einsum_result(p->s, &p->dst, err) : TT_OK;
}

static tt_status settle_dst(product *p, tt_labels rows, tt_labels columns,
                            tt_labels batch, bool is_final, tt_error *err)
{
    tt_label_list list;
    bool fits = false;
    if (is_final) TT_TRY(try_row_major(p, rows, columns, batch, &fits, err));
    if (fits) return TT_OK;
    TT_TRY(tt_einsum_list(p->s, batch, p->x.strides, &p->batch, err));
    TT_TRY(tt_einsum_list(p->s, rows, p->x.strides, &p->rows, err));
    TT_TRY(tt_einsum_list(p->s, columns, p->y.strides, &p->columns, err));
    list = p->batch;
    append(&list, &p->rows);
    append(&list, &p->columns);
    return tt_einsum_dense(p->s, &list, is_final, &p->dst, err);
}

/* ---- the product ---------------------------------------------------------------- */

/* Appends the batch labels as dims, neighbours in all three tensors as one. */
static void add_batch(const product *p, tt_md *a, tt_md *b, tt_md *dst)
{
    for (int i = 0; i < p->batch.n; ++i) {
        int label = p->batch.labels[i], at = dst->ndims;
        int64_t dim = p->s->e.dims[label];
        int64_t steps[3] = {p->x.strides[label], p->y.strides[label],
                            p->dst.strides[label]};
        bool continues = at > 0 && a->strides[at - 1] == steps[0] * dim &&
                         b->strides[at - 1] == steps[1] * dim &&
                         dst->strides[at - 1] == steps[2] * dim;
        int64_t size = continues ? dst->dims[--at] * dim : dim;
        a->dims[at] = b->dims[at] = dst->dims[at] = size;
        a->strides[at] = steps[0];
        b->strides[at] = steps[1];
        dst->strides[at] = steps[2];
        a->ndims = b->ndims = dst->ndims = at + 1;
    }
}

static void add_dim(tt_md *md, int64_t dim, int64_t stride)
{
    md->dims[md->ndims] = dim;
    md->strides[md->ndims++] = stride;
}

static tt_status lower_product(const product *p, tt_error *err)
{
    tt_dtype dtype = p->s->dtype;
    int64_t m = size_of(p, &p->rows), n = size_of(p, &p->columns);
    int64_t k = size_of(p, &p->inner);
    tt_matmul matmul = {.a = p->x.operand,
                        .b = p->y.operand,
                        .a_md = {.dtype = dtype},
                        .b_md = {.dtype = dtype},
                        .dst_md = {.dtype = dtype},
                        .has_constant_b = p->y.is_constant,
                        .bias = TT_NO_OPERAND,
                        .has_dst = true,
                        .dst = p->dst.operand,
                        .args = tt_prim_args_empty()};
    add_batch(p, &matmul.a_md, &matmul.b_md, &matmul.dst_md);
    if (p->rows.n == 0) /* a row whose stride does not look like a column's */
        add_dim(&matmul.a_md, 1, k * last_stride(&p->inner, p->x.strides));
    else
        add_dim(&matmul.a_md, m, last_stride(&p->rows, p->x.strides));
    add_dim(&matmul.a_md, k, last_stride(&p->inner, p->x.strides));
    add_dim(&matmul.b_md, k, last_stride(&p->inner, p->y.strides));
    add_dim(&matmul.b_md, n, last_stride(&p->columns, p->y.strides));
    add_dim(&matmul.dst_md, m,
            p->rows.n == 0 ? n : last_stride(&p->rows, p->dst.strides));
    add_dim(&matmul.dst_md, n, last_stride(&p->columns, p->dst.strides));
    return tt_matmul_lower(p->s->lower, p->s->node, &matmul, err);
}

tt_status tt_einsum_matmul(const tt_einsum_state *s, const tt_einsum_view *x,
                           const tt_einsum_view *y, tt_labels keep, bool is_final,
                           tt_einsum_view *out, bool *is_done, tt_error *err)
{
    tt_labels both = x->labels & y->labels, inner = both & ~keep, batch = both & keep;
    tt_labels rows = x->labels & ~both, columns = y->labels & ~both;
    int last = -1;
    product p = {.s = s, .x = *x, .y = *y};
    *is_done = inner != 0 && (rows | columns) != 0 &&
               tt_einsum_size(&s->e, x->labels | y->labels) > 0.0 &&
               __builtin_popcountll(batch) + 2 <= TT_MAX_RANK;
    if (!*is_done) return TT_OK;
    for (int i = 0; i < s->e.out.rank && is_final; ++i)
        if (s->e.dims[s->e.out.labels[i]] != 1) last = s->e.out.labels[i];
    if (last >= 0 && tt_labels_has(rows, last)) { /* columns come last in memory */
        tt_labels swapped = rows;
        rows = columns;
        columns = swapped;
        p.x = *y;
        p.y = *x;
    }
    TT_TRY(settle_dst(&p, rows, columns, batch, is_final, err));
    TT_TRY(settle_operands(&p, inner, err));
    *out = p.dst;
    return lower_product(&p, err);
}
