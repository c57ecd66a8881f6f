/* What a deployment does, counted: calls, rows, errors, times, odd values.
 *
 * Counters live in memory of the process or in a file that many processes map.  Each
 * process counts in a slot of its own; what is reported is the sum over the slots.  No
 * lock, and no moment at which a killed process leaves the file in need of repair:
 * every count is one atomic addition, and the slot of a dead process is taken over, as
 * it is, by the next one that comes.  So nothing has to be moved when a process dies,
 * the number of slots bounds only how many processes have one at the same time, and all
 * sums are monotonic.  If all slots are taken, processes share the first one.  Were a
 * living process ever taken for dead (in containers that do not see each other), two
 * would add to one slot: no count is lost.
 *
 * A forked child takes a slot of its own when it first counts; in memory of the process
 * it begins at zero. */
#ifndef TT_WATCH_COUNTERS_H
#define TT_WATCH_COUNTERS_H

#include "base/status.h"
#include "watch/latency.h"

/* Parts of a request that are timed. */
#define TT_STAGE_LIST(X)                                        \
    X(TT_STAGE_REQUEST, "request") /* the whole */              \
    X(TT_STAGE_PREPROCESS, "preprocess")                        \
    X(TT_STAGE_COMPUTE, "compute") /* a program's call, in C */ \
    X(TT_STAGE_POSTPROCESS, "postprocess")

#define TT_STAGE_ENUM(code, name) code,
typedef enum { TT_STAGE_LIST(TT_STAGE_ENUM) TT_STAGE_COUNT } tt_stage;
#undef TT_STAGE_ENUM

/* Classes of exceptions that are told apart; any other counts as the nearest of its
 * base classes. */
#define TT_WATCH_ERROR_LIST(X) \
    X(InputError)              \
    X(InputTypeError)          \
    X(ModelFormatError)        \
    X(ModelLimitError)         \
    X(UnsafeModelError)        \
    X(UnsupportedOpError)      \
    X(OutOfMemoryError)        \
    X(DeviceError)             \
    X(GoldenMismatch)          \
    X(FetchError)              \
    X(InternalError)           \
    X(OverloadedError)         \
    X(DeadlineError)           \
    X(TrimtabError)            \
    X(TypeError)               \
    X(ValueError)              \
    X(LookupError)             \
    X(AttributeError)          \
    X(ArithmeticError)         \
    X(AssertionError)          \
    X(ImportError)             \
    X(MemoryError)             \
    X(TimeoutError)            \
    X(ConnectionError)         \
    X(OSError)                 \
    X(NotImplementedError)     \
    X(RuntimeError)            \
    X(Exception)               \
    X(KeyboardInterrupt)       \
    X(SystemExit)              \
    X(BaseException)

#define TT_WATCH_ERROR_ENUM(name) TT_WATCH_##name,
typedef enum {
    TT_WATCH_ERROR_LIST(TT_WATCH_ERROR_ENUM) TT_WATCH_ERROR_COUNT
} tt_watch_error;
#undef TT_WATCH_ERROR_ENUM

/* What every call counts, side by side: a call meets few lines of memory. */
#define TT_TALLY_LIST(X)                                  \
    X(n_calls)        /* of programs */                   \
    X(n_rows)         /* of their first inputs */         \
    X(n_requests)     /* of the deployment around them */ \
    X(n_calls_looked) /* calls that were looked at */     \
    X(n_rows_looked)  /* and their rows */                \
    X(look_ns)        /* which took so long */

/* Odd values of one tensor, in the calls that were looked at. */
#define TT_ODDITY_LIST(X)                                                 \
    X(n_rows)       /* of axis 0 */                                       \
    X(n_values)     /* all of the rows */                                 \
    X(n_nan)        /* and */                                             \
    X(n_infinite)   /* of both signs */                                   \
    X(n_below)      /* finite values under the lower limit */             \
    X(n_above)      /* and over the upper */                              \
    X(n_constant)   /* rows of 16 values or more that are all the same */ \
    X(n_unsketched) /* rows that did not fit the table */

#define TT_COUNTER_FIELD(name) atomic_ullong name;
typedef struct {
    TT_ODDITY_LIST(TT_COUNTER_FIELD)
} tt_oddity;
#undef TT_COUNTER_FIELD

enum { TT_ODDITIES = 16 }; /* tensors told apart; all others count as the last */

/* Nothing but 64-bit counters that only grow. */
#define TT_COUNTER_FIELD(name) atomic_ullong name;
typedef struct {
    atomic_ullong max_ns[TT_STAGE_COUNT]; /* no sums, unlike all others */
    TT_TALLY_LIST(TT_COUNTER_FIELD)
    atomic_ullong sum_ns[TT_STAGE_COUNT];
    atomic_ullong call_errors[TT_WATCH_ERROR_COUNT];
    atomic_ullong request_errors[TT_WATCH_ERROR_COUNT];
    tt_oddity inputs[TT_ODDITIES], outputs[TT_ODDITIES];
    tt_latency stages[TT_STAGE_COUNT];
} tt_counts;
#undef TT_COUNTER_FIELD

/* `n` times a stage took so long. */
void tt_counts_time(tt_counts *counts, tt_stage stage, uint64_t time_ns, uint64_t n);

static inline void tt_count(atomic_ullong *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline uint64_t tt_counted(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

typedef struct tt_counters tt_counters;

enum { TT_COUNTER_SLOTS = 64, TT_COUNTER_NAME_BYTES = 256 };

/* `path` NULL: memory of the process.  Else the file, made if there is none: all of its
 * blocks (some 10 MB) are on the disk when this returns.  A file that something else
 * wrote, another version of ours, or for something of another `name` (empty: any) is
 * TT_BAD_INPUT, and so is one that cannot be had, with the system's reason. */
tt_status tt_counters_open(const char *path, const char *name, tt_counters **out,
                           tt_error *err);
void tt_counters_close(tt_counters *counters); /* NULL is allowed */

/* Where the calling process counts; never NULL. */
tt_counts *tt_counters_mine(tt_counters *counters);

/* Adds all slots to *sum, which begins zeroed; *n_processes that are alive. */
void tt_counters_sum(const tt_counters *counters, tt_counts *sum, int *n_processes);

/* The name that the file was made with, or "". */
const char *tt_counters_name(const tt_counters *counters);

#endif
