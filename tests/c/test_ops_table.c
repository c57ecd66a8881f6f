/* ops/op_list.h: every record is complete, and no two serve the same opset. */
#include <string.h>

#include "harness.h"
#include "ops/op.h"

static bool serve_the_same(const tt_op *a, const tt_op *b)
{
    if (strcmp(a->name, b->name) != 0 || strcmp(a->domain, b->domain) != 0)
        return false;
    return (a->until == 0 || b->since <= a->until) &&
           (b->until == 0 || a->since <= b->until);
}

TT_TEST(every_operator_has_a_name_a_summary_and_opsets)
{
    const tt_op *op;
    for (int i = 0; (op = tt_op_at(i)) != NULL; ++i) {
        CHECK(op->name != NULL && op->name[0] != '\0' && op->domain != NULL);
        if (op->summary == NULL || op->summary[0] == '\0')
            tt_test_fail(__FILE__, __LINE__, "%s has no summary", op->name);
        if (op->since < 1 || (op->until != 0 && op->until < op->since))
            tt_test_fail(__FILE__, __LINE__, "%s serves %d to %d", op->name, op->since,
                         op->until);
    }
}

TT_TEST(every_operator_infers_shapes_and_computes)
{
    const tt_op *op;
    for (int i = 0; (op = tt_op_at(i)) != NULL; ++i) {
        bool computes = op->lower != NULL || op->emit != NULL || op->eval != NULL;
        if (op->is_control_flow) continue; /* plan/control.c */
        if (op->infer == NULL || !computes)
            tt_test_fail(__FILE__, __LINE__,
                         "%s has no infer, or nothing that computes", op->name);
    }
}

TT_TEST(no_two_records_serve_the_same_opset)
{
    const tt_op *a, *b;
    for (int i = 0; (a = tt_op_at(i)) != NULL; ++i)
        for (int k = i + 1; (b = tt_op_at(k)) != NULL; ++k)
            if (serve_the_same(a, b))
                tt_test_fail(__FILE__, __LINE__, "two records serve %s from %d and %d",
                             a->name, a->since, b->since);
}

TT_TEST(the_table_finds_what_it_holds)
{
    const tt_op *op;
    for (int i = 0; (op = tt_op_at(i)) != NULL; ++i)
        CHECK(tt_op_find(op->domain, op->name, op->since) == op);
    CHECK(tt_op_find("", "Relu", 17) == tt_op_find("ai.onnx", "Relu", 17));
    CHECK(tt_op_find("", "NoSuchOperator", 17) == NULL);
    CHECK(tt_op_find("", "Relu", 0) == NULL);
    CHECK(tt_op_at(-1) == NULL);
}
