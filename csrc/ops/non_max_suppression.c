/* NonMaxSuppression: per class the best boxes, without those that overlap a better one
 * too much. */
#include <string.h>

#include "base/alloc.h"
#include "kernels/item.h"
#include "kernels/sort.h"
#include "ops/eval.h"
#include "ops/fail.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *boxes, *scores;
    (void)out;
    TT_TRY(tt_need_inputs(site, 2, err));
    boxes = tt_input_shape(site, 0);
    scores = tt_input_shape(site, 1);
    if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4 ||
        boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[2] ||
        boxes->dtype != TT_F32 || scores->dtype != TT_F32) {
        char a[256], b[256];
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "boxes must be float32 [batches, boxes, 4] and scores float32 "
            "[batches, classes, boxes], they are %s%s and %s%s",
            tt_dtype_name(boxes->dtype), tt_shape_text(boxes, a, sizeof a),
            tt_dtype_name(scores->dtype), tt_shape_text(scores, b, sizeof b));
    }
    for (int i = 2; i < 5; ++i) {
        tt_dtype dtype = i == 2 ? TT_S64 : TT_F32;
        if (!tt_has_input(site, i)) continue;
        if (tt_input_shape(site, i)->dtype != dtype ||
            tt_shape_numel(tt_input_shape(site, i)) != 1)
            return tt_fail_at(site->node, err, TT_BAD_MODEL, "input %d must be one %s",
                              i, tt_dtype_name(dtype));
    }
    return tt_needs_run(site, err);
}

typedef struct {
    float y1, x1, y2, x2, area;
} box;

static box read_box(const float *b, bool is_center)
{
    box r;
    if (is_center) { /* x, y, width, height */
        r = (box){b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2,
                  0};
    } else { /* two opposite corners in any order */
        r.y1 = b[0] < b[2] ? b[0] : b[2];
        r.y2 = b[0] < b[2] ? b[2] : b[0];
        r.x1 = b[1] < b[3] ? b[1] : b[3];
        r.x2 = b[1] < b[3] ? b[3] : b[1];
    }
    r.area = (r.y2 - r.y1) * (r.x2 - r.x1);
    return r;
}

static bool overlap(const box *a, const box *b, float threshold)
{
    float y1 = a->y1 > b->y1 ? a->y1 : b->y1, y2 = a->y2 < b->y2 ? a->y2 : b->y2;
    float x1 = a->x1 > b->x1 ? a->x1 : b->x1, x2 = a->x2 < b->x2 ? a->x2 : b->x2;
    float both, either;
    if (y2 <= y1 || x2 <= x1) return false;
    both = (y2 - y1) * (x2 - x1);
    either = a->area + b->area - both;
    if (a->area <= 0 || b->area <= 0 || either <= 0) return false;
    return both / either > threshold;
}

static bool higher_score(const void *arg, int64_t i, int64_t j)
{
    const float *scores = arg;
    return scores[i] > scores[j];
}

typedef struct {
    int64_t n_batches, n_classes, n_boxes, most;
    float iou_threshold, score_threshold;
    bool has_score_threshold;
    box *boxes;               /* of one batch */
    int64_t *order, *scratch; /* n_boxes each */
    int64_t *found;           /* triples */
    size_t n_found, found_capacity;
} suppression;

static tt_status suppress_class(suppression *s, int64_t batch, int64_t class_index,
                                const float *scores, tt_error *err)
{
    int64_t n = 0;
    size_t first = s->n_found;
    for (int64_t i = 0; i < s->n_boxes; ++i)
        if (!s->has_score_threshold || scores[i] > s->score_threshold)
            s->order[n++] = i;
    tt_sort_indices(s->order, s->scratch, n, higher_score, scores);
    for (int64_t i = 0; i < n && (int64_t)(s->n_found - first) < s->most; ++i) {
        const box *candidate = &s->boxes[s->order[i]];
        bool keep = true;
        int64_t *triple;
        for (size_t k = first; k < s->n_found && keep; ++k)
            keep =
                !overlap(candidate, &s->boxes[s->found[3 * k + 2]], s->iou_threshold);
        if (!keep) continue;
        if (!tt_grow((void **)&s->found, &s->found_capacity, s->n_found + 1,
                     3 * sizeof *s->found))
            return tt_fail(err, TT_NO_MEMORY, "%zu boxes", s->n_found);
        triple = s->found + 3 * s->n_found++;
        triple[0] = batch;
        triple[1] = class_index;
        triple[2] = s->order[i];
    }
    return TT_OK;
}

static tt_status suppress_all(suppression *s, const float *boxes, const float *scores,
                              bool is_center, tt_error *err)
{
    for (int64_t b = 0; b < s->n_batches; ++b) {
        for (int64_t i = 0; i < s->n_boxes; ++i)
            s->boxes[i] = read_box(boxes + (b * s->n_boxes + i) * 4, is_center);
        for (int64_t c = 0; c < s->n_classes; ++c)
            TT_TRY(suppress_class(s, b, c, scores + (b * s->n_classes + c) * s->n_boxes,
                                  err));
    }
    return TT_OK;
}

static tt_status eval(tt_site *site, const tt_tensor *const *inputs, tt_tensor *out,
                      tt_error *err)
{
    const tt_shape *scores = &inputs[1]->shape;
    int n_inputs = site->node->n_inputs;
    suppression s = {.n_batches = scores->dims[0],
                     .n_classes = scores->dims[1],
                     .n_boxes = scores->dims[2]};
    tt_shape shape = {
        .dtype = TT_S64, .rank = 2, .dims = {0, 3}
    };
    tt_status status = TT_NO_MEMORY;
    int64_t is_center;
    TT_TRY(tt_attribute_int(site->node, "center_point_box", 0, &is_center, err));
    if (n_inputs > 2 && inputs[2] != NULL) s.most = *(const int64_t *)inputs[2]->data;
    if (n_inputs > 3 && inputs[3] != NULL)
        s.iou_threshold = *(const float *)inputs[3]->data;
    if (n_inputs > 4 && inputs[4] != NULL) {
        s.score_threshold = *(const float *)inputs[4]->data;
        s.has_score_threshold = true;
    }
    s.boxes = tt_calloc((size_t)s.n_boxes + 1, sizeof *s.boxes);
    s.order = tt_calloc((size_t)s.n_boxes + 1, 2 * sizeof *s.order);
    s.scratch = s.order == NULL ? NULL : s.order + s.n_boxes;
    if (s.boxes != NULL && s.order != NULL)
        status =
            suppress_all(&s, inputs[0]->data, inputs[1]->data, is_center != 0, err);
    else
        tt_fail_at(site->node, err, TT_NO_MEMORY, "%lld boxes", (long long)s.n_boxes);
    shape.dims[0] = (int64_t)s.n_found;
    if (status == TT_OK) status = tt_eval_output(site, &shape, &out[0], err);
    if (status == TT_OK && s.n_found > 0)
        memcpy(out[0].data, s.found, tt_shape_bytes(&shape));
    tt_free(s.boxes);
    tt_free(s.order);
    tt_free(s.found);
    return status;
}

const tt_op tt_op_non_max_suppression = {
    .name = "NonMaxSuppression",
    .domain = "",
    .since = 10,
    .summary = "the best boxes that do not overlap each other",
    .infer = infer,
    .eval = eval};
