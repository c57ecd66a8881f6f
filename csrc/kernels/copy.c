/* Planning and running of strided copies: see copy.h.
 *
 * The plan is a nest of loops over bytes: up to eight outer dims, walked like an
 * odometer, around a two-dimensional block that one of the inner functions below
 * copies.  A block is cut into units, and ranges of units go to the threads. */
#include "kernels/copy.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/copy_transpose.h"

typedef enum {
    COPY_EMPTY,
    COPY_FLAT,      /* one run of n0 bytes */
    COPY_ROWS,      /* n1 runs of n0 bytes */
    COPY_FILL,      /* n1 rows of n0 items, all equal to the row's one source item */
    COPY_TRANSPOSE, /* n1 rows of n0 items; src contiguous along n1 */
    COPY_STRIDED    /* n1 rows of n0 items, any strides */
} copy_kind;

typedef struct {
    int64_t n, src, dst; /* extent; steps in bytes */
} copy_dim;

enum {
    BLOCK_BYTES = 16384,        /* of a transposition: src and dst fit L1 */
    UNIT_BYTES = 16384,         /* of a flat copy */
    PARALLEL_BYTES = 192 * 1024 /* below, waking a thread costs more than it saves */
};

struct tt_copy {
    copy_kind kind;
    tt_isa isa;
    int item_bytes, n_outer;
    copy_dim inner, rows;
    int64_t block_rows, n_row_blocks;   /* transposition: blocks of dst rows, */
    int64_t block_items, n_item_blocks; /* and of items of them */
    int64_t units_per_block, n_units, grain;
    int64_t n_bytes, n_rows;
    copy_dim outer[TT_MAX_RANK];
};

/* ---- planning ------------------------------------------------------------ */

/* Dims with more than one item, in bytes, largest step of dst first. */
static bool collect(size_t item_bytes, const tt_shape *dims, const int64_t *src_strides,
                    const int64_t *dst_strides, copy_dim *out, int *n_out)
{
    int n = 0;
    for (int i = 0; i < dims->rank; ++i) {
        copy_dim dim = {.n = dims->dims[i]};
        int64_t extent;
        int at = n;
        if (dim.n == 1) continue;
        if (!tt_mul_i64(src_strides[i], (int64_t)item_bytes, &dim.src)) return false;
        if (!tt_mul_i64(dst_strides[i], (int64_t)item_bytes, &dim.dst)) return false;
        if (!tt_mul_i64(dim.src, dim.n, &extent)) return false;
        if (!tt_mul_i64(dim.dst, dim.n, &extent)) return false;
        while (at > 0 && (out[at - 1].dst < dim.dst ||
                          (out[at - 1].dst == dim.dst && out[at - 1].src < dim.src))) {
            out[at] = out[at - 1];
            --at;
        }
        out[at] = dim;
        ++n;
    }
    *n_out = n;
    return true;
}

/* Joins neighbours that are one longer dim in both tensors. */
static int merge(copy_dim *dims, int n)
{
    int last = 0;
    for (int i = 1; i < n; ++i) {
        copy_dim *a = &dims[last], b = dims[i];
        if (a->src == b.src * b.n && a->dst == b.dst * b.n) {
            *a = (copy_dim){a->n * b.n, b.src, b.dst};
        } else {
            dims[++last] = b;
        }
    }
    return n == 0 ? 0 : last + 1;
}

/* Makes an innermost run of 2, 4, 8 or 16 bytes one item, where all steps allow. */
static int widen(copy_dim *dims, int n, int *item_bytes)
{
    copy_dim run;
    int64_t run_bytes;
    if (n == 0) return 0;
    run = dims[n - 1];
    if (run.src != *item_bytes || run.dst != *item_bytes) return n;
    if (run.n > 16) return n;
    run_bytes = run.n * *item_bytes;
    if (run_bytes > 16 || (run_bytes & (run_bytes - 1)) != 0) return n;
    *item_bytes = (int)run_bytes;
    return n - 1;
}

/* Nearly equal blocks of at least `wanted` items each. */
static void cut(int64_t n, int64_t wanted, int64_t *block, int64_t *n_blocks)
{
    *block = wanted < n ? wanted : n;
    *n_blocks = n / *block;
}

static void plan_transpose(tt_copy *copy, copy_dim rows)
{
    int64_t area = BLOCK_BYTES / copy->item_bytes;
    int64_t line = 64 / copy->item_bytes, side = 4 * line;
    int64_t n_b = copy->inner.n, n_a = rows.n, b, a;
    b = n_b < side ? n_b : side;
    a = n_a < side ? n_a : side;
    if (a * b < area && a == n_a) b = area / a / line * line + line;
    if (b > n_b) b = n_b;
    if (a * b < area && b == n_b) a = area / b / line * line + line;
    cut(n_a, a, &copy->block_rows, &copy->n_row_blocks);
    cut(n_b, b, &copy->block_items, &copy->n_item_blocks);
    copy->kind = COPY_TRANSPOSE;
    copy->rows = rows;
    copy->units_per_block = copy->n_row_blocks * copy->n_item_blocks;
}

/* Chooses the inner block from dims[0..n) and leaves the others as outer loops. */
static void plan_block(tt_copy *copy, copy_dim *dims, int n)
{
    int64_t item = copy->item_bytes;
    int contiguous = -1;
    copy->inner = n > 0 ? dims[--n] : (copy_dim){1, item, item};
    copy->rows = (copy_dim){1, 0, 0};
    if (copy->inner.dst == item && copy->inner.src != item && copy->inner.src != 0)
        for (int i = 0; i < n; ++i)
            if (dims[i].src == item) contiguous = i;
    if (contiguous >= 0 && dims[contiguous].n * copy->inner.n >= 6) {
        copy_dim rows = dims[contiguous];
        memmove(&dims[contiguous], &dims[contiguous + 1],
                (size_t)(n - 1 - contiguous) * sizeof *dims);
        --n;
        plan_transpose(copy, rows);
    } else {
        if (copy->inner.dst == item && copy->inner.src == item) {
            copy->kind = n == 0 ? COPY_FLAT : COPY_ROWS;
            copy->inner.n *= item;
        } else {
            bool repeats = copy->inner.src == 0 && copy->inner.dst == item;
            copy->kind = repeats ? COPY_FILL : COPY_STRIDED;
        }
        if (n > 0) copy->rows = dims[--n];
        copy->units_per_block = copy->rows.n;
    }
    copy->n_outer = n;
    memcpy(copy->outer, dims, (size_t)n * sizeof *dims);
}

tt_status tt_copy_compile(size_t item_bytes, const tt_shape *dims,
                          const int64_t *src_strides, const int64_t *dst_strides,
                          tt_copy **out, tt_error *err)
{
    copy_dim list[TT_MAX_RANK] = {
        {0, 0, 0}
    };
    int64_t n_items, n_bytes, unit_bytes, n_blocks = 1;
    int n = 0, item = (int)item_bytes;
    tt_copy *copy;
    *out = NULL;
    if (item_bytes == 0 || item_bytes > 16 || (item_bytes & (item_bytes - 1)) != 0)
        return tt_fail(err, TT_INTERNAL, "copy of items of %zu bytes", item_bytes);
    if (!tt_numel(dims->dims, dims->rank, &n_items) ||
        !tt_mul_i64(n_items, (int64_t)item_bytes, &n_bytes) ||
        !collect(item_bytes, dims, src_strides, dst_strides, list, &n)) {
        char text[256];
        return tt_fail(err, TT_LIMIT, "copy of %s with items of %zu bytes: too large",
                       tt_shape_text(dims, text, sizeof text), item_bytes);
    }
    copy = tt_calloc(1, sizeof *copy);
    if (copy == NULL) return tt_fail(err, TT_NO_MEMORY, "plan of a copy");
    *out = copy;
    copy->isa = tt_cpu_get()->isa;
    copy->n_bytes = n_bytes;
    if (n_bytes == 0) return TT_OK; /* COPY_EMPTY */
    n = merge(list, n);
    n = widen(list, n, &item);
    copy->item_bytes = item;
    plan_block(copy, list, n);
    for (int i = 0; i < copy->n_outer; ++i)
        n_blocks *= copy->outer[i].n;
    copy->n_rows = n_blocks * copy->rows.n;
    if (copy->kind == COPY_FLAT)
        copy->units_per_block = (n_bytes + UNIT_BYTES - 1) / UNIT_BYTES;
    copy->n_units = n_blocks * copy->units_per_block;
    unit_bytes = n_bytes / copy->n_units;
    copy->grain = unit_bytes >= PARALLEL_BYTES / 2
                      ? 1
                      : PARALLEL_BYTES / 2 / (unit_bytes > 0 ? unit_bytes : 1);
    return TT_OK;
}

size_t tt_copy_bytes(const tt_copy *copy)
{
    (void)copy;
    return sizeof *copy;
}

double tt_copy_cost_ns(const tt_copy *copy)
{
    /* 2026-11, Zen 5: bytes at 30 GB/s out of L2, then what a row or an item adds */
    double bytes = (double)copy->n_bytes, rows = (double)copy->n_rows;
    double items = bytes / (double)(copy->item_bytes > 0 ? copy->item_bytes : 1);
    switch (copy->kind) {
    case COPY_EMPTY:
        return 2;
    case COPY_FLAT:
        return 5 + bytes / 30;
    case COPY_ROWS:
        return 8 + rows * 1.5 + bytes / 30;
    case COPY_FILL:
        return 8 + rows * 2 + bytes / 40;
    case COPY_TRANSPOSE:
        return 12 + items * .15 + bytes / 25;
    case COPY_STRIDED:
        break;
    }
    return 8 + rows * 1.5 + items * .4 + bytes / 30;
}

const char *tt_copy_name(const tt_copy *copy)
{
    static const char *const names[] = {"copy:empty", "copy:flat",      "copy:rows",
                                        "copy:fill",  "copy:transpose", "copy:strided"};
    return names[copy->kind];
}

/* ---- rows ---------------------------------------------------------------- */

/* Rows of at most 2 * PIECE bytes as two (overlapping) pieces of constant size. */
#define ROWS_OF(PIECE)                                                  \
    for (int64_t i = 0; i < n; ++i, src += rows.src, dst += rows.dst) { \
        char head[PIECE], tail[PIECE];                                  \
        memcpy(head, src, PIECE);                                       \
        memcpy(tail, src + n_bytes - PIECE, PIECE);                     \
        memcpy(dst, head, PIECE);                                       \
        memcpy(dst + n_bytes - PIECE, tail, PIECE);                     \
    }

static void copy_rows(copy_dim rows, int64_t n_bytes, const char *src, char *dst,
                      int64_t n)
{
    if (n_bytes == 1) {
        for (int64_t i = 0; i < n; ++i)
            dst[i * rows.dst] = src[i * rows.src];
    } else if (n_bytes <= 4) {
        ROWS_OF(2)
    } else if (n_bytes <= 8) {
        ROWS_OF(4)
    } else if (n_bytes <= 16) {
        ROWS_OF(8)
    } else if (n_bytes <= 32) {
        ROWS_OF(16)
    } else if (n_bytes <= 64) {
        ROWS_OF(32)
    } else if (n_bytes <= 128) {
        ROWS_OF(64)
    } else {
        for (int64_t i = 0; i < n; ++i)
            memcpy(dst + i * rows.dst, src + i * rows.src, (size_t)n_bytes);
    }
}

/* ---- items: repeated, strided -------------------------------------------- */

typedef struct {
    char bytes[16];
} item16;

#define ITEM_FUNCTIONS(name, type)                                             \
    static void fill_##name(copy_dim rows, int64_t n_items, const char *src,   \
                            char *dst, int64_t n)                              \
    {                                                                          \
        for (int64_t i = 0; i < n; ++i) {                                      \
            type item;                                                         \
            char *row = dst + i * rows.dst;                                    \
            memcpy(&item, src + i * rows.src, sizeof item);                    \
            for (int64_t j = 0; j < n_items; ++j)                              \
                memcpy(row + j * (int64_t)sizeof item, &item, sizeof item);    \
        }                                                                      \
    }                                                                          \
    static void strided_##name(copy_dim rows, copy_dim inner, const char *src, \
                               char *dst, int64_t n)                           \
    {                                                                          \
        for (int64_t i = 0; i < n; ++i) {                                      \
            const char *from = src + i * rows.src;                             \
            char *to = dst + i * rows.dst;                                     \
            for (int64_t j = 0; j < inner.n; ++j) {                            \
                type item;                                                     \
                memcpy(&item, from + j * inner.src, sizeof item);              \
                memcpy(to + j * inner.dst, &item, sizeof item);                \
            }                                                                  \
        }                                                                      \
    }
ITEM_FUNCTIONS(1, uint8_t)
ITEM_FUNCTIONS(2, uint16_t)
ITEM_FUNCTIONS(4, uint32_t)
ITEM_FUNCTIONS(8, uint64_t)
ITEM_FUNCTIONS(16, item16)

static void copy_fill(const tt_copy *copy, const char *src, char *dst, int64_t n)
{
    int64_t n_items = copy->inner.n;
    switch (copy->item_bytes) {
    case 1:
        fill_1(copy->rows, n_items, src, dst, n);
        break;
    case 2:
        fill_2(copy->rows, n_items, src, dst, n);
        break;
    case 4:
        fill_4(copy->rows, n_items, src, dst, n);
        break;
    case 8:
        fill_8(copy->rows, n_items, src, dst, n);
        break;
    default:
        fill_16(copy->rows, n_items, src, dst, n);
        break;
    }
}

static void copy_strided(const tt_copy *copy, const char *src, char *dst, int64_t n)
{
    switch (copy->item_bytes) {
    case 1:
        strided_1(copy->rows, copy->inner, src, dst, n);
        break;
    case 2:
        strided_2(copy->rows, copy->inner, src, dst, n);
        break;
    case 4:
        strided_4(copy->rows, copy->inner, src, dst, n);
        break;
    case 8:
        strided_8(copy->rows, copy->inner, src, dst, n);
        break;
    default:
        strided_16(copy->rows, copy->inner, src, dst, n);
        break;
    }
}

/* ---- transposition ------------------------------------------------------- */

static tt_transpose find_transpose(const tt_copy *copy)
{
#ifdef __x86_64__
    if (copy->isa == TT_ISA_AVX512) return tt_transpose_avx512(copy->item_bytes);
    if (copy->isa == TT_ISA_AVX2) return tt_transpose_avx2(copy->item_bytes);
#endif
    return tt_transpose_scalar(copy->item_bytes);
}

/* Units [begin, begin + n) of the block whose first item is at src and dst. */
static void copy_transpose(const tt_copy *copy, const char *src, char *dst,
                           int64_t begin, int64_t n)
{
    tt_transpose transpose = find_transpose(copy);
    int64_t row_block = begin / copy->n_item_blocks;
    int64_t item_block = begin % copy->n_item_blocks;
    for (; n > 0; --n) {
        int64_t a = row_block * copy->block_rows, b = item_block * copy->block_items;
        int64_t n_a = copy->block_rows, n_b = copy->block_items;
        if (row_block + 1 == copy->n_row_blocks) n_a = copy->rows.n - a;
        if (item_block + 1 == copy->n_item_blocks) n_b = copy->inner.n - b;
        transpose(src + a * copy->rows.src + b * copy->inner.src, copy->inner.src,
                  dst + a * copy->rows.dst + b * copy->inner.dst, copy->rows.dst, n_a,
                  n_b);
        if (++item_block == copy->n_item_blocks) {
            item_block = 0;
            ++row_block;
        }
    }
}

/* ---- running ------------------------------------------------------------- */

static void copy_block(const tt_copy *copy, const char *src, char *dst, int64_t begin,
                       int64_t n)
{
    if (copy->kind == COPY_TRANSPOSE) {
        copy_transpose(copy, src, dst, begin, n);
        return;
    }
    src += begin * copy->rows.src;
    dst += begin * copy->rows.dst;
    switch (copy->kind) {
    case COPY_ROWS:
        copy_rows(copy->rows, copy->inner.n, src, dst, n);
        break;
    case COPY_FILL:
        copy_fill(copy, src, dst, n);
        break;
    case COPY_STRIDED:
        copy_strided(copy, src, dst, n);
        break;
    default:
        break;
    }
}

typedef struct {
    const tt_copy *copy;
    const char *src;
    char *dst;
} copy_call;

/* Units [begin, end) of all blocks. */
static void copy_range(void *arg, int64_t begin, int64_t end)
{
    const copy_call *call = arg;
    const tt_copy *copy = call->copy;
    const char *src = call->src;
    char *dst = call->dst;
    int64_t index[TT_MAX_RANK] = {0};
    int64_t block = begin / copy->units_per_block;
    int64_t first = begin % copy->units_per_block;
    for (int i = copy->n_outer - 1; i >= 0 && block > 0; --i) {
        index[i] = block % copy->outer[i].n;
        block /= copy->outer[i].n;
        src += index[i] * copy->outer[i].src;
        dst += index[i] * copy->outer[i].dst;
    }
    while (begin < end) {
        int64_t n = copy->units_per_block - first;
        if (n > end - begin) n = end - begin;
        copy_block(copy, src, dst, first, n);
        begin += n;
        first = 0;
        for (int i = copy->n_outer - 1; i >= 0; --i) {
            const copy_dim *dim = &copy->outer[i];
            src += dim->src;
            dst += dim->dst;
            if (++index[i] < dim->n) break;
            index[i] = 0;
            src -= dim->src * dim->n;
            dst -= dim->dst * dim->n;
        }
    }
}

static void copy_flat_range(void *arg, int64_t begin, int64_t end)
{
    const copy_call *call = arg;
    int64_t last = end * UNIT_BYTES;
    if (last > call->copy->n_bytes) last = call->copy->n_bytes;
    begin *= UNIT_BYTES;
    memcpy(call->dst + begin, call->src + begin, (size_t)(last - begin));
}

void tt_copy_run(const tt_copy *copy, const void *src, void *dst)
{
    copy_call call = {copy, src, dst};
    bool is_large = copy->n_bytes >= PARALLEL_BYTES;
    if (copy->kind == COPY_EMPTY) return;
    if (copy->kind == COPY_FLAT) {
        if (is_large)
            tt_parallel_for(copy->n_units, copy->grain, copy_flat_range, &call);
        else
            memcpy(dst, src, (size_t)copy->n_bytes);
    } else if (is_large) {
        tt_parallel_for(copy->n_units, copy->grain, copy_range, &call);
    } else if (copy->n_outer == 0) {
        copy_block(copy, src, dst, 0, copy->units_per_block);
    } else {
        copy_range(&call, 0, copy->n_units);
    }
}
