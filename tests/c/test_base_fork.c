/* base/fork.h: locks that another thread holds are free in a child; a fork waits for
 * those who are inside, and one from the inside does not wait for itself. */
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "harness.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_over;
static int halves[2]; /* equal whenever the lock is free */

static void *hold_again_and_again(void *arg)
{
    (void)arg;
    while (!atomic_load(&is_over)) {
        tt_mutex_lock(&lock);
        ++halves[0];
        (void)usleep(100);
        ++halves[1];
        tt_mutex_unlock(&lock);
    }
    return NULL;
}

/* 0: the lock was free and what it guards whole. */
static int status_of_child(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(20);
        tt_mutex_lock(&lock);
        status = halves[0] == halves[1] ? 0 : 1;
        tt_mutex_unlock(&lock);
        _exit(status);
    }
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

TT_TEST(locks_of_other_threads_are_free_in_a_child)
{
    pthread_t threads[2];
    CHECK_INT(tt_fork_handlers(), 0);
    atomic_store(&is_over, false);
    for (int i = 0; i < 2; ++i)
        CHECK_INT(pthread_create(&threads[i], NULL, hold_again_and_again, NULL), 0);
    for (int i = 0; i < 50; ++i)
        CHECK_INT(status_of_child(), 0);
    atomic_store(&is_over, true);
    for (int i = 0; i < 2; ++i)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
}

TT_TEST(a_thread_that_is_inside_may_fork)
{
    tt_fork_enter();
    CHECK_INT(status_of_child(), 0);
    CHECK(!tt_fork_is_near());
    tt_fork_leave();
    CHECK_INT(status_of_child(), 0);
}
