/* threads.cpp on TBB.
 *
 * Worker threads do not survive fork(), and a lock that one of them holds stays
 * locked in the child.  So once nobody is inside (fork.h), the scheduler is ended:
 * parent and child start a new one at their next use (about 1 ms, measured 2026-11 on
 * 2 cores).  Where another thread that has used TBB keeps the scheduler alive, the
 * workers are called together instead and held in a place of ours, outside of TBB's
 * locks, for the time of the fork; the child then has no workers and computes the same
 * on one thread. */
#ifndef TT_BASE_THREADS_TBB_HPP
#define TT_BASE_THREADS_TBB_HPP

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>

namespace {
namespace backend {

constexpr const char *name = "tbb";

constexpr std::chrono::milliseconds FOR_WORKERS{TT_FORK_WAITS_MS};
constexpr std::chrono::microseconds BETWEEN_LOOKS{50};

struct built_arena;
std::mutex registry;     /* held by the fork handlers from before to after */
built_arena *registered; /* every live arena of this generation */
std::atomic<unsigned> generation{0}; /* of the process: plus one per fork */

/* A TBB arena of one generation. */
struct built_arena {
    tbb::task_arena tasks;
    const unsigned born = generation.load(std::memory_order_relaxed);
    std::atomic<bool> is_orphan{false}; /* its thread ended during a fork */
    built_arena *next = nullptr, *previous = nullptr;

    explicit built_arena(int n_threads) : tasks(n_threads)
    {
        std::lock_guard<std::mutex> lock(registry);
        next = registered;
        if (next != nullptr) next->previous = this;
        registered = this;
    }
    /* The caller holds the registry, and has it deleted. */
    void unlink()
    {
        if (next != nullptr) next->previous = previous;
        if (previous != nullptr)
            previous->next = next;
        else
            registered = next;
    }
    built_arena(const built_arena &) = delete;
    built_arena &operator=(const built_arena &) = delete;

    bool is_stale() const
    {
        return born != generation.load(std::memory_order_relaxed);
    }
};

/* The destructor of a stale arena would wait for threads that do not exist: it
 * stays in memory, once per fork.  Where a fork is under way it is left to the handler
 * behind it: this may be a worker that ends because the handler waits for its end. */
void discard(built_arena *built)
{
    if (built == nullptr || built->is_stale()) return;
    while (!registry.try_lock()) {
        if (tt_fork_is_near()) {
            built->is_orphan.store(true);
            return;
        }
        std::this_thread::sleep_for(BETWEEN_LOOKS);
    }
    built->unlink();
    registry.unlock();
    delete built;
}

/* What was left so; the registry is held. */
void delete_orphans()
{
    for (built_arena *a = registered, *next; a != nullptr; a = next) {
        next = a->next;
        if (!a->is_orphan.load()) continue;
        a->unlink();
        delete a;
    }
}

/* Looks again and again until is_so(); false when `longest` has passed. */
template <class Condition>
bool wait_until(Condition is_so, std::chrono::milliseconds longest)
{
    auto limit = std::chrono::steady_clock::now() + longest;
    while (!is_so()) {
        if (std::chrono::steady_clock::now() > limit) return false;
        std::this_thread::sleep_for(BETWEEN_LOOKS);
    }
    return true;
}

/* Every worker, held until `is_over`. */
struct roll_call {
    std::atomic<int> n_present{0};
    std::atomic<bool> is_over{false};
};
std::shared_ptr<roll_call> *held; /* between the handlers */

void hold_workers()
{
    using control = tbb::global_control;
    size_t most = control::active_value(control::max_allowed_parallelism);
    int n_workers = (int)most - 1;
    if (n_workers < 1) return;
    held = new std::shared_ptr<roll_call>(std::make_shared<roll_call>());
    std::shared_ptr<roll_call> call = *held;
    tbb::task_arena *place = new tbb::task_arena(n_workers, /*reserved=*/0);
    for (int i = 0; i < n_workers; ++i)
        place->enqueue([call] {
            call->n_present.fetch_add(1);
            while (!call->is_over.load())
                std::this_thread::sleep_for(BETWEEN_LOOKS);
        });
    (void)wait_until([&] { return call->n_present.load() == n_workers; }, FOR_WORKERS);
    delete place; /* TBB keeps it until the last worker has left */
}

bool was_ended = false; /* between the handlers: no worker was left at the fork */

void before_fork(bool is_empty)
{
    registry.lock();
    was_ended = false;
    if (registered == nullptr || !is_empty) return;
    try {
        tbb::task_scheduler_handle scheduler{tbb::attach{}};
        for (built_arena *a = registered; a != nullptr; a = a->next)
            a->tasks.terminate();
        was_ended = tbb::finalize(scheduler, std::nothrow);
        if (!was_ended) hold_workers();
    } catch (...) {
        was_ended = false; /* out of memory: the child may still do well */
    }
}

void release_registry()
{
    delete_orphans();
    registry.unlock();
}

void after_fork_in_parent()
{
    if (held != nullptr) {
        (*held)->is_over.store(true);
        delete held;
        held = nullptr;
    }
    release_registry();
}

void after_fork_in_child()
{
    held = nullptr;
    if (!was_ended) {
        generation.fetch_add(1, std::memory_order_relaxed);
        registered = nullptr;
    }
    release_registry();
}

/* One slot for each thread that runs single-threaded plans: such callers never
 * wait for each other. */
struct own_slot {
    built_arena *built = nullptr;
    ~own_slot()
    {
        discard(built);
    }
};
thread_local own_slot slot;

built_arena &single_arena()
{
    if (slot.built == nullptr || slot.built->is_stale())
        slot.built = new built_arena(1);
    return *slot.built;
}

class arena {
  public:
    ~arena()
    {
        discard(shared.load());
    }

    /* Isolated, so that a thread that waits for its loop does not start another
     * caller's body on top of its own stack. */
    template <class Body> void run(int n_threads, Body body)
    {
        if (n_threads == 1)
            single_arena().tasks.execute(body);
        else
            built(n_threads).tasks.execute(
                [&] { tbb::this_task_arena::isolate(body); });
    }

  private:
    std::atomic<built_arena *> shared{nullptr};

    built_arena &built(int n_threads)
    {
        built_arena *found = shared.load(std::memory_order_acquire);
        while (found == nullptr || found->is_stale()) {
            built_arena *fresh = new built_arena(n_threads);
            if (shared.compare_exchange_strong(found, fresh)) return *fresh;
            discard(fresh);
        }
        return *found;
    }
};

template <class Body> void parallel(int64_t n_ranges, Body &body)
{
    tbb::parallel_for(int64_t{0}, n_ranges, body, tbb::static_partitioner{});
}

int current_threads()
{
    return tbb::this_task_arena::max_concurrency();
}

} // namespace backend
} // namespace

#endif
