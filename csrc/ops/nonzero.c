/* NonZero: the indices of all elements that are not zero, one column each. */
#include "ops/eval.h"
#include "ops/fail.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    (void)out;
    TT_TRY(tt_need_inputs(site, 1, err));
    return tt_needs_run(site, err);
}

/* Calls USE with the flat index i of each element of this type that is not zero. */
#define EACH(type, USE)                     \
    for (int64_t i = 0; i < n; ++i)         \
        if (((const type *)data)[i] != 0) { \
            USE;                            \
        }

/* 16-bit floats: zero is any sign. */
#define EACH_HALF(USE)                                     \
    for (int64_t i = 0; i < n; ++i)                        \
        if ((((const uint16_t *)data)[i] & 0x7fff) != 0) { \
            USE;                                           \
        }

#define EACH_OF(dtype, USE)              \
    switch (dtype) {                     \
    case TT_F32:                         \
        EACH(float, USE) break;          \
    case TT_F64:                         \
        EACH(double, USE) break;         \
    case TT_F16:                         \
    case TT_BF16:                        \
        EACH_HALF(USE) break;            \
    default:                             \
        switch (tt_dtype_bytes(dtype)) { \
        case 1:                          \
            EACH(uint8_t, USE) break;    \
        case 2:                          \
            EACH(uint16_t, USE) break;   \
        case 4:                          \
            EACH(uint32_t, USE) break;   \
        default:                         \
            EACH(uint64_t, USE) break;   \
        }                                \
    }

static tt_status eval(tt_site *site, const tt_tensor *const *inputs, tt_tensor *out,
                      tt_error *err)
{
    const tt_shape *src = &inputs[0]->shape;
    const void *data = inputs[0]->data;
    int64_t n = tt_shape_numel(src), n_found = 0, *at;
    int rank = src->rank > 0 ? src->rank : 1;
    tt_shape shape = {.dtype = TT_S64, .rank = 2};
    if (src->dtype == TT_C64 || src->dtype == TT_C128 ||
        tt_dtype_is_small(src->dtype) || tt_dtype_bytes(src->dtype) == 0)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "elements of %s",
                          tt_dtype_name(src->dtype));
    EACH_OF(src->dtype, ++n_found)
    shape.dims[0] = rank;
    shape.dims[1] = n_found;
    TT_TRY(tt_eval_output(site, &shape, &out[0], err));
    at = out[0].data;
    EACH_OF(src->dtype, *at++ = i)
    at = out[0].data;
    for (int64_t k = 0; k < n_found;
         ++k) { /* the flat indices stand in the first row */
        int64_t rest = at[k];
        for (int d = rank - 1; d >= 0; --d) {
            int64_t dim = src->rank > 0 ? src->dims[d] : 1;
            at[d * n_found + k] = rest % dim;
            rest /= dim;
        }
    }
    return TT_OK;
}

const tt_op tt_op_nonzero = {.name = "NonZero",
                             .domain = "",
                             .since = 9,
                             .summary = "the indices of the elements that are not zero",
                             .infer = infer,
                             .eval = eval};
