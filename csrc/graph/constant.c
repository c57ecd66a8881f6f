/* Counted constants: bytes that are there, and bytes that are made when somebody
 * wants them (graph.h says when). */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/fork.h"
#include "graph/graph.h"

typedef struct {
    pthread_mutex_t lock; /* guards n_pins and the making of the bytes */
    int n_pins;
    size_t bytes;
    tt_constant_fill fill; /* NULL: a view of base */
    tt_constant *base;
    int64_t strides[TT_MAX_RANK];
} lazy_part;

struct tt_constant {
    atomic_int n_refs;
    tt_shape shape;
    _Atomic(const void *) data;
    void (*release)(void *owner);
    void *owner;
    lazy_part *lazy; /* owned, or NULL */
    bool has_key;
    tt_hash key;
};

/* Inline bytes begin at the next alignment unit behind the header. */
enum {
    HEADER_BYTES =
        (sizeof(struct tt_constant) + TT_ALIGNMENT - 1) / TT_ALIGNMENT * TT_ALIGNMENT
};

bool tt_dense_bytes(const tt_shape *shape, size_t *out)
{
    int64_t n;
    size_t bytes = tt_dtype_bytes(shape->dtype);
    if (!tt_numel(shape->dims, shape->rank, &n)) return false;
    return bytes != 0 && tt_mul_size((size_t)n, bytes, out);
}

bool tt_packed_bytes(const tt_shape *shape, size_t *out)
{
    unsigned bits = tt_dtype_bits(shape->dtype);
    size_t n, rest;
    if (!tt_dense_bytes(shape, &n)) return false;
    *out = n;
    if (bits >= 8) return true;
    rest = n % 8 * bits; /* n elements: 8 of them take `bits` bytes */
    *out = n / 8 * bits + rest / 8 + (rest % 8 != 0);
    return true;
}

static tt_status too_large(const tt_shape *shape, tt_error *err)
{
    char text[256];
    return tt_fail(err, TT_LIMIT, "a constant of shape %s and dtype %s is too large",
                   tt_shape_text(shape, text, sizeof text),
                   tt_dtype_name(shape->dtype));
}

/* ---- making -------------------------------------------------------------- */

tt_status tt_constant_empty(const tt_shape *shape, tt_constant **out, void **data,
                            tt_error *err)
{
    size_t bytes, total;
    tt_constant *constant;
    *out = NULL;
    if (!tt_dense_bytes(shape, &bytes) || !tt_add_size(bytes, HEADER_BYTES, &total))
        return too_large(shape, err);
    constant = tt_calloc(1, total);
    if (constant == NULL)
        return tt_fail(err, TT_NO_MEMORY, "a constant of %zu bytes", bytes);
    atomic_init(&constant->n_refs, 1);
    constant->shape = *shape;
    atomic_init(&constant->data, (char *)constant + HEADER_BYTES);
    *data = (char *)constant + HEADER_BYTES;
    *out = constant;
    return TT_OK;
}

tt_status tt_constant_new(const tt_shape *shape, const void *data,
                          void (*release)(void *owner), void *owner, tt_constant **out,
                          tt_error *err)
{
    tt_constant *constant;
    size_t bytes;
    *out = NULL;
    if (release == NULL) {
        void *copy;
        TT_TRY(tt_constant_empty(shape, &constant, &copy, err));
        if (tt_dense_bytes(shape, &bytes) && bytes > 0) memcpy(copy, data, bytes);
        *out = constant;
        return TT_OK;
    }
    constant = tt_calloc(1, sizeof *constant);
    if (constant == NULL) return tt_fail(err, TT_NO_MEMORY, "the header of a constant");
    atomic_init(&constant->n_refs, 1);
    constant->shape = *shape;
    atomic_init(&constant->data, data);
    constant->release = release;
    constant->owner = owner;
    *out = constant;
    return TT_OK;
}

/* The owner is the tensor, in a block of its own. */
static void release_texts(void *owner)
{
    tt_tensor_free(owner);
    tt_free(owner);
}

static tt_status fill_texts(const tt_shape *shape, const char *bytes, size_t n_bytes,
                            tt_text **texts, tt_error *err)
{
    size_t n = (size_t)tt_shape_numel(shape);
    size_t at = n * sizeof(uint32_t); /* the caller has checked that it fits */
    for (size_t i = 0; i < n; ++i) {
        uint32_t length;
        memcpy(&length, bytes + i * sizeof length, sizeof length);
        if (length > n_bytes - at)
            return tt_fail(err, TT_BAD_MODEL, "text %zu leaves the bytes of its tensor",
                           i);
        TT_TRY(tt_text_new(bytes + at, length, &texts[i], err));
        at += length;
    }
    if (at != n_bytes)
        return tt_fail(err, TT_BAD_MODEL, "%zu bytes behind the texts of a tensor",
                       n_bytes - at);
    return TT_OK;
}

tt_status tt_constant_texts(const tt_shape *shape, const void *bytes, size_t n_bytes,
                            tt_constant **out, tt_error *err)
{
    tt_tensor *owner;
    tt_status status;
    *out = NULL;
    if ((size_t)tt_shape_numel(shape) > n_bytes / sizeof(uint32_t))
        return tt_fail(err, TT_BAD_MODEL, "%lld texts in %zu bytes",
                       (long long)tt_shape_numel(shape), n_bytes);
    owner = tt_calloc(1, sizeof *owner);
    if (owner == NULL) return tt_fail(err, TT_NO_MEMORY, "a tensor of texts");
    status = tt_tensor_new(shape, owner, err);
    if (status == TT_OK) status = fill_texts(shape, bytes, n_bytes, owner->data, err);
    if (status == TT_OK)
        status = tt_constant_new(shape, owner->data, release_texts, owner, out, err);
    if (status != TT_OK) release_texts(owner);
    return status;
}

tt_status tt_constant_lazy(const tt_shape *shape, tt_constant_fill fill,
                           void (*release)(void *owner), void *owner, tt_constant **out,
                           tt_error *err)
{
    tt_constant *constant;
    lazy_part *lazy;
    size_t bytes;
    *out = NULL;
    if (!tt_dense_bytes(shape, &bytes)) return too_large(shape, err);
    constant = tt_calloc(1, sizeof *constant);
    lazy = tt_calloc(1, sizeof *lazy);
    if (constant == NULL || lazy == NULL) {
        tt_free(constant);
        tt_free(lazy);
        return tt_fail(err, TT_NO_MEMORY, "the header of a constant");
    }
    pthread_mutex_init(&lazy->lock, NULL);
    lazy->bytes = bytes;
    lazy->fill = fill;
    atomic_init(&constant->n_refs, 1);
    atomic_init(&constant->data, NULL);
    constant->shape = *shape;
    constant->release = release;
    constant->owner = owner;
    constant->lazy = lazy;
    *out = constant;
    return TT_OK;
}

tt_status tt_constant_view(const tt_shape *shape, tt_constant *base,
                           const int64_t *strides, tt_constant **out, tt_error *err)
{
    TT_TRY(tt_constant_lazy(shape, NULL, NULL, NULL, out, err));
    (*out)->lazy->base = tt_constant_ref(base);
    memcpy((*out)->lazy->strides, strides,
           (size_t)shape->rank * sizeof(*out)->lazy->strides[0]);
    return TT_OK;
}

/* ---- counting ------------------------------------------------------------ */

tt_constant *tt_constant_ref(tt_constant *constant)
{
    atomic_fetch_add_explicit(&constant->n_refs, 1, memory_order_relaxed);
    return constant;
}

static bool is_last_ref(tt_constant *constant)
{
    return constant != NULL &&
           atomic_fetch_sub_explicit(&constant->n_refs, 1, memory_order_acq_rel) == 1;
}

static void free_one(tt_constant *constant)
{
    lazy_part *lazy = constant->lazy;
    if (lazy != NULL) {
        tt_free_pages((void *)(uintptr_t)tt_constant_data(constant), lazy->bytes);
        pthread_mutex_destroy(&lazy->lock);
        tt_free(lazy);
    }
    if (constant->release != NULL) constant->release(constant->owner);
    tt_free(constant);
}

void tt_constant_unref(tt_constant *constant)
{
    tt_constant *base;
    if (!is_last_ref(constant)) return;
    base = constant->lazy != NULL ? constant->lazy->base : NULL;
    free_one(constant);
    if (is_last_ref(base)) free_one(base);
}

/* ---- looking ------------------------------------------------------------- */

const tt_shape *tt_constant_shape(const tt_constant *constant)
{
    return &constant->shape;
}

const void *tt_constant_data(const tt_constant *constant)
{
    return atomic_load_explicit(&constant->data, memory_order_acquire);
}

bool tt_constant_is_lazy(const tt_constant *constant)
{
    return constant->lazy != NULL;
}

bool tt_constant_fills_by(const tt_constant *constant, tt_constant_fill fill)
{
    return constant->lazy != NULL && constant->lazy->fill == fill;
}

tt_constant *tt_constant_base(const tt_constant *constant, const int64_t **strides)
{
    if (constant->lazy == NULL || constant->lazy->base == NULL) return NULL;
    *strides = constant->lazy->strides;
    return constant->lazy->base;
}

/* ---- keys ---------------------------------------------------------------- */

void tt_constant_set_key(tt_constant *constant, tt_hash key)
{
    constant->has_key = true;
    constant->key = key;
}

/* The key of bytes or of a base, together with the shape and the strides over it. */
static tt_hash key_over(const tt_constant *constant, tt_hash under)
{
    struct {
        tt_hash under;
        int64_t dtype, rank, dims[TT_MAX_RANK], strides[TT_MAX_RANK];
    } all;
    memset(&all, 0, sizeof all);
    all.under = under;
    all.dtype = constant->shape.dtype;
    all.rank = constant->shape.rank;
    memcpy(all.dims, constant->shape.dims, (size_t)all.rank * sizeof all.dims[0]);
    if (constant->lazy != NULL)
        memcpy(all.strides, constant->lazy->strides,
               (size_t)all.rank * sizeof all.strides[0]);
    return tt_hash_bytes(&all, sizeof all, /*seed=*/2);
}

static bool own_key(const tt_constant *constant, tt_hash *out)
{
    const void *data = tt_constant_data(constant);
    size_t bytes;
    if (constant->has_key) {
        *out = constant->key;
        return true;
    }
    if (constant->lazy != NULL || !tt_dense_bytes(&constant->shape, &bytes))
        return false;
    *out = key_over(constant, tt_hash_bytes(data, bytes, /*seed=*/1));
    return true;
}

bool tt_constant_key(const tt_constant *constant, tt_hash *out)
{
    if (constant->lazy == NULL || constant->lazy->base == NULL)
        return own_key(constant, out);
    if (!own_key(constant->lazy->base, out)) return false;
    *out = key_over(constant, *out);
    return true;
}

/* ---- bytes on demand ------------------------------------------------------ */

/* Items of 1, 2, 4 or 8 bytes of a matrix with strides, in tiles that stay in L1. */
static void copy_matrix(char *dst, const char *src, int64_t rows, int64_t columns,
                        int64_t row, int64_t column, size_t item)
{
    enum { TILE = 16 };
    for (int64_t top = 0; top < rows; top += TILE)
        for (int64_t left = 0; left < columns; left += TILE)
            for (int64_t r = top; r < rows && r < top + TILE; ++r)
                for (int64_t c = left; c < columns && c < left + TILE; ++c)
                    memcpy(dst + (size_t)(r * columns + c) * item,
                           src + (r * row + c * column) * (int64_t)item, item);
}

static void copy_view(const tt_constant *view, const char *src, char *dst)
{
    const tt_shape *shape = &view->shape;
    const int64_t *strides = view->lazy->strides;
    size_t item = tt_dtype_bytes(shape->dtype);
    int outer = shape->rank > 2 ? shape->rank - 2 : 0;
    int64_t rows = shape->rank > 1 ? shape->dims[shape->rank - 2] : 1;
    int64_t columns = shape->rank > 0 ? shape->dims[shape->rank - 1] : 1;
    int64_t row = shape->rank > 1 ? strides[shape->rank - 2] : 0;
    int64_t column = shape->rank > 0 ? strides[shape->rank - 1] : 0;
    int64_t index[TT_MAX_RANK] = {0}, at = 0;
    for (int64_t left = tt_shape_numel(shape); left > 0; left -= rows * columns) {
        copy_matrix(dst, src + at * (int64_t)item, rows, columns, row, column, item);
        dst += (size_t)(rows * columns) * item;
        for (int d = outer - 1; d >= 0; --d) {
            at += strides[d];
            if (++index[d] < shape->dims[d]) break;
            at -= shape->dims[d] * strides[d];
            index[d] = 0;
        }
    }
}

/* Base comes first and has been pinned. */
static tt_status make_bytes(tt_constant *constant, tt_error *err)
{
    lazy_part *lazy = constant->lazy;
    void *block = tt_alloc_pages(lazy->bytes);
    tt_status status = TT_OK;
    if (block == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes of a weight", lazy->bytes);
    if (lazy->base != NULL)
        copy_view(constant, tt_constant_data(lazy->base), block);
    else
        status = lazy->fill(constant->owner, block, err);
    if (status != TT_OK) {
        tt_free_pages(block, lazy->bytes);
        return status;
    }
    atomic_store_explicit(&constant->data, block, memory_order_release);
    return TT_OK;
}

static tt_status pin_one(tt_constant *constant, tt_error *err)
{
    lazy_part *lazy = constant->lazy;
    tt_status status = TT_OK;
    tt_mutex_lock(&lazy->lock);
    if (tt_constant_data(constant) == NULL) status = make_bytes(constant, err);
    if (status == TT_OK) lazy->n_pins++;
    tt_mutex_unlock(&lazy->lock);
    return status;
}

tt_status tt_constant_pin(tt_constant *constant, tt_error *err)
{
    tt_constant *base;
    tt_status status;
    if (constant->lazy == NULL) return TT_OK;
    base = constant->lazy->base;
    if (base == NULL || base->lazy == NULL) return pin_one(constant, err);
    TT_TRY(pin_one(base, err));
    status = pin_one(constant, err);
    tt_constant_unpin(base);
    return status;
}

void tt_constant_unpin(tt_constant *constant)
{
    lazy_part *lazy = constant->lazy;
    if (lazy == NULL) return;
    tt_mutex_lock(&lazy->lock);
    if (--lazy->n_pins == 0) {
        void *block = (void *)(uintptr_t)tt_constant_data(constant);
        atomic_store_explicit(&constant->data, NULL, memory_order_release);
        tt_free_pages(block, lazy->bytes);
    }
    tt_mutex_unlock(&lazy->lock);
}
