/* Optionals.  One that is there is its value itself, a tensor or a sequence; one that is
 * empty is nothing (TT_NOTHING).  Which of them it is belongs to the shapes that a plan
 * is made for, so these cost nothing when it runs. */
#include "ops/fail.h"
#include "ops/move.h"

static bool is_there(const tt_site *site)
{
    return tt_has_input(site, 0) && tt_input_shape(site, 0)->dtype != TT_NOTHING;
}

static tt_status infer_optional(tt_site *site, tt_shape *out, tt_error *err)
{
    (void)err;
    *out = is_there(site) ? *tt_input_shape(site, 0) : (tt_shape){.dtype = TT_NOTHING};
    return TT_OK;
}

static tt_status infer_get(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 1, err));
    if (!is_there(site))
        return tt_fail_at(site->node, err, TT_BAD_INPUT, "%s",
                          "the optional is empty, there is no element to get");
    *out = *tt_input_shape(site, 0);
    return TT_OK;
}

static tt_status infer_has(tt_site *site, tt_shape *out, tt_error *err)
{
    (void)site;
    (void)err;
    *out = (tt_shape){.dtype = TT_BOOL};
    return TT_OK;
}

static tt_status bind_byte(tt_lower *lower, const tt_node *node, bool value,
                           tt_error *err)
{
    tt_constant *constant;
    tt_operand operand;
    void *data;
    TT_TRY(tt_constant_empty(tt_output_shape(lower, node, 0), &constant, &data, err));
    *(bool *)data = value;
    TT_TRY(tt_lower_constant(lower, constant, &operand, err));
    tt_lower_bind(lower, node, 0, operand);
    return TT_OK;
}

static tt_status lower_optional(tt_lower *lower, const tt_node *node, tt_error *err)
{
    if (tt_output_shape(lower, node, 0)->dtype == TT_NOTHING)
        return bind_byte(lower, node, false, err);
    return tt_lower_reshape(lower, node, err);
}

static tt_status lower_has(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = {tt_lower_graph(lower), node, -1};
    return bind_byte(lower, node, is_there(&site), err);
}

const tt_op tt_op_optional = {.name = "Optional",
                              .domain = "",
                              .since = 15,
                              .summary = "a value, or nothing",
                              .infer = infer_optional,
                              .lower = lower_optional,
                              .takes_sequences = true};

const tt_op tt_op_optional_get_element = {.name = "OptionalGetElement",
                                          .domain = "",
                                          .since = 15,
                                          .summary = "the value of an optional",
                                          .infer = infer_get,
                                          .lower = tt_lower_reshape,
                                          .takes_sequences = true,
                                          .is_reshape = true};

const tt_op tt_op_optional_has_element = {.name = "OptionalHasElement",
                                          .domain = "",
                                          .since = 15,
                                          .summary = "is there a value?",
                                          .infer = infer_has,
                                          .lower = lower_has,
                                          .takes_sequences = true,
                                          .reads_shape_only = true};
