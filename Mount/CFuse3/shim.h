// The door to libfuse 3.14: its low-level API, and the high-level one for a test's disk.
#pragma once
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <fuse3/fuse.h>
#include <fuse3/fuse_lowlevel.h>

// What glibc declares for _GNU_SOURCE only; defining that here would give the headers another
// meaning than they have in Swift's Glibc module.
extern int pthread_setname_np(pthread_t thread, const char *name);
enum { HOLDFAST_SEEK_DATA = 3, HOLDFAST_SEEK_HOLE = 4 };
enum { HOLDFAST_RENAME_NOREPLACE = 1, HOLDFAST_RENAME_EXCHANGE = 2 };
enum { HOLDFAST_MNT_DETACH = 2, HOLDFAST_UMOUNT_NOFOLLOW = 8 };
extern int syncfs(int fd);
extern pid_t gettid(void);
static inline int32_t holdfast_thread(void) { return (int32_t)gettid(); }
extern int renameat2(int directory, const char *name, int new_directory, const char *new_name,
                     unsigned flags);
static inline int holdfast_renameat2(int directory, const char *name, int new_directory,
                                     const char *new_name, unsigned flags) {
    return renameat2(directory, name, new_directory, new_name, flags);
}
static inline int holdfast_syncfs(int directory) { return syncfs(directory); }
// statx(2) with AT_EMPTY_PATH and AT_STATX_DONT_SYNC: what the kernel has of a file, without asking the server.
static inline int holdfast_kept_status(int file, uint64_t *size, struct timespec *modified) {
    uint32_t answer[64] = {0};  // struct statx: 256 bytes
    if (syscall(SYS_statx, file, "", 0x1000 | 0x4000, 0x240, answer) != 0)  // STATX_MTIME | STATX_SIZE
        return -1;
    memcpy(size, (char *)answer + 40, sizeof *size);  // stx_size
    int64_t seconds;
    memcpy(&seconds, (char *)answer + 112, sizeof seconds);  // stx_mtime
    uint32_t nanoseconds;
    memcpy(&nanoseconds, (char *)answer + 120, sizeof nanoseconds);
    modified->tv_sec = seconds;
    modified->tv_nsec = nanoseconds;
    return 0;
}
// open_tree(2): a mount of what is mounted at a path, in no place; it goes with the descriptor.
static inline int holdfast_clone_mount(const char *path) {
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, 1 | O_CLOEXEC);  // OPEN_TREE_CLONE
}
extern int unshare(int flags);
extern int close_range(unsigned first, unsigned last, int flags);
// Gives the calling thread descriptors of its own, none but the standard ones open.
static inline void holdfast_own_files(void) {
    if (unshare(0x400) == 0)  // CLONE_FILES
        close_range(3, ~0U, 0);
}
enum { HOLDFAST_O_PATH = 010000000 };  // the same everywhere but alpha, parisc, sparc
enum { HOLDFAST_XATTR_CREATE = 1, HOLDFAST_XATTR_REPLACE = 2 };
// What the hook below puts into those flags: the kernel has said whether a caller who sets an ACL takes the
// setgid bit away with it, and it does.
enum { HOLDFAST_XATTR_EXTENDED = 1 << 29, HOLDFAST_XATTR_KILL_SGID = 1 << 30 };

// One mount's user data: what the callbacks find, and what the hook below remembers.
struct holdfast_session {
    void *filesystem;        // the Swift object, unretained
    uint32_t offered;        // the kernel's INIT flags, bits 0 to 31
    uint32_t wanted;         // flags to add to the INIT reply, if offered
    int negotiated;          // whether the INIT reply has gone by
    uint64_t requests[64];   // how many came, by opcode; those of greater opcodes under 0
};

// HANDLE_KILLPRIV_V2: the kernel no longer asks for security.capability before each write, and
// the server clears the setuid and setgid bits on write, truncate and chown. libfuse 3.14 has
// no name for it.
static const uint32_t HOLDFAST_INIT_HANDLE_KILLPRIV_V2 = (uint32_t)1 << 28;

// POSIX_ACL: the kernel checks ACLs. DONT_MASK: it leaves the umask to the server, since a directory's
// default ACL takes its place. SETXATTR_EXT: see holdfast_fold_setxattr.
enum { HOLDFAST_INIT_SETXATTR_EXT = 1 << 29 };
static const uint32_t HOLDFAST_INIT_ACL =
    (uint32_t)1 << 20 | (uint32_t)1 << 6 | (uint32_t)HOLDFAST_INIT_SETXATTR_EXT;

// Offsets into the kernel's messages (linux/fuse.h, protocol 7.31 to 7.45).
enum {
    HOLDFAST_IN_HEADER = 40,         // sizeof fuse_in_header
    HOLDFAST_IN_OPCODE = 4,          // u32
    HOLDFAST_IN_PID = 32,            // u32
    HOLDFAST_OPCODE_INIT = 26,
    HOLDFAST_OPCODE_SETXATTR = 21,
    HOLDFAST_SETXATTR_IN_SIZE = 8,   // as libfuse knows it
    HOLDFAST_SETXATTR_IN_FLAGS = 4,  // u32, from the body's start: those of setxattr(2)
    HOLDFAST_SETXATTR_IN_MORE = 8,   // u32: what the extension adds; with it, the body begins with 16 bytes
    HOLDFAST_INIT_IN_FLAGS = 12,     // u32, from the body's start
    HOLDFAST_READ_IN_SIZE = 16,      // u32, from the body's start; in fuse_write_in, too
    HOLDFAST_OUT_UNIQUE = 8,         // u64, in fuse_out_header
    HOLDFAST_OUT_ERROR = 4,          // i32, in fuse_out_header
    HOLDFAST_INIT_OUT_SIZE = 64,
    HOLDFAST_INIT_OUT_FLAGS = 12,    // u32, from the body's start
};

// With SETXATTR_EXT a request has eight more bytes before the name. libfuse 3.14 does not know them: what
// they say goes into the flags that it passes on.
static inline ssize_t holdfast_fold_setxattr(char *request, ssize_t count) {
    if (count < HOLDFAST_IN_HEADER + 2 * HOLDFAST_SETXATTR_IN_SIZE)
        return count;
    char *body = request + HOLDFAST_IN_HEADER;
    uint32_t flags, more;
    memcpy(&flags, body + HOLDFAST_SETXATTR_IN_FLAGS, 4);
    memcpy(&more, body + HOLDFAST_SETXATTR_IN_MORE, 4);
    flags |= HOLDFAST_XATTR_EXTENDED | (more & 1 ? HOLDFAST_XATTR_KILL_SGID : 0);
    memcpy(body + HOLDFAST_SETXATTR_IN_FLAGS, &flags, 4);
    count -= HOLDFAST_SETXATTR_IN_SIZE;
    memmove(body + HOLDFAST_SETXATTR_IN_SIZE, body + 2 * HOLDFAST_SETXATTR_IN_SIZE,
            (size_t)(count - HOLDFAST_IN_HEADER - HOLDFAST_SETXATTR_IN_SIZE));
    uint32_t length = (uint32_t)count;
    memcpy(request, &length, 4);
    return count;
}

static inline ssize_t holdfast_read(int fd, void *buffer, size_t size, void *userdata) {
    struct holdfast_session *session = (struct holdfast_session *)userdata;
    ssize_t count = read(fd, buffer, size);
    if (count < HOLDFAST_IN_HEADER)
        return count;
    uint32_t opcode;
    memcpy(&opcode, (char *)buffer + HOLDFAST_IN_OPCODE, 4);
    __atomic_fetch_add(&session->requests[opcode < 64 ? opcode : 0], 1, __ATOMIC_RELAXED);
    if (opcode == HOLDFAST_OPCODE_INIT && count >= HOLDFAST_IN_HEADER + 16
        && !__atomic_load_n(&session->negotiated, __ATOMIC_RELAXED))
        memcpy(&session->offered, (char *)buffer + HOLDFAST_IN_HEADER + HOLDFAST_INIT_IN_FLAGS, 4);
    if (opcode == HOLDFAST_OPCODE_SETXATTR
        && session->wanted & session->offered & HOLDFAST_INIT_SETXATTR_EXT)
        return holdfast_fold_setxattr((char *)buffer, count);
    return count;
}

// What the signal below is for is done by the time it is handled: read returns EINTR.
static inline void holdfast_wake(int number) { (void)number; }

// The calling thread may be woken by holdfast_wake_thread.
static inline void holdfast_take_wakes(void) {
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
}

// Makes a thread that waits for a request return, with EINTR. One at work gets on; one that is gone is
// not hurt.
static inline void holdfast_wake_thread(int32_t thread) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = holdfast_wake;
    sigaction(SIGURG, &action, NULL);
    if (thread != 0)
        syscall(SYS_tgkill, getpid(), thread, SIGURG);
}

static inline uint64_t holdfast_request_count(struct holdfast_session *session, uint32_t opcode) {
    return opcode < 64 ? __atomic_load_n(&session->requests[opcode], __ATOMIC_RELAXED) : 0;
}

// The INIT reply is the first with a request's number, no error and a body of 64 bytes; its buffer
// is on libfuse's stack, so it may be changed.
static inline ssize_t holdfast_writev(int fd, struct iovec *pieces, int count, void *userdata) {
    struct holdfast_session *session = (struct holdfast_session *)userdata;
    if (!__atomic_load_n(&session->negotiated, __ATOMIC_RELAXED) && count == 2
        && pieces[1].iov_len == HOLDFAST_INIT_OUT_SIZE) {
        uint64_t unique;
        int32_t error;
        uint32_t major, flags;
        memcpy(&unique, (char *)pieces[0].iov_base + HOLDFAST_OUT_UNIQUE, 8);
        memcpy(&error, (char *)pieces[0].iov_base + HOLDFAST_OUT_ERROR, 4);
        memcpy(&major, pieces[1].iov_base, 4);
        if (unique != 0 && error == 0 && major == 7) {
            char *at = (char *)pieces[1].iov_base + HOLDFAST_INIT_OUT_FLAGS;
            memcpy(&flags, at, 4);
            flags |= session->wanted & session->offered;
            memcpy(at, &flags, 4);
            __atomic_store_n(&session->negotiated, 1, __ATOMIC_RELAXED);
        }
    }
    return writev(fd, pieces, count);
}

static inline ssize_t holdfast_splice(
    int from, off_t *fromOffset, int to, off_t *toOffset, size_t size, unsigned int flags,
    void *userdata) {
    (void)userdata;
    return splice(from, fromOffset, to, toOffset, size, flags);
}

// Some bytes of a file.
struct holdfast_part {
    int descriptor;
    uint64_t offset;
    size_t size;
};

enum { HOLDFAST_PARTS_MAX = 8 };

// fuse_reply_data with up to HOLDFAST_PARTS_MAX parts of files: the kernel copies them once. It
// could take whole pages from the packs' cache instead: they would be gone there for who reads them next.
static inline int holdfast_reply_parts(
    fuse_req_t request, const struct holdfast_part *parts, size_t count) {
    union {
        struct fuse_bufvec vector;
        char room[sizeof(struct fuse_bufvec) + HOLDFAST_PARTS_MAX * sizeof(struct fuse_buf)];
    } reply;
    memset(&reply, 0, sizeof reply);
    reply.vector.count = count;
    for (size_t index = 0; index < count && index < HOLDFAST_PARTS_MAX; index++) {
        struct fuse_buf *buffer = &reply.vector.buf[index];
        buffer->flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
        buffer->fd = parts[index].descriptor;
        buffer->pos = (off_t)parts[index].offset;
        buffer->size = parts[index].size;
    }
    return fuse_reply_data(request, &reply.vector, (enum fuse_buf_copy_flags)0);
}

// fuse_session_custom_io, after fuse_session_mount: 3.14 keeps the callbacks and the same
// descriptor. Returns 0 or a negative errno.
static inline int holdfast_install_hook(struct fuse_session *session) {
    struct fuse_custom_io io;
    memset(&io, 0, sizeof io);
    io.read = holdfast_read;
    io.writev = holdfast_writev;
    // Without it libfuse splices no replies.
    io.splice_send = holdfast_splice;
    return fuse_session_custom_io(session, &io, fuse_session_fd(session));
}

// Bit fields of fuse_file_info, which Swift cannot set one by one.
static inline void holdfast_set_open_flags(struct fuse_file_info *info, int keep_cache,
                                           int cache_readdir, int noflush) {
    info->keep_cache = keep_cache != 0;
    info->cache_readdir = cache_readdir != 0;
    info->noflush = noflush != 0;
}

// Reads and writes go to the server, whatever size it told: for what has none until it is read.
static inline void holdfast_set_direct(struct fuse_file_info *info, int direct_io) {
    info->direct_io = direct_io != 0;
}
