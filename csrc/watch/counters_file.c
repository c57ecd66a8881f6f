/* Making and mapping the file of shared counters: see counters_file.h.
 *
 * A new file is filled while it has no name, and gets its name by link(), which fails if
 * another process was quicker: nobody ever sees half a file, nobody waits, and a
 * process killed on the way leaves nothing behind. */
#include "watch/counters_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"

enum { TRIES = 8 }; /* a file that comes and goes all the time is not waited for */

/* ---- the header ------------------------------------------------------------------- */

#define NAME(name) #name " "
#define STAGE_NAME(code, name) name " "
static const char layout_text[] = TT_STAGE_LIST(STAGE_NAME) TT_WATCH_ERROR_LIST(NAME)
    TT_TALLY_LIST(NAME) TT_ODDITY_LIST(NAME);
#undef NAME
#undef STAGE_NAME

static tt_counter_header header_of(const char *name)
{
    tt_counter_header header = {
        .magic = {'t', 't', 'c', 'o', 'u', 'n', 't', '1'},
        .layout =
            tt_hash_bytes(layout_text, sizeof layout_text, TT_LATENCY_CELLS).word[0],
        .slot_bytes = TT_SLOT_BYTES,
        .n_slots = TT_COUNTER_SLOTS,
    };
    (void)snprintf(header.name, sizeof header.name, "%s", name);
    header.check =
        tt_hash_bytes(&header, offsetof(tt_counter_header, check), /*seed=*/2).word[0];
    return header;
}

static tt_status check_header(const char *path, const char *name,
                              const tt_counter_header *header, tt_error *err)
{
    tt_counter_header ours = header_of(name);
    uint64_t check =
        tt_hash_bytes(header, offsetof(tt_counter_header, check), /*seed=*/2).word[0];
    if (memcmp(header->magic, ours.magic, sizeof ours.magic) != 0 ||
        header->check != check || memchr(header->name, 0, sizeof header->name) == NULL)
        return tt_fail(err, TT_BAD_INPUT,
                       "counters: '%s' is no file of counters, or damaged: choose "
                       "another path, or delete it",
                       path);
    if (header->layout != ours.layout || header->slot_bytes != ours.slot_bytes ||
        header->n_slots != ours.n_slots)
        return tt_fail(err, TT_BAD_INPUT,
                       "counters: '%s' is of another version of trimtab: choose "
                       "another path, or delete it when nothing uses it",
                       path);
    if (name[0] != '\0' && strcmp(header->name, ours.name) != 0)
        return tt_fail(err, TT_BAD_INPUT,
                       "counters: '%s' counts for '%.100s', expected '%.100s': each "
                       "deployment needs a file of its own",
                       path, header->name, ours.name);
    return TT_OK;
}

/* ---- making --------------------------------------------------------------------- */

/* Room for the whole file on the disk; 0 or an errno.  Without it a full disk would be
 * a SIGBUS in the middle of a call. */
static int reserve(int descriptor)
{
    int code;
    do
        code = posix_fallocate(descriptor, 0, TT_COUNTER_FILE_BYTES);
    while (code == EINTR);
    return code;
}

/* Fills a file that has no name yet; 0 or an errno. */
static int fill(int descriptor, const char *name)
{
    tt_counter_header header = header_of(name);
    int code = reserve(descriptor);
    ssize_t n;
    if (code != 0) return code;
    n = pwrite(descriptor, &header, sizeof header, 0);
    if (n < 0) return errno;
    return n == (ssize_t)sizeof header ? 0 : EIO;
}

/* A file without a name, in the folder of `path`; 0 or an errno. */
static int make_nameless(const char *path, const char *name)
{
    char link_path[64], *folder = tt_strdup(path), *slash;
    int descriptor, code;
    if (folder == NULL) return ENOMEM;
    slash = strrchr(folder, '/');
    if (slash != NULL) slash[slash == folder ? 1 : 0] = '\0';
    descriptor = open(slash == NULL ? "." : folder, O_TMPFILE | O_RDWR | O_CLOEXEC,
                      S_IRUSR | S_IWUSR);
    code = descriptor < 0 ? errno : fill(descriptor, name);
    if (code == 0) {
        (void)snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", descriptor);
        if (linkat(AT_FDCWD, link_path, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0)
            code = errno;
    }
    if (descriptor >= 0) close(descriptor);
    tt_free(folder);
    return code;
}

/* The same through a name of its own, where the file system has no nameless files. */
static int make_renamed(const char *path, const char *name)
{
    static const char ending[] = ".XXXXXX";
    size_t length = strlen(path);
    char *other = tt_alloc(length + sizeof ending);
    int descriptor, code;
    if (other == NULL) return ENOMEM;
    memcpy(other, path, length);
    memcpy(other + length, ending, sizeof ending);
    descriptor = mkostemp(other, O_CLOEXEC);
    code = descriptor < 0 ? errno : fill(descriptor, name);
    if (code == 0 && link(other, path) != 0) code = errno;
    if (descriptor >= 0) {
        (void)unlink(other);
        close(descriptor);
    }
    tt_free(other);
    return code;
}

/* 0 also if another process was quicker. */
static int make(const char *path, const char *name)
{
    int code = make_nameless(path, name);
    if (code == EOPNOTSUPP || code == EISDIR || code == EINVAL || code == ENOENT)
        code = make_renamed(path, name);
    return code == EEXIST ? 0 : code;
}

/* ---- mapping ---------------------------------------------------------------------- */

static tt_status refuse(const char *path, int code, tt_error *err)
{
    return tt_fail(err, code == ENOMEM ? TT_NO_MEMORY : TT_BAD_INPUT,
                   "counters: cannot have %d bytes in '%s': %s", TT_COUNTER_FILE_BYTES,
                   path, strerror(code));
}

/* Maps an open file; the descriptor is not needed any more. */
static tt_status map_file(int descriptor, const char *path, const char *name,
                          void **map, tt_error *err)
{
    tt_counter_header header;
    struct stat status;
    void *mapped;
    int code;
    if (fstat(descriptor, &status) != 0) return refuse(path, errno, err);
    if (!S_ISREG(status.st_mode) || status.st_size != TT_COUNTER_FILE_BYTES ||
        pread(descriptor, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return tt_fail(err, TT_BAD_INPUT,
                       "counters: '%s' is no file of counters: expected %d bytes, got "
                       "%lld; choose another path, or delete it",
                       path, TT_COUNTER_FILE_BYTES, (long long)status.st_size);
    TT_TRY(check_header(path, name, &header, err));
    code = reserve(descriptor); /* a copy may have lost the blocks that held zeros */
    if (code != 0) return refuse(path, code, err);
    mapped = mmap(NULL, TT_COUNTER_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                  descriptor, 0);
    if (mapped == MAP_FAILED) return refuse(path, errno, err);
    *map = mapped;
    return TT_OK;
}

tt_status tt_counters_map(const char *path, const char *name, void **map, tt_error *err)
{
    int code = ENOENT;
    for (int i = 0; i < TRIES; ++i) {
        int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (descriptor >= 0) {
            tt_status status = map_file(descriptor, path, name, map, err);
            close(descriptor);
            return status;
        }
        code = errno;
        if (code != ENOENT) break;
        code = make(path, name);
        if (code != 0) break;
    }
    return refuse(path, code == 0 ? ENOENT : code, err);
}
