/* Cast and CastLike: float to integer truncates and saturates (NaN is 0), integers
 * wrap, to bool is x != 0, to narrower floats rounds to nearest even.  Strings, types
 * of 8-bit floats and below a byte are not supported. */
#include <string.h>

#include "ops/elementwise.h"

static tt_status infer_to(tt_site *site, int64_t to, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_check_dtype(site, 0, TT_TAKES_ANY, err));
    if (!tt_dtype_is_known(to))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "attribute 'to' must be a TensorProto data type, not %lld",
                          (long long)to);
    if (!tt_takes_dtype(TT_TAKES_ANY, (tt_dtype)to))
        return tt_fail_at(
            site->node, err, TT_UNSUPPORTED, "casting %s to %s is not supported",
            tt_dtype_name(tt_input_shape(site, 0)->dtype), tt_dtype_name((tt_dtype)to));
    *out = *tt_input_shape(site, 0);
    out->dtype = (tt_dtype)to;
    return tt_check_shape(site, out, err);
}

/* An f16 or bf16 input already is an f32 register: nothing to do but for another
 * precision than it has. */
static tt_status emit_to(tt_site *site, tt_eltwise_builder *builder, int x, tt_dtype to,
                         int *result, tt_error *err)
{
    *result = x;
    if (tt_input_shape(site, 0)->dtype == to) return TT_OK;
    return tt_emit_cast(site, builder, x, to, result, err);
}

/* ---- Cast, opsets 1 to 5: the type is a name ------------------------------ */

static tt_status read_name(const tt_site *site, int64_t *to, tt_error *err)
{
    static const struct {
        const char *name;
        tt_dtype dtype;
    } names[] = {
        {"FLOAT",   TT_F32   },
        {"UINT8",   TT_U8    },
        {"INT8",    TT_S8    },
        {"UINT16",  TT_U16   },
        {"INT16",   TT_S16   },
        {"INT32",   TT_S32   },
        {"INT64",   TT_S64   },
        {"BOOL",    TT_BOOL  },
        {"FLOAT16", TT_F16   },
        {"DOUBLE",  TT_F64   },
        {"UINT32",  TT_U32   },
        {"UINT64",  TT_U64   },
        {"STRING",  TT_STRING}
    };
    const char *text;
    TT_TRY(tt_attribute_string(site->node, "to", "", &text, err));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i)
        if (strcmp(text, names[i].name) == 0) {
            *to = names[i].dtype;
            return TT_OK;
        }
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "attribute 'to' must name a data type such as FLOAT, not '%.40s'",
                      text);
}

static tt_status cast_v1_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t to = 0;
    TT_TRY(tt_check_inputs(site, 1, 1, err));
    TT_TRY(read_name(site, &to, err));
    return infer_to(site, to, out, err);
}

static tt_status cast_v1_emit(tt_site *site, tt_eltwise_builder *builder,
                              const int *args, int *result, tt_error *err)
{
    int64_t to = 0;
    TT_TRY(read_name(site, &to, err));
    return emit_to(site, builder, args[0], (tt_dtype)to, result, err);
}

TT_ELEMENTWISE_OP(cast_v1, "Cast", "", 1, 5, NULL, "Conversion to another data type")

/* ---- Cast since opset 6 --------------------------------------------------- */

static tt_status cast_v6_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t to = 0;
    TT_TRY(tt_check_inputs(site, 1, 1, err));
    TT_TRY(tt_attribute_int(site->node, "to", 0, &to, err));
    return infer_to(site, to, out, err);
}

static tt_status cast_v6_emit(tt_site *site, tt_eltwise_builder *builder,
                              const int *args, int *result, tt_error *err)
{
    int64_t to = 0;
    TT_TRY(tt_attribute_int(site->node, "to", 0, &to, err));
    return emit_to(site, builder, args[0], (tt_dtype)to, result, err);
}

TT_ELEMENTWISE_OP(cast_v6, "Cast", "", 6, 0, NULL, "Conversion to another data type")

/* ---- CastLike ------------------------------------------------------------- */

static tt_status cast_like_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_check_inputs(site, 2, 2, err));
    return infer_to(site, tt_input_shape(site, 1)->dtype, out, err);
}

static tt_status cast_like_emit(tt_site *site, tt_eltwise_builder *builder,
                                const int *args, int *result, tt_error *err)
{
    return emit_to(site, builder, args[0], tt_input_shape(site, 1)->dtype, result, err);
}

TT_ELEMENTWISE_OP(cast_like, "CastLike", "", 15, 0, NULL,
                  "Conversion to the data type of another tensor")
