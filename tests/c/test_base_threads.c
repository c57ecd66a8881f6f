/* base/threads.h: every item once, the promised split, many callers, fork. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "harness.h"

enum { MAX_ITEMS = 5000 };

typedef struct {
    atomic_int hits[MAX_ITEMS];
    atomic_int n_ranges, n_short, threads_seen;
    int64_t n, grain;
} loop;

static void count_range(void *arg, int64_t begin, int64_t end)
{
    loop *l = arg;
    atomic_fetch_add(&l->n_ranges, 1);
    if (end - begin < l->grain) atomic_fetch_add(&l->n_short, 1);
    for (int64_t i = begin; i < end; ++i)
        atomic_fetch_add(&l->hits[i], 1);
}

static tt_status run_loop(void *arg)
{
    loop *l = arg;
    atomic_store(&l->threads_seen, tt_current_threads());
    tt_parallel_for(l->n, l->grain, count_range, l);
    return TT_OK;
}

static bool every_item_once(const loop *l)
{
    for (int64_t i = 0; i < MAX_ITEMS; ++i)
        if (atomic_load(&l->hits[i]) != (i < l->n)) return false;
    return true;
}

TT_TEST(parallel_for_covers_every_item_once_in_ranges_of_grain)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 64, 1000, 4999};
    for (int n_threads = 1; n_threads <= 5; ++n_threads) {
        tt_arena *arena;
        CHECK_OK(tt_arena_new(n_threads, &arena, ERR));
        CHECK_INT(tt_arena_threads(arena), n_threads);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i)
            for (int64_t grain = 1; grain < 3000; grain = grain * 7 + 3) {
                loop *l = tt_calloc(1, sizeof *l);
                CHECK(l != NULL);
                l->n = sizes[i];
                l->grain = grain;
                CHECK_OK(tt_arena_run(arena, run_loop, l, ERR));
                CHECK(every_item_once(l));
                CHECK_INT(l->threads_seen, n_threads);
                CHECK(l->n_ranges <= n_threads);
                if (l->n_ranges > 1) CHECK_INT(l->n_short, 0);
                if (l->n >= grain * n_threads && l->n > 0)
                    CHECK_INT(l->n_ranges, n_threads);
                tt_free(l);
            }
        tt_arena_free(arena);
    }
    tt_arena_free(NULL);
}

static tt_status fail_inside(void *arg)
{
    return tt_fail(arg, TT_LIMIT, "from inside");
}

TT_TEST(arena_run_returns_what_the_body_returned)
{
    for (int n_threads = 1; n_threads <= 2; ++n_threads) {
        tt_arena *arena;
        CHECK_OK(tt_arena_new(n_threads, &arena, ERR));
        CHECK_STATUS(tt_arena_run(arena, fail_inside, ERR, NULL), TT_LIMIT);
        CHECK_TEXT(tt_test_error.text, "from inside");
        tt_arena_free(arena);
    }
}

TT_TEST(arena_of_no_threads_is_refused)
{
    tt_arena *arena;
    CHECK_STATUS(tt_arena_new(0, &arena, ERR), TT_BAD_INPUT);
    CHECK(arena == NULL);
}

typedef struct {
    tt_arena *outer, *inner;
    int seen_inside, seen_again, seen_other;
} nest;

static tt_status see(void *arg)
{
    *(int *)arg = tt_current_threads();
    return TT_OK;
}

static tt_status run_nested(void *arg)
{
    nest *n = arg;
    n->seen_inside = tt_current_threads();
    TT_TRY(tt_arena_run(n->outer, see, &n->seen_again, NULL));
    return tt_arena_run(n->inner, see, &n->seen_other, NULL);
}

TT_TEST(arenas_nest)
{
    nest n = {0};
    CHECK_OK(tt_arena_new(3, &n.outer, ERR));
    CHECK_OK(tt_arena_new(1, &n.inner, ERR));
    CHECK_OK(tt_arena_run(n.outer, run_nested, &n, ERR));
    CHECK(n.seen_inside == 3 && n.seen_again == 3 && n.seen_other == 1);
    tt_arena_free(n.outer);
    tt_arena_free(n.inner);
}

/* ---- many callers -------------------------------------------------------- */

typedef struct {
    pthread_barrier_t *barrier;
    tt_arena *arena;
    bool ok;
} caller;

static tt_status wait_for_others(void *arg)
{
    (void)pthread_barrier_wait(((caller *)arg)->barrier);
    return TT_OK;
}

static void *call_once_at_once(void *arg)
{
    caller *c = arg;
    c->ok = tt_arena_run(c->arena, wait_for_others, c, NULL) == TT_OK;
    return NULL;
}

/* Ends only if all are inside at the same time. */
TT_TEST(callers_of_a_single_threaded_arena_do_not_wait_for_each_other)
{
    enum { N = 6 };
    pthread_t threads[N];
    caller callers[N];
    pthread_barrier_t barrier;
    tt_arena *arena;
    CHECK_OK(tt_arena_new(1, &arena, ERR));
    CHECK_INT(pthread_barrier_init(&barrier, NULL, N), 0);
    for (int i = 0; i < N; ++i) {
        callers[i] = (caller){&barrier, arena, false};
        CHECK_INT(pthread_create(&threads[i], NULL, call_once_at_once, &callers[i]), 0);
    }
    for (int i = 0; i < N; ++i) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK(callers[i].ok);
    }
    (void)pthread_barrier_destroy(&barrier);
    tt_arena_free(arena);
}

static void *call_many_times(void *arg)
{
    caller *c = arg;
    c->ok = true;
    for (int i = 0; i < 300 && c->ok; ++i) {
        loop *l = tt_calloc(1, sizeof *l);
        if (l == NULL) return NULL;
        l->n = 100 + i;
        l->grain = 1;
        c->ok =
            tt_arena_run(c->arena, run_loop, l, NULL) == TT_OK && every_item_once(l);
        tt_free(l);
    }
    return NULL;
}

TT_TEST(callers_share_the_slots_of_an_arena)
{
    enum { N = 5 };
    for (int n_threads = 1; n_threads <= 3; ++n_threads) {
        pthread_t threads[N];
        caller callers[N];
        tt_arena *arena;
        CHECK_OK(tt_arena_new(n_threads, &arena, ERR));
        for (int i = 0; i < N; ++i) {
            callers[i] = (caller){NULL, arena, false};
            CHECK_INT(pthread_create(&threads[i], NULL, call_many_times, &callers[i]),
                      0);
        }
        for (int i = 0; i < N; ++i) {
            CHECK_INT(pthread_join(threads[i], NULL), 0);
            CHECK(callers[i].ok);
        }
        tt_arena_free(arena);
    }
}

/* ---- a caller must not start another's body while it waits for its loop --- */

typedef struct {
    tt_arena *arena;
    atomic_int inside, worst;
} depth;

static _Thread_local int my_depth;

static void short_work(void *arg, int64_t begin, int64_t end)
{
    volatile double x = 1;
    (void)arg;
    for (int64_t i = begin * 2000; i < end * 2000; ++i)
        x = x * 1.0000001;
}

static tt_status measure_depth(void *arg)
{
    depth *d = arg;
    int at = ++my_depth;
    if (at > atomic_load(&d->worst)) atomic_store(&d->worst, at);
    tt_parallel_for(64, 1, short_work, NULL);
    --my_depth;
    return TT_OK;
}

static void *dive(void *arg)
{
    depth *d = arg;
    for (int i = 0; i < 200; ++i)
        (void)tt_arena_run(d->arena, measure_depth, d, NULL);
    return NULL;
}

TT_TEST(bodies_do_not_start_on_the_stack_of_other_bodies)
{
    enum { N = 4 };
    pthread_t threads[N];
    depth d = {0};
    CHECK_OK(tt_arena_new(2, &d.arena, ERR));
    for (int i = 0; i < N; ++i)
        CHECK_INT(pthread_create(&threads[i], NULL, dive, &d), 0);
    for (int i = 0; i < N; ++i)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(d.worst, 1);
    tt_arena_free(d.arena);
}

/* ---- fork ---------------------------------------------------------------- */

typedef struct {
    atomic_int n_started;
    atomic_bool met;
} meeting;

/* Waits for the other range up to two seconds. */
static void meet(void *arg, int64_t begin, int64_t end)
{
    meeting *m = arg;
    double limit = tt_seconds() + 2;
    (void)begin;
    (void)end;
    atomic_fetch_add(&m->n_started, 1);
    while (atomic_load(&m->n_started) < 2 && tt_seconds() < limit)
        (void)sched_yield();
    if (atomic_load(&m->n_started) == 2) atomic_store(&m->met, true);
}

static tt_status run_meeting(void *arg)
{
    tt_parallel_for(2, 1, meet, arg);
    return TT_OK;
}

static bool runs_in_parallel(tt_arena *arena)
{
    meeting m = {0};
    return tt_arena_run(arena, run_meeting, &m, NULL) == TT_OK && m.met;
}

static int work_in_arenas(tt_arena **arenas)
{
    for (int i = 0; i < 2; ++i)
        for (int repeat = 0; repeat < 20; ++repeat) {
            loop *l = tt_calloc(1, sizeof *l);
            if (l == NULL) return 2;
            l->n = 777;
            l->grain = 1;
            if (tt_arena_run(arenas[i], run_loop, l, NULL) != TT_OK) return 3;
            if (!every_item_once(l)) return 4;
            if (l->threads_seen != tt_arena_threads(arenas[i])) return 5;
            tt_free(l);
        }
    return 0;
}

static void *work_in_thread(void *arg)
{
    static int failed = 1;
    return work_in_arenas(arg) == 0 ? NULL : &failed;
}

static int meet_in_child(tt_arena **arenas)
{
    return runs_in_parallel(arenas[1]) ? 0 : 8;
}

static int work_in_child(tt_arena **arenas)
{
    pthread_t thread;
    void *failed;
    int status = work_in_arenas(arenas);
    if (status != 0) return status;
    if (pthread_create(&thread, NULL, work_in_thread, arenas) != 0) return 6;
    (void)pthread_join(thread, &failed);
    if (failed != NULL) return 7;
    tt_arena_free(arenas[0]);
    tt_arena_free(arenas[1]);
    return 0;
}

static void fork_and(int (*body)(tt_arena **), tt_arena **arenas)
{
    int status = -1;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)alarm(30);
        _exit(body(arenas));
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        tt_test_fail(__FILE__, __LINE__, "child got signal %d", WTERMSIG(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    CHECK_INT(work_in_arenas(arenas), 0); /* the parent goes on */
}

TT_TEST(arenas_work_in_a_child_forked_before_first_use)
{
    tt_arena *arenas[2];
    CHECK_OK(tt_arena_new(1, &arenas[0], ERR));
    CHECK_OK(tt_arena_new(2, &arenas[1], ERR));
    fork_and(work_in_child, arenas);
    tt_arena_free(arenas[0]);
    tt_arena_free(arenas[1]);
}

TT_TEST(arenas_work_in_a_child_forked_after_use)
{
    tt_arena *arenas[2];
    CHECK_OK(tt_arena_new(1, &arenas[0], ERR));
    CHECK_OK(tt_arena_new(2, &arenas[1], ERR));
    CHECK_INT(work_in_arenas(arenas), 0);
    for (int i = 0; i < 3; ++i)
        fork_and(work_in_child, arenas);
    tt_arena_free(arenas[0]);
    tt_arena_free(arenas[1]);
}

TT_TEST(ranges_run_in_parallel_before_and_after_fork_in_parent_and_child)
{
    tt_arena *arenas[2];
    if (tt_cpu_get()->n_threads < 2) tt_test_skip("one CPU");
    CHECK_OK(tt_arena_new(1, &arenas[0], ERR));
    CHECK_OK(tt_arena_new(2, &arenas[1], ERR));
    for (int i = 0; i < 3; ++i) {
        CHECK(runs_in_parallel(arenas[1]));
        fork_and(meet_in_child, arenas);
        CHECK(runs_in_parallel(arenas[1]));
    }
    tt_arena_free(arenas[0]);
    tt_arena_free(arenas[1]);
}

/* A thread that has used an arena and lives on keeps the scheduler alive. */
/* Both threads of an arena enter one of a single thread, and so have a slot of their
 * own, which a worker gives back when it ends. */
typedef struct {
    tt_arena *single;
    meeting both;
} singles;

static tt_status do_nothing(void *arg)
{
    (void)arg;
    return TT_OK;
}

static void enter_single(void *arg, int64_t begin, int64_t end)
{
    singles *n = arg;
    meet(&n->both, begin, end);
    (void)tt_arena_run(n->single, do_nothing, NULL, NULL);
}

static tt_status run_singles(void *arg)
{
    tt_parallel_for(2, 1, enter_single, arg);
    return TT_OK;
}

TT_TEST(workers_that_were_in_a_single_arena_end_before_a_fork)
{
    tt_arena *arenas[2];
    if (tt_cpu_get()->n_threads < 2) tt_test_skip("one CPU");
    CHECK_OK(tt_arena_new(1, &arenas[0], ERR));
    CHECK_OK(tt_arena_new(2, &arenas[1], ERR));
    for (int i = 0; i < 5; ++i) {
        singles n = {.single = arenas[0]};
        CHECK_OK(tt_arena_run(arenas[1], run_singles, &n, ERR));
        CHECK(n.both.met);
        (void)alarm(30); /* it hung once */
        fork_and(work_in_child, arenas);
        (void)alarm(0);
    }
    tt_arena_free(arenas[0]);
    tt_arena_free(arenas[1]);
}

static pthread_barrier_t used, forked;

static void *use_and_wait(void *arg)
{
    intptr_t failed = work_in_arenas(arg);
    (void)pthread_barrier_wait(&used);
    (void)pthread_barrier_wait(&forked);
    return (void *)(failed + work_in_arenas(arg));
}

TT_TEST(arenas_work_in_a_child_forked_while_other_threads_use_them)
{
    tt_arena *arenas[2];
    pthread_t thread;
    void *failed;
    CHECK_OK(tt_arena_new(1, &arenas[0], ERR));
    CHECK_OK(tt_arena_new(2, &arenas[1], ERR));
    CHECK(pthread_barrier_init(&used, NULL, 2) == 0);
    CHECK(pthread_barrier_init(&forked, NULL, 2) == 0);
    CHECK_INT(pthread_create(&thread, NULL, use_and_wait, arenas), 0);
    (void)pthread_barrier_wait(&used);
    CHECK_INT(work_in_arenas(arenas), 0);
    fork_and(work_in_child, arenas);
    (void)pthread_barrier_wait(&forked);
    CHECK_INT(pthread_join(thread, &failed), 0);
    CHECK(failed == NULL);
    tt_arena_free(arenas[0]);
    tt_arena_free(arenas[1]);
}

/* Not under AddressSanitizer: its allocator may be locked by another thread at the
 * moment of the fork, and then the child hangs in malloc whatever we do. */
#ifndef __SANITIZE_ADDRESS__
/* Forks again and again while other threads are in the middle of their loops. */
static atomic_bool stop_looping;

static void *loop_until_stopped(void *arg)
{
    intptr_t failed = 0;
    while (!atomic_load(&stop_looping) && failed == 0)
        failed = work_in_arenas(arg);
    return (void *)failed;
}

TT_TEST(forks_do_not_disturb_running_callers)
{
    enum { N = 3 };
    tt_arena *arenas[2];
    pthread_t threads[N];
    CHECK_OK(tt_arena_new(1, &arenas[0], ERR));
    CHECK_OK(tt_arena_new(2, &arenas[1], ERR));
    atomic_store(&stop_looping, false);
    for (int i = 0; i < N; ++i)
        CHECK_INT(pthread_create(&threads[i], NULL, loop_until_stopped, arenas), 0);
    for (int i = 0; i < 30; ++i)
        fork_and(work_in_child, arenas);
    atomic_store(&stop_looping, true);
    for (int i = 0; i < N; ++i) {
        void *failed;
        CHECK_INT(pthread_join(threads[i], &failed), 0);
        CHECK(failed == NULL);
    }
    tt_arena_free(arenas[0]);
    tt_arena_free(arenas[1]);
}
#endif
