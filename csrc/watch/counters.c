/* Slots of counters and their sums: see counters.h. */
#include "watch/counters.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "watch/counters_file.h"
#include "watch/process.h"

/* Whose copy of a tt_counters this is: pages that a fork wipes tell a child. */
enum { NOBODY = 0, CHOOSING, MINE };
typedef struct {
    atomic_int state;
} mark;

struct tt_counters {
    _Atomic(tt_slot *) slot; /* of the process that chose it */
    mark *mark;
    bool wipes; /* does a fork wipe `mark`?  Else the pid tells. */
    long pid;
    void *file; /* mapped, or NULL: the one slot is `memory` */
    tt_slot *memory;
    char name[TT_COUNTER_NAME_BYTES];
};

_Static_assert(sizeof(tt_counts) % sizeof(uint64_t) == 0, "64-bit counters only");
_Static_assert(sizeof(atomic_ullong) == sizeof(uint64_t), "64-bit counters only");

static tt_slot *slot_at(const tt_counters *counters, int i)
{
    char *slots = (char *)counters->file + TT_COUNTER_HEADER_BYTES;
    return (tt_slot *)(void *)(slots + (size_t)i * TT_SLOT_BYTES);
}

/* ---- choosing a slot ---------------------------------------------------------------- */

static bool take(tt_slot *slot, unsigned long long from, uint64_t self)
{
    if (!atomic_compare_exchange_strong(&slot->owner, &from, self)) return false;
    tt_count(&slot->n_used, 1);
    return true;
}

/* A free slot, else a dead process's with all it holds, else everybody's. */
static tt_slot *choose(const tt_counters *counters)
{
    uint64_t self = tt_process_self();
    for (int i = 1; i <= TT_COUNTER_SLOTS; ++i)
        if (take(slot_at(counters, i), 0, self)) return slot_at(counters, i);
    for (int i = 1; i <= TT_COUNTER_SLOTS; ++i) {
        tt_slot *slot = slot_at(counters, i);
        unsigned long long owner = atomic_load(&slot->owner);
        if (!tt_process_is_alive(owner) && take(slot, owner, self)) return slot;
    }
    tt_count(&slot_at(counters, 0)->n_used, 1);
    return slot_at(counters, 0);
}

static bool is_mine(const tt_counters *counters)
{
    return atomic_load_explicit(&counters->mark->state, memory_order_acquire) == MINE &&
           (counters->wipes || counters->pid == (long)getpid());
}

/* In a new process: the thread that comes first chooses, the others do not wait. */
static tt_counts *begin(tt_counters *counters)
{
    int seen = NOBODY;
    if (counters->file == NULL) return &counters->memory->counts;
    if (!counters->wipes && counters->pid != (long)getpid()) {
        atomic_store(&counters->mark->state, NOBODY);
        counters->pid = (long)getpid();
    }
    if (!atomic_compare_exchange_strong(&counters->mark->state, &seen, CHOOSING)) {
        tt_slot *shared = slot_at(counters, 0);
        if (seen == MINE) return &atomic_load(&counters->slot)->counts;
        tt_count(&shared->n_used, 1);
        return &shared->counts;
    }
    atomic_store(&counters->slot, choose(counters));
    atomic_store(&counters->mark->state, MINE);
    return &atomic_load(&counters->slot)->counts;
}

tt_counts *tt_counters_mine(tt_counters *counters)
{
    if (__builtin_expect(is_mine(counters), 1))
        return &atomic_load_explicit(&counters->slot, memory_order_relaxed)->counts;
    return begin(counters);
}

/* ---- opening and closing ---------------------------------------------------------- */

/* A count that no machine reaches says that something else wrote here. */
static tt_status check_counts(const tt_counters *counters, const char *path,
                              tt_error *err)
{
    for (int i = 0; i <= TT_COUNTER_SLOTS; ++i) {
        const tt_slot *slot = slot_at(counters, i);
        const atomic_ullong *at = (const atomic_ullong *)(const void *)&slot->counts;
        if (tt_counted(&slot->n_used) == 0) continue;
        for (size_t k = 0; k < sizeof slot->counts / sizeof *at; ++k)
            if (tt_counted(&at[k]) >> 62 != 0)
                return tt_fail(err, TT_BAD_INPUT,
                               "counters: '%s' is damaged: slot %d holds the count "
                               "%llu; delete it when nothing uses it",
                               path, i, (unsigned long long)tt_counted(&at[k]));
    }
    return TT_OK;
}

static tt_status open_file(tt_counters *counters, const char *path, const char *name,
                           tt_error *err)
{
    const tt_counter_header *header;
    TT_TRY(tt_counters_map(path, name, &counters->file, err));
    header = counters->file;
    memcpy(counters->name, header->name, sizeof counters->name);
    counters->name[sizeof counters->name - 1] = '\0';
    return check_counts(counters, path, err);
}

static tt_status open_memory(tt_counters *counters, const char *name, tt_error *err)
{
    bool wipes;
    counters->memory = tt_wiped_alloc(TT_SLOT_BYTES, &wipes);
    if (counters->memory == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%d bytes of counters", TT_SLOT_BYTES);
    (void)strncpy(counters->name, name, sizeof counters->name - 1);
    atomic_store(&counters->slot, counters->memory);
    atomic_store(&counters->mark->state, MINE);
    return TT_OK;
}

tt_status tt_counters_open(const char *path, const char *name, tt_counters **out,
                           tt_error *err)
{
    tt_counters *counters = tt_calloc(1, sizeof *counters);
    tt_status status;
    *out = NULL;
    if (counters == NULL) return tt_fail(err, TT_NO_MEMORY, "counters");
    counters->pid = (long)getpid();
    counters->mark = tt_wiped_alloc(sizeof *counters->mark, &counters->wipes);
    status = counters->mark == NULL ? tt_fail(err, TT_NO_MEMORY, "a page of counters")
             : path == NULL         ? open_memory(counters, name, err)
                                    : open_file(counters, path, name, err);
    if (status != TT_OK) {
        tt_counters_close(counters);
        return status;
    }
    (void)tt_counters_mine(counters);
    *out = counters;
    return TT_OK;
}

void tt_counters_close(tt_counters *counters)
{
    if (counters == NULL) return;
    if (counters->file != NULL) {
        tt_slot *slot = atomic_load(&counters->slot);
        if (slot != NULL && slot != slot_at(counters, 0) && is_mine(counters))
            atomic_store(&slot->owner, 0);
        (void)munmap(counters->file, TT_COUNTER_FILE_BYTES);
    }
    tt_wiped_free(counters->memory, TT_SLOT_BYTES);
    tt_wiped_free(counters->mark, sizeof *counters->mark);
    tt_free(counters);
}

/* ---- counting ----------------------------------------------------------------------- */

static void raise_to(atomic_ullong *largest, uint64_t value)
{
    unsigned long long seen = tt_counted(largest);
    while (seen < value &&
           !atomic_compare_exchange_weak_explicit(
               largest, &seen, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void tt_counts_time(tt_counts *counts, tt_stage stage, uint64_t time_ns, uint64_t n)
{
    tt_latency_add(&counts->stages[stage], time_ns, n);
    tt_count(&counts->sum_ns[stage], time_ns * n);
    raise_to(&counts->max_ns[stage], time_ns);
}

/* ---- sums --------------------------------------------------------------------------- */

/* All are fields of 64 bits; the maxima come first. */
static void add_counts(tt_counts *sum, const tt_counts *counts)
{
    const atomic_ullong *from = (const atomic_ullong *)(const void *)counts;
    atomic_ullong *into = (atomic_ullong *)(void *)sum;
    for (size_t i = TT_STAGE_COUNT; i < offsetof(tt_counts, stages) / sizeof *from; ++i)
        tt_count(&into[i], tt_counted(&from[i]));
    for (int i = 0; i < TT_STAGE_COUNT; ++i) {
        raise_to(&sum->max_ns[i], tt_counted(&counts->max_ns[i]));
        tt_latency_merge(&sum->stages[i], &counts->stages[i]);
    }
}

void tt_counters_sum(const tt_counters *counters, tt_counts *sum, int *n_processes)
{
    *n_processes = 1;
    if (counters->file == NULL) {
        add_counts(sum, &counters->memory->counts);
        return;
    }
    *n_processes = 0;
    for (int i = 0; i <= TT_COUNTER_SLOTS; ++i) {
        const tt_slot *slot = slot_at(counters, i);
        uint64_t owner = atomic_load(&slot->owner);
        if (atomic_load(&slot->n_used) == 0) continue;
        add_counts(sum, &slot->counts);
        if (owner != 0 && tt_process_is_alive(owner)) ++*n_processes;
    }
}

const char *tt_counters_name(const tt_counters *counters)
{
    return counters->name;
}
