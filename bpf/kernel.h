/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The few kernel types that the programs look into. Each names only the fields that are read: CO-RE finds where they
 * are on the running kernel. Read them by BPF_CORE_READ; directly only where the verifier knows the type of the pointer.
 */
#ifndef PLAINSIGHT_KERNEL_H
#define PLAINSIGHT_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define RELOCATED __attribute__((preserve_access_index))

/* Where the fields lie here means nothing, so their padding does not either. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"

struct in6_address {
	__u8 bytes[16];
};

struct net {
	struct {
		unsigned int inum; /* of the file /proc/PID/ns/net */
	} RELOCATED ns;
} RELOCATED;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} RELOCATED;

/* Below 5.15 (commit 8520e224f547): the pointer, or with one of the low bits set the numbers of cgroup v1. */
struct sock_cgroup_data___before_5_15 {
	__u64 val;
} RELOCATED;

typedef struct {
	struct net *net;
} RELOCATED possible_net_t;

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport; /* network order */
	__u16 skc_num;   /* host order */
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_address skc_v6_daddr;
	struct in6_address skc_v6_rcv_saddr;
	possible_net_t skc_net;
	unsigned long skc_flags;
} RELOCATED;

struct upid {
	int nr;
} RELOCATED;

struct pid {
	struct upid numbers[1]; /* the first is that of the initial namespace */
} RELOCATED;

struct socket;

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	struct pid *sk_peer_pid;
	__u8 sk_shutdown;
	__u16 sk_type;
	__u16 sk_protocol;
	int sk_err;
	struct sock_cgroup_data sk_cgrp_data;
} RELOCATED;

struct tcp_sock {
	__u32 copied_seq;    /* of the next byte that the process reads */
	__u32 write_seq;     /* behind the last byte that it has written */
	__u32 srtt_us;       /* eight times the smoothed round-trip time in microseconds */
	__u32 total_retrans; /* segments sent again */
	__u64 bytes_sent;
	__u64 bytes_retrans;  /* of bytes_sent, what was sent again */
	__u64 bytes_received; /* in order; the peer's FIN counts as one */
} RELOCATED;

struct unix_sock {
	struct sock *peer;
} RELOCATED;

struct file;

struct socket {
	struct sock *sk;
	struct file *file;
} RELOCATED;

struct qstr {
	const unsigned char *name;
} RELOCATED;

struct dentry {
	struct qstr d_name;
} RELOCATED;

struct path {
	struct dentry *dentry;
} RELOCATED;

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
} RELOCATED;

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
} RELOCATED;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} RELOCATED;

struct files_struct {
	struct fdtable *fdt;
} RELOCATED;

struct mm_struct {
	struct file *exe_file;
} RELOCATED;

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
} RELOCATED;

struct kernfs_node {
	__u64 id; /* the inode in the low half; from 5.5 */
} RELOCATED;

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup v2 */
} RELOCATED;

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} RELOCATED;

struct cgroup {
	struct cgroup_subsys_state self;
	struct cgroup_root *root;
	struct kernfs_node *kn;
} RELOCATED;

struct css_set {
	struct cgroup *dfl_cgrp; /* in the v2 hierarchy; the root where it is not mounted */
} RELOCATED;

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	__u64 start_boottime;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct files_struct *files;
	struct signal_struct *signal;
	struct css_set *cgroups;
	char comm[16];
} RELOCATED;

#pragma clang diagnostic pop

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define PROTO_TCP 6
#define PROTO_UDP 17
#define SOCK_STREAM 1
#define SHUTDOWN_MASK 3     /* RCV_SHUTDOWN and SEND_SHUTDOWN */
#define SOCKET_MODE 0140000 /* S_IFSOCK */
#define MODE_MASK 0170000   /* S_IFMT */
#define ASIDE_FLAGS 0x2003  /* MSG_OOB, MSG_PEEK, MSG_ERRQUEUE: what is received is not the next of the stream */
#define DISCARD_FLAG 0x20   /* MSG_TRUNC: TCP drops the bytes, the buffer keeps what it held */
#define KTHREAD 0x00200000  /* PF_KTHREAD */

/* include/net/tcp_states.h */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
};

/* struct iovec of a 64-bit program. */
struct user_iovec {
	__u64 base;
	__u64 length;
};

/* In struct user_msghdr: the address of the iovec, and behind it how many there are. The rest is nobody's business here. */
#define USER_MSGHDR_IOV 16

#endif
