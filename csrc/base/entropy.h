/* Bits that nobody can foretell: what random numbers begin with when no seed is given. */
#ifndef TT_BASE_ENTROPY_H
#define TT_BASE_ENTROPY_H

#include <stdint.h>

/* From the kernel, or from the clock where it has none to give.  Never waits, never the
 * same in a forked child. */
uint64_t tt_entropy(void);

#endif
