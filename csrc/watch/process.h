/* Who a process is, so that its end can be noticed; and memory that a fork wipes. */
#ifndef TT_WATCH_PROCESS_H
#define TT_WATCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The calling process: its id in the low 22 bits, above them a hash of when it began and
 * of the boot, so that no later process of the same id is taken for it.  Never 0. */
uint64_t tt_process_self(void);

/* Does the process still run?  One that is dead and not yet waited for does not.  In
 * doubt (no /proc) an id that is in use is alive. */
bool tt_process_is_alive(uint64_t process);

/* Zeroed pages that are zeroed again in a forked child; NULL: out of memory.  *wipes
 * becomes false where the kernel (before 4.14) copies them instead. */
void *tt_wiped_alloc(size_t n_bytes, bool *wipes);
void tt_wiped_free(void *pages, size_t n_bytes); /* NULL is allowed */

#endif
