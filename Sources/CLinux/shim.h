// Linux system calls and constants that Glibc's Swift overlay leaves out or cannot import.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
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

extern int unshare(int flags);
extern int close_range(unsigned first, unsigned last, int flags);

/// Gives the calling thread descriptors of its own, of which one is open.
static inline int holdfast_own_descriptor(int kept)
{
    if (unshare(0x400 /* CLONE_FILES */) != 0) return -1;
    if (kept > 0) close_range(0, (unsigned)kept - 1, 0);
    close_range((unsigned)kept + 1, ~0U, 0);
    return 0;
}

/// umount2(2) with MNT_FORCE: what waits for the one who serves the mount gets an error.
static inline int holdfast_force_unmount(const char *path)
{
    return umount2(path, 1 /* MNT_FORCE */ | 8 /* UMOUNT_NOFOLLOW */);
}

static inline void holdfast_ignore_signal(int number) { signal(number, SIG_IGN); }

extern int fallocate(int descriptor, int mode, off_t offset, off_t length);

/// `fallocate` with FALLOC_FL_PUNCH_HOLE: the range reads as zeros, its blocks are freed.
static inline int holdfast_punch_hole(int descriptor, off_t offset, off_t length)
{
    return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

/// O_DIRECT, which fcntl.h has for _GNU_SOURCE only.
enum { HOLDFAST_O_DIRECT = __O_DIRECT };

extern int sync_file_range(int descriptor, off_t offset, off_t length, unsigned flags);

/// `sync_file_range` with SYNC_FILE_RANGE_WRITE: the disk begins with what was written there.
static inline int holdfast_begin_writing(int descriptor, off_t offset, off_t length)
{
    return sync_file_range(descriptor, offset, length, 2);
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

/// mount(2) with MS_BIND: a mount shown at another place, too.
static inline int holdfast_bind(const char *path, const char *other)
{
    return mount(path, other, 0, MS_BIND, 0);
}

/// mount(2) with MS_REMOUNT: the mount's flags but for those named, of one place only if asked.
static inline int holdfast_remount(
    const char *path, unsigned long set, unsigned long cleared, int is_place)
{
    struct statvfs now;
    if (statvfs(path, &now) != 0) return -1;
    /* These have one value in both; relatime, which has not, is what the kernel takes for none. */
    unsigned long kept = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS
        | MS_NOATIME | MS_NODIRATIME;
    unsigned long flags = ((now.f_flag & kept) | set) & ~cleared;
    return mount("holdfast", path, "fuse.holdfast", MS_REMOUNT | (is_place ? MS_BIND : 0) | flags,
                 "");
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

/// adjtimex(2) without a change: 1 if something keeps the clock right, 0 if not, -1 if unknown.
static inline int holdfast_clock_state(void)
{
    struct timex state = { .modes = 0 };
    int result = adjtimex(&state);
    return result < 0 ? -1 : (result == TIME_ERROR || (state.status & STA_UNSYNC)) ? 0 : 1;
}

/// Whether udp(7) has UDP_SEGMENT and UDP_GRO here.
static inline int holdfast_joins_datagrams(int descriptor)
{
    int segment = 1200, on = 1;
    return setsockopt(descriptor, 17 /* SOL_UDP */, 103 /* UDP_SEGMENT */, &segment, sizeof segment)
            == 0
        && setsockopt(descriptor, 17 /* SOL_UDP */, 104 /* UDP_GRO */, &on, sizeof on) == 0;
}

/// A datagram on its way out; with `segment`, several of that size back to back, of which the last
/// may be shorter. Address and port are numbers in the machine's order.
struct holdfast_outgoing {
    unsigned offset, length, address;
    unsigned short port, segment;
    /// 0 for the system's own.
    unsigned char time_to_live;
};

/// A datagram that came in, or several of size `segment` that the kernel joined.
struct holdfast_incoming {
    unsigned offset, length, address;
    unsigned short port, segment;
};

enum { HOLDFAST_DATAGRAMS_MOST = 64 };

/// sendmmsg(2) with UDP_SEGMENT and IP_TTL where asked for; HOLDFAST_DATAGRAMS_MOST at most.
/// How many were sent, or -1 when the first failed.
static inline int holdfast_send_datagrams(
    int descriptor, const unsigned char *bytes, const struct holdfast_outgoing *list, int count)
{
    struct { struct msghdr header; unsigned sent; } messages[HOLDFAST_DATAGRAMS_MOST];
    struct iovec parts[HOLDFAST_DATAGRAMS_MOST];
    struct sockaddr_in names[HOLDFAST_DATAGRAMS_MOST];
    union {
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(unsigned short))];
        struct cmsghdr first;
    } controls[HOLDFAST_DATAGRAMS_MOST];
    if (count > HOLDFAST_DATAGRAMS_MOST) count = HOLDFAST_DATAGRAMS_MOST;
    for (int i = 0; i < count; i++) {
        names[i] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(list[i].port),
            .sin_addr = { htonl(list[i].address) } };
        parts[i] = (struct iovec){ (void *)(bytes + list[i].offset), list[i].length };
        messages[i].header = (struct msghdr){ .msg_name = &names[i],
            .msg_namelen = sizeof names[i], .msg_iov = &parts[i], .msg_iovlen = 1 };
        messages[i].sent = 0;
        unsigned used = 0;
        if (list[i].segment != 0) {
            struct cmsghdr *control = (struct cmsghdr *)controls[i].bytes;
            control->cmsg_level = 17 /* SOL_UDP */;
            control->cmsg_type = 103 /* UDP_SEGMENT */;
            control->cmsg_len = CMSG_LEN(sizeof(unsigned short));
            memcpy(CMSG_DATA(control), &list[i].segment, sizeof(unsigned short));
            used = CMSG_SPACE(sizeof(unsigned short));
        }
        if (list[i].time_to_live != 0) {
            struct cmsghdr *control = (struct cmsghdr *)(controls[i].bytes + used);
            int value = list[i].time_to_live;
            control->cmsg_level = IPPROTO_IP;
            control->cmsg_type = IP_TTL;
            control->cmsg_len = CMSG_LEN(sizeof value);
            memcpy(CMSG_DATA(control), &value, sizeof value);
            used += CMSG_SPACE(sizeof value);
        }
        if (used != 0) {
            messages[i].header.msg_control = controls[i].bytes;
            messages[i].header.msg_controllen = used;
        }
    }
    return (int)syscall(SYS_sendmmsg, descriptor, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// recvmmsg(2) with UDP_GRO: fills up to `slots` slots of `slot_size` bytes each. What does not fit
/// its slot, or is not from an IPv4 address, has length 0.
static inline int holdfast_receive_datagrams(
    int descriptor, unsigned char *buffer, unsigned slot_size, int slots,
    struct holdfast_incoming *list)
{
    struct { struct msghdr header; unsigned received; } messages[HOLDFAST_DATAGRAMS_MOST];
    struct iovec parts[HOLDFAST_DATAGRAMS_MOST];
    struct sockaddr_in names[HOLDFAST_DATAGRAMS_MOST];
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr first; }
        controls[HOLDFAST_DATAGRAMS_MOST];
    if (slots > HOLDFAST_DATAGRAMS_MOST) slots = HOLDFAST_DATAGRAMS_MOST;
    for (int i = 0; i < slots; i++) {
        parts[i] = (struct iovec){ buffer + (size_t)i * slot_size, slot_size };
        messages[i].header = (struct msghdr){ .msg_name = &names[i],
            .msg_namelen = sizeof names[i], .msg_iov = &parts[i], .msg_iovlen = 1,
            .msg_control = controls[i].bytes, .msg_controllen = sizeof controls[i].bytes };
    }
    int count = (int)syscall(SYS_recvmmsg, descriptor, messages, slots, MSG_DONTWAIT, (void *)0);
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &messages[i].header;
        int is_good = names[i].sin_family == AF_INET && !(header->msg_flags & MSG_TRUNC);
        list[i] = (struct holdfast_incoming){ .offset = (unsigned)i * slot_size,
            .length = is_good ? messages[i].received : 0,
            .address = ntohl(names[i].sin_addr.s_addr), .port = ntohs(names[i].sin_port) };
        for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != 0;
             control = CMSG_NXTHDR(header, control)) {
            if (control->cmsg_level != 17 || control->cmsg_type != 104 /* UDP_GRO */) continue;
            int size;
            memcpy(&size, CMSG_DATA(control), sizeof size);
            list[i].segment = (unsigned short)size;
        }
    }
    return count;
}

/// Options of a socket that carries streams; the kernel may know some of them not, which costs
/// speed only: large buffers, joined datagrams (UDP_GRO), and no fragments (IP_PMTUDISC_PROBE: a
/// datagram that is too large is refused or lost, whatever was learnt about the path).
static inline void holdfast_prepare_datagrams(int descriptor, int buffer_size, int is_joining)
{
    int probe = 3 /* IP_PMTUDISC_PROBE */, yes = 1;
    setsockopt(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
    if (is_joining) setsockopt(descriptor, 17, 104 /* UDP_GRO */, &yes, sizeof yes);
    if (buffer_size == 0) return;
    // The first of each goes beyond the system's limit and needs a privilege.
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_size, sizeof buffer_size) != 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof buffer_size);
    if (setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_size, sizeof buffer_size) != 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof buffer_size);
}

/// TCP_INFO's smoothed round-trip time in microseconds; -1 if there is none.
static inline int holdfast_tcp_round_trip(int descriptor)
{
    struct { unsigned char bytes[8]; unsigned words[24]; } info;
    socklen_t length = sizeof info;
    if (getsockopt(descriptor, IPPROTO_TCP, 11 /* TCP_INFO */, &info, &length) != 0) return -1;
    /* tcpi_rtt is the sixteenth word after eight bytes (linux/tcp.h). */
    return length >= 8 + 16 * sizeof(unsigned) ? (int)info.words[15] : -1;
}

/// A netlink socket that hears of IPv4 addresses that come or go.
static inline int holdfast_watch_addresses(void)
{
    struct { unsigned short family, pad; unsigned process, groups; } address = {
        16 /* AF_NETLINK */, 0, 0, 0x10 /* RTMGRP_IPV4_IFADDR */ };
    int descriptor = socket(16, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0 /* NETLINK_ROUTE */);
    if (descriptor < 0) return -1;
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    int code = errno;
    close(descriptor);
    errno = code;
    return -1;
}

/// A UDP socket for datagrams to a multicast group on this machine's links: with `port`, one that
/// hears them beside other processes' (SO_REUSEADDR, only where it joins); with 0, one that sends.
static inline int holdfast_open_multicast(unsigned group, unsigned short port)
{
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    int yes = 1, no = 0;
    /* One hop (the default), and heard by this machine's own processes. */
    setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_TTL, &yes, sizeof yes);
    setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_LOOP, &yes, sizeof yes);
    setsockopt(descriptor, IPPROTO_IP, 49 /* IP_MULTICAST_ALL */, &no, sizeof no);
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port),
        .sin_addr = { port != 0 ? htonl(group) : 0 } };
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    int code = errno;
    close(descriptor);
    errno = code;
    return -1;
}

/// IP_ADD_MEMBERSHIP on the interface with that number.
static inline int holdfast_join_multicast(int descriptor, unsigned group, int interface)
{
    struct { unsigned group, address; int interface; } request = { htonl(group), 0, interface };
    return setsockopt(descriptor, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
}

/// Sends one datagram, by one interface and from that interface's address if its number is not 0.
static inline int holdfast_send_from(
    int descriptor, int interface, unsigned source, unsigned address, unsigned short port, const void *bytes,
    unsigned count)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port),
        .sin_addr = { htonl(address) } };
    if (interface != 0) {
        struct { unsigned group, address; int interface; } request = {
            0, htonl(source), interface };
        if (setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request) != 0)
            return -1;
    }
    return (int)sendto(
        descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name,
        sizeof name);
}
