/* ScatterElements, ScatterND; see scatter.h.  Serial: the order of equal indices
 * decides, and there is little work per element. */
#include "kernels/scatter.h"

#include <math.h>
#include <string.h>

#include "kernels/indices.h"
#include "kernels/item.h"

/* Combines n updates into n items that are contiguous. */
typedef void (*combine)(void *dst, const void *updates, int64_t n);

/* NaN of either side stays, as in NumPy. */
#define LARGER(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define SMALLER(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define SUM(a, b) ((a) + (b))
#define PRODUCT(a, b) ((a) * (b))

#define COMBINE(name, type, wide, expression)                   \
    static void name(void *dst, const void *updates, int64_t n) \
    {                                                           \
        type *to = dst;                                         \
        const type *from = updates;                             \
        for (int64_t i = 0; i < n; ++i) {                       \
            wide a = (wide)to[i], b = (wide)from[i];            \
            to[i] = (type)(expression);                         \
        }                                                       \
    }
#define COMBINE_16(name, convert, expression)                   \
    static void name(void *dst, const void *updates, int64_t n) \
    {                                                           \
        uint16_t *to = dst;                                     \
        const uint16_t *from = updates;                         \
        for (int64_t i = 0; i < n; ++i) {                       \
            float a = tt_f32_from_##convert(to[i]);             \
            float b = tt_f32_from_##convert(from[i]);           \
            to[i] = tt_##convert##_from_f32(expression);        \
        }                                                       \
    }

/* Sums and products of integers wrap around: computed unsigned. */
#define COMBINE_ALL(suffix, type, unsigned_type)              \
    COMBINE(add_##suffix, type, unsigned_type, SUM(a, b))     \
    COMBINE(mul_##suffix, type, unsigned_type, PRODUCT(a, b)) \
    COMBINE(max_##suffix, type, type, a > b ? a : b)          \
    COMBINE(min_##suffix, type, type, a < b ? a : b)

COMBINE_ALL(u8, uint8_t, uint32_t)
COMBINE_ALL(s8, int8_t, uint32_t)
COMBINE_ALL(u16, uint16_t, uint32_t)
COMBINE_ALL(s16, int16_t, uint32_t)
COMBINE_ALL(u32, uint32_t, uint32_t)
COMBINE_ALL(s32, int32_t, uint32_t)
COMBINE_ALL(u64, uint64_t, uint64_t)
COMBINE_ALL(s64, int64_t, uint64_t)
COMBINE(add_f32, float, float, SUM(a, b))
COMBINE(mul_f32, float, float, PRODUCT(a, b))
COMBINE(max_f32, float, float, LARGER(a, b))
COMBINE(min_f32, float, float, SMALLER(a, b))
COMBINE(add_f64, double, double, SUM(a, b))
COMBINE(mul_f64, double, double, PRODUCT(a, b))
COMBINE(max_f64, double, double, LARGER(a, b))
COMBINE(min_f64, double, double, SMALLER(a, b))
COMBINE_16(add_f16, f16, SUM(a, b))
COMBINE_16(mul_f16, f16, PRODUCT(a, b))
COMBINE_16(max_f16, f16, LARGER(a, b))
COMBINE_16(min_f16, f16, SMALLER(a, b))
COMBINE_16(add_bf16, bf16, SUM(a, b))
COMBINE_16(mul_bf16, bf16, PRODUCT(a, b))
COMBINE_16(max_bf16, bf16, LARGER(a, b))
COMBINE_16(min_bf16, bf16, SMALLER(a, b))
COMBINE(or_bool, uint8_t, uint32_t, (a | b) != 0)
COMBINE(and_bool, uint8_t, uint32_t, (a & b) != 0)

#define ROW(suffix) {NULL, add_##suffix, mul_##suffix, max_##suffix, min_##suffix}
static const combine table[TT_DTYPE_COUNT][5] = {
    [TT_U8] = ROW(u8),
    [TT_S8] = ROW(s8),
    [TT_U16] = ROW(u16),
    [TT_S16] = ROW(s16),
    [TT_U32] = ROW(u32),
    [TT_S32] = ROW(s32),
    [TT_U64] = ROW(u64),
    [TT_S64] = ROW(s64),
    [TT_F32] = ROW(f32),
    [TT_F64] = ROW(f64),
    [TT_F16] = ROW(f16),
    [TT_BF16] = ROW(bf16),
    [TT_BOOL] = {NULL, or_bool, and_bool, or_bool, and_bool}
};

bool tt_scatter_has(tt_scatter_op op, tt_dtype dtype)
{
    if (op == TT_SCATTER_SET) return tt_dtype_bytes(dtype) > 0;
    return (int)dtype > 0 && (int)dtype < TT_DTYPE_COUNT && table[dtype][op] != NULL;
}

tt_status tt_scatter_elements_run(const tt_scatter_elements *scatter,
                                  const void *indices, const void *updates, void *dst,
                                  tt_error *err)
{
    combine apply = table[scatter->dtype][scatter->op];
    int64_t index[TT_MAX_RANK] = {0}, n = 1, offset = 0;
    int64_t item = (int64_t)tt_dtype_bytes(scatter->dtype);
    for (int i = 0; i < scatter->rank; ++i)
        n *= scatter->dims[i];
    TT_TRY(tt_indices_check(indices, scatter->is_32, n, scatter->dim, err));
    for (int64_t k = 0; k < n; ++k) {
        int64_t at = tt_index_wrapped(indices, scatter->is_32, k, scatter->dim);
        const char *update = (const char *)updates + k * item;
        char *to =
            (char *)dst + (offset + at * scatter->dst_strides[scatter->axis]) * item;
        if (apply != NULL)
            apply(to, update, 1);
        else
            memcpy(to, update, (size_t)item);
        for (int i = scatter->rank - 1; i >= 0; --i) { /* axis counts, adds nothing */
            int64_t step = i == scatter->axis ? 0 : scatter->dst_strides[i];
            offset += step;
            if (++index[i] < scatter->dims[i]) break;
            offset -= step * scatter->dims[i];
            index[i] = 0;
        }
    }
    return TT_OK;
}

tt_status tt_scatter_nd_run(const tt_scatter_nd *scatter, const void *indices,
                            const void *updates, void *dst, tt_error *err)
{
    const tt_gather_nd *where = &scatter->where;
    combine apply = table[scatter->dtype][scatter->op];
    int64_t n = where->slice_bytes / (int64_t)tt_dtype_bytes(scatter->dtype);
    TT_TRY(tt_tuples_check(indices, where->is_32, where->n_tuples, where->n_index,
                           where->dims, err));
    for (int64_t t = 0; t < where->n_tuples; ++t) {
        char *to = (char *)dst + tt_tuple_offset(where, indices, t);
        const char *update = (const char *)updates + t * where->slice_bytes;
        if (apply != NULL)
            apply(to, update, n);
        else
            memcpy(to, update, (size_t)where->slice_bytes);
    }
    return TT_OK;
}
