/* Weights of 8 bits made from others of a model: see quantized.h.  They are lazy: the
 * bytes are there only while a plan packs them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/quantized.h"

/* What makes the bytes. */
typedef struct {
    tt_constant *weights; /* reference; f32, or u8 to be shifted */
    float *scales;        /* owned; NULL when shifting */
    int64_t n_scales, n_inner;
    float limit;
} recipe;

static void free_recipe(void *owner)
{
    recipe *r = owner;
    tt_constant_unref(r->weights);
    tt_free(r->scales);
    tt_free(r);
}

static int8_t quantise(float x, float scale, float limit)
{
    float q = rintf(x / scale), low = limit == 127.0f ? -128.0f : -limit;
    if (!(q > low)) q = low; /* NaN too */
    return (int8_t)(q < limit ? q : limit);
}

static tt_status fill_quantised(void *owner, void *dst, tt_error *err)
{
    const recipe *r = owner;
    int64_t n = tt_shape_numel(tt_constant_shape(r->weights));
    const float *src;
    int8_t *to = dst;
    TT_TRY(tt_constant_pin(r->weights, err));
    src = tt_constant_data(r->weights);
    for (int64_t i = 0, channel = 0; i < n; i += r->n_inner) {
        float scale = r->scales[channel];
        for (int64_t k = i; k < i + r->n_inner; ++k)
            to[k] = quantise(src[k], scale, r->limit);
        if (++channel == r->n_scales) channel = 0;
    }
    tt_constant_unpin(r->weights);
    return TT_OK;
}

static tt_status fill_shifted(void *owner, void *dst, tt_error *err)
{
    const recipe *r = owner;
    int64_t n = tt_shape_numel(tt_constant_shape(r->weights));
    const uint8_t *src;
    uint8_t *to = dst;
    TT_TRY(tt_constant_pin(r->weights, err));
    src = tt_constant_data(r->weights);
    for (int64_t i = 0; i < n; ++i)
        to[i] = src[i] ^ 0x80u;
    tt_constant_unpin(r->weights);
    return TT_OK;
}

/* Takes r in any case. */
static tt_status make_lazy(recipe *r, tt_constant_fill fill, tt_constant **out,
                           tt_error *err)
{
    tt_shape shape = *tt_constant_shape(r->weights);
    struct {
        tt_hash weights, scales;
        int64_t n_inner, limit;
    } all;
    tt_status status;
    shape.dtype = TT_S8;
    memset(&all, 0, sizeof all);
    bool has_key = tt_constant_key(r->weights, &all.weights);
    if (r->scales != NULL)
        all.scales = tt_hash_bytes(r->scales, (size_t)r->n_scales * sizeof *r->scales,
                                   /*seed=*/7);
    all.n_inner = r->n_inner;
    all.limit = (int64_t)r->limit;
    status = tt_constant_lazy(&shape, fill, free_recipe, r, out, err);
    if (status != TT_OK)
        free_recipe(r);
    else if (has_key)
        tt_constant_set_key(*out, tt_hash_bytes(&all, sizeof all, /*seed=*/8));
    return status;
}

static recipe *new_recipe(tt_constant *weights)
{
    recipe *r = tt_calloc(1, sizeof *r);
    if (r != NULL) r->weights = tt_constant_ref(weights);
    return r;
}

tt_status tt_weights_quantized(tt_constant *weights, const tt_constant *scales,
                               int axis, int limit, tt_constant **out, tt_error *err)
{
    const tt_shape *shape = tt_constant_shape(weights);
    recipe *r = new_recipe(weights);
    if (r == NULL) return tt_fail(err, TT_NO_MEMORY, "the scales of a weight");
    r->n_scales = tt_shape_numel(tt_constant_shape(scales));
    r->limit = (float)limit;
    r->n_inner = tt_shape_numel(shape);
    if (r->n_scales > 1) {
        r->n_inner = 1;
        for (int i = axis + 1; i < shape->rank; ++i)
            r->n_inner *= shape->dims[i];
    }
    r->scales = tt_calloc((size_t)r->n_scales, sizeof *r->scales);
    if (r->scales == NULL) {
        free_recipe(r);
        return tt_fail(err, TT_NO_MEMORY, "the scales of a weight");
    }
    memcpy(r->scales, tt_constant_data(scales),
           (size_t)r->n_scales * sizeof *r->scales);
    return make_lazy(r, fill_quantised, out, err);
}

tt_status tt_weights_shifted(tt_constant *weights, tt_constant **out, tt_error *err)
{
    recipe *r = new_recipe(weights);
    if (r == NULL) return tt_fail(err, TT_NO_MEMORY, "a weight of 8 bits");
    r->limit = 127.0f;
    return make_lazy(r, fill_shifted, out, err);
}

tt_status tt_weights_within(tt_constant *weights, int limit, bool *out, tt_error *err)
{
    const tt_shape *shape = tt_constant_shape(weights);
    int64_t n = tt_shape_numel(shape);
    const uint8_t *data;
    unsigned flip = shape->dtype == TT_U8 ? 0x80u : 0, outside = 0;
    TT_TRY(tt_constant_pin(weights, err));
    data = tt_constant_data(weights);
    for (int64_t i = 0; i < n; ++i)
        outside |= (unsigned)(abs((int8_t)(data[i] ^ flip)) > limit);
    tt_constant_unpin(weights);
    *out = outside == 0;
    return TT_OK;
}
