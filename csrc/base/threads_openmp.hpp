/* threads.cpp on OpenMP, for a oneDNN that was built on it. */
#ifndef TT_BASE_THREADS_OPENMP_HPP
#define TT_BASE_THREADS_OPENMP_HPP

#include <cstdint>
#include <thread>

#include <omp.h>

namespace {
namespace backend {

constexpr const char *name = "openmp";

/* libgomp keeps a team for each thread that ever ran a parallel region.  After
 * fork() the one thread of the child still believes in a team that is gone and
 * would wait for it for ever, so its work is handed to a fresh thread. */
thread_local bool lost_its_team = false;

void before_fork(bool) {}

void after_fork_in_parent() {}

void after_fork_in_child()
{
    lost_its_team = true;
}

class arena {
  public:
    template <class Body> void run(int n_threads, Body body)
    {
        auto with_team = [&] {
            int outer = omp_get_max_threads();
            omp_set_num_threads(n_threads);
            body();
            omp_set_num_threads(outer);
        };
        if (lost_its_team && n_threads > 1)
            std::thread(with_team).join();
        else
            with_team();
    }
};

template <class Body> void parallel(int64_t n_ranges, Body &body)
{
#pragma omp parallel for schedule(static, 1) num_threads((int)n_ranges)
    for (int64_t i = 0; i < n_ranges; ++i)
        body(i);
}

int current_threads()
{
    return omp_in_parallel() ? 1 : omp_get_max_threads();
}

} // namespace backend
} // namespace

#endif
