/* Aligned blocks with a hook that makes the k-th allocation fail.
 * The hook is the only mutable state of the process in this folder; tests set it
 * to prove that every allocation failure is survived. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/checked.h"

enum { FIRST_CAPACITY = 8 };
/* From this size on tt_alloc_pages asks the kernel for huge pages: reading 43 MB of
 * weights once takes 20 % less (fewer walks of page tables, which are dear in a virtual
 * machine: 280 to 223 us for 2.4 MB of one matrix, Cascade Lake, November 2026). */
static const size_t HUGE_BYTES = (size_t)4 << 20, HUGE_PAGE = (size_t)2 << 20;
/* Mapped from this size on, not from the heap: what is freed goes back at once, and
 * advice does not stay behind on memory that others get. */
static const size_t MAPPED_BYTES = (size_t)256 << 10;

static atomic_int_fast64_t n_allocations;
static atomic_int_fast64_t fail_at; /* 0: off */
static atomic_bool fail_sticky;

static bool injected_failure(void)
{
    int_fast64_t count =
        atomic_fetch_add_explicit(&n_allocations, 1, memory_order_relaxed) + 1;
    int_fast64_t k = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (k == 0 || count < k) return false;
    return count == k || atomic_load_explicit(&fail_sticky, memory_order_relaxed);
}

void *tt_alloc(size_t bytes)
{
    size_t rounded;
    if (injected_failure()) return NULL;
    if (!tt_round_up(bytes == 0 ? 1 : bytes, TT_ALIGNMENT, &rounded)) return NULL;
    return aligned_alloc(TT_ALIGNMENT, rounded);
}

void *tt_calloc(size_t count, size_t bytes)
{
    size_t total;
    void *block;
    if (!tt_mul_size(count, bytes, &total)) return NULL;
    block = tt_alloc(total);
    if (block != NULL) memset(block, 0, total);
    return block;
}

/* `block` may point at a pointer of any type, so it is read and written as
 * bytes. */
bool tt_grow(void **block, size_t *capacity, size_t wanted, size_t bytes)
{
    size_t n = *capacity == 0 ? FIRST_CAPACITY : *capacity, total;
    void *old, *grown;
    if (wanted <= *capacity) return true;
    while (n < wanted)
        if (!tt_mul_size(n, 2, &n)) return false;
    if (!tt_mul_size(n, bytes, &total)) return false;
    grown = tt_alloc(total);
    if (grown == NULL) return false;
    memcpy(&old, (void *)block, sizeof old);
    if (old != NULL) memcpy(grown, old, *capacity * bytes);
    tt_free(old);
    memcpy((void *)block, &grown, sizeof grown);
    *capacity = n;
    return true;
}

char *tt_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tt_alloc(bytes);
    if (copy != NULL) memcpy(copy, text, bytes);
    return copy;
}

void tt_free(void *block)
{
    free(block);
}

/* ---- large blocks ----------------------------------------------------------- */

/* A block that begins where a huge page does; only what fills huge pages is advised,
 * so that none is wasted. */
static void *map_huge(size_t bytes, size_t used)
{
    size_t whole;
    char *mapped, *block;
    if (!tt_add_size(bytes, HUGE_PAGE, &whole)) return NULL;
    mapped =
        mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return NULL;
    block = mapped + (HUGE_PAGE - (uintptr_t)mapped % HUGE_PAGE) % HUGE_PAGE;
    if (block > mapped) (void)munmap(mapped, (size_t)(block - mapped));
    (void)munmap(block + bytes, (size_t)(mapped + whole - (block + bytes)));
#ifdef MADV_HUGEPAGE
    (void)madvise(block, used / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return block;
}

void *tt_alloc_pages(size_t bytes)
{
    size_t rounded;
    void *block;
    if (bytes < MAPPED_BYTES) return tt_alloc(bytes);
    if (injected_failure()) return NULL;
    if (bytes >= HUGE_BYTES)
        return tt_round_up(bytes, HUGE_PAGE, &rounded) ? map_huge(rounded, bytes)
                                                       : NULL;
    block =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

void tt_free_pages(void *block, size_t bytes)
{
    if (block == NULL) return;
    if (bytes < MAPPED_BYTES)
        tt_free(block);
    else if (bytes < HUGE_BYTES)
        (void)munmap(block, bytes);
    else
        (void)munmap(block, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
}

void tt_alloc_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

int64_t tt_alloc_fail_at(int64_t k, bool sticky)
{
    int_fast64_t count = atomic_exchange(&n_allocations, 0);
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, k > 0 ? k : 0);
    return count;
}
