/* Count, range, mean and spread of numbers, in one pass; two halves merge into what the
 * whole would have given.  Plain data: copy it, nothing to free. */
#ifndef TT_WATCH_MOMENTS_H
#define TT_WATCH_MOMENTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t n;               /* finite values */
    int64_t n_nonfinite;     /* NaN and infinities: in none of the fields below */
    double minimum, maximum; /* +inf and -inf while n is 0; never -0 */
    double mean;             /* 0 while n is 0; within the range */
    double m2;               /* sum of (x - mean)^2; +inf beyond double */
} tt_moments;

static inline tt_moments tt_moments_empty(void)
{
    return (tt_moments){.minimum = __builtin_inf(), .maximum = -__builtin_inf()};
}

/* Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing
 * sample variances" (1979): stable where a sum of squares loses everything.  False,
 * and *into untouched, if a count would overflow. */
bool tt_moments_merge(tt_moments *into, const tt_moments *from);

/* Could these be the moments of some numbers? */
bool tt_moments_is_valid(const tt_moments *moments);

#endif
