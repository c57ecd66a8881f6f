/* What a fork must not cut in two.
 *
 * Only the forking thread lives on in a child: a lock that another thread held stays
 * locked there, and a list that it was changing stays half changed.  So fork() lets
 * nobody in and waits, for at most TT_FORK_WAITS_MS, until no thread is inside.  Inside
 * is who holds a lock of the engine or runs a body in an arena; a thread that is inside
 * may go further in while another waits to fork.  Whoever is inside never waits for the
 * GIL, which the forking thread holds: such a wait ends with the limit, and then the
 * child's locks are in doubt.  Any thread may call all of these. */
#ifndef TT_BASE_FORK_H
#define TT_BASE_FORK_H

#include <pthread.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TT_FORK_WAITS_MS 5000

/* Are the handlers in place?  Not 0: the error of pthread_atfork. */
int tt_fork_handlers(void);

void tt_fork_enter(void);
void tt_fork_leave(void);
/* Is a fork under way? */
bool tt_fork_is_near(void);

/* pthread_mutex_lock and _unlock of a thread that is inside while it holds the mutex. */
void tt_mutex_lock(pthread_mutex_t *mutex);
void tt_mutex_unlock(pthread_mutex_t *mutex);

/* ---- threads.cpp ------------------------------------------------------------------- */

/* Around the fork, by the forking thread.  is_empty: nobody is inside. */
void tt_threads_before_fork(bool is_empty);
void tt_threads_after_fork_in_parent(void);
void tt_threads_after_fork_in_child(void);

#ifdef __cplusplus
}
#endif
#endif
