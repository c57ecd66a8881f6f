/* Reading and resolving the attributes of sliding windows: see window.h.
 *
 * Every number is bounded by WINDOW_MAX before it is multiplied, so that products
 * of two of them and sums of a few products stay far inside int64. */
#include "ops/window.h"

#include <string.h>

#include "ops/fail.h"

static const int64_t WINDOW_MAX = INT64_C(1) << 30;

static tt_status bad(const tt_node *node, tt_error *err, const char *what,
                     int64_t value)
{
    return tt_fail_at(node, err, TT_BAD_MODEL, "%s %lld is not allowed", what,
                      (long long)value);
}

/* `n` items of an attribute into out, each in [least, WINDOW_MAX]; `fallback` where
 * it is missing. */
static tt_status read_list(const tt_node *node, const char *name, int n, int64_t least,
                           int64_t fallback, int64_t *out, tt_error *err)
{
    const int64_t *items;
    int count;
    TT_TRY(tt_attribute_ints(node, name, &items, &count, err));
    if (items != NULL && count != n) {
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s has %d items, expected %d", name,
                          count, n);
    }
    for (int i = 0; i < n; ++i) {
        out[i] = items == NULL ? fallback : items[i];
        if (out[i] < least || out[i] > WINDOW_MAX) return bad(node, err, name, out[i]);
    }
    return TT_OK;
}

static tt_status read_kernel(const tt_node *node, const int64_t *kernel, tt_window *out,
                             tt_error *err)
{
    const int64_t *items;
    int count;
    if (kernel == NULL && tt_attribute_find(node, "kernel_shape") == NULL) {
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "attribute 'kernel_shape' is missing");
    }
    if (kernel == NULL)
        return read_list(node, "kernel_shape", out->rank, 1, 1, out->kernel, err);
    TT_TRY(tt_attribute_ints(node, "kernel_shape", &items, &count, err));
    for (int i = 0; i < out->rank; ++i) {
        out->kernel[i] = kernel[i];
        if (kernel[i] < 1 || kernel[i] > WINDOW_MAX)
            return bad(node, err, "kernel size", kernel[i]);
        if (items != NULL && (count != out->rank || items[i] != kernel[i])) {
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "kernel_shape does not repeat the weights' size %lld "
                              "in spatial dim %d",
                              (long long)kernel[i], i);
        }
    }
    return TT_OK;
}

tt_status tt_window_read(const tt_node *node, const tt_shape *src,
                         const int64_t *kernel, tt_window *out, tt_error *err)
{
    int64_t pads[2 * TT_MAX_SPATIAL];
    memset(out, 0, sizeof *out);
    out->rank = src->rank - 2;
    if (out->rank < 1 || out->rank > TT_MAX_SPATIAL) {
        return tt_fail_at(node, err, TT_UNSUPPORTED,
                          "the input has rank %d, supported are 3 to %d", src->rank,
                          2 + TT_MAX_SPATIAL);
    }
    for (int i = 0; i < out->rank; ++i) {
        out->src[i] = src->dims[2 + i];
        if (out->src[i] > WINDOW_MAX) return bad(node, err, "input dim", out->src[i]);
    }
    TT_TRY(read_kernel(node, kernel, out, err));
    TT_TRY(read_list(node, "strides", out->rank, 1, 1, out->strides, err));
    TT_TRY(read_list(node, "dilations", out->rank, 1, 1, out->dilations, err));
    TT_TRY(read_list(node, "pads", 2 * out->rank, 0, 0, pads, err));
    memcpy(out->pads_begin, pads, (size_t)out->rank * sizeof *pads);
    memcpy(out->pads_end, pads + out->rank, (size_t)out->rank * sizeof *pads);
    for (int i = 0; i < out->rank; ++i)
        if (tt_window_extent(out, i) > WINDOW_MAX)
            return bad(node, err, "kernel extent", tt_window_extent(out, i));
    return TT_OK;
}

/* Output size and pads of one dim for SAME_UPPER or SAME_LOWER. */
static void pad_same(tt_window *window, int i, bool upper)
{
    int64_t dst = (window->src[i] + window->strides[i] - 1) / window->strides[i];
    int64_t needed = (dst - 1) * window->strides[i] + tt_window_extent(window, i);
    int64_t total = needed > window->src[i] ? needed - window->src[i] : 0;
    if (window->src[i] == 0) total = 0;
    window->pads_begin[i] = upper ? total / 2 : total - total / 2;
    window->pads_end[i] = total - window->pads_begin[i];
}

static int64_t slide(const tt_window *window, int i)
{
    int64_t room = window->src[i] + window->pads_begin[i] + window->pads_end[i] -
                   tt_window_extent(window, i);
    int64_t dst;
    if (room < 0) return -1;
    if (!window->ceil_mode) return room / window->strides[i] + 1;
    dst = (room + window->strides[i] - 1) / window->strides[i] + 1;
    /* A window must not start behind the input and its padding in front. */
    if ((dst - 1) * window->strides[i] >= window->src[i] + window->pads_begin[i]) --dst;
    return dst;
}

tt_status tt_window_slide(const tt_node *node, const tt_shape *src,
                          const int64_t *kernel, tt_window *out, tt_error *err)
{
    const char *auto_pad;
    int64_t ceil_mode;
    bool upper, same;
    TT_TRY(tt_window_read(node, src, kernel, out, err));
    TT_TRY(tt_attribute_string(node, "auto_pad", "NOTSET", &auto_pad, err));
    TT_TRY(tt_attribute_int(node, "ceil_mode", 0, &ceil_mode, err));
    upper = strcmp(auto_pad, "SAME_UPPER") == 0;
    same = upper || strcmp(auto_pad, "SAME_LOWER") == 0;
    if (!same && strcmp(auto_pad, "VALID") != 0 && strcmp(auto_pad, "NOTSET") != 0 &&
        auto_pad[0] != '\0') {
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "auto_pad '%s' is none of NOTSET, VALID, SAME_UPPER, "
                          "SAME_LOWER",
                          auto_pad);
    }
    out->ceil_mode = ceil_mode != 0;
    for (int i = 0; i < out->rank; ++i) {
        if (strcmp(auto_pad, "VALID") == 0) out->pads_begin[i] = out->pads_end[i] = 0;
        if (same) pad_same(out, i, upper);
        out->dst[i] = slide(out, i);
        if (out->dst[i] < 0) {
            return tt_fail_at(
                node, err, TT_BAD_MODEL,
                "a window of %lld does not fit the padded input of %lld "
                "in spatial dim %d",
                (long long)tt_window_extent(out, i),
                (long long)(out->src[i] + out->pads_begin[i] + out->pads_end[i]), i);
        }
    }
    return TT_OK;
}

tt_window tt_window_plane(const tt_window *window)
{
    tt_window plane = {.rank = 2, .ceil_mode = window->ceil_mode};
    if (window->rank == 2) return *window;
    plane.src[0] = plane.dst[0] = plane.kernel[0] = 1;
    plane.strides[0] = plane.dilations[0] = 1;
    plane.src[1] = window->src[0];
    plane.dst[1] = window->dst[0];
    plane.kernel[1] = window->kernel[0];
    plane.strides[1] = window->strides[0];
    plane.dilations[1] = window->dilations[0];
    plane.pads_begin[1] = window->pads_begin[0];
    plane.pads_end[1] = window->pads_end[0];
    return plane;
}
