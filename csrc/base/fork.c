/* Who is inside, and the handlers of fork(): see fork.h. */
#include "base/fork.h"

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { N_COUNTERS = 16, BETWEEN_LOOKS_NS = 50000 };

/* Each in a cache line of its own: threads that come and go do not share one. */
static struct {
    _Alignas(64) atomic_int n_inside;
} counters[N_COUNTERS];

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* from before to after */
static atomic_bool is_near;
static int registered;
static atomic_uint n_threads;
static _Thread_local int my_depth;
static _Thread_local atomic_int *mine;

static atomic_int *my_counter(void)
{
    if (mine == NULL)
        mine = &counters[atomic_fetch_add(&n_threads, 1) % N_COUNTERS].n_inside;
    return mine;
}

/* Either the handler sees who enters, or that thread sees the handler. */
void tt_fork_enter(void)
{
    atomic_int *inside;
    if (my_depth++ > 0) return;
    inside = my_counter();
    atomic_fetch_add(inside, 1);
    while (atomic_load(&is_near)) {
        atomic_fetch_sub(inside, 1);
        pthread_mutex_lock(&gate);
        pthread_mutex_unlock(&gate);
        atomic_fetch_add(inside, 1);
    }
}

void tt_fork_leave(void)
{
    if (--my_depth == 0)
        atomic_fetch_sub_explicit(my_counter(), 1, memory_order_release);
}

bool tt_fork_is_near(void)
{
    return atomic_load(&is_near);
}

void tt_mutex_lock(pthread_mutex_t *mutex)
{
    tt_fork_enter();
    pthread_mutex_lock(mutex);
}

void tt_mutex_unlock(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    tt_fork_leave();
}

/* ---- the handlers ------------------------------------------------------------------ */

static bool is_anyone_inside(void)
{
    for (int i = 0; i < N_COUNTERS; ++i)
        if (atomic_load(&counters[i].n_inside) != 0) return true;
    return false;
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* false: the limit has passed, or the forking thread itself is inside. */
static bool wait_until_empty(void)
{
    const struct timespec a_little = {.tv_nsec = BETWEEN_LOOKS_NS};
    int64_t limit = now_ms() + TT_FORK_WAITS_MS;
    if (my_depth > 0) return false;
    while (is_anyone_inside()) {
        if (now_ms() > limit) return false;
        (void)nanosleep(&a_little, NULL);
    }
    return true;
}

static void before(void)
{
    pthread_mutex_lock(&gate);
    atomic_store(&is_near, true);
    tt_threads_before_fork(wait_until_empty());
}

static void after_in_parent(void)
{
    tt_threads_after_fork_in_parent();
    atomic_store(&is_near, false);
    pthread_mutex_unlock(&gate);
}

static void after_in_child(void)
{
    for (int i = 0; i < N_COUNTERS; ++i)
        atomic_store(&counters[i].n_inside, 0);
    if (my_depth > 0) atomic_store(my_counter(), 1);
    tt_threads_after_fork_in_child();
    atomic_store(&is_near, false);
    pthread_mutex_unlock(&gate);
}

__attribute__((constructor)) static void register_handlers(void)
{
    registered = pthread_atfork(before, after_in_parent, after_in_child);
}

int tt_fork_handlers(void)
{
    return registered;
}
