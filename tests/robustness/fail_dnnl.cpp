/* Preloaded: the k-th allocation that oneDNN asks for, once armed, fails.
 *
 *     c++ -shared -fPIC -O1 fail_dnnl.cpp -o fail_dnnl.so -ldl
 *     LD_PRELOAD=./fail_dnnl.so python ...
 *
 * fail_dnnl_at(k) arms it (0: off) and gives the number of allocations since the last
 * call.  Only calls from the library's own code count: what it asks of operator new and
 * of posix_memalign, which are all it uses. */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <new>

namespace {
std::atomic<int64_t> n_calls, fail_at;
std::atomic<uintptr_t> first, last; /* addresses of the library's code */

bool is_dnnl(void *caller)
{
    const auto address = reinterpret_cast<uintptr_t>(caller);
    return address >= first && address < last;
}

bool fails(void *caller)
{
    if (!is_dnnl(caller)) return false;
    const int64_t k = fail_at;
    return ++n_calls == k && k > 0;
}

void *take(size_t bytes, void *caller)
{
    void *block = fails(caller) ? nullptr : malloc(bytes ? bytes : 1);
    if (block == nullptr) throw std::bad_alloc();
    return block;
}
} // namespace

extern "C" void fail_dnnl_range(uintptr_t begin, uintptr_t end)
{
    first = begin;
    last = end;
}

extern "C" int64_t fail_dnnl_at(int64_t k)
{
    const int64_t n = n_calls.exchange(0);
    fail_at = k;
    return n;
}

extern "C" int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (fails(__builtin_return_address(0))) return ENOMEM;
    *out = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    return *out == nullptr ? ENOMEM : 0;
}

void *operator new(size_t bytes)
{
    return take(bytes, __builtin_return_address(0));
}

void *operator new[](size_t bytes)
{
    return take(bytes, __builtin_return_address(0));
}

void *operator new(size_t bytes, const std::nothrow_t &) noexcept
{
    return fails(__builtin_return_address(0)) ? nullptr : malloc(bytes ? bytes : 1);
}

void operator delete(void *block) noexcept { free(block); }
void operator delete[](void *block) noexcept { free(block); }
void operator delete(void *block, size_t) noexcept { free(block); }
void operator delete[](void *block, size_t) noexcept { free(block); }
