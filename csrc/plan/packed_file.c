/* Reading and writing of packed_file.h; nothing in a file is believed. */
#include "plan/packed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"

enum { ALIGNMENT = 64, MAX_PIECES = 1 << 20 };

static const char MAGIC[8] = {'T', 'T', 'P', 'W', '0', '0', '0', '1'};

typedef struct {
    char magic[8];
    uint64_t n;
    tt_hash table; /* of the table's bytes */
} header;

typedef struct {
    tt_hash key, sum;
    uint64_t offset, bytes;
} entry;

struct tt_packed_file {
    int descriptor; /* owned, or -1 */
    uint64_t offset;
    size_t n, next; /* next: where the search begins, for they are asked for in order */
    entry *entries;
};

/* ---- reading ------------------------------------------------------------- */

static bool read_all(int descriptor, void *dst, size_t n_bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < n_bytes) {
        ssize_t n = pread(descriptor, (char *)dst + done, n_bytes - done,
                          (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* Every piece lies within the file and behind the table. */
static bool is_sound(const entry *entries, size_t n, uint64_t begin, uint64_t end)
{
    for (size_t i = 0; i < n; ++i)
        if (entries[i].offset < begin || entries[i].offset > end ||
            entries[i].bytes > end - entries[i].offset)
            return false;
    return true;
}

static bool read_table(tt_packed_file *file)
{
    header head;
    struct stat status;
    size_t bytes;
    uint64_t size;
    if (fstat(file->descriptor, &status) != 0 || status.st_size < 0) return false;
    if ((uint64_t)status.st_size < file->offset) return false;
    size = (uint64_t)status.st_size - file->offset;
    if (!read_all(file->descriptor, &head, sizeof head, file->offset)) return false;
    if (memcmp(head.magic, MAGIC, sizeof MAGIC) != 0 || head.n > MAX_PIECES)
        return false;
    bytes = (size_t)head.n * sizeof(entry);
    if (bytes > size - sizeof head) return false;
    file->entries = tt_alloc(bytes + 1);
    if (file->entries == NULL ||
        !read_all(file->descriptor, file->entries, bytes, file->offset + sizeof head))
        return false;
    if (!tt_hash_equal(tt_hash_bytes(file->entries, bytes, head.n), head.table))
        return false;
    if (!is_sound(file->entries, (size_t)head.n, sizeof head + bytes, size))
        return false;
    file->n = (size_t)head.n;
    return true;
}

tt_packed_file *tt_packed_file_open(int descriptor, uint64_t offset)
{
    tt_packed_file *file = tt_calloc(1, sizeof *file);
    if (file == NULL) return NULL;
    file->offset = offset;
    file->descriptor =
        descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, /*least=*/3);
    if (file->descriptor >= 0 && !read_table(file)) file->n = 0;
    return file;
}

void tt_packed_file_close(tt_packed_file *file)
{
    if (file == NULL) return;
    if (file->descriptor >= 0) (void)close(file->descriptor);
    tt_free(file->entries);
    tt_free(file);
}

size_t tt_packed_file_n(const tt_packed_file *file)
{
    return file != NULL ? file->n : 0;
}

static const entry *find(tt_packed_file *file, tt_hash key)
{
    for (size_t i = 0; i < file->n; ++i) {
        size_t at = (file->next + i) % file->n;
        if (!tt_hash_equal(file->entries[at].key, key)) continue;
        file->next = at + 1;
        return &file->entries[at];
    }
    return NULL;
}

bool tt_packed_file_read(tt_packed_file *file, tt_hash key, void *dst, size_t bytes)
{
    const entry *found = find(file, key);
    return found != NULL && found->bytes == bytes &&
           read_all(file->descriptor, dst, bytes, file->offset + found->offset) &&
           tt_hash_equal(tt_hash_bytes(dst, bytes, found->key.word[0]), found->sum);
}

/* ---- writing ------------------------------------------------------------- */

static tt_status write_all(int descriptor, const void *data, size_t n_bytes,
                           tt_error *err)
{
    size_t done = 0;
    while (done < n_bytes) {
        ssize_t n = write(descriptor, (const char *)data + done, n_bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return tt_fail(err, TT_INTERNAL, "writing packed weights: %s",
                           strerror(errno));
        done += (size_t)n;
    }
    return TT_OK;
}

static uint64_t aligned(uint64_t offset)
{
    return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static tt_status write_bytes(int descriptor, const tt_packed_piece *pieces,
                             const entry *entries, size_t n, uint64_t at, tt_error *err)
{
    static const char zeros[ALIGNMENT] = {0};
    for (size_t i = 0; i < n; ++i) {
        TT_TRY(write_all(descriptor, zeros, (size_t)(entries[i].offset - at), err));
        TT_TRY(write_all(descriptor, pieces[i].data, pieces[i].bytes, err));
        at = entries[i].offset + entries[i].bytes;
    }
    return TT_OK;
}

tt_status tt_packed_file_write(int descriptor, const tt_packed_piece *pieces, size_t n,
                               tt_error *err)
{
    header head = {.n = n};
    entry *entries;
    size_t bytes;
    uint64_t begin, at;
    tt_status status;
    if (n > MAX_PIECES || !tt_mul_size(n, sizeof *entries, &bytes))
        return tt_fail(err, TT_LIMIT, "%zu pieces of packed weights", n);
    entries = tt_alloc(bytes + 1);
    if (entries == NULL)
        return tt_fail(err, TT_NO_MEMORY, "a table of %zu packed weights", n);
    begin = at = sizeof head + bytes;
    for (size_t i = 0; i < n; ++i) {
        tt_hash key = pieces[i].key;
        tt_hash sum = tt_hash_bytes(pieces[i].data, pieces[i].bytes, key.word[0]);
        entries[i] = (entry){key, sum, aligned(at), pieces[i].bytes};
        at = entries[i].offset + entries[i].bytes;
    }
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    head.table = tt_hash_bytes(entries, bytes, head.n);
    status = write_all(descriptor, &head, sizeof head, err);
    if (status == TT_OK) status = write_all(descriptor, entries, bytes, err);
    if (status == TT_OK)
        status = write_bytes(descriptor, pieces, entries, n, begin, err);
    tt_free(entries);
    return status;
}
