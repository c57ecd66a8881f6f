/* trimtab._core.Watcher: counters of a deployment, and what its program's calls are
 * looked at for. */
#ifndef TT_BIND_WATCHER_H
#define TT_BIND_WATCHER_H

#include <pthread.h>

#include "bind/node_times.h"
#include "bind/program.h"
#include "watch/budget.h"
#include "watch/counters.h"
#include "watch/table.h"

/* One input or output of the program. */
typedef struct {
    double low, high; /* limits of its values; infinite: none */
    tt_table *table;  /* owned; NULL: none */
} tt_watched;

typedef struct {
    int n_inputs, n_outputs;
    tt_watched *watched; /* inputs, then outputs; owned */
} tt_watch_list;

/* In a page that a fork wipes: the lock that another thread held is free in the child,
 * which can tell that the tables hold what its parent saw. */
typedef struct {
    pthread_mutex_t mutex; /* zeros: not locked */
    bool is_known;         /* false: in a new process */
} tt_watch_lock;

typedef struct {
    PyObject ob_base;
    tt_state *state;
    tt_counters *counters;
    PyObject *path;      /* str or None */
    tt_budget budget;    /* with the GIL */
    tt_node_times nodes; /* of this process, with the GIL */
    tt_watch_lock *lock; /* of `list`; its holder never waits for the GIL */
    tt_watch_list list;
} tt_watcher_object;

/* CLOCK_MONOTONIC, as time.perf_counter_ns() */
uint64_t tt_now_ns(void);

/* errors: of each tt_watch_error.  Counts the pending exception `n` times, and leaves it
 * pending. */
void tt_watcher_count_pending(atomic_ullong *errors, uint64_t n);
void tt_watcher_count_error(atomic_ullong *errors, PyTypeObject *type, uint64_t n);

/* Waits for the lock, without the GIL. */
void tt_watcher_lock(tt_watcher_object *watcher);
void tt_watcher_unlock(tt_watcher_object *watcher);

/* ---- watch_list.c ------------------------------------------------------------------ */

/* inputs and outputs: {index: TableSketch}, limits: {index: (low, high)}; each may be
 * None.  The tables are new ones with the bins of the sketches. */
int tt_watch_list_read(tt_program_object *program, PyObject *inputs, PyObject *outputs,
                       PyObject *limits, tt_watch_list *list);
/* A list like `list` with empty tables. */
int tt_watch_list_fresh(tt_state *state, const tt_watch_list *list, tt_watch_list *out);
/* {"inputs": {index: TableSketch}, "outputs": ...}, which take the tables. */
PyObject *tt_watch_list_tables(tt_state *state, tt_watch_list *list);
void tt_watch_list_clear(tt_watch_list *list);
/* In a forked child, without the GIL: new tables in the place of the parent's, which
 * another thread may have held locked and are left alone. */
void tt_watch_list_forget(tt_watch_list *list);
/* Adds rows to a table; false: they do not fit. */
bool tt_watched_update(tt_watched *watched, const tt_view *view);

/* ---- watched.c --------------------------------------------------------------------- */

/* watch(watcher, inputs=None, outputs=None, limits=None, every=0, budget=0.005,
 * requests=False, keep=False); keep: one more program, looked at as the others are */
PyObject *tt_program_watch(PyObject *program, PyObject *args, PyObject *keywords);

/* tt_request_read and tt_request_run of a program that has a watcher. */
int tt_request_watched(tt_request *request, PyObject *const *args, Py_ssize_t n_args,
                       PyObject *const *outs, bool may_copy);

#endif
