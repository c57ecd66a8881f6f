/* What operators make of their attributes, inside the plan room; operators see
 * tt_lower_made (plan/lower.h). */
#ifndef TT_PLAN_MADE_H
#define TT_PLAN_MADE_H

#include "plan/plan.h"

void tt_made_free_all(tt_model *model);

#endif
