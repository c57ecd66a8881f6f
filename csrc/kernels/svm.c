/* Support vector machines: a block of rows, its kernel values, its decisions; see svm.h. */
#include "kernels/svm.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

static tt_svm_values best_values(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return tt_svm_values_avx512;
    if (isa == TT_ISA_AVX2) return tt_svm_values_avx2;
#endif
    return tt_svm_values_scalar;
}

const char *tt_svm_name(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return "svm:avx512";
    if (isa == TT_ISA_AVX2) return "svm:avx2";
#endif
    return "svm:scalar";
}

/* ---- decisions -------------------------------------------------------------------- */

/* In double, four sums side by side. */
static double dot(const float *a, const float *b, int64_t n)
{
    double sums[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; ++k)
            sums[k] += (double)a[i + k] * (double)b[i + k];
    for (; i < n; ++i)
        sums[0] += (double)a[i] * (double)b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* The sum of each pair of classes, and the class with most votes: the first of them.
 * Positive is a vote for the first class of the pair. */
static int64_t decide(const tt_svm *svm, const float *values, double *pairs,
                      int64_t *votes)
{
    const float *coefficients = tt_svm_at(svm, svm->coefficients);
    const float *rho = tt_svm_at(svm, svm->rho);
    const int64_t *starts = tt_svm_at(svm, svm->starts);
    const int64_t k = svm->n_classes, n = svm->n_vectors;
    int64_t at = 0, best = 0;
    memset(votes, 0, (size_t)k * sizeof *votes);
    for (int64_t i = 0; i < k; ++i)
        for (int64_t j = i + 1; j < k; ++j, ++at) {
            int64_t a = starts[i], b = starts[j];
            pairs[at] =
                dot(coefficients + (j - 1) * n + a, values + a, starts[i + 1] - a) +
                dot(coefficients + i * n + b, values + b, starts[j + 1] - b) +
                (double)rho[at];
            votes[pairs[at] > 0 ? i : j]++;
        }
    for (int64_t i = 1; i < k; ++i)
        if (votes[i] > votes[best]) best = i;
    return best;
}

/* ---- probabilities ---------------------------------------------------------------- */

static double clipped(double p)
{
    const double least = 1e-7;
    return p < least ? least : p > 1 - least ? 1 - least : p;
}

/* Platt's probability that a row is of the first class of the pair. */
static double platt(double decision, double a, double b)
{
    double x = decision * a + b, tail = exp(-fabs(x));
    return clipped(x >= 0 ? tail / (1 + tail) : 1 / (1 + tail));
}

/* Minimises p' Q p over probabilities (Wu, Lin and Weng 2004, "Probability Estimates for
 * Multi-class Classification by Pairwise Coupling", their second method): q[k][k], then
 * k products.  The way there, its start and its end are theirs, so that the same steps
 * are taken. */
static void minimise(double *q, double *qp, double *p, int64_t k)
{
    const double enough = 0.005 / (double)k;
    const int64_t n_most = k > 100 ? k : 100;
    for (int64_t i = 0; i < k; ++i)
        p[i] = 1.0 / (double)k;
    for (int64_t step = 0; step < n_most; ++step) {
        double pqp = 0, error = 0;
        for (int64_t i = 0; i < k; ++i) {
            qp[i] = 0;
            for (int64_t j = 0; j < k; ++j)
                qp[i] += q[i * k + j] * p[j];
            pqp += p[i] * qp[i];
        }
        for (int64_t i = 0; i < k; ++i)
            error = fmax(error, fabs(qp[i] - pqp));
        if (error < enough) return;
        for (int64_t i = 0; i < k; ++i) {
            double change = (pqp - qp[i]) / q[i * k + i], whole = 1 + change;
            p[i] += change;
            pqp = (pqp + change * (change * q[i * k + i] + 2 * qp[i])) / whole / whole;
            for (int64_t j = 0; j < k; ++j) {
                qp[j] = (qp[j] + change * q[i * k + j]) / whole;
                p[j] /= whole;
            }
        }
    }
}

/* Probabilities of k classes from those of the pairs; q has room for k (k + 1). */
static void couple(const tt_svm *svm, const double *pairs, double *q, double *p)
{
    const float *a = tt_svm_at(svm, svm->prob_a), *b = tt_svm_at(svm, svm->prob_b);
    const int64_t k = svm->n_classes;
    int64_t at = 0;
    memset(q, 0, (size_t)(k * k) * sizeof *q);
    for (int64_t i = 0; i < k; ++i)
        for (int64_t j = i + 1; j < k; ++j, ++at) {
            double first = platt(pairs[at], (double)a[at], (double)b[at]);
            double second = 1 - first;
            q[i * k + i] += second * second;
            q[j * k + j] += first * first;
            q[i * k + j] = q[j * k + i] = -first * second;
        }
    minimise(q, q + k * k, p, k);
}

/* ---- rows ------------------------------------------------------------------------- */

typedef struct {
    const tt_svm_call *call;
    const tt_svm *svm;
    const void *src;
    int64_t *labels;
    float *dst;
    char *scratch;
} svm_run;

typedef struct {
    float *rows, *values;
    double *pairs, *coupling, *scores;
    int64_t *votes;
} slot;

static int64_t n_pairs_of(const tt_svm *svm)
{
    return svm->n_classes * (svm->n_classes - 1) / 2;
}

/* Numbers in the parts of a slot, in their order; the first two are floats. */
enum { N_PARTS = 6 };
static bool sizes_of(const tt_svm *svm, const tt_svm_call *call, size_t *bytes)
{
    const int64_t k = svm->n_classes, n_scores = call->rule.n_scores;
    const bool couples = svm->kind == TT_SVM_PROBABILITIES;
    const int64_t n[N_PARTS] = {TT_SVM_ROWS * svm->n_features,
                                TT_SVM_ROWS * svm->n_padded,
                                n_pairs_of(svm) + 1,
                                couples ? k * (k + 1) : 0,
                                (n_scores > k ? n_scores : k) + 2,
                                k + 1};
    for (int i = 0; i < N_PARTS; ++i)
        if (!tt_mul_size((size_t)n[i], i < 2 ? sizeof(float) : sizeof(double),
                         &bytes[i]) ||
            !tt_round_up(bytes[i], 64, &bytes[i]))
            return false;
    return true;
}

static slot slot_at(const svm_run *run, int64_t number)
{
    size_t bytes[N_PARTS] = {0};
    char *at = run->scratch + (size_t)number * run->call->slot_bytes, *parts[N_PARTS];
    (void)sizes_of(run->svm, run->call, bytes);
    for (int i = 0; i < N_PARTS; at += bytes[i++])
        parts[i] = at;
    return (slot){(float *)(void *)parts[0],  (float *)(void *)parts[1],
                  (double *)(void *)parts[2], (double *)(void *)parts[3],
                  (double *)(void *)parts[4], (int64_t *)(void *)parts[5]};
}

/* The scores of a row, before the rule; the class, or -1 where the rule tells it. */
static int64_t score_row(const tt_svm *svm, const float *values, slot *s)
{
    const float *rho = tt_svm_at(svm, svm->rho);
    int64_t found;
    switch (svm->kind) {
    case TT_SVM_REGRESSION:
    case TT_SVM_ONE_CLASS:
        s->scores[0] = dot(tt_svm_at(svm, svm->coefficients), values, svm->n_vectors) +
                       (double)rho[0];
        if (svm->kind == TT_SVM_ONE_CLASS) s->scores[0] = s->scores[0] > 0 ? 1 : -1;
        return -1;
    case TT_SVM_LINEAR:
        for (int64_t i = 0; i < svm->n_vectors; ++i)
            s->scores[i] = (double)values[i] + (double)rho[i];
        return -1;
    case TT_SVM_PAIRS:
    case TT_SVM_PROBABILITIES:
        break;
    }
    found = decide(svm, values, s->pairs, s->votes);
    if (svm->kind == TT_SVM_PROBABILITIES)
        couple(svm, s->pairs, s->coupling, s->scores);
    else
        memcpy(s->scores, s->pairs, (size_t)n_pairs_of(svm) * sizeof *s->pairs);
    return found;
}

static void run_row(const svm_run *run, slot *s, const float *values, int64_t row)
{
    const int64_t n = run->call->rule.n_outputs;
    const int64_t *labels = tt_svm_at(run->svm, run->svm->labels);
    int64_t found = score_row(run->svm, values, s);
    int64_t by_rule = tt_scores_finish(&run->call->rule, s->scores, NULL);
    if (found < 0) found = by_rule;
    if (run->labels != NULL) run->labels[row] = labels[found];
    for (int64_t i = 0; i < n && run->dst != NULL; ++i)
        run->dst[row * n + i] = (float)s->scores[i];
}

static void run_block(const svm_run *run, slot *s, int64_t row, int64_t n)
{
    const tt_svm *svm = run->svm;
    const int64_t width = svm->n_features;
    const float *rows = s->rows;
    if (run->call->src_dtype == TT_F32 && n == TT_SVM_ROWS)
        rows = (const float *)run->src + row * width;
    else
        for (int64_t i = 0; i < TT_SVM_ROWS * width; ++i)
            s->rows[i] = i < n * width ? (float)tt_item_load(run->call->src_dtype,
                                                             run->src, row * width + i)
                                       : 0;
    best_values()(svm, rows, n, s->values);
    for (int64_t i = 0; i < n; ++i)
        run_row(run, s, s->values + i * svm->n_padded, row + i);
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const svm_run *run = arg;
    const tt_svm_call *call = run->call;
    const int64_t n_blocks = (call->n_rows + TT_SVM_ROWS - 1) / TT_SVM_ROWS;
    for (int64_t number = begin; number < end; ++number) {
        slot s = slot_at(run, number);
        int64_t last = n_blocks * (number + 1) / call->n_slots;
        for (int64_t b = n_blocks * number / call->n_slots; b < last; ++b) {
            int64_t left = call->n_rows - b * TT_SVM_ROWS;
            run_block(run, &s, b * TT_SVM_ROWS,
                      left < TT_SVM_ROWS ? left : TT_SVM_ROWS);
        }
    }
}

/* ---- a call ----------------------------------------------------------------------- */

bool tt_svm_split(const tt_svm *svm, tt_svm_call *call, int n_threads,
                  size_t *scratch_bytes)
{
    const int64_t n_blocks = (call->n_rows + TT_SVM_ROWS - 1) / TT_SVM_ROWS;
    size_t bytes[N_PARTS];
    if (!sizes_of(svm, call, bytes)) return false;
    call->slot_bytes = 0;
    for (int i = 0; i < N_PARTS; ++i)
        if (!tt_add_size(call->slot_bytes, bytes[i], &call->slot_bytes)) return false;
    call->n_slots = n_blocks < n_threads ? (int)n_blocks : n_threads;
    if (call->n_slots < 1) call->n_slots = 1;
    return tt_mul_size(call->slot_bytes, (size_t)call->n_slots, scratch_bytes);
}

tt_status tt_svm_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_svm_call *call = params;
    svm_run run = {call, ptrs[1], ptrs[0], ptrs[2], ptrs[3], ptrs[4]};
    (void)err;
    tt_parallel_for(call->n_slots, /*grain=*/1, run_slots, &run);
    return TT_OK;
}
