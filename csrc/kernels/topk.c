/* Top k by a heap of the k best so far; see topk.h.
 *
 * Elements become unsigned keys in the order of their values (the bits of a float,
 * with those of negative ones inverted); for the smallest the keys are inverted.  The
 * heap lives in the row of the result's indices, worst element on top, so most
 * elements are done after one comparison; a heap sort ends it. */
#include "kernels/topk.h"

#include <string.h>

#include "base/threads.h"

/* ---- keys: a larger key is a better element -------------------------------- */

static inline uint64_t key_float(uint64_t bits, uint64_t sign, uint64_t infinity)
{
    uint64_t magnitude = bits & (sign - 1);
    if (magnitude > infinity) return 2 * sign - 1; /* NaN */
    if (magnitude == 0) return sign;               /* -0 equals 0 */
    return (bits & sign) != 0 ? sign - 1 - magnitude : sign | magnitude;
}

#define LOAD(type) \
    type item;     \
    memcpy(&item, (const char *)src + i * (int64_t)sizeof item, sizeof item)

#define KEY(suffix, type, expression)                               \
    static inline uint64_t key_##suffix(const void *src, int64_t i) \
    {                                                               \
        LOAD(type);                                                 \
        return expression;                                          \
    }
KEY(f32, uint32_t, key_float(item, 0x80000000u, 0x7f800000u))
KEY(f64, uint64_t, key_float(item, UINT64_C(1) << 63, UINT64_C(0x7ff) << 52))
KEY(f16, uint16_t, key_float(item, 0x8000u, 0x7c00u))
KEY(bf16, uint16_t, key_float(item, 0x8000u, 0x7f80u))
KEY(u8, uint8_t, item)
KEY(u16, uint16_t, item)
KEY(u32, uint32_t, item)
KEY(u64, uint64_t, item)
KEY(s8, int8_t, (uint64_t)item ^ (UINT64_C(1) << 63))
KEY(s16, int16_t, (uint64_t)item ^ (UINT64_C(1) << 63))
KEY(s32, int32_t, (uint64_t)item ^ (UINT64_C(1) << 63))
KEY(s64, int64_t, (uint64_t)item ^ (UINT64_C(1) << 63))

/* ---- rows ------------------------------------------------------------------ */

/* One row: elements `step` apart from `first` in src, heap[j * step] its results. */
typedef void (*row_function)(const tt_topk *topk, const void *src, int64_t first,
                             int64_t *heap);

/* Is element a worse than b?  `flip` inverts the keys. */
#define WORSE(key, a, b)                         \
    ((ka = key(src, first + (a) * step) ^ flip), \
     (kb = key(src, first + (b) * step) ^ flip), ka < kb || (ka == kb && (a) > (b)))

/* Restores the heap (worst on top) below place `at` of `size`. */
#define SIFT(key, start, size)                                                     \
    for (int64_t at = (start), child; (child = 2 * at + 1) < (size); at = child) { \
        int64_t parent = heap[at * step], low;                                     \
        if (child + 1 < (size) &&                                                  \
            WORSE(key, heap[(child + 1) * step], heap[child * step]))              \
            ++child;                                                               \
        low = heap[child * step];                                                  \
        if (!WORSE(key, low, parent)) break;                                       \
        heap[at * step] = low;                                                     \
        heap[child * step] = parent;                                               \
    }

#define ROW(code, suffix)                                                         \
    static void row_##suffix(const tt_topk *topk, const void *src, int64_t first, \
                             int64_t *heap)                                       \
    {                                                                             \
        uint64_t flip = topk->largest ? 0 : UINT64_MAX, ka, kb, worst;            \
        int64_t step = topk->n_inner, k = topk->k;                                \
        for (int64_t i = 0; i < k; ++i)                                           \
            heap[i * step] = i;                                                   \
        for (int64_t i = k / 2; i-- > 0;)                                         \
            SIFT(key_##suffix, i, k)                                              \
        worst = key_##suffix(src, first + heap[0] * step) ^ flip;                 \
        for (int64_t i = k; i < topk->n; ++i) {                                   \
            uint64_t key = key_##suffix(src, first + i * step) ^ flip;            \
            if (key <= worst) continue;                                           \
            heap[0] = i;                                                          \
            SIFT(key_##suffix, 0, k)                                              \
            worst = key_##suffix(src, first + heap[0] * step) ^ flip;             \
        }                                                                         \
        for (int64_t size = k - 1; size > 0; --size) {                            \
            int64_t top = heap[0];                                                \
            heap[0] = heap[size * step];                                          \
            heap[size * step] = top;                                              \
            SIFT(key_##suffix, 0, size)                                           \
        }                                                                         \
    }

#define DTYPES(X) \
    X(F32, f32)   \
    X(F64, f64)   \
    X(F16, f16)   \
    X(BF16, bf16) \
    X(U8, u8)     \
    X(U16, u16) X(U32, u32) X(U64, u64) X(S8, s8) X(S16, s16) X(S32, s32) X(S64, s64)

DTYPES(ROW)

static const row_function table[TT_DTYPE_COUNT] = {
#define ENTRY(code, suffix) [TT_##code] = row_##suffix,
    DTYPES(ENTRY)
#undef ENTRY
};

bool tt_topk_has(tt_dtype dtype)
{
    return (int)dtype > 0 && (int)dtype < TT_DTYPE_COUNT && table[dtype] != NULL;
}

typedef struct {
    const tt_topk *topk;
    const void *src;
    char *values;
    int64_t *indices;
} topk_call;

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const topk_call *call = arg;
    const tt_topk *topk = call->topk;
    int64_t item = (int64_t)tt_dtype_bytes(topk->dtype), step = topk->n_inner;
    for (int64_t row = begin; row < end; ++row) {
        int64_t outer = row / step, inner = row % step;
        int64_t first = outer * topk->n * step + inner;
        int64_t to = outer * topk->k * step + inner;
        const char *src = (const char *)call->src + first * item;
        table[topk->dtype](topk, call->src, first, call->indices + to);
        if (call->values == NULL) continue;
        for (int64_t i = 0; i < topk->k; ++i)
            memcpy(call->values + (to + i * step) * item,
                   src + call->indices[to + i * step] * step * item, (size_t)item);
    }
}

void tt_topk_run(const tt_topk *topk, const void *src, void *values, int64_t *indices)
{
    topk_call call = {topk, src, values, indices};
    int64_t n_rows = topk->n_outer * topk->n_inner;
    if (topk->k == 0 || n_rows == 0) return;
    tt_parallel_for(n_rows, 50000 / (topk->n + 1) + 1, run_rows, &call);
}
