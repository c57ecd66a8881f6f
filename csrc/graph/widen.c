/* Constants of bfloat16 as float32, made when somebody wants them: see widen.h. */
#include "graph/widen.h"

#include "kernels/item.h"

static tt_status fill(void *owner, void *dst, tt_error *err)
{
    tt_constant *narrow = owner;
    int64_t n = tt_shape_numel(tt_constant_shape(narrow));
    const uint16_t *src;
    float *to = dst;
    TT_TRY(tt_constant_pin(narrow, err));
    src = tt_constant_data(narrow);
    for (int64_t i = 0; i < n; ++i)
        to[i] = tt_f32_from_bf16(src[i]);
    tt_constant_unpin(narrow);
    return TT_OK;
}

static void release(void *owner)
{
    tt_constant_unref(owner);
}

static tt_status widened_now(tt_constant *narrow, const tt_shape *shape,
                             tt_constant **out, tt_error *err)
{
    tt_status status;
    void *data;
    TT_TRY(tt_constant_empty(shape, out, &data, err));
    status = fill(narrow, data, err);
    if (status != TT_OK) tt_constant_unref(*out);
    return status;
}

tt_status tt_constant_widened(tt_constant *narrow, tt_constant **out, tt_error *err)
{
    static const int64_t LEAST_LAZY = 1 << 14;
    tt_shape shape = *tt_constant_shape(narrow);
    tt_status status;
    tt_hash key;
    shape.dtype = TT_F32;
    if (tt_shape_numel(&shape) < LEAST_LAZY)
        return widened_now(narrow, &shape, out, err);
    status = tt_constant_lazy(&shape, fill, release, tt_constant_ref(narrow), out, err);
    if (status != TT_OK) {
        tt_constant_unref(narrow);
        return status;
    }
    if (tt_constant_key(narrow, &key))
        tt_constant_set_key(*out, tt_hash_bytes(&key, sizeof key, /*seed=*/7));
    return TT_OK;
}
