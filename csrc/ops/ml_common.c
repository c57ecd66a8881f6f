/* Attributes and rows of operators of ai.onnx.ml. */
#include "ops/ml_common.h"

#include <string.h>

#include "ops/fail.h"

static const char *const transforms[] = {
#define NAME(code, name) [code] = name,
    TT_TRANSFORM_LIST(NAME)
#undef NAME
};

int tt_ml_find_name(const char *const *names, int n, const char *text)
{
    for (int i = 0; i < n; ++i)
        if (strcmp(names[i], text) == 0) return i;
    return -1;
}

tt_status tt_ml_transform(const tt_node *node, tt_score_transform *out, tt_error *err)
{
    const int n = (int)(sizeof transforms / sizeof *transforms);
    const char *text;
    int found;
    TT_TRY(tt_attribute_string(node, "post_transform", "NONE", &text, err));
    found = tt_ml_find_name(transforms, n, text);
    if (found < 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "post_transform must be NONE, LOGISTIC, SOFTMAX, "
                          "SOFTMAX_ZERO or PROBIT, not '%.40s'",
                          text);
    *out = (tt_score_transform)found;
    return TT_OK;
}

tt_status tt_ml_labels(const tt_node *node, const char *name, const int64_t **out,
                       int *n, tt_error *err)
{
    TT_TRY(tt_attribute_ints(node, name, out, n, err));
    if (*n < 1)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "expected the labels of its classes in %s", name);
    if (*n > TT_ML_MAX_SCORES)
        return tt_fail_at(node, err, TT_LIMIT, "%d classes, at most %d are supported",
                          *n, TT_ML_MAX_SCORES);
    return TT_OK;
}

tt_status tt_ml_rows(const tt_site *site, int64_t *n_rows, int64_t *n_columns,
                     tt_error *err)
{
    const tt_shape *src;
    char text[256];
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    switch ((int)src->dtype) {
    case TT_F32:
    case TT_F64:
    case TT_F16:
    case TT_BF16:
    case TT_S32:
    case TT_S64:
        break;
    default:
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "rows of %s, expected float or integer numbers",
                          tt_dtype_name(src->dtype));
    }
    if (src->rank != 1 && src->rank != 2)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "expected rows [n, features], got %s",
                          tt_shape_text(src, text, sizeof text));
    *n_rows = src->rank == 1 ? 1 : src->dims[0];
    *n_columns = src->dims[src->rank - 1];
    return TT_OK;
}
