/* Moments: see moments.h. */
#include "watch/moments.h"

#include <math.h>

#include "base/checked.h"

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

bool tt_moments_merge(tt_moments *into, const tt_moments *from)
{
    const tt_moments a = *into, b = *from; /* they may be the same */
    tt_moments out = a;
    int64_t both;
    if (!tt_add_i64(a.n, b.n, &out.n) ||
        !tt_add_i64(a.n_nonfinite, b.n_nonfinite, &out.n_nonfinite) ||
        !tt_add_i64(out.n, out.n_nonfinite, &both))
        return false;
    if (b.n > 0) {
        double share = (double)b.n / (double)out.n, delta = b.mean - a.mean;
        out.minimum = (a.minimum < b.minimum ? a.minimum : b.minimum) + 0.0;
        out.maximum = (a.maximum > b.maximum ? a.maximum : b.maximum) + 0.0;
        if (a.n == 0) {
            out.mean = b.mean;
            out.m2 = b.m2;
        } else {
            /* halves, so that a difference beyond double does not lose the mean */
            out.mean = a.mean + 2.0 * (share * (0.5 * b.mean - 0.5 * a.mean));
            out.m2 = a.m2 + b.m2;
            if (delta != 0.0) out.m2 += delta * delta * share * (double)a.n;
        }
        out.mean = clamp(out.mean, out.minimum, out.maximum) + 0.0;
    }
    *into = out;
    return true;
}

bool tt_moments_is_valid(const tt_moments *m)
{
    int64_t both;
    if (m->n < 0 || m->n_nonfinite < 0 || !tt_add_i64(m->n, m->n_nonfinite, &both))
        return false;
    if (m->n == 0)
        return m->minimum == HUGE_VAL && m->maximum == -HUGE_VAL && m->mean == 0.0 &&
               m->m2 == 0.0;
    return isfinite(m->minimum) && isfinite(m->maximum) && m->minimum <= m->mean &&
           m->mean <= m->maximum && m->m2 >= 0.0 &&
           (m->n > 1 || (m->minimum == m->maximum && m->m2 == 0.0));
}
