/* parallel_for on TBB arenas (or OpenMP when oneDNN was built on it).
 *
 * A tt_arena owns a number of worker slots.  Work runs inside tt_arena_run;
 * there tt_parallel_for and oneDNN's own loops use at most that many threads.
 * All functions may be called from any thread. */
#ifndef TT_BASE_THREADS_H
#define TT_BASE_THREADS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tt_arena tt_arena;

/* n_threads >= 1.  Owned by the caller; tt_arena_free accepts NULL. */
tt_status tt_arena_new(int n_threads, tt_arena **out, tt_error *err);
void tt_arena_free(tt_arena *arena);
int tt_arena_threads(const tt_arena *arena);

/* Calls body(arg) inside the arena and returns what it returned.  The caller
 * takes part as one of its threads; when all slots are taken the call waits.
 * C++ exceptions become TT_NO_MEMORY or TT_INTERNAL.  Works in a forked child. */
tt_status tt_arena_run(tt_arena *arena, tt_status (*body)(void *), void *arg,
                       tt_error *err);

/* Splits [0, n) into at most n_threads contiguous ranges of at least `grain`
 * items and calls body(arg, begin, end) for each, in parallel, inside the
 * current arena.  The split depends only on (n, grain, threads of the arena),
 * never on timing.  Serial when there is one range. */
void tt_parallel_for(int64_t n, int64_t grain,
                     void (*body)(void *arg, int64_t begin, int64_t end), void *arg);

/* Threads of the arena the caller is in. */
int tt_current_threads(void);

/* "tbb" or "openmp". */
const char *tt_threads_runtime(void);

#ifdef __cplusplus
}
#endif
#endif
