/* Constants that an operator makes of a node's attributes (a forest of its lists of
 * nodes): once per model, shared by its plans; the model owns them. */
#include "plan/made.h"

#include "base/alloc.h"
#include "base/fork.h"
#include "plan/lower_state.h"

struct tt_made {
    tt_made *next;
    int graph_index, node_index, variant; /* whose attributes, and for which dtype */
    tt_make make;
    tt_constant *constant; /* reference */
};

static tt_made *find(const tt_model *model, const tt_node *node, tt_make make,
                     int variant)
{
    tt_made *made = model->made;
    while (made != NULL &&
           (made->graph_index != node->graph_index || made->make != make ||
            made->node_index != node->node_index || made->variant != variant))
        made = made->next;
    return made;
}

static tt_status add(tt_model *model, const tt_node *node, tt_make make, int variant,
                     tt_made **out, tt_error *err)
{
    tt_made *made = tt_calloc(1, sizeof *made);
    tt_status status;
    if (made == NULL) return tt_fail(err, TT_NO_MEMORY, "what a node is made into");
    status = make(node, variant, &made->constant, err);
    if (status != TT_OK) {
        tt_free(made);
        return status;
    }
    made->graph_index = node->graph_index;
    made->node_index = node->node_index;
    made->variant = variant;
    made->make = make;
    made->next = model->made;
    model->made = made;
    atomic_fetch_add(&model->packed_bytes,
                     (long long)tt_shape_bytes(tt_constant_shape(made->constant)));
    *out = made;
    return TT_OK;
}

tt_status tt_lower_made(tt_lower *lower, const tt_node *node, tt_make make, int variant,
                        tt_operand *out, const void **data, tt_error *err)
{
    tt_model *model = lower->model;
    tt_status status = TT_OK;
    tt_made *made;
    tt_mutex_lock(&model->packed_lock);
    made = find(model, node, make, variant);
    if (made == NULL) status = add(model, node, make, variant, &made, err);
    tt_mutex_unlock(&model->packed_lock);
    TT_TRY(status);
    *data = tt_constant_data(made->constant);
    return tt_lower_constant(lower, tt_constant_ref(made->constant), out, err);
}

void tt_made_free_all(tt_model *model)
{
    while (model->made != NULL) {
        tt_made *next = model->made->next;
        tt_constant_unref(model->made->constant);
        tt_free(model->made);
        model->made = next;
    }
}
