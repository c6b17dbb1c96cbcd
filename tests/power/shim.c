/* A disk that can lose power, for one process.
 *
 * Loaded with LD_PRELOAD. It notes, in a log beside the disk, everything that the process does to files below
 * PAYSTATE_POWER_DISK: each write with what stood there before, each new name, and each sync. Only fsync and fdatasync
 * count as durable; for a name, only the fsync of its directory. After the process was killed, tests/it/power/disk.rs
 * reads the log, takes back what was not durable, and so makes the disk as a power cut would have left it.
 *
 * A record goes into the log before its effect goes to the file, so that a kill between the two is harmless. Nothing
 * is really synced: the kernel's memory survives a killed process, and only that is needed. It can also refuse the
 * n-th call of a kind, run out of room, and lie about syncs. All of that is in one page of numbers (`struct control`),
 * which the test maps or writes at any time.
 *
 * Not seen: writes through shared mappings, io_uring, copies inside the kernel. They are counted as `strangers`. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define FDS 65536
#define BLOCK 4096
#define DEATH 9999 /* instead of an error: the process is killed before the call */

enum kind { WRITE = 1, TRUNCATE, SYNC, SYNC_FAILED, CREATE, MKDIR, RENAME, REMOVE };
enum call { ON_WRITE = 1, ON_SYNC, ON_OPEN, ON_READ, CALLS };

/* The log: this header, then `fresh` bytes, then `before` bytes. Blocks of zeros have no bytes. */
struct record {
    uint32_t magic, kind;
    uint64_t file;   /* inode of the file, or of the directory for names and their syncs */
    uint64_t at;     /* write: offset; truncate: new length; names: inode that is named; sync: covers the log up to here */
    uint64_t length; /* write: bytes; rename: inode of the directory it leaves */
    uint64_t size;   /* write, truncate: length of the file before */
    uint32_t fresh, before;
    uint64_t where; /* offset of this record in the log */
};

struct control {
    uint64_t room;        /* bytes that all files together may have; 0: no bound */
    uint64_t used;        /* bytes that they have */
    uint64_t fail_call;   /* an enum call that fails; 0: none */
    uint64_t fail_from;   /* the first that fails, counted from 1 */
    uint64_t fail_times;  /* how many fail */
    uint64_t fail_errno;  /* with what; 0: half is read or written; or DEATH */
    uint64_t failed;      /* how many have failed */
    uint64_t failed_at;   /* when the first one did, in nanoseconds of CLOCK_REALTIME */
    uint64_t failed_file; /* and the inode it was about, where there is one */
    uint64_t lie;         /* syncs of files do nothing and succeed */
    uint64_t sync_micros; /* how long a sync takes */
    uint64_t strangers;   /* writes that the log does not have */
    uint64_t only_file;   /* the inode whose calls are counted and fail; 0: all */
    uint64_t calls[CALLS];
};

static char disk[PATH_MAX], graves[PATH_MAX], boot_id[PATH_MAX];
static size_t disk_len;
static int log_fd = -1;
static uint64_t log_end;
static struct control *control;
static uint64_t fds[FDS]; /* inode of each file of the disk that is open */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long (*real_syscall)(long, ...);
static int (*real_closedir)(DIR *);

#define SYS(...) real_syscall(__VA_ARGS__)

static void give_up(const char *why) {
    fprintf(stderr, "power: %s\n", why);
    _exit(97);
}

static void begin(void) {
    char path[PATH_MAX];
    real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    real_closedir = (int (*)(DIR *))dlsym(RTLD_NEXT, "closedir");
    const char *root = getenv("PAYSTATE_POWER_DISK"), *trace = getenv("PAYSTATE_POWER_TRACE");
    if (!root || !trace || !realpath(root, disk)) return;
    snprintf(graves, sizeof graves, "%.4000s/graves", trace);
    snprintf(boot_id, sizeof boot_id, "%.4000s/boot_id", trace);
    snprintf(path, sizeof path, "%.4000s/control", trace);
    int fd = SYS(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *page = (void *)SYS(SYS_mmap, NULL, (long)BLOCK, (long)(PROT_READ | PROT_WRITE), (long)MAP_SHARED, (long)fd, 0L);
    snprintf(path, sizeof path, "%.4000s/log", trace);
    log_fd = SYS(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat st;
    if (page == MAP_FAILED || log_fd < 0 || fstat(log_fd, &st)) give_up("the trace cannot be used");
    log_end = st.st_size;
    control = page;
    disk_len = strlen(disk);
}

__attribute__((constructor)) static void init(void) { pthread_once(&once, begin); }

static void enter(void) {
    init();
    pthread_mutex_lock(&lock);
}

static void leave(void) {
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static uint64_t file_of(int fd) { return fd >= 0 && fd < FDS ? __atomic_load_n(&fds[fd], __ATOMIC_ACQUIRE) : 0; }

static void set_file(int fd, uint64_t file) {
    if (fd >= 0 && fd < FDS) __atomic_store_n(&fds[fd], file, __ATOMIC_RELEASE);
}

static int is_zero(const char *bytes, size_t n) {
    return n == 0 || (bytes[0] == 0 && !memcmp(bytes, bytes + 1, n - 1));
}

static void note(struct record record, const void *fresh, size_t n, const void *before, size_t m) {
    if (is_zero(fresh, n)) n = 0;
    if (is_zero(before, m)) m = 0;
    record.magic = 0x52575031;
    record.fresh = n;
    record.before = m;
    record.where = log_end;
    struct iovec parts[] = {{&record, sizeof record}, {(void *)fresh, n}, {(void *)before, m}};
    size_t whole = sizeof record + n + m;
    if (SYS(SYS_writev, log_fd, parts, 3) != (long)whole) give_up("the log cannot be written");
    log_end += whole;
}

/* Counts a call; tells whether it is to fail. The lock is held. */
static int fails(enum call call, uint64_t file) {
    if (control->only_file && control->only_file != file) return 0;
    uint64_t n = ++control->calls[call];
    if (control->fail_call != call || n < control->fail_from || n - control->fail_from >= control->fail_times) return 0;
    if (control->failed++ == 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        control->failed_file = file;
        control->failed_at = now.tv_sec * 1000000000ull + now.tv_nsec;
    }
    if (control->fail_errno == DEATH) {
        raise(SIGKILL);
        pause();
    }
    errno = control->fail_errno;
    return 1;
}

/* The length of a write that may go on, or -1. */
static ssize_t allowed(uint64_t file, size_t length, uint64_t from, uint64_t size) {
    if (fails(ON_WRITE, file)) {
        if (control->fail_errno) return -1;
        length = length > 1 ? length / 2 : length;
    }
    uint64_t end = from + length, grows = end > size ? end - size : 0;
    if (control->room && grows && control->used + grows > control->room) {
        uint64_t left = control->room > control->used ? control->room - control->used : 0;
        uint64_t fits = (size > from ? size - from : 0) + left / BLOCK * BLOCK;
        if (fits == 0 || left < BLOCK) {
            errno = ENOSPC;
            return -1;
        }
        length = fits < length ? fits : length;
    }
    return length;
}

static void read_before(int fd, char *into, size_t length, uint64_t from) {
    ssize_t got = length ? SYS(SYS_pread64, fd, into, length, from) : 0;
    if (got < 0) { /* the descriptor is for writing only */
        char self[64];
        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        int reader = SYS(SYS_openat, AT_FDCWD, self, O_RDONLY | O_CLOEXEC, 0);
        got = SYS(SYS_pread64, reader, into, length, from);
        SYS(SYS_close, reader);
    }
    if (got != (ssize_t)length) give_up("what is written over cannot be read");
}

static ssize_t write_at(int fd, uint64_t file, const void *bytes, size_t length, uint64_t from) {
    struct stat st;
    fstat(fd, &st);
    uint64_t size = st.st_size;
    ssize_t may = allowed(file, length, from, size);
    if (may <= 0) return may;
    size_t overlap = from < size ? size - from : 0;
    if (overlap > (size_t)may) overlap = may;
    char small[BLOCK], *before = overlap <= sizeof small ? small : malloc(overlap);
    read_before(fd, before, overlap, from);
    struct record record = {.kind = WRITE, .file = file, .at = from, .length = may, .size = size};
    note(record, bytes, may, before, overlap);
    if (before != small) free(before);
    ssize_t done = SYS(SYS_pwrite64, fd, bytes, may, from);
    if (done > 0 && from + done > size) control->used += from + done - size;
    return done;
}

static int truncate_to(int fd, uint64_t file, uint64_t length) {
    struct stat st;
    fstat(fd, &st);
    uint64_t size = st.st_size, cut = size > length ? size - length : 0;
    if (size == length) return 0;
    char *before = malloc(cut + 1);
    read_before(fd, before, cut, length);
    struct record record = {.kind = TRUNCATE, .file = file, .at = length, .size = size};
    note(record, NULL, 0, before, cut);
    free(before);
    control->used += length - size;
    return SYS(SYS_ftruncate, fd, length);
}

/* A name on the disk: the inode of its directory, and what comes after the last slash. */
struct name {
    uint64_t dir;
    const char *last;
};

static int find(int dirfd, const char *path, struct name *name) {
    if (!control || !path) return 0;
    if (path[0] == '/' ? strncmp(path, disk, disk_len) || path[disk_len] != '/' : !file_of(dirfd)) return 0;
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    struct stat st;
    if (!slash) {
        name->dir = file_of(dirfd);
        name->last = path;
        return 1;
    }
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    if (fstatat(path[0] == '/' ? AT_FDCWD : dirfd, parent, &st, 0)) return 0;
    name->dir = st.st_ino;
    name->last = slash + 1;
    return 1;
}

static void note_name(enum kind kind, struct name *name, uint64_t file) {
    struct record record = {.kind = kind, .file = name->dir, .at = file};
    note(record, name->last, strlen(name->last), NULL, 0);
}

/* What loses its name is kept in a place of its own, so that it can come back and its inode is not used again. */
static int bury(int dirfd, const char *path, struct stat *st, int replaced) {
    char grave[PATH_MAX];
    snprintf(grave, sizeof grave, "%.4000s/%lu", graves, (unsigned long)st->st_ino);
    if (!S_ISDIR(st->st_mode)) control->used -= st->st_size;
    if (replaced) return SYS(SYS_linkat, dirfd, path, AT_FDCWD, grave, 0);
    return SYS(SYS_renameat2, dirfd, path, AT_FDCWD, grave, 0);
}

static int open_any(int dirfd, const char *path, int flags, mode_t mode) {
    init();
    struct name name;
    if (control && path && boot_id[0] && !strcmp(path, "/proc/sys/kernel/random/boot_id")) {
        int fd = SYS(SYS_openat, AT_FDCWD, boot_id, flags, mode);
        if (fd >= 0) return set_file(fd, 0), fd;
    }
    struct stat st;
    if (!find(dirfd, path, &name)) {
        int fd = SYS(SYS_openat, dirfd, path, flags, mode);
        /* The disk itself has names in it that a sync makes durable. */
        set_file(fd, control && path && !strcmp(path, disk) && fd >= 0 && !fstat(fd, &st) ? st.st_ino : 0);
        return fd;
    }
    enter();
    int is_new = (flags & O_CREAT) && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = -1;
    if (!fails(ON_OPEN, is_new ? 0 : name.dir)) {
        fd = SYS(SYS_openat, dirfd, path, flags & ~O_TRUNC, mode);
        if (fd >= 0 && !fstat(fd, &st)) {
            set_file(fd, st.st_ino);
            if (is_new) note_name(CREATE, &name, st.st_ino);
            if ((flags & O_TRUNC) && S_ISREG(st.st_mode)) truncate_to(fd, st.st_ino, 0);
        }
    } else if (!errno) {
        errno = EIO; /* there is no half of an open */
    }
    leave();
    return fd;
}

#define MODE(flags) mode_t mode = 0; \
    if ((flags) & O_CREAT) { va_list args; va_start(args, flags); mode = va_arg(args, int); va_end(args); }
EXPORT int open(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
EXPORT int openat(int dir, const char *path, int flags, ...) { MODE(flags) return open_any(dir, path, flags, mode); }
EXPORT int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return open_any(dir, path, flags, mode); }

EXPORT int close(int fd) { return init(), set_file(fd, 0), SYS(SYS_close, fd); }
EXPORT int closedir(DIR *dir) { return init(), set_file(dirfd(dir), 0), real_closedir(dir); }

static int copied(int from, int to) {
    set_file(to, file_of(from));
    return to;
}
EXPORT int dup(int fd) { return init(), copied(fd, SYS(SYS_dup, fd)); }
EXPORT int dup2(int fd, int to) { return init(), copied(fd, fd == to ? to : SYS(SYS_dup3, fd, to, 0)); }
EXPORT int dup3(int fd, int to, int flags) { return init(), copied(fd, SYS(SYS_dup3, fd, to, flags)); }
static int control_fd(int fd, int what, long arg) {
    init();
    int result = SYS(SYS_fcntl, fd, what, arg);
    return what == F_DUPFD || what == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}
#define ARG(last) va_list args; va_start(args, last); long arg = va_arg(args, long); va_end(args);
EXPORT int fcntl(int fd, int what, ...) { ARG(what) return control_fd(fd, what, arg); }
EXPORT int fcntl64(int fd, int what, ...) { ARG(what) return control_fd(fd, what, arg); }

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t from) {
    init();
    uint64_t file = file_of(fd);
    if (!file) return SYS(SYS_pwrite64, fd, bytes, length, from);
    enter();
    ssize_t done = write_at(fd, file, bytes, length, from);
    leave();
    return done;
}
EXPORT ssize_t pwrite(int fd, const void *bytes, size_t length, off_t from) { return pwrite64(fd, bytes, length, from); }

EXPORT ssize_t write(int fd, const void *bytes, size_t length) {
    init();
    uint64_t file = file_of(fd);
    if (!file) return SYS(SYS_write, fd, bytes, length);
    enter();
    int append = SYS(SYS_fcntl, fd, F_GETFL) & O_APPEND;
    off_t from = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
    ssize_t done = write_at(fd, file, bytes, length, from);
    if (done > 0) lseek(fd, from + done, SEEK_SET);
    leave();
    return done;
}

/* A vectored write may be short: it writes its first part. */
static ssize_t first_part(int fd, const struct iovec *part, int count, off64_t from) {
    while (count > 1 && part->iov_len == 0) count--, part++;
    if (count < 1) return 0;
    return from < 0 ? write(fd, part->iov_base, part->iov_len) : pwrite64(fd, part->iov_base, part->iov_len, from);
}
EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    init();
    return file_of(fd) ? first_part(fd, parts, count, -1) : SYS(SYS_writev, fd, parts, count);
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t from) {
    init();
    return file_of(fd) ? first_part(fd, parts, count, from) : SYS(SYS_pwritev, fd, parts, count, from, 0L);
}
EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t from) { return pwritev64(fd, parts, count, from); }

/* Whether a read is to fail (-1), and how much it may read. */
static int reads(int fd, size_t *length) {
    init();
    uint64_t file = file_of(fd);
    if (!file) return 0;
    enter();
    int result = fails(ON_READ, file) ? (control->fail_errno ? -1 : 1) : 0;
    leave();
    if (result == 1 && *length > 1) *length /= 2;
    return result < 0 ? -1 : 0;
}
EXPORT ssize_t read(int fd, void *into, size_t length) {
    return reads(fd, &length) ? -1 : SYS(SYS_read, fd, into, length);
}
EXPORT ssize_t pread64(int fd, void *into, size_t length, off64_t from) {
    return reads(fd, &length) ? -1 : SYS(SYS_pread64, fd, into, length, from);
}
EXPORT ssize_t pread(int fd, void *into, size_t length, off_t from) { return pread64(fd, into, length, from); }

static int sync_any(int fd, int number) {
    init();
    uint64_t file = file_of(fd);
    if (!file) return SYS(number, fd);
    struct stat st;
    enter();
    struct record record = {.kind = SYNC, .file = file, .at = log_end};
    int failed = fails(ON_SYNC, file) ? errno : 0;
    uint64_t micros = control->sync_micros;
    leave();
    struct timespec pause = {micros / 1000000, micros % 1000000 * 1000};
    if (micros) nanosleep(&pause, NULL);
    if (failed) record.kind = SYNC_FAILED;
    enter();
    if (!(control->lie && !fstat(fd, &st) && S_ISREG(st.st_mode))) note(record, NULL, 0, NULL, 0);
    leave();
    errno = failed;
    return failed ? -1 : 0;
}
EXPORT int fsync(int fd) { return sync_any(fd, SYS_fsync); }
EXPORT int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

/* It starts to write, and promises nothing: the disk may keep all of it in its cache. */
EXPORT int sync_file_range(int fd, off64_t from, off64_t length, unsigned flags) {
    init();
    return file_of(fd) ? 0 : SYS(SYS_sync_file_range, fd, from, length, flags);
}

EXPORT int ftruncate64(int fd, off64_t length) {
    init();
    uint64_t file = file_of(fd);
    if (!file) return SYS(SYS_ftruncate, fd, length);
    enter();
    int result = fails(ON_WRITE, file) && control->fail_errno ? -1 : truncate_to(fd, file, length);
    leave();
    return result;
}
EXPORT int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

EXPORT int renameat2(int fromdir, const char *from, int todir, const char *to, unsigned flags) {
    init();
    struct name old, new;
    if (!find(fromdir, from, &old) || !find(todir, to, &new)) return SYS(SYS_renameat2, fromdir, from, todir, to, flags);
    enter();
    struct stat moved, there;
    int result = fstatat(fromdir, from, &moved, AT_SYMLINK_NOFOLLOW);
    if (!result) {
        struct record record = {.kind = RENAME, .file = new.dir, .at = moved.st_ino, .length = old.dir};
        note(record, new.last, strlen(new.last), old.last, strlen(old.last));
        if (!fstatat(todir, to, &there, AT_SYMLINK_NOFOLLOW)) bury(todir, to, &there, 1);
        result = SYS(SYS_renameat2, fromdir, from, todir, to, flags);
    }
    leave();
    return result;
}
EXPORT int renameat(int fromdir, const char *from, int todir, const char *to) { return renameat2(fromdir, from, todir, to, 0); }
EXPORT int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* A directory is believed to be empty: only whole trees are removed here. */
EXPORT int unlinkat(int dir, const char *path, int flags) {
    init();
    struct name name;
    if (!find(dir, path, &name)) return SYS(SYS_unlinkat, dir, path, flags);
    enter();
    struct stat st;
    int result = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW);
    if (!result) {
        note_name(REMOVE, &name, st.st_ino);
        result = bury(dir, path, &st, 0);
    }
    leave();
    return result;
}
EXPORT int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
EXPORT int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

EXPORT int mkdirat(int dir, const char *path, mode_t mode) {
    init();
    struct name name;
    if (!find(dir, path, &name)) return SYS(SYS_mkdirat, dir, path, mode);
    enter();
    struct stat st;
    int result = SYS(SYS_mkdirat, dir, path, mode);
    if (!result && !fstatat(dir, path, &st, 0)) note_name(MKDIR, &name, st.st_ino);
    leave();
    return result;
}
EXPORT int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

static void stranger(int fd) {
    init();
    if (control && file_of(fd)) __atomic_add_fetch(&control->strangers, 1, __ATOMIC_RELAXED);
}
EXPORT void *mmap64(void *at, size_t length, int prot, int flags, int fd, off64_t from) {
    if ((prot & PROT_WRITE) && (flags & MAP_SHARED)) stranger(fd);
    return init(), (void *)SYS(SYS_mmap, at, length, prot, flags, fd, from);
}
EXPORT void *mmap(void *at, size_t length, int prot, int flags, int fd, off_t from) {
    if (real_syscall) return mmap64(at, length, prot, flags, fd, from);
    /* While this library itself is being set up. */
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    return real(at, length, prot, flags, fd, from);
}
EXPORT int fallocate64(int fd, int mode, off64_t from, off64_t length) {
    return stranger(fd), SYS(SYS_fallocate, fd, mode, from, length);
}
EXPORT int fallocate(int fd, int mode, off_t from, off_t length) { return fallocate64(fd, mode, from, length); }
EXPORT ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t n, unsigned flags) {
    return stranger(out), SYS(SYS_copy_file_range, in, a, out, b, n, flags);
}
EXPORT long syscall(long number, ...) {
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(args, long);
    va_end(args);
    init();
    if (control && number == SYS_io_uring_setup) __atomic_add_fetch(&control->strangers, 1, __ATOMIC_RELAXED);
    if (number == SYS_copy_file_range) stranger(a[2]);
    return SYS(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
