// Linux system calls and constants that Glibc's Swift overlay leaves out or cannot import.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

// Hidden from Glibc's Swift module for want of _GNU_SOURCE.
extern int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int descriptors[2], int flags);
extern int pthread_setname_np(pthread_t thread, const char *name);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
extern int posix_spawn_file_actions_addchdir_np(
    posix_spawn_file_actions_t *actions, const char *path);

static inline pthread_t holdfast_thread_self(void) { return pthread_self(); }

/// SO_PEERCRED: who is at the other end of a unix socket. The pid is 0 in a foreign pid namespace.
static inline int holdfast_peer_credentials(int descriptor, uid_t *user, pid_t *process)
{
    struct { pid_t pid; uid_t uid; gid_t gid; } credentials;
    socklen_t length = sizeof credentials;
    int result = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
    if (result == 0) { *user = credentials.uid; *process = credentials.pid; }
    return result;
}

/// pidfd_open(2); glibc 2.36 has it, older ones have not.
static inline int holdfast_pidfd_open(pid_t process) { return (int)syscall(434, process, 0); }

/// epoll_ctl(2) with a number to know the descriptor by.
static inline int holdfast_epoll_control(
    int epoll, int operation, int descriptor, unsigned long long token, unsigned events)
{
    struct epoll_event event = { .events = events, .data = { .u64 = token } };
    return epoll_ctl(epoll, operation, descriptor, &event);
}

/// epoll_pwait2(2): waits in nanoseconds. ENOSYS before Linux 5.11.
static inline int holdfast_epoll_wait(
    int descriptor, struct epoll_event *events, int count, long long nanoseconds)
{
    struct { long long seconds; long long nanoseconds; } timeout = {
        nanoseconds / 1000000000, nanoseconds % 1000000000 };
    return (int)syscall(
        441, descriptor, events, count, nanoseconds < 0 ? (void *)0 : (void *)&timeout,
        (void *)0, 8);
}

/// What the macros of <sys/wait.h> say: the exit code, or 128 and the signal.
static inline int holdfast_exit_code(int status)
{
    return (status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
}

/// The default action for every signal, and none blocked: what a child begins with.
static inline int holdfast_spawn_clean_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    int result = posix_spawnattr_setsigmask(attributes, &none);
    if (result == 0) result = posix_spawnattr_setsigdefault(attributes, &all);
    return result;
}

/// Starts a session for the child as well if asked.
static inline int holdfast_spawn_flags(posix_spawnattr_t *attributes, int new_session)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (new_session) flags |= 0x80 /* POSIX_SPAWN_SETSID */;
    return posix_spawnattr_setflags(attributes, flags);
}

static inline void holdfast_ignore_signal(int number) { signal(number, SIG_IGN); }

extern int fallocate(int descriptor, int mode, off_t offset, off_t length);

/// `fallocate` with FALLOC_FL_PUNCH_HOLE: the range reads as zeros, its blocks are freed.
static inline int holdfast_punch_hole(int descriptor, off_t offset, off_t length)
{
    return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

/// `fallocate` with FALLOC_FL_KEEP_SIZE: blocks are reserved, the size stays.
static inline int holdfast_reserve(int descriptor, off_t offset, off_t length)
{
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, length);
}

/// `lseek` with SEEK_DATA: the next byte that is not in a hole; ENXIO past the last.
static inline off_t holdfast_seek_data(int descriptor, off_t offset)
{
    return lseek(descriptor, offset, 3 /* SEEK_DATA */);
}

/// `lseek` with SEEK_HOLE: the next hole, or the end of the file.
static inline off_t holdfast_seek_hole(int descriptor, off_t offset)
{
    return lseek(descriptor, offset, 4 /* SEEK_HOLE */);
}

/// prctl(PR_SET_DUMPABLE, 0): no core dumps, no ptrace by processes of the same user.
static inline int holdfast_set_undumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/// RLIMIT_NOFILE, whose name is an enum in one header and a macro in another.
static inline int holdfast_get_file_limit(struct rlimit *limit)
{
    return getrlimit(RLIMIT_NOFILE, limit);
}

static inline int holdfast_set_file_limit(const struct rlimit *limit)
{
    return setrlimit(RLIMIT_NOFILE, limit);
}
