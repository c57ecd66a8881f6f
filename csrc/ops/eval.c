/* Outputs of operators that are evaluated; see eval.h. */
#include "ops/eval.h"

#include "ops/fail.h"

tt_status tt_eval_output(const tt_site *site, const tt_shape *shape, tt_tensor *out,
                         tt_error *err)
{
    TT_TRY(tt_check_shape(site, shape, err));
    if (tt_tensor_new(shape, out, err) == TT_OK) return TT_OK;
    return tt_fail_at(site->node, err, TT_NO_MEMORY, "%zu bytes of an output",
                      tt_shape_bytes(shape));
}

tt_status tt_needs_run(const tt_site *site, tt_error *err)
{
    return tt_fail_at(site->node, err, TT_NEEDS_RUN, "%s",
                      "the output shape depends on the data");
}
