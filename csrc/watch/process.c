/* Processes and what a fork wipes: see process.h. */
#include "watch/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"

enum { PID_BITS = 22 };

/* The first bytes of a file as text; false: it cannot be read. */
static bool read_text(const char *path, char *text, size_t n_bytes)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    if (descriptor < 0) return false;
    do
        n = read(descriptor, text, n_bytes - 1);
    while (n < 0 && errno == EINTR);
    close(descriptor);
    text[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

/* Fields 3 and 22 of /proc/<pid>/stat: state, and start in clock ticks since the boot.
 * The name before them may hold anything, so they are counted from its last ")". */
static bool read_stat(long pid, char *state, char *start, size_t n_bytes)
{
    char path[64], text[1024], *at;
    size_t n = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    if (!read_text(path, text, sizeof text)) return false;
    at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ') return false;
    *state = at[2];
    for (int field = 2; field < 22; ++field) {
        at = strchr(at + 1, ' ');
        if (at == NULL) return false;
    }
    for (++at; *at >= '0' && *at <= '9' && n + 1 < n_bytes; ++at)
        start[n++] = *at;
    start[n] = '\0';
    return n > 0;
}

static uint64_t identity(long pid, const char *start)
{
    char text[128] = {0}, boot[64];
    if (!read_text("/proc/sys/kernel/random/boot_id", boot, sizeof boot))
        boot[0] = '\0';
    (void)snprintf(text, sizeof text, "%s %s", start, boot);
    return tt_hash_bytes(text, strlen(text), /*seed=*/1).word[0] << PID_BITS |
           ((uint64_t)pid & ((1u << PID_BITS) - 1));
}

uint64_t tt_process_self(void)
{
    long pid = (long)getpid();
    char state, start[32];
    if (!read_stat(pid, &state, start, sizeof start)) start[0] = '\0';
    return identity(pid, start);
}

bool tt_process_is_alive(uint64_t process)
{
    long pid = (long)(process & ((1u << PID_BITS) - 1));
    char state, start[32];
    if (pid <= 0 || (kill((pid_t)pid, 0) != 0 && errno != EPERM)) return false;
    if (!read_stat(pid, &state, start, sizeof start)) return true;
    return state != 'Z' && state != 'X' && identity(pid, start) == process;
}

void *tt_wiped_alloc(size_t n_bytes, bool *wipes)
{
    void *pages =
        mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return NULL;
#ifdef MADV_WIPEONFORK
    *wipes = madvise(pages, n_bytes, MADV_WIPEONFORK) == 0;
#else
    *wipes = false;
#endif
    return pages;
}

void tt_wiped_free(void *pages, size_t n_bytes)
{
    if (pages != NULL) (void)munmap(pages, n_bytes);
}
