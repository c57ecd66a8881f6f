/* The packed weights of a model, inside the plan room; operators see tt_lower_packed and
 * tt_lower_derived (plan/lower.h). */
#ifndef TT_PLAN_PACKED_H
#define TT_PLAN_PACKED_H

#include "plan/plan.h"

void tt_packed_free_all(tt_model *model);

#endif
