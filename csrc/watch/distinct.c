/* Estimates of different values: see distinct.h. */
#include "watch/distinct.h"

#include <math.h>

/* Ertl's sigma: x + sum of x^(2^k) 2^(k-1), for registers that are still empty. */
static double sigma(double x)
{
    double power = 1.0, sum = x, before = -1.0;
    if (x == 1.0) return HUGE_VAL;
    while (sum != before) {
        x *= x;
        before = sum;
        sum += x * power;
        power += power;
    }
    return sum;
}

/* Ertl's tau, for registers that are full. */
static double tau(double x)
{
    double power = 1.0, sum = 1.0 - x, before = -1.0;
    if (x == 0.0 || x == 1.0) return 0.0;
    while (sum != before) {
        x = sqrt(x);
        before = sum;
        power *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * power;
    }
    return sum / 3.0;
}

double tt_distinct_estimate(const uint8_t *registers)
{
    const double m = TT_DISTINCT_REGISTERS, alpha = 0.72134752044448170368; /* 1/2ln2 */
    int n_of[TT_DISTINCT_MAX_RANK + 1] = {0};
    double sum;
    for (int i = 0; i < TT_DISTINCT_REGISTERS; ++i)
        ++n_of[registers[i]];
    sum = m * tau(1.0 - n_of[TT_DISTINCT_MAX_RANK] / m);
    for (int rank = TT_DISTINCT_MAX_RANK - 1; rank > 0; --rank)
        sum = 0.5 * (sum + n_of[rank]);
    sum += m * sigma(n_of[0] / m);
    return alpha * m * m / sum;
}

bool tt_distinct_is_valid(const uint8_t *registers, int64_t n)
{
    int64_t n_used = 0;
    for (int i = 0; i < TT_DISTINCT_REGISTERS; ++i) {
        if (registers[i] > TT_DISTINCT_MAX_RANK) return false;
        n_used += registers[i] > 0;
    }
    return n_used <= n && (n_used > 0) == (n > 0);
}
