/* Max, Min, Sum and Mean of any number of broadcast inputs. */
#include "ops/elementwise.h"

static tt_status infer(tt_site *site, tt_takes takes, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 1, err));
    for (int i = 0; i < site->node->n_inputs; ++i)
        TT_TRY(tt_check_dtype(site, i, takes, err));
    return tt_infer_broadcast(site, out, err);
}

/* From left to right. */
static tt_status fold(tt_site *site, tt_eltwise_builder *builder, tt_eltwise_op op,
                      const int *args, int *result, tt_error *err)
{
    *result = args[0];
    for (int i = 1; i < site->node->n_inputs; ++i)
        TT_TRY(tt_emit_binary(site, builder, op, *result, args[i], result, err));
    return TT_OK;
}

static bool post_of_two(const tt_site *site, int alg, int which, tt_node_post *post)
{
    return site->node->n_inputs == 2 &&
           tt_post_binary(site, alg, which, 1 - which, post);
}

#define NARY_RECORD(record, op_type, instruction, takes, summary)                 \
    static tt_status record##_infer(tt_site *site, tt_shape *out, tt_error *err)  \
    {                                                                             \
        return infer(site, takes, out, err);                                      \
    }                                                                             \
    static tt_status record##_emit(tt_site *site, tt_eltwise_builder *builder,    \
                                   const int *args, int *result, tt_error *err)   \
    {                                                                             \
        return fold(site, builder, TT_ELTWISE_##instruction, args, result, err);  \
    }                                                                             \
    static bool record##_post(const tt_site *site, int which, tt_node_post *post) \
    {                                                                             \
        return post_of_two(site, TT_ALG_##instruction, which, post);              \
    }                                                                             \
    TT_ELEMENTWISE_OP(record, op_type, "", 1, 0, record##_post, summary)
NARY_RECORD(max, "Max", MAX, TT_TAKES_NUMBER, "Largest of the inputs")
NARY_RECORD(min, "Min", MIN, TT_TAKES_NUMBER, "Smallest of the inputs")
NARY_RECORD(sum, "Sum", ADD, TT_TAKES_FLOAT, "Sum of the inputs")

/* ---- Mean ----------------------------------------------------------------- */

static tt_status mean_infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer(site, TT_TAKES_FLOAT, out, err);
}

static tt_status mean_emit(tt_site *site, tt_eltwise_builder *builder, const int *args,
                           int *result, tt_error *err)
{
    int n;
    TT_TRY(fold(site, builder, TT_ELTWISE_ADD, args, result, err));
    if (site->node->n_inputs == 1) return TT_OK;
    TT_TRY(tt_emit_constant(site, builder, builder->registers[*result],
                            (double)site->node->n_inputs, &n, err));
    return tt_emit_binary(site, builder, TT_ELTWISE_DIV, *result, n, result, err);
}

TT_ELEMENTWISE_OP(mean, "Mean", "", 1, 0, NULL, "Mean of the inputs")
