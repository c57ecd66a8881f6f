#include "help_dnnl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/threads.h"

/* ---- tensors ------------------------------------------------------------- */

static void read_dims(tt_md *md, va_list args)
{
    for (;;) {
        int dim = va_arg(args, int);
        if (dim == DIMS_END) break;
        CHECK(md->ndims < TT_MAX_RANK);
        md->dims[md->ndims++] = dim;
    }
}

static tensor allocate(tt_md md)
{
    tensor t = {.md = md};
    tt_shape shape = {.dtype = md.dtype, .rank = md.ndims};
    memcpy(shape.dims, md.dims, sizeof shape.dims);
    t.bytes = (size_t)tt_span(&shape, md.strides) * tt_dtype_bytes(md.dtype);
    t.data = tt_calloc(1, t.bytes);
    CHECK(t.data != NULL);
    for (int64_t i = 0; i < numel(&t); ++i) {
        int n = (int)(tt_random() % 17);
        set(&t, i,
            md.dtype == TT_U8           ? n
            : tt_dtype_is_int(md.dtype) ? n - 8
                                        : (n - 8) / 8.0);
    }
    return t;
}

tensor tensor_row_major(tt_dtype dtype, ...)
{
    tt_md md = {.dtype = dtype};
    va_list args;
    va_start(args, dtype);
    read_dims(&md, args);
    va_end(args);
    tt_strides_row_major(md.dims, md.ndims, md.strides);
    return allocate(md);
}

tensor tensor_channels_last(tt_dtype dtype, ...)
{
    tt_md md = {.dtype = dtype};
    va_list args;
    va_start(args, dtype);
    read_dims(&md, args);
    va_end(args);
    tt_strides_channels_last(md.dims, md.ndims, md.strides);
    return allocate(md);
}

tensor tensor_padded(tt_dtype dtype, ...)
{
    tt_md md = {.dtype = dtype}, wide;
    va_list args;
    va_start(args, dtype);
    read_dims(&md, args);
    va_end(args);
    wide = md;
    wide.dims[wide.ndims - 1] += 2;
    tt_strides_row_major(wide.dims, wide.ndims, md.strides);
    return allocate(md);
}

tt_md any_layout(const tensor *t)
{
    tt_md md = t->md;
    md.any = true;
    return md;
}

tensor tensor_copy(const tensor *t)
{
    tensor copy = *t;
    copy.data = tt_alloc(t->bytes);
    CHECK(copy.data != NULL);
    memcpy(copy.data, t->data, t->bytes);
    return copy;
}

void tensor_free(tensor *t)
{
    tt_free(t->data);
    t->data = NULL;
}

int64_t numel(const tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->md.ndims; ++d)
        n *= t->md.dims[d];
    return n;
}

static int64_t offset_of(const tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int d = t->md.ndims - 1; d >= 0; --d) {
        offset += i % t->md.dims[d] * t->md.strides[d];
        i /= t->md.dims[d];
    }
    return offset;
}

double get(const tensor *t, int64_t i)
{
    int64_t o = offset_of(t, i);
    uint32_t bits;
    float value;
    switch (t->md.dtype) {
    case TT_F32:
        return ((const float *)t->data)[o];
    case TT_S32:
        return ((const int32_t *)t->data)[o];
    case TT_S8:
        return ((const int8_t *)t->data)[o];
    case TT_U8:
        return ((const uint8_t *)t->data)[o];
    case TT_BF16:
        bits = (uint32_t)((const uint16_t *)t->data)[o] << 16;
        memcpy(&value, &bits, sizeof value);
        return value;
    default:
        tt_test_fail(__FILE__, __LINE__, "no dtype %d here", t->md.dtype);
    }
}

void set(tensor *t, int64_t i, double value)
{
    int64_t o = offset_of(t, i);
    uint32_t bits;
    float single = (float)value;
    switch (t->md.dtype) {
    case TT_F32:
        ((float *)t->data)[o] = single;
        break;
    case TT_S32:
        ((int32_t *)t->data)[o] = (int32_t)value;
        break;
    case TT_S8:
        ((int8_t *)t->data)[o] = (int8_t)value;
        break;
    case TT_U8:
        ((uint8_t *)t->data)[o] = (uint8_t)value;
        break;
    case TT_BF16:
        memcpy(&bits, &single, sizeof bits);
        ((uint16_t *)t->data)[o] = (uint16_t)(bits >> 16);
        break;
    default:
        tt_test_fail(__FILE__, __LINE__, "no dtype %d here", t->md.dtype);
    }
}

double at(const tensor *t, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e)
{
    int64_t index[5] = {a, b, c, d, e}, i = 0;
    for (int k = 0; k < t->md.ndims; ++k) {
        if (index[k] < 0 || index[k] >= t->md.dims[k]) return 0;
        i = i * t->md.dims[k] + index[k];
    }
    return get(t, i);
}

/* ---- ways to run --------------------------------------------------------- */

void for_every_way(void (*body)(const way *))
{
    for (int staging = 0; staging < 2; ++staging)
        for (int n_threads = 1; n_threads <= 2; ++n_threads) {
            way w = {.staging = staging != 0, .n_threads = n_threads};
            CHECK_OK(tt_engine_new(TT_DEVICE_CPU, w.staging, &w.engine, ERR));
            CHECK_OK(tt_arena_new(n_threads, &w.arena, ERR));
            body(&w);
            tt_arena_free(w.arena);
            tt_engine_free(w.engine);
        }
}

tt_status run_in(const way *w, tt_status (*body)(void *), void *arg)
{
    return tt_arena_run(w->arena, body, arg, ERR);
}

/* ---- running a primitive once -------------------------------------------- */

enum { MAX_OPERANDS = 12 };

typedef struct {
    const way *w;
    creator create;
    const void *params;
    const operand *operands;
    int n_operands;
    /* what is freed at the end */
    tt_prim *prim;
    tt_call *call;
    void *packed[MAX_OPERANDS + 1];
    tt_error *err;
} job;

static bool is_weights(tt_arg arg)
{
    return arg >= TT_ARG_WEIGHTS && arg <= TT_ARG_WEIGHTS_3;
}

/* The operand's own memory, or a packed copy where the primitive wants one. */
static tt_status prepare(job *j, int i, void **data)
{
    const operand *o = &j->operands[i];
    tt_layout *layout;
    tt_status status = TT_OK;
    *data = o->tensor->data;
    if (!is_weights(o->arg)) return TT_OK;
    TT_TRY(tt_layout_new(j->prim, o->arg, &layout, j->err));
    if (!tt_layout_is(layout, &o->tensor->md)) {
        *data = j->packed[i] = tt_alloc(tt_layout_bytes(layout));
        if (*data == NULL) status = tt_fail(j->err, TT_NO_MEMORY, "packed weights");
        if (status == TT_OK)
            status = tt_layout_pack(j->w->engine, &o->tensor->md, o->tensor->data,
                                    layout, *data, j->err);
    }
    tt_layout_free(layout);
    return status;
}

static tt_status do_job(void *arg)
{
    job *j = arg;
    tt_arg args[MAX_OPERANDS + 1];
    int n = j->n_operands;
    void *data;
    TT_TRY(j->create(j->w->engine, j->params, &j->prim, j->err));
    for (int i = 0; i < n; ++i)
        args[i] = j->operands[i].arg;
    args[n] = TT_ARG_SCRATCHPAD;
    TT_TRY(tt_call_new(j->w->engine, j->prim, args, n + 1, &j->call, j->err));
    for (int i = 0; i < n; ++i) {
        TT_TRY(prepare(j, i, &data));
        TT_TRY(tt_call_bind(j->call, i, data, j->err));
    }
    j->packed[n] = tt_alloc(tt_prim_scratchpad_bytes(j->prim));
    if (j->packed[n] == NULL) return tt_fail(j->err, TT_NO_MEMORY, "scratchpad");
    TT_TRY(tt_call_bind(j->call, n, j->packed[n], j->err));
    return tt_call_execute(j->call, j->err);
}

void run_prim(const way *w, creator create, const void *params, const operand *operands,
              int n_operands)
{
    job j = {w, create, params, operands, n_operands, NULL, NULL, {NULL}, ERR};
    tt_status status;
    CHECK(n_operands <= MAX_OPERANDS);
    status = run_in(w, do_job, &j);
    tt_call_free(j.call);
    tt_prim_free(j.prim);
    for (int i = 0; i <= n_operands; ++i)
        tt_free(j.packed[i]);
    CHECK_OK(status);
}

void check_close(const tensor *dst, const double *expected, double tolerance)
{
    for (int64_t i = 0; i < numel(dst); ++i) {
        double value = get(dst, i), error = value - expected[i];
        if (!(error <= tolerance && error >= -tolerance))
            tt_test_fail(__FILE__, __LINE__,
                         "element %lld is %.9g, expected %.9g +- %g", (long long)i,
                         value, expected[i], tolerance);
    }
}
