/* Random numbers, block by block, for whoever makes something of them.
 *
 * With a seed they are those of NumPy's RandomState (MT19937), one after the other:
 * what onnx.reference draws.  Without one they come from Philox 4x32-10 with a key of
 * the operating system, in parallel. */
#ifndef TT_KERNELS_RANDOM_H
#define TT_KERNELS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool has_seed;
    uint32_t seed;
} tt_random;

enum { TT_RANDOM_BLOCK = 512 }; /* numbers that are handed over at once, at most */

/* Gets numbers [begin, end); on any thread of the arena, each number once. */
typedef void (*tt_random_use)(void *arg, const double *numbers, int64_t begin,
                              int64_t end);

/* n numbers of 53 bits, uniform in [0, 1). */
void tt_random_uniforms(const tt_random *random, int64_t n, tt_random_use use,
                        void *arg);
/* n numbers of the normal distribution with mean 0 and deviation 1. */
void tt_random_normals(const tt_random *random, int64_t n, tt_random_use use,
                       void *arg);

#endif
