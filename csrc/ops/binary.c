/* Arithmetic, logic and bits of two broadcast inputs.  Integers wrap around; an integer
 * divided by 0 is 0. */
#include <string.h>

#include "ops/elementwise.h"

/* ---- post-ops: the other operand is a scalar constant or a tensor ---------- */

static bool add_post(const tt_site *site, int which, tt_node_post *post)
{
    double c;
    if (tt_input_scalar(site, 1 - which, &c))
        return tt_post_eltwise(post, TT_ALG_LINEAR, 1, c);
    return tt_post_binary(site, TT_ALG_ADD, which, 1 - which, post);
}

/* a - b as a post-op of a only, but c - x is linear in x. */
static bool sub_post(const tt_site *site, int which, tt_node_post *post)
{
    double c;
    if (tt_input_scalar(site, 1 - which, &c))
        return which == 0 ? tt_post_eltwise(post, TT_ALG_LINEAR, 1, -c)
                          : tt_post_eltwise(post, TT_ALG_LINEAR, -1, c);
    return which == 0 && tt_post_binary(site, TT_ALG_SUB, 0, 1, post);
}

static bool mul_post(const tt_site *site, int which, tt_node_post *post)
{
    double c;
    if (tt_input_scalar(site, 1 - which, &c))
        return tt_post_eltwise(post, TT_ALG_LINEAR, c, 0);
    return tt_post_binary(site, TT_ALG_MUL, which, 1 - which, post);
}

/* c / x is a power; x / c multiplies by 1/c, unless that is no normal float. */
static bool div_post(const tt_site *site, int which, tt_node_post *post)
{
    double c;
    if (tt_input_scalar(site, 1 - which, &c)) {
        const double inverse = 1.0 / c, size = inverse < 0 ? -inverse : inverse;
        if (which == 1) return tt_post_eltwise(post, TT_ALG_POW, c, -1);
        return size > 1e-37 && size < 1e37 &&
               tt_post_eltwise(post, TT_ALG_LINEAR, inverse, 0);
    }
    return which == 0 && tt_post_binary(site, TT_ALG_DIV, 0, 1, post);
}

/* ---- records -------------------------------------------------------------- */

/* X(record, op_type, since, instruction, dtypes, post, summary) */
#define BINARY_LIST(X)                                                           \
    X(add_v7, "Add", 7, ADD, NUMBER, add_post, "a + b")                          \
    X(sub_v7, "Sub", 7, SUB, NUMBER, sub_post, "a - b")                          \
    X(mul_v7, "Mul", 7, MUL, NUMBER, mul_post, "a b")                            \
    X(div_v7, "Div", 7, DIV, NUMBER, div_post, "a / b")                          \
    X(and_v7, "And", 7, AND, BOOL, NULL, "Logical and")                          \
    X(or_v7, "Or", 7, OR, BOOL, NULL, "Logical or")                              \
    X(xor_v7, "Xor", 7, XOR, BOOL, NULL, "Logical exclusive or")                 \
    X(bitwise_and, "BitwiseAnd", 18, BITWISE_AND, INT, NULL, "Bits set in both") \
    X(bitwise_or, "BitwiseOr", 18, BITWISE_OR, INT, NULL, "Bits set in either")  \
    X(bitwise_xor, "BitwiseXor", 18, BITWISE_XOR, INT, NULL, "Bits set in one")

#define BINARY_RECORD(record, op_type, since, instruction, dtypes, post, summary) \
    static tt_status record##_infer(tt_site *site, tt_shape *out, tt_error *err)  \
    {                                                                             \
        return tt_infer_broadcast_of(site, TT_TAKES_##dtypes, out, err);          \
    }                                                                             \
    static tt_status record##_emit(tt_site *site, tt_eltwise_builder *builder,    \
                                   const int *args, int *result, tt_error *err)   \
    {                                                                             \
        return tt_emit_binary(site, builder, TT_ELTWISE_##instruction, args[0],   \
                              args[1], result, err);                              \
    }                                                                             \
    TT_ELEMENTWISE_OP(record, op_type, "", since, 0, post, summary)
BINARY_LIST(BINARY_RECORD)

/* ---- Mod ------------------------------------------------------------------ */

/* fmod 0: sign of the divisor, for floats since opset 28; fmod 1: sign of the
 * dividend. */
enum { MOD_OF_FLOATS = 28 }; /* the opset */

static tt_status mod_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t fmod;
    TT_TRY(tt_attribute_int(site->node, "fmod", 0, &fmod, err));
    TT_TRY(tt_infer_broadcast_of(site, TT_TAKES_NUMBER, out, err));
    if (fmod != 0 || tt_dtype_is_int(out->dtype) ||
        site->node->version >= MOD_OF_FLOATS)
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "attribute 'fmod' must be 1 for %s inputs before opset %d, "
                      "it is 0 in opset %d",
                      tt_dtype_name(out->dtype), MOD_OF_FLOATS, site->node->version);
}

static tt_status mod_emit(tt_site *site, tt_eltwise_builder *builder, const int *args,
                          int *result, tt_error *err)
{
    int64_t fmod;
    TT_TRY(tt_attribute_int(site->node, "fmod", 0, &fmod, err));
    return tt_emit_binary(site, builder, fmod ? TT_ELTWISE_FMOD : TT_ELTWISE_MOD,
                          args[0], args[1], result, err);
}

TT_ELEMENTWISE_OP(mod, "Mod", "", 10, 0, NULL, "Remainder of a / b")

/* ---- BitShift ------------------------------------------------------------- */

static tt_status read_direction(const tt_site *site, bool *is_left, tt_error *err)
{
    const char *text;
    TT_TRY(tt_attribute_string(site->node, "direction", "", &text, err));
    *is_left = strcmp(text, "LEFT") == 0;
    if (*is_left || strcmp(text, "RIGHT") == 0) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "attribute 'direction' must be 'LEFT' or 'RIGHT', not '%.40s'",
                      text);
}

enum { SHIFTS_OF_SIGNED = 28 }; /* the opset */

static tt_status bit_shift_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    bool is_left;
    TT_TRY(read_direction(site, &is_left, err));
    return tt_infer_broadcast_of(
        site,
        site->node->version >= SHIFTS_OF_SIGNED ? TT_TAKES_INT : TT_TAKES_UNSIGNED, out,
        err);
}

static tt_status bit_shift_emit(tt_site *site, tt_eltwise_builder *builder,
                                const int *args, int *result, tt_error *err)
{
    bool is_left;
    TT_TRY(read_direction(site, &is_left, err));
    return tt_emit_binary(site, builder,
                          is_left ? TT_ELTWISE_SHIFT_LEFT : TT_ELTWISE_SHIFT_RIGHT,
                          args[0], args[1], result, err);
}

TT_ELEMENTWISE_OP(bit_shift, "BitShift", "", 11, 0, NULL, "a moved by b bits")
