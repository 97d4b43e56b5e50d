/*
 * A disk that fails, for LD_PRELOAD. It keeps, in DISK_IMAGE, a copy of each database file as it was at its last successful
 * sync: what is left for certain when the power goes. It fails writes and syncs of these files as it is told:
 *
 *   DISK_FOLDER   the folder of the store; other files are left alone
 *   DISK_IMAGE    where the copies go; faults begin when the file `armed` is there; `syncs` gets a byte per sync of the log
 *   DISK_FAULT    `full` (ENOSPC), `error` (EIO), `short` (half of the bytes, then ENOSPC) or `sync` (EIO from a sync)
 *   DISK_AFTER    how many calls succeed first
 *   DISK_COUNT    how many calls fail then
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static ssize_t real_write(int fd, const void *bytes, size_t count) {
    static ssize_t (*next)(int, const void *, size_t);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "write");
    return next(fd, bytes, count);
}

static ssize_t real_pwrite(int fd, const void *bytes, size_t count, off_t at) {
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "pwrite");
    return next(fd, bytes, count, at);
}

/* Writes the path of a database file and its name in the folder, or returns 0 where the descriptor is something else. */
static int database_file(int fd, char *path, size_t size, const char **name) {
    const char *folder = getenv("DISK_FOLDER");
    char link[64];
    if (!folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(folder);
    if (strncmp(path, folder, prefix) != 0 || path[prefix] != '/') return 0;
    *name = path + prefix + 1;
    return strcmp(*name, "bowline.db") == 0 || strcmp(*name, "bowline.db-wal") == 0;
}

static void image_path(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", getenv("DISK_IMAGE"), name);
}

/* Returns -1 before the failing calls, else how many of them came before this one, and -1 again after them. */
static long failing(const char *kind) {
    const char *fault = getenv("DISK_FAULT"), *after = getenv("DISK_AFTER"), *count = getenv("DISK_COUNT");
    char armed[4096];
    if (!fault || !after || !count || strcmp(fault, kind) != 0) return -1;
    image_path(armed, sizeof armed, "armed");
    if (access(armed, F_OK) != 0) return -1;
    long place = __sync_fetch_and_add(&calls, 1) - atol(after);
    return place >= 0 && place < atol(count) ? place : -1;
}

/* Returns how many bytes to write, or -1 with errno set. */
static ssize_t allowed(int fd, size_t count) {
    char path[4096];
    const char *name;
    if (!database_file(fd, path, sizeof path, &name)) return (ssize_t)count;
    if (failing("full") >= 0) return errno = ENOSPC, -1;
    if (failing("error") >= 0) return errno = EIO, -1;
    long place = failing("short");
    if (place == 0 && count > 1) return (ssize_t)(count / 2);
    if (place >= 0) return errno = ENOSPC, -1;
    return (ssize_t)count;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t size = allowed(fd, count);
    return size < 0 ? size : real_write(fd, bytes, (size_t)size);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    ssize_t size = allowed(fd, count);
    return size < 0 ? size : real_pwrite(fd, bytes, (size_t)size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return pwrite(fd, bytes, count, (off_t)at);
}

/* Copies a file as it is now; the copy changes at once, as the process may be killed while it copies. */
static void keep(const char *path, const char *name) {
    char partial[4096], kept[4096], bytes[65536];
    image_path(partial, sizeof partial, "partial");
    image_path(kept, sizeof kept, name);
    int from = open(path, O_RDONLY | O_CLOEXEC), to = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t count = 0;
    while (from >= 0 && to >= 0 && (count = read(from, bytes, sizeof bytes)) > 0)
        if (real_write(to, bytes, (size_t)count) != count) abort();
    if (from < 0 || to < 0 || count < 0 || close(from) != 0 || close(to) != 0 || rename(partial, kept) != 0) abort();
    if (strcmp(name, "bowline.db-wal") == 0) {
        char syncs[4096];
        image_path(syncs, sizeof syncs, "syncs");
        int log = open(syncs, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log < 0 || real_write(log, ".", 1) != 1 || close(log) != 0) abort();
    }
}

static int synced(const char *symbol, int fd) {
    char path[4096];
    const char *name;
    int (*next)(int);
    *(void **)&next = dlsym(RTLD_NEXT, symbol);
    if (!database_file(fd, path, sizeof path, &name)) return next(fd);
    if (failing("sync") >= 0) return errno = EIO, -1;
    int result = next(fd);
    if (result == 0) keep(path, name);
    return result;
}

int fsync(int fd) {
    return synced("fsync", fd);
}

int fdatasync(int fd) {
    return synced("fdatasync", fd);
}
