/* All elementwise kernels of one instruction set: included after the target pragma
 * by eltwise_scalar.c, eltwise_avx2.c and eltwise_avx512.c, which define TABLE (the
 * tt_eltwise_table to fill) and TABLE_NAME.  The loops are plain C that the compiler
 * vectorises; ivdep says what the contract of tt_eltwise_fn says. */
#include "kernels/quantize_item.inc.h"
#include "kernels/vector_math_f64.h"

#define KERNEL(name)                                                        \
    static void name(int64_t n, void *dst_, const void *a_, const void *b_, \
                     const void *c_, const tt_eltwise_immediate *immediate)
#define EACH(i, n) _Pragma("GCC ivdep") for (int64_t i = 0; i < (n); ++i)

enum { TRIG_BLOCK = 512 };

/* ---- shapes of kernels, over T -------------------------------------------- */

#define UNARY_ENTRY(NAME, VALUE) [TT_ELTWISE_##NAME] = {{N(NAME)}},
#define BINARY_ENTRY(NAME, R, VALUE) [TT_ELTWISE_##NAME] = {{N(NAME)}},
#define BINARY_SCALARS_ENTRY(NAME, R, VALUE) \
    [TT_ELTWISE_##NAME] = {                  \
        {N(NAME), N(NAME##_a_scalar), N(NAME##_b_scalar)} \
    },

#define BINARY_LOOP(name, R, VALUE, BEFORE, X_AT, Y_AT) \
    KERNEL(name)                                        \
    {                                                   \
        const T *a = a_, *b = b_;                       \
        R *dst = dst_;                                  \
        BEFORE;                                         \
        (void)c_, (void)immediate;                      \
        EACH(i, n)                                      \
        {                                               \
            const T x = X_AT, y = Y_AT;                 \
            dst[i] = VALUE;                             \
        }                                               \
    }
#define BINARY_KERNEL(NAME, R, VALUE) \
    BINARY_LOOP(N(NAME), R, VALUE, (void)0, a[i], b[i])
#define BINARY_SCALARS_KERNEL(NAME, R, VALUE)                                      \
    BINARY_KERNEL(NAME, R, VALUE)                                                  \
    BINARY_LOOP(N(NAME##_a_scalar), R, VALUE, const T scalar = a[0], scalar, b[i]) \
    BINARY_LOOP(N(NAME##_b_scalar), R, VALUE, const T scalar = b[0], a[i], scalar)
#define BINARY_WITH_SCALARS(LIST) LIST(BINARY_SCALARS_KERNEL)

/* ---- SELECT, by element size ---------------------------------------------- */

#define SELECT_LOOP(name, TYPE, BEFORE, X_AT, Y_AT) \
    KERNEL(name)                                    \
    {                                               \
        const uint8_t *condition = a_;              \
        const TYPE *b = b_, *c = c_;                \
        TYPE *dst = dst_;                           \
        BEFORE;                                     \
        (void)immediate;                            \
        EACH(i, n)                                  \
        {                                           \
            const TYPE x = X_AT, y = Y_AT;          \
            dst[i] = condition[i] != 0 ? x : y;     \
        }                                           \
    }
#define SELECT_KERNELS(TYPE)                                                          \
    SELECT_LOOP(select_##TYPE, TYPE, (void)0, b[i], c[i])                             \
    SELECT_LOOP(select_b_scalar_##TYPE, TYPE, const TYPE scalar = b[0], scalar, c[i]) \
    SELECT_LOOP(select_c_scalar_##TYPE, TYPE, const TYPE scalar = c[0], b[i], scalar) \
    SELECT_LOOP(select_scalars_##TYPE, TYPE, const TYPE scalar = b[0];                \
                const TYPE other = c[0], scalar, other)
SELECT_KERNELS(uint8_t)
SELECT_KERNELS(uint16_t)
SELECT_KERNELS(uint32_t)
SELECT_KERNELS(uint64_t)

#define SELECT_SET(TYPE)                                                   \
    {                                                                      \
        {                                                                  \
            select_##TYPE, select_b_scalar_##TYPE, select_c_scalar_##TYPE, \
                select_scalars_##TYPE                                      \
        }                                                                  \
    }

/* ---- float and double ----------------------------------------------------- */

#define T float
#define N(name) name##_f32
#define F(name) name##_f32
#define SELECT_ENTRY(type) SELECT_SET(uint32_t)
#include "kernels/eltwise_float.inc.h"
#undef T
#undef N
#undef F
#undef SELECT_ENTRY

#define T double
#define N(name) name##_f64
#define F(name) name##_f64
#define SELECT_ENTRY(type) SELECT_SET(uint64_t)
#include "kernels/eltwise_float.inc.h"
#undef T
#undef N
#undef F
#undef SELECT_ENTRY

/* ---- integers ------------------------------------------------------------- */

#define T int8_t
#define U uint32_t
#define BITS 8
#define IS_SIGNED 1
#define LOWEST INT8_MIN
#define LARGEST INT8_MAX
#define N(name) name##_s8
#define SELECT_ENTRY(type) SELECT_SET(uint8_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

#define T uint8_t
#define U uint32_t
#define BITS 8
#define IS_SIGNED 0
#define LOWEST 0
#define LARGEST UINT8_MAX
#define N(name) name##_u8
#define SELECT_ENTRY(type) SELECT_SET(uint8_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

#define T int16_t
#define U uint32_t
#define BITS 16
#define IS_SIGNED 1
#define LOWEST INT16_MIN
#define LARGEST INT16_MAX
#define N(name) name##_s16
#define SELECT_ENTRY(type) SELECT_SET(uint16_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

#define T uint16_t
#define U uint32_t
#define BITS 16
#define IS_SIGNED 0
#define LOWEST 0
#define LARGEST UINT16_MAX
#define N(name) name##_u16
#define SELECT_ENTRY(type) SELECT_SET(uint16_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

#define T int32_t
#define U uint32_t
#define BITS 32
#define IS_SIGNED 1
#define LOWEST INT32_MIN
#define LARGEST INT32_MAX
#define N(name) name##_s32
#define SELECT_ENTRY(type) SELECT_SET(uint32_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

#define T uint32_t
#define U uint32_t
#define BITS 32
#define IS_SIGNED 0
#define LOWEST 0
#define LARGEST UINT32_MAX
#define N(name) name##_u32
#define SELECT_ENTRY(type) SELECT_SET(uint32_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

#define T int64_t
#define U uint64_t
#define BITS 64
#define IS_SIGNED 1
#define LOWEST INT64_MIN
#define LARGEST INT64_MAX
#define N(name) name##_s64
#define SELECT_ENTRY(type) SELECT_SET(uint64_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

#define T uint64_t
#define U uint64_t
#define BITS 64
#define IS_SIGNED 0
#define LOWEST 0
#define LARGEST UINT64_MAX
#define N(name) name##_u64
#define SELECT_ENTRY(type) SELECT_SET(uint64_t)
#include "kernels/eltwise_int.inc.h"
#include "kernels/eltwise_undef.inc.h"

/* ---- bool: any byte but 0 is true ----------------------------------------- */

#define T uint8_t
#define N(name) name##_bool

KERNEL(NOT_bool)
{
    const T *a = a_;
    T *dst = dst_;
    (void)b_, (void)c_, (void)immediate;
    EACH(i, n)
    dst[i] = a[i] == 0;
}

#define BOOL_LIST(X)                \
    X(AND, T, (x != 0) & (y != 0))  \
    X(OR, T, (x | y) != 0)          \
    X(XOR, T, (x != 0) != (y != 0)) \
    X(EQUAL, T, (x != 0) == (y != 0))
BOOL_LIST(BINARY_KERNEL)

static const tt_eltwise_kernel kernels_bool[TT_ELTWISE_COUNT] = {
    BOOL_LIST(BINARY_ENTRY) UNARY_ENTRY(NOT, )[TT_ELTWISE_SELECT] =
        SELECT_SET(uint8_t)};

#undef T
#undef N

#include "kernels/eltwise_cast.inc.h"

/* ---- quantising ------------------------------------------------------------ */

#define QUANTIZE_KERNELS(name, type, lowest, largest)             \
    KERNEL(quantize_##name)                                       \
    {                                                             \
        (void)b_, (void)c_;                                       \
        quantize_row_##name(n, a_, dst_, (float)immediate->alpha, \
                            (float)immediate->beta);              \
    }                                                             \
    KERNEL(dequantize_##name)                                     \
    {                                                             \
        const float scale = (float)immediate->alpha;              \
        const float zero = (float)immediate->beta;                \
        const type *a = a_;                                       \
        float *dst = dst_;                                        \
        (void)b_, (void)c_;                                       \
        EACH(i, n)                                                \
        dst[i] = dequantize_item(a[i], scale, zero);              \
    }
#define QUANTIZE_ENTRY(name, type, lowest, largest) [TT_##name] = quantize_##name,
#define DEQUANTIZE_ENTRY(name, type, lowest, largest) [TT_##name] = dequantize_##name,
QUANTIZED_LIST(QUANTIZE_KERNELS)

const tt_eltwise_table TABLE = {
    .name = TABLE_NAME,
    .kernels = {[TT_F32] = kernels_f32,
                [TT_F64] = kernels_f64,
                [TT_S8] = kernels_s8,
                [TT_U8] = kernels_u8,
                [TT_S16] = kernels_s16,
                [TT_U16] = kernels_u16,
                [TT_S32] = kernels_s32,
                [TT_U32] = kernels_u32,
                [TT_S64] = kernels_s64,
                [TT_U64] = kernels_u64,
                [TT_BOOL] = kernels_bool},
    .casts = {CAST_SOURCES(CAST_ROW)},
    .quantize = {QUANTIZED_LIST(QUANTIZE_ENTRY)},
    .dequantize = {QUANTIZED_LIST(DEQUANTIZE_ENTRY)},
    .load_f16 = load_f16,
    .load_bf16 = load_bf16,
    .store_f16 = store_f16,
    .store_bf16 = store_bf16,
};
