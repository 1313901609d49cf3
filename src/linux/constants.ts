/**
 * Linux kernel constants for sockets, timers and scheduling, with the names and the values that
 * the kernel gives them and the header they come from. Values are those of the asm-generic
 * headers, which x86-64, arm64, riscv64, loong64 and s390x share.
 * Errno numbers are listed only where code compares with them; names of all others come from
 * node:os.
 */

// linux/socket.h: address families
export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;

// linux/net.h: socket types and flags
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

// linux/socket.h: message flags
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

// asm-generic/socket.h
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_RCVBUF = 8;
export const SO_PRIORITY = 12;
export const SO_BINDTODEVICE = 25;
export const SO_ATTACH_FILTER = 26;
export const SO_RCVBUFFORCE = 33;
export const SO_TIMESTAMPNS_OLD = 35;
export const SO_MARK = 36;

// linux/socket.h: option levels
export const SOL_IP = 0;
export const SOL_IPV6 = 41;
export const SOL_RAW = 255;
export const SOL_NETLINK = 270;

// linux/in.h
export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_ICMPV6 = 58;
export const IP_TOS = 1;
export const IP_TTL = 2;
export const IP_PKTINFO = 8;
export const IP_RECVTTL = 12;
export const IP_BIND_ADDRESS_NO_PORT = 24;
export const IP_MULTICAST_IF = 32;
export const IP_MULTICAST_TTL = 33;
export const IP_MULTICAST_LOOP = 34;
export const IP_ADD_MEMBERSHIP = 35;

// linux/in6.h
export const IPV6_UNICAST_HOPS = 16;
export const IPV6_MULTICAST_IF = 17;
export const IPV6_MULTICAST_HOPS = 18;
export const IPV6_MULTICAST_LOOP = 19;
/** IPV6_ADD_MEMBERSHIP is the kernel's name; IPV6_JOIN_GROUP is RFC 3493's. */
export const IPV6_JOIN_GROUP = 20;
export const IPV6_V6ONLY = 26;
export const IPV6_MULTICAST_ALL = 29;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const IPV6_RECVHOPLIMIT = 51;
export const IPV6_HOPLIMIT = 52;
export const IPV6_TCLASS = 67;

// linux/icmp.h and linux/icmpv6.h
export const ICMP_ECHOREPLY = 0;
export const ICMP_FILTER = 1;
export const ICMPV6_ECHO_REPLY = 129;
export const ICMPV6_NEIGHBOR_ADVERTISEMENT = 136;
export const ICMPV6_FILTER = 1;

// linux/if_ether.h
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_IPV6 = 0x86dd;

// linux/if.h
export const IFNAMSIZ = 16;

// linux/un.h
export const UNIX_PATH_MAX = 108;

// linux/time.h and linux/timerfd.h
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const TFD_NONBLOCK = 0o4000;
export const TFD_CLOEXEC = 0o2000000;
export const TFD_TIMER_ABSTIME = 1;

// linux/sched.h
export const SCHED_OTHER = 0;
export const SCHED_RR = 2;
export const SCHED_RESET_ON_FORK = 0x40000000;
export const CLONE_NEWNET = 0x40000000;

// asm-generic/poll.h
export const POLLIN = 0x1;
export const POLLOUT = 0x4;

// linux/eventpoll.h
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
export const EPOLLONESHOT = 0x4000_0000;
export const EPOLLET = 0x8000_0000;

// linux/net.h
export const SHUT_WR = 1;

// asm-generic/fcntl.h
export const F_SETFD = 2;
export const FD_CLOEXEC = 1;

// linux/bpf_common.h and linux/filter.h
export const BPF_LD = 0x00;
export const BPF_JMP = 0x05;
export const BPF_RET = 0x06;
export const BPF_K = 0x00;
export const BPF_W = 0x00;
export const BPF_B = 0x10;
export const BPF_ABS = 0x20;
export const BPF_H = 0x08;
export const BPF_JA = 0x00;
export const BPF_JEQ = 0x10;
export const BPF_JSET = 0x40;
export const BPF_JGE = 0x30;
/** Offset from which loads are of the network header. */
export const SKF_NET_OFF = -0x100000;

// asm-generic/errno-base.h and asm-generic/errno.h
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EBADF = 9;
export const EAGAIN = 11;
export const ECONNREFUSED = 111;
export const ENOMEM = 12;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOPROTOOPT = 92;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EINPROGRESS = 115;
