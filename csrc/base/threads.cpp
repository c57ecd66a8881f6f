/* tt_arena and tt_parallel_for on the threading runtime that oneDNN was built on:
 * TBB, or OpenMP (TT_THREADS_OPENMP).  Enters: a body and its argument.  Leaves:
 * its status; no C++ exception gets past this file. */
#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>

#include "base/fork.h"
#include "base/threads.h"

#ifdef TT_THREADS_OPENMP
#include "base/threads_openmp.hpp"
#else
#include "base/threads_tbb.hpp"
#endif

struct tt_arena {
    int n_threads = 1;
    backend::arena inner;
};

namespace {

/* The arena whose body this thread is executing, so that a nested run is a plain
 * call. */
thread_local const tt_arena *current_arena = nullptr;

class mark {
  public:
    explicit mark(const tt_arena *arena) : outer(current_arena)
    {
        current_arena = arena;
    }
    ~mark()
    {
        current_arena = outer;
    }
    mark(const mark &) = delete;
    mark &operator=(const mark &) = delete;

  private:
    const tt_arena *outer;
};

struct inside {
    inside()
    {
        tt_fork_enter();
    }
    ~inside()
    {
        tt_fork_leave();
    }
    inside(const inside &) = delete;
    inside &operator=(const inside &) = delete;
};

enum { MAX_RANGES = 1024 };

/* The i-th of n_ranges nearly equal ranges of [0, n), without overflow. */
void range_of(int64_t n, int64_t n_ranges, int64_t i, int64_t *begin, int64_t *end)
{
    int64_t each = n / n_ranges, more = n % n_ranges;
    *begin = i * each + (i < more ? i : more);
    *end = *begin + each + (i < more ? 1 : 0);
}

int64_t count_ranges(int64_t n, int64_t grain)
{
    int64_t most = tt_current_threads();
    int64_t by_grain = grain <= 1 ? n : n / grain;
    if (by_grain < 1) by_grain = 1;
    if (most > MAX_RANGES) most = MAX_RANGES;
    return by_grain < most ? by_grain : most;
}

} // namespace

extern "C" {

void tt_threads_before_fork(bool is_empty)
{
    backend::before_fork(is_empty);
}

void tt_threads_after_fork_in_parent(void)
{
    backend::after_fork_in_parent();
}

void tt_threads_after_fork_in_child(void)
{
    backend::after_fork_in_child();
}

tt_status tt_arena_new(int n_threads, tt_arena **out, tt_error *err)
{
    tt_arena *arena;
    *out = nullptr;
    if (tt_fork_handlers() != 0)
        return tt_fail(err, TT_NO_MEMORY, "registering the fork handler: error %d",
                       tt_fork_handlers());
    if (n_threads < 1)
        return tt_fail(err, TT_BAD_INPUT, "threads must be at least 1, got %d",
                       n_threads);
    arena = new (std::nothrow) tt_arena;
    if (arena == nullptr) return tt_fail(err, TT_NO_MEMORY, "thread arena");
    arena->n_threads = n_threads;
    *out = arena;
    return TT_OK;
}

void tt_arena_free(tt_arena *arena)
{
    delete arena;
}

int tt_arena_threads(const tt_arena *arena)
{
    return arena->n_threads;
}

tt_status tt_arena_run(tt_arena *arena, tt_status (*body)(void *), void *arg,
                       tt_error *err)
{
    if (current_arena == arena) return body(arg);
    inside here;
    try {
        tt_status status = TT_INTERNAL;
        arena->inner.run(arena->n_threads, [&] {
            mark entered(arena);
            status = body(arg);
        });
        return status;
    } catch (const std::bad_alloc &) {
        return tt_fail(err, TT_NO_MEMORY, "entering an arena of %d threads",
                       arena->n_threads);
    } catch (...) {
        return tt_fail(err, TT_INTERNAL, "the %s runtime threw an exception",
                       tt_threads_runtime());
    }
}

void tt_parallel_for(int64_t n, int64_t grain,
                     void (*body)(void *arg, int64_t begin, int64_t end), void *arg)
{
    std::atomic<uint64_t> started[MAX_RANGES / 64];
    int64_t n_ranges;
    if (n <= 0) return;
    n_ranges = count_ranges(n, grain);
    if (n_ranges == 1) {
        body(arg, 0, n);
        return;
    }
    for (int64_t i = 0; i < (n_ranges + 63) / 64; ++i)
        started[i].store(0, std::memory_order_relaxed);
    auto run_range = [&](int64_t i) {
        int64_t begin, end;
        uint64_t bit = uint64_t{1} << (i % 64);
        if ((started[i / 64].fetch_or(bit, std::memory_order_relaxed) & bit) != 0)
            return;
        range_of(n, n_ranges, i, &begin, &end);
        body(arg, begin, end);
    };
    try {
        backend::parallel(n_ranges, run_range);
    } catch (...) {
        /* no memory for a task: what was started has ended, the rest runs here */
        for (int64_t i = 0; i < n_ranges; ++i)
            run_range(i);
    }
}

int tt_current_threads(void)
{
    return backend::current_threads();
}

const char *tt_threads_runtime(void)
{
    return backend::name;
}

} /* extern "C" */
