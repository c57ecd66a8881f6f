/* Cast and CastLike: float to integer truncates and saturates (NaN is 0), integers
 * wrap, to bool is x != 0, to narrower floats rounds to nearest even.  From and to 8-bit
 * floats and types below a byte a kernel of its own does it (kernels/small.h has the
 * rules).  Strings are left to the fallback. */
#include <string.h>

#include "kernels/small.h"
#include "ops/elementwise.h"
#include "ops/move.h"

static bool can_cast(tt_dtype from, tt_dtype to)
{
    const tt_small_cast cast = {.from = from, .to = to};
    return tt_small_cast_has(&cast) ||
           (tt_takes_dtype(TT_TAKES_ANY, from) && tt_takes_dtype(TT_TAKES_ANY, to));
}

static tt_status infer_to(tt_site *site, int64_t to, tt_shape *out, tt_error *err)
{
    tt_dtype from = tt_input_shape(site, 0)->dtype;
    if (!tt_dtype_is_known(to))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "attribute 'to' must be a TensorProto data type, not %lld",
                          (long long)to);
    if (from != TT_STRING && to != TT_STRING && !can_cast(from, (tt_dtype)to))
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "casting %s to %s is not supported", tt_dtype_name(from),
                          tt_dtype_name((tt_dtype)to));
    *out = *tt_input_shape(site, 0);
    out->dtype = (tt_dtype)to;
    return tt_check_shape(site, out, err);
}

/* An f16 or bf16 input already is an f32 register: nothing to do but for another
 * precision than it has. */
static tt_status emit_to(tt_site *site, tt_eltwise_builder *builder, int x, tt_dtype to,
                         int *result, tt_error *err)
{
    tt_dtype from = tt_input_shape(site, 0)->dtype;
    *result = x;
    if (tt_dtype_is_small(from) || tt_dtype_is_small(to))
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "is not elementwise");
    if (from == to) return TT_OK;
    return tt_emit_cast(site, builder, x, to, result, err);
}

/* ---- types of 8 bits and less ----------------------------------------------- */

static tt_status read_rule(const tt_node *node, tt_small_rule *rule, tt_error *err)
{
    static const char *const modes[] = {
        [TT_POWER_UP] = "up", [TT_POWER_DOWN] = "down", [TT_POWER_NEAREST] = "nearest"};
    const char *text = "up";
    int64_t saturate = 1;
    if (node->version >= 19)
        TT_TRY(tt_attribute_int(node, "saturate", 1, &saturate, err));
    if (node->version >= 24)
        TT_TRY(tt_attribute_string(node, "round_mode", "up", &text, err));
    rule->saturate = saturate != 0;
    for (int i = 0; i < 3; ++i)
        if (strcmp(text, modes[i]) == 0) {
            rule->power = (tt_power_mode)i;
            return TT_OK;
        }
    return tt_fail_at(
        node, err, TT_BAD_MODEL,
        "attribute 'round_mode' must be 'up', 'down' or 'nearest', not '%.40s'", text);
}

typedef struct {
    tt_small_cast cast;
    int64_t n;
} small_params;

static tt_status run_small(const void *params, void *const *ptrs, tt_error *err)
{
    const small_params *p = params;
    (void)err;
    tt_small_cast_run(&p->cast, p->n, ptrs[0], ptrs[1]);
    return TT_OK;
}

static tt_status lower_cast(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *src = tt_input_shape(&site, 0);
    const tt_shape *dst = tt_output_shape(lower, node, 0);
    small_params params = {
        .cast = {.from = src->dtype, .to = dst->dtype},
          .n = tt_shape_numel(src)
    };
    double n = (double)params.n;
    double width = (double)(tt_dtype_bytes(src->dtype) + tt_dtype_bytes(dst->dtype));
    tt_work work = {.bytes = n * width, .cost_ns = 20 + n * .3};
    int64_t strides[TT_MAX_RANK];
    tt_operand operands[2];
    if (!tt_small_cast_has(&params.cast)) return tt_lower_elementwise(lower, node, err);
    TT_TRY(read_rule(node, &params.cast.rule, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_DENSE, &operands[0], err));
    memcpy(strides, tt_operand_strides(lower, operands[0]), sizeof strides);
    TT_TRY(tt_lower_dst_strided(lower, node, 0, strides, &operands[1], err));
    return tt_lower_kernel(lower, node, "cast:small", run_small, &params, sizeof params,
                           operands, 1, 1, &work, err);
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
    tt_small_rule rule;
    TT_TRY(tt_check_inputs(site, 1, 1, err));
    TT_TRY(tt_attribute_int(site->node, "to", 0, &to, err));
    TT_TRY(read_rule(site->node, &rule, err));
    return infer_to(site, to, out, err);
}

static tt_status cast_v6_emit(tt_site *site, tt_eltwise_builder *builder,
                              const int *args, int *result, tt_error *err)
{
    int64_t to = 0;
    TT_TRY(tt_attribute_int(site->node, "to", 0, &to, err));
    return emit_to(site, builder, args[0], (tt_dtype)to, result, err);
}

const tt_op tt_op_cast_v6 = {.name = "Cast",
                             .domain = "",
                             .since = 6,
                             .summary = "Conversion to another data type",
                             .infer = cast_v6_infer,
                             .emit = cast_v6_emit,
                             .lower = lower_cast};

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

const tt_op tt_op_cast_like = {.name = "CastLike",
                               .domain = "",
                               .since = 15,
                               .summary =
                                   "Conversion to the data type of another tensor",
                               .infer = cast_like_infer,
                               .emit = cast_like_emit,
                               .lower = lower_cast};
