/* Losses of classes: choice of the instruction set, splitting over threads, the plain
 * version for other types. */
#include "kernels/loss.h"

#include <math.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/indices.h"
#include "kernels/item.h"

static const tt_loss_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_loss_avx512;
    if (isa == TT_ISA_AVX2) return &tt_loss_avx2;
#endif
    return &tt_loss_scalar;
}

const char *tt_loss_name(void)
{
    return table()->name;
}

/* What a group of positions adds up to. */
typedef struct {
    double loss, weight;
    int64_t bad; /* the first position whose target is no class, or -1 */
} part;

typedef struct {
    const tt_loss *kernel;
    const tt_loss_table *table;
    void *const *ptrs;
    int64_t per_sample; /* groups in the inner dims of a sample; inner == 1: unused */
    part *parts;
} job;

/* Groups are of TT_LOSS_LANES positions, of one sample if there are inner dims. */
static int64_t groups_of(int64_t n)
{
    return n / TT_LOSS_LANES + (n % TT_LOSS_LANES != 0);
}

static int64_t n_groups(const tt_loss *k)
{
    if (k->inner == 1) return groups_of(k->n_samples);
    return k->n_samples * groups_of(k->inner);
}

size_t tt_loss_parts_bytes(const tt_loss *k)
{
    return (size_t)n_groups(k) * sizeof(part);
}

/* Where score `c` of lane `i` of a group stands. */
typedef struct {
    int64_t position; /* the first */
    int64_t first;    /* of its scores */
    int64_t lanes, lane_step;
} group;

static group find_group(const job *j, int64_t number)
{
    const tt_loss *k = j->kernel;
    group g;
    int64_t sample, column, left;
    if (k->inner == 1) {
        g.position = number * TT_LOSS_LANES;
        g.first = g.position * k->n_classes;
        g.lane_step = k->n_classes;
        left = k->n_samples - g.position;
    } else {
        sample = number / j->per_sample;
        column = number % j->per_sample * TT_LOSS_LANES;
        g.position = sample * k->inner + column;
        g.first = sample * k->n_classes * k->inner + column;
        g.lane_step = 1;
        left = k->inner - column;
    }
    g.lanes = left < TT_LOSS_LANES ? left : TT_LOSS_LANES;
    return g;
}

/* ---- log-softmax: log p = (score - high) - log_sum ---------------------------------- */

typedef struct {
    double high[TT_LOSS_LANES], log_sum[TT_LOSS_LANES];
} normalisers;

static void normalise_f32(const job *j, const group *g, normalisers *out)
{
    const tt_loss *k = j->kernel;
    const float *scores = (const float *)j->ptrs[TT_LOSS_SCORES] + g->first;
    float high[TT_LOSS_LANES], log_sum[TT_LOSS_LANES];
    if (k->inner == 1)
        for (int64_t i = 0; i < g->lanes; ++i)
            j->table->row(scores + i * g->lane_step, k->n_classes, &high[i],
                          &log_sum[i]);
    else
        j->table->columns(scores, k->n_classes, k->inner, g->lanes, high, log_sum);
    for (int64_t i = 0; i < g->lanes; ++i) {
        out->high[i] = (double)high[i];
        out->log_sum[i] = (double)log_sum[i];
    }
}

static double score_at(const job *j, const group *g, int64_t lane, int64_t c)
{
    const tt_loss *k = j->kernel;
    return tt_item_load(k->dtype, j->ptrs[TT_LOSS_SCORES],
                        g->first + lane * g->lane_step + c * k->inner);
}

static void normalise_any(const job *j, const group *g, normalisers *out)
{
    const int64_t n = j->kernel->n_classes;
    for (int64_t i = 0; i < g->lanes; ++i) {
        double high = -INFINITY, sum = 0;
        for (int64_t c = 0; c < n; ++c)
            high = fmax(high, score_at(j, g, i, c));
        for (int64_t c = 0; c < n; ++c)
            sum += exp(score_at(j, g, i, c) - high);
        out->high[i] = high;
        out->log_sum[i] = log(sum);
    }
}

/* The loops run in the order of memory. */
static void write_log_f32(const job *j, const group *g, const normalisers *s)
{
    const tt_loss *k = j->kernel;
    const bool by_row = k->inner == 1;
    const int64_t n_outer = by_row ? g->lanes : k->n_classes;
    const int64_t n = by_row ? k->n_classes : g->lanes;
    float high[TT_LOSS_LANES], log_sum[TT_LOSS_LANES];
    for (int64_t i = 0; i < g->lanes; ++i) {
        high[i] = (float)s->high[i];
        log_sum[i] = (float)s->log_sum[i];
    }
    for (int64_t o = 0; o < n_outer; ++o) {
        int64_t at = g->first + o * (by_row ? g->lane_step : k->inner);
        const float *x = (const float *)j->ptrs[TT_LOSS_SCORES] + at;
        float *y = (float *)j->ptrs[TT_LOSS_LOG] + at;
        if (by_row)
            for (int64_t i = 0; i < n; ++i)
                y[i] = x[i] - high[o] - log_sum[o];
        else
            for (int64_t i = 0; i < n; ++i)
                y[i] = x[i] - high[i] - log_sum[i];
    }
}

static void write_log_any(const job *j, const group *g, const normalisers *s)
{
    const tt_loss *k = j->kernel;
    for (int64_t i = 0; i < g->lanes; ++i)
        for (int64_t c = 0; c < k->n_classes; ++c)
            tt_item_store(k->dtype, j->ptrs[TT_LOSS_LOG],
                          g->first + i * g->lane_step + c * k->inner,
                          score_at(j, g, i, c) - s->high[i] - s->log_sum[i]);
}

/* ---- the loss ----------------------------------------------------------------------- */

static void add_losses(const job *j, const group *g, const normalisers *s, part *sum)
{
    const tt_loss *k = j->kernel;
    const void *weights = j->ptrs[TT_LOSS_WEIGHTS];
    for (int64_t i = 0; i < g->lanes; ++i) {
        int64_t position = g->position + i;
        int64_t target = tt_index_at(j->ptrs[TT_LOSS_TARGETS], k->is_32, position);
        bool is_ignored = k->has_ignored && target == k->ignored;
        double loss = 0, weight = 0;
        if (!is_ignored && (target < 0 || target >= k->n_classes)) {
            sum->bad = position;
            return;
        }
        if (!is_ignored) {
            double log_p = score_at(j, g, i, target);
            if (s != NULL) log_p = log_p - s->high[i] - s->log_sum[i];
            weight = weights != NULL ? tt_item_load(k->dtype, weights, target) : 1;
            loss = -weight * log_p;
        }
        sum->loss += loss;
        sum->weight += weight;
        if (k->reduction == TT_LOSS_NONE && j->ptrs[TT_LOSS_Y] != NULL)
            tt_item_store(k->dtype, j->ptrs[TT_LOSS_Y], position, loss);
    }
}

static void run_groups(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_loss *k = j->kernel;
    for (int64_t number = begin; number < end; ++number) {
        group g = find_group(j, number);
        normalisers s;
        j->parts[number] = (part){.bad = -1};
        if (!k->needs_softmax) {
            add_losses(j, &g, NULL, &j->parts[number]);
            continue;
        }
        if (k->dtype == TT_F32)
            normalise_f32(j, &g, &s);
        else
            normalise_any(j, &g, &s);
        add_losses(j, &g, &s, &j->parts[number]);
        if (j->ptrs[TT_LOSS_LOG] == NULL) continue;
        if (k->dtype == TT_F32)
            write_log_f32(j, &g, &s);
        else
            write_log_any(j, &g, &s);
    }
}

static tt_status fail_target(const job *j, int64_t position, tt_error *err)
{
    const tt_loss *k = j->kernel;
    int64_t target = tt_index_at(j->ptrs[TT_LOSS_TARGETS], k->is_32, position);
    return tt_fail(err, TT_BAD_INPUT,
                   "target %lld at position %lld is outside [0, %lld)%s",
                   (long long)target, (long long)position, (long long)k->n_classes,
                   k->has_ignored ? " and not the ignored one" : "");
}

tt_status tt_loss_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_loss *k = params;
    job j = {k, table(), ptrs, groups_of(k->inner), ptrs[TT_LOSS_PARTS]};
    const int64_t n = n_groups(k);
    const int64_t per_group = k->needs_softmax ? TT_LOSS_LANES * k->n_classes : 256;
    part sum = {.bad = -1};
    tt_parallel_for(n, 16384 / (per_group + 1) + 1, run_groups, &j);
    for (int64_t i = 0; i < n; ++i) {
        if (j.parts[i].bad >= 0) return fail_target(&j, j.parts[i].bad, err);
        sum.loss += j.parts[i].loss;
        sum.weight += j.parts[i].weight;
    }
    if (k->reduction == TT_LOSS_NONE || ptrs[TT_LOSS_Y] == NULL) return TT_OK;
    if (k->reduction == TT_LOSS_MEAN) sum.loss /= sum.weight;
    tt_item_store(k->dtype, ptrs[TT_LOSS_Y], 0, sum.loss);
    return TT_OK;
}
