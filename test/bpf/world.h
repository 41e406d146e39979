/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs of bpf/ find on the host: the current task with its sockets and files, the registers of its system
 * call, its memory, the settings. Also the words of a command. Included by host.c alone, behind the sources of bpf/.
 */
#ifndef PLAINSIGHT_TEST_WORLD_H
#define PLAINSIGHT_TEST_WORLD_H

struct host_sock {
	union {
		struct sock sk;
		struct tcp_sock tcp;
	};
};

static struct host_sock socks[MAX_FILES];
static struct file files[MAX_FILES], *file_pointers[MAX_FILES];
static struct inode inodes[MAX_FILES];
static struct socket sockets_of_files[MAX_FILES];
static struct pt_regs regs;

static char *rest; /* of the line */

static char *word(void)
{
	char *token = strsep(&rest, " ");

	return token ? token : (fail("a command lacks an argument"), NULL);
}

static __u64 number(void)
{
	char *text = word(), *end;
	__u64 value = strtoull(text, &end, 0);

	if (*end || end == text)
		fail("an argument is no number");
	return value;
}

static int nibble(char digit)
{
	return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

static __u32 parse_hex(const char *text, __u8 *bytes, __u32 most)
{
	__u32 length = strlen(text) / 2;

	if (length > most)
		fail("too many bytes");
	for (__u32 i = 0; i < length; i++)
		bytes[i] = nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]);
	return length;
}

/* --- the world ----------------------------------------------------------------------------------------------------- */

/* Everything but user memory. */
static void restart(void)
{
	for (int i = 0; i < table_count; i++)
		while (tables[i].entries)
			drop_entry(&tables[i], &tables[i].entries);
	table_count = 0;
	maps_full = 0;
	ring_free = ~0ULL;
	failed_reserves = 0;
	race.reads_left = 0;
	memset(socks, 0, sizeof(socks));
	memset(&regs, 0, sizeof(regs));
	memset(&current, 0, sizeof(current));
	current.now_ns = 1000000000;
	current.cgroup_id = 77;
	current.regs = &regs;
	current.leader.start_boottime = 555;
	current.task.group_leader = &current.leader;
	current.task.mm = &current.mm;
	current.task.files = &current.files;
	current.task.signal = &current.signal;
	current.task.cgroups = &current.css_set;
	current.css_set.dfl_cgrp = &current.cgroups[0];
	for (int i = 0; i < MAX_CGROUPS; i++) {
		current.cgroups[i].kn = &current.nodes[i];
		current.cgroups[i].root = &current.hierarchy;
		current.cgroups[i].self.cgroup = &current.cgroups[i];
		current.cgroups[i].self.parent = i ? &current.cgroups[i - 1].self : NULL;
	}
	current.mm.exe_file = &current.executable;
	current.executable.f_path.dentry = &current.dentry;
	current.dentry.d_name.name = (const unsigned char *)current.executable_name;
	current.files.fdt = &current.table;
	current.table.max_fds = MAX_FILES;
	current.table.fd = file_pointers;
	for (int i = 0; i < MAX_FILES; i++) {
		file_pointers[i] = &files[i];
		files[i].f_inode = &inodes[i];
		files[i].private_data = &sockets_of_files[i];
		inodes[i].i_mode = SOCKET_MODE | 0777;
		sockets_of_files[i].sk = &socks[i].sk;
	}
}

static void reset(void)
{
	while (region_count)
		free(regions[--region_count].bytes);
	restart();
}

static void add_memory(void)
{
	__u64 address = number();
	char *hex = word();
	struct region *region = NULL;

	for (int i = 0; i < region_count; i++)
		if (regions[i].address == address)
			region = &regions[i];
	if (!region) {
		if (region_count == MAX_REGIONS)
			fail("more user memory than MAX_REGIONS");
		region = &regions[region_count++];
		region->bytes = NULL;
	}
	free(region->bytes);
	region->address = address;
	region->length = strlen(hex) / 2;
	region->bytes = allocate(region->length);
	parse_hex(hex, region->bytes, region->length);
}

static void set_thread(void)
{
	current.task.tgid = number();
	current.task.pid = number();
	snprintf(current.task.comm, sizeof(current.task.comm), "%s", word());
	memcpy(current.leader.comm, current.task.comm, sizeof(current.task.comm));
	snprintf(current.executable_name, sizeof(current.executable_name), "%s", word());
}

static struct host_sock *find_sock(__u64 index)
{
	if (index >= MAX_FILES)
		fail("no such socket");
	return &socks[index];
}

static void set_sock(void)
{
	struct sock_common *common;
	struct host_sock *host = find_sock(number());

	common = &host->sk.__sk_common;
	common->skc_family = number();
	host->sk.sk_protocol = number();
	common->skc_state = number();
	common->skc_num = number();
	common->skc_dport = __builtin_bswap16((__u16)number());
	parse_hex("0a000001", (__u8 *)&common->skc_rcv_saddr, 4);
	parse_hex("0a000002", (__u8 *)&common->skc_daddr, 4);
	parse_hex("fd000000000000000000000000000001", common->skc_v6_rcv_saddr.bytes, 16);
	parse_hex("fd000000000000000000000000000002", common->skc_v6_daddr.bytes, 16);
}

static const struct {
	const char *name;
	__u32 number;
} syscalls[] = {
	{"read", SYSCALL_READ},       {"write", SYSCALL_WRITE},     {"readv", SYSCALL_READV},
	{"writev", SYSCALL_WRITEV},   {"sendto", SYSCALL_SENDTO},   {"recvfrom", SYSCALL_RECVFROM},
	{"sendmsg", SYSCALL_SENDMSG}, {"recvmsg", SYSCALL_RECVMSG}, {"sendfile", SYSCALL_SENDFILE},
	{"io_uring_enter", 426},
};

static __u32 syscall_number(void)
{
	char *name = word();

	for (unsigned i = 0; i < sizeof(syscalls) / sizeof(*syscalls); i++)
		if (!strcmp(syscalls[i].name, name))
			return syscalls[i].number;
	fail("an unknown system call");
}

/* Registers of a system call: number, arguments 1 to 4, the user's stack pointer. */
static __u32 set_syscall(void)
{
	__u32 nr = syscall_number();

#ifdef __TARGET_ARCH_x86
	regs.orig_ax = nr;
	regs.cs = 0x33;
#else
	regs.syscallno = nr;
#endif
	SYSCALL_ARGUMENT_1(&regs) = number();
	SYSCALL_ARGUMENT_2(&regs) = number();
	SYSCALL_ARGUMENT_3(&regs) = number();
	SYSCALL_ARGUMENT_4(&regs) = number();
	STACK_POINTER(&regs) = number();
	ENTER_SYSCALL(&regs);
	return nr;
}

static void set_settings(void)
{
	struct settings value = {};
	__u32 key = 0;

	value.self_pid = number();
	value.only_pid = number();
	value.capture_bytes = number();
	value.filter_epoch = number();
	value.scope = number();
	bpf_map_update_elem(&settings, &key, &value, BPF_ANY);
}

static void set_exclusion(int excluded)
{
	char comm[COMM_SIZE] = {};
	__u8 one = 1;

	snprintf(comm, sizeof(comm), "%s", word());
	if (excluded)
		bpf_map_update_elem(&excluded_comms, comm, &one, BPF_ANY);
	else
		bpf_map_delete_elem(&excluded_comms, comm);
}

/* COUNT ID...: the process's cgroup and those above it, from the one below the root. */
static void set_cgroups(void)
{
	__u64 count = number();

	if (count >= MAX_CGROUPS)
		fail("more cgroups than MAX_CGROUPS");
	for (__u64 i = 1; i <= count; i++)
		current.nodes[i].id = number();
	current.css_set.dfl_cgrp = &current.cgroups[count];
}

/* ID SCOPE, 0: no decision. */
static void set_scope(void)
{
	__u64 id = number();
	__u8 scope = number();

	if (scope)
		bpf_map_update_elem(&cgroup_scopes, &id, &scope, BPF_ANY);
	else
		bpf_map_delete_elem(&cgroup_scopes, &id);
}

/* PATH: of the innermost cgroup. */
static void report(int (*program)(__u64 *))
{
	__u64 context[] = {(__u64)current.css_set.dfl_cgrp, (__u64)word()};

	program(context);
}

static void forget_memory(void)
{
	__u64 address = number();

	for (int i = 0; i < region_count; i++) {
		if (regions[i].address != address)
			continue;
		free(regions[i].bytes);
		regions[i] = regions[--region_count];
		return;
	}
	fail("no such user memory");
}

static void set_race(void)
{
	race.reads_left = number();
	race.address = number();
	race.length = parse_hex(word(), race.bytes, sizeof(race.bytes));
}

#endif
