/* Columns of categories: see table_codes.h. */
#include "watch/table_codes.h"

static void add_present(const tt_table_bins *bins, int place, uint32_t word,
                        const tt_table_cells *cells)
{
    ++cells->sums->n;
    tt_distinct_add(cells->registers, word);
    tt_table_count(cells, place, 1);
    (void)bins;
}

static void add_code(const tt_table_bins *bins, int64_t code,
                     const tt_table_cells *cells)
{
    add_present(bins, tt_table_category(bins, code), tt_word_of_code(code), cells);
}

static void add_unsigned(const tt_table_bins *bins, uint64_t code,
                         const tt_table_cells *cells)
{
    if (code <= INT64_MAX)
        add_code(bins, (int64_t)code, cells);
    else
        add_present(bins, bins->n, tt_fold(code), cells);
}

static void add_number(const tt_table_bins *bins, double x, const tt_table_cells *cells)
{
    bool is_in_range = x >= -0x1p63 && x < 0x1p63;
    if (isnan(x))
        ++cells->sums->n_missing;
    else if (isinf(x))
        ++cells->sums->n_infinite;
    else if (is_in_range && (double)(int64_t)x == x)
        add_code(bins, (int64_t)x, cells);
    else
        add_present(bins, bins->n, tt_word_of(x), cells);
}

/* X(dtype, C type, what adds an item); all others are gathered as numbers. */
#define ITEM_LIST(X)                  \
    X(TT_BOOL, uint8_t, add_code)     \
    X(TT_U8, uint8_t, add_code)       \
    X(TT_S8, int8_t, add_code)        \
    X(TT_U16, uint16_t, add_code)     \
    X(TT_S16, int16_t, add_code)      \
    X(TT_U32, uint32_t, add_code)     \
    X(TT_S32, int32_t, add_code)      \
    X(TT_S64, int64_t, add_code)      \
    X(TT_U64, uint64_t, add_unsigned) \
    X(TT_F32, float, add_number)      \
    X(TT_F64, double, add_number)

typedef void add_fn(const tt_table_bins *bins, const char *src, int64_t stride,
                    int64_t n, const tt_table_cells *cells);

#define DEFINE_ADD(dtype, type, add)                                                \
    static void add_##dtype(const tt_table_bins *bins, const char *src,             \
                            int64_t stride, int64_t n, const tt_table_cells *cells) \
    {                                                                               \
        for (int64_t i = 0; i < n; ++i) {                                           \
            type item;                                                              \
            memcpy(&item, src + i * stride, sizeof item);                           \
            add(bins, item, cells);                                                 \
        }                                                                           \
    }
ITEM_LIST(DEFINE_ADD)
#undef DEFINE_ADD

static add_fn *const adds[TT_DTYPE_COUNT] = {
#define ADD_ENTRY(dtype, type, add) [dtype] = add_##dtype,
    ITEM_LIST(ADD_ENTRY)
#undef ADD_ENTRY
};

void tt_table_add_codes(const tt_table_bins *bins, tt_dtype dtype, const char *src,
                        int64_t stride, int64_t n, const tt_table_cells *cells)
{
    float item;
    if (adds[dtype] != NULL) {
        adds[dtype](bins, src, stride, n, cells);
        return;
    }
    for (int64_t i = 0; i < n; ++i) { /* half precision */
        tt_view_gather(dtype, src + i * stride, 0, 1, &item);
        add_number(bins, (double)item, cells);
    }
}
