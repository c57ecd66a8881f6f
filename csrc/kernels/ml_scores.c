/* Transforms of scores, and classes; see ml_scores.h. */
#include "kernels/ml_scores.h"

#include <math.h>
#include <stddef.h>

static double logistic(double x)
{
    double tail = exp(-fabs(x));
    return x < 0 ? tail / (1 + tail) : 1 / (1 + tail);
}

/* The quantile of the normal distribution: a rational start (Giles 2010, "Approximating
 * the erfinv function"), then two of Halley's steps on erfc, which end at double. */
static double probit(double p)
{
    double q = p < 0.5 ? p : 1 - p, t, x;
    if (!(p > 0 && p < 1)) return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    t = sqrt(-2 * log(q));
    x = (2.30753 + 0.27061 * t) / (1 + t * (0.99229 + 0.04481 * t)) - t;
    for (int step = 0; step < 3; ++step) {
        double error = 0.5 * erfc(-x * 0.70710678118654752440) - q;
        double u = error * 2.50662827463100050242 * exp(x * x / 2);
        x -= u / (1 + x * u / 2);
    }
    return p < 0.5 ? x : -x;
}

static double largest(const double *scores, int64_t n)
{
    double best = -INFINITY;
    for (int64_t i = 0; i < n; ++i)
        best = scores[i] > best ? scores[i] : best;
    return best;
}

/* With `skips_zero` scores of 0 stay, and have no part in the sum. */
static void softmax(double *scores, int64_t n, bool skips_zero)
{
    double best = largest(scores, n), sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (skips_zero && fabs(scores[i]) <= 1e-7) {
            scores[i] = 0;
            continue;
        }
        scores[i] = exp(scores[i] - best);
        sum += scores[i];
    }
    for (int64_t i = 0; i < n && sum != 0; ++i)
        scores[i] /= sum;
}

void tt_scores_transform(tt_score_transform transform, double *scores, int64_t n)
{
    switch (transform) {
    case TT_TRANSFORM_NONE:
        break;
    case TT_TRANSFORM_LOGISTIC:
        for (int64_t i = 0; i < n; ++i)
            scores[i] = logistic(scores[i]);
        break;
    case TT_TRANSFORM_SOFTMAX:
    case TT_TRANSFORM_SOFTMAX_ZERO:
        softmax(scores, n, transform == TT_TRANSFORM_SOFTMAX_ZERO);
        break;
    case TT_TRANSFORM_PROBIT:
        for (int64_t i = 0; i < n; ++i)
            scores[i] = probit(scores[i]);
        break;
    }
}

/* Classes are told by the scores as floats, which they become: so what is equal there
 * (ten votes of twenty, added in double) is a tie. */
static int64_t best_class(const double *scores, const uint8_t *has, int64_t n)
{
    int64_t best = -1;
    for (int64_t i = 0; i < n; ++i)
        if ((has == NULL || has[i]) &&
            (best < 0 || (float)scores[i] > (float)scores[best]))
            best = i;
    return best < 0 ? 0 : best;
}

/* One score becomes two.  Softmax and the like were made for scores of all classes. */
static void spread(const tt_score_rule *rule, double *scores)
{
    bool is_logistic = rule->transform == TT_TRANSFORM_LOGISTIC;
    bool is_signed = rule->kind == TT_SCORES_SIGNED || is_logistic;
    scores[1] = scores[0];
    scores[0] = is_signed ? -scores[1] : 1 - scores[1];
    if (is_logistic || rule->transform == TT_TRANSFORM_PROBIT)
        tt_scores_transform(rule->transform, scores, 2);
}

int64_t tt_scores_finish(const tt_score_rule *rule, double *scores, const uint8_t *has)
{
    int64_t found;
    if (rule->kind == TT_SCORES_PROBABILITY || rule->kind == TT_SCORES_SIGNED) {
        found = (double)(float)scores[0] > rule->threshold;
        spread(rule, scores);
        return found;
    }
    if (rule->kind == TT_SCORES_SECOND)
        found = (double)(float)scores[1] > rule->threshold;
    else
        found = best_class(scores, has, rule->n_scores);
    tt_scores_transform(rule->transform, scores, rule->n_scores);
    return found;
}
