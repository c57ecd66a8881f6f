/* The file of shared counters: how it is made, recognised and mapped. */
#ifndef TT_WATCH_COUNTERS_FILE_H
#define TT_WATCH_COUNTERS_FILE_H

#include "watch/counters.h"

/* One process's counters.  Pages of its own, so that processes do not meet. */
typedef struct {
    atomic_ullong owner;      /* a tt_process_self, or 0: free */
    atomic_ullong n_used;     /* times it was taken; 0: nothing was ever counted */
    atomic_ullong unused[14]; /* what is counted begins a pair of lines */
    tt_counts counts;
} tt_slot;

enum {
    TT_SLOT_BYTES = (int)((sizeof(tt_slot) + 4095) / 4096 * 4096),
    TT_COUNTER_HEADER_BYTES = 4096,
    /* the first slot is everybody's */
    TT_COUNTER_FILE_BYTES =
        TT_COUNTER_HEADER_BYTES + (TT_COUNTER_SLOTS + 1) * TT_SLOT_BYTES
};

/* The header; written once, before the file has its name. */
typedef struct {
    char magic[8];
    uint64_t layout; /* a hash of what the fields of a slot are */
    uint64_t slot_bytes, n_slots;
    char name[TT_COUNTER_NAME_BYTES];
    uint64_t check; /* a hash of all above */
} tt_counter_header;

/* Maps the file at `path`, TT_COUNTER_FILE_BYTES, which it makes if there is none.
 * *map is for munmap. */
tt_status tt_counters_map(const char *path, const char *name, void **map,
                          tt_error *err);

#endif
