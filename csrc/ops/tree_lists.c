/* Lists in the attributes of tree ensembles: see tree_lists.h. */
#include "ops/tree_lists.h"

#include "kernels/item.h"
#include "ops/fail.h"

tt_status tt_tree_tensor(const tt_node *node, const char *name, tt_tree_numbers *out,
                         tt_error *err)
{
    const tt_attribute *found = tt_attribute_find(node, name);
    const tt_shape *shape;
    *out = (tt_tree_numbers){TT_F32, NULL, 0};
    if (found == NULL || found->kind != TT_ATTRIBUTE_TENSOR)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s must be a tensor", name);
    shape = tt_constant_shape(found->as.tensor);
    switch ((int)shape->dtype) {
    case TT_F32:
    case TT_F64:
    case TT_F16:
    case TT_U8:
        break;
    default:
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s is of %s", name,
                          tt_dtype_name(shape->dtype));
    }
    *out = (tt_tree_numbers){shape->dtype, tt_constant_data(found->as.tensor),
                             tt_shape_numel(shape)};
    if (out->data == NULL && out->n > 0)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "%s is kept in a file of its own",
                          name);
    return TT_OK;
}

double tt_tree_number(const tt_tree_numbers *list, int64_t i)
{
    return tt_item_load(list->dtype, list->data, i);
}

tt_status tt_tree_ints(const tt_node *node, const char *name, int64_t wanted,
                       const int64_t **out, tt_error *err)
{
    int n;
    TT_TRY(tt_attribute_ints(node, name, out, &n, err));
    if ((n < 0 ? 0 : n) == wanted) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "%s has %d items, expected %lld", name,
                      n < 0 ? 0 : n, (long long)wanted);
}
