/* Readers of a node's attributes: name and kind are checked, defaults applied. */
#include <string.h>

#include "ops/op.h"

static const char *kind_name(tt_attribute_kind kind)
{
    switch (kind) {
#define KIND_NAME(code, onnx, text) \
    case code:                      \
        return text;
        TT_ATTRIBUTE_LIST(KIND_NAME)
#undef KIND_NAME
    }
    return "of an unknown kind";
}

const tt_attribute *tt_attribute_find(const tt_node *node, const char *name)
{
    for (int i = 0; i < node->n_attributes; ++i)
        if (strcmp(node->attributes[i].name, name) == 0) return &node->attributes[i];
    return NULL;
}

/* *out is NULL when the attribute is missing. */
static tt_status find_kind(const tt_node *node, const char *name,
                           tt_attribute_kind kind, const tt_attribute **out,
                           tt_error *err)
{
    *out = tt_attribute_find(node, name);
    if (*out == NULL || (*out)->kind == kind) return TT_OK;
    tt_fail(err, TT_BAD_MODEL, "%s '%s': attribute '%s' must be %s, not %s",
            node->op_type, node->name, name, kind_name(kind), kind_name((*out)->kind));
    tt_error_where(err, node->name);
    return TT_BAD_MODEL;
}

tt_status tt_attribute_int(const tt_node *node, const char *name, int64_t fallback,
                           int64_t *out, tt_error *err)
{
    const tt_attribute *attribute;
    TT_TRY(find_kind(node, name, TT_ATTRIBUTE_INT, &attribute, err));
    *out = attribute == NULL ? fallback : attribute->as.ints[0];
    return TT_OK;
}

tt_status tt_attribute_float(const tt_node *node, const char *name, float fallback,
                             float *out, tt_error *err)
{
    const tt_attribute *attribute;
    TT_TRY(find_kind(node, name, TT_ATTRIBUTE_FLOAT, &attribute, err));
    *out = attribute == NULL ? fallback : attribute->as.floats[0];
    return TT_OK;
}

tt_status tt_attribute_string(const tt_node *node, const char *name,
                              const char *fallback, const char **out, tt_error *err)
{
    const tt_attribute *attribute;
    TT_TRY(find_kind(node, name, TT_ATTRIBUTE_STRING, &attribute, err));
    *out = attribute == NULL ? fallback : attribute->as.strings[0];
    return TT_OK;
}

/* The number of items as int; a list longer than an int is not a list. */
static tt_status count_items(const tt_node *node, const tt_attribute *attribute, int *n,
                             tt_error *err)
{
    if (attribute->n <= INT32_MAX) {
        *n = (int)attribute->n;
        return TT_OK;
    }
    tt_fail(err, TT_LIMIT, "%s '%s': attribute '%s' has %lld items", node->op_type,
            node->name, attribute->name, (long long)attribute->n);
    tt_error_where(err, node->name);
    return TT_LIMIT;
}

tt_status tt_attribute_ints(const tt_node *node, const char *name, const int64_t **out,
                            int *n, tt_error *err)
{
    const tt_attribute *attribute;
    *n = -1;
    *out = NULL;
    TT_TRY(find_kind(node, name, TT_ATTRIBUTE_INTS, &attribute, err));
    if (attribute == NULL) return TT_OK;
    TT_TRY(count_items(node, attribute, n, err));
    *out = attribute->as.ints;
    return TT_OK;
}

tt_status tt_attribute_floats(const tt_node *node, const char *name, const float **out,
                              int *n, tt_error *err)
{
    const tt_attribute *attribute;
    *n = -1;
    *out = NULL;
    TT_TRY(find_kind(node, name, TT_ATTRIBUTE_FLOATS, &attribute, err));
    if (attribute == NULL) return TT_OK;
    TT_TRY(count_items(node, attribute, n, err));
    *out = attribute->as.floats;
    return TT_OK;
}

tt_status tt_axis(const tt_node *node, int64_t axis, int rank, int *out, tt_error *err)
{
    if (axis >= -rank && axis < rank) {
        *out = (int)(axis < 0 ? axis + rank : axis);
        return TT_OK;
    }
    tt_fail(err, TT_BAD_MODEL, "%s '%s': axis %lld is outside [-%d, %d)", node->op_type,
            node->name, (long long)axis, rank, rank);
    tt_error_where(err, node->name);
    return TT_BAD_MODEL;
}
