/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The sources of bpf/ as a program of the host: one command per line on stdin; for each, on stdout, the records that it
 * wrote (`r HEX`), its values (`v N...`), and a full stop. Wrong commands and broken rules (stubs.h) end it with status
 * 3. host.ts is the other side. Numbers are decimal or 0x.
 */
#include "stubs.h"

/* One translation unit: what the objects each have for themselves gets a name of its own. */
#define LICENSE socket_license
#include "../../bpf/socket.bpf.c"
#undef LICENSE
#define LICENSE tls_license
#include "../../bpf/tls.bpf.c"
#undef LICENSE
#define LICENSE syscall_license
#include "../../bpf/syscall.bpf.c"
#undef LICENSE
#define LICENSE gotls_license
#include "../../bpf/gotls.bpf.c"
#undef LICENSE
#define LICENSE process_license
#include "../../bpf/process.bpf.c"
#undef LICENSE
#define LICENSE cgroup_license
#include "../../bpf/cgroup.bpf.c"
#undef LICENSE

/* Of the host's kernel, which lets no other task take the CPU. */
int LINUX_KERNEL_VERSION;

#include "world.h"

/* --- the programs -------------------------------------------------------------------------------------------------- */

/* send|receive SOCKET SEQUENCE RESULT FLAGS + a system call: the socket tracepoints. */
static void move(int direction)
{
	struct host_sock *host = find_sock(number());
	__u32 sequence = number();
	__u64 moved = (__s64)(int)strtoll(word(), NULL, 0), flags = number();
	__u64 context[] = {(__u64)host, moved, flags};

	set_syscall();
	if (direction == EGRESS) {
		host->tcp.write_seq = sequence;
		socket_send(context);
	} else {
		host->tcp.copied_seq = sequence;
		socket_receive(context);
	}
}

/* exit SEQUENCE RESULT + a system call: the fallback. */
static void leave_syscall(void)
{
	__u32 sequence = number(), nr;
	__u64 result = strtoll(word(), NULL, 0);
	__u64 context[] = {(__u64)&regs, result};

	nr = set_syscall();
	if (SYSCALL_ARGUMENT_1(&regs) < MAX_FILES) {
		struct tcp_sock *tcp = &socks[SYSCALL_ARGUMENT_1(&regs)].tcp;

		*(receives(nr) ? &tcp->copied_seq : &tcp->write_seq) = sequence;
	}
	syscall_exit(context);
}

static void change_state(int (*program)(__u64 *))
{
	struct host_sock *host = find_sock(number());
	__u64 from = number(), to = number(), context[] = {(__u64)host, from, to};

	program(context);
	host->sk.__sk_common.skc_state = to;
}

static void set_register(__u32 name, __u64 value)
{
#define SET_CASE(n, field)          \
	case n:                     \
		regs.field = value; \
		break;
	switch (name) {
		REGISTER_NAMES(SET_CASE)
	}
}

/* entry COOKIE STACK_POINTER SSL BUFFER COUNT_POINTER */
static void enter_tls(int (*program)(struct pt_regs *))
{
	memset(&regs, 0xee, sizeof(regs));
	STACK_POINTER(&regs) = number();
	CALL_ARGUMENT_1(&regs) = number();
	CALL_ARGUMENT_2(&regs) = number();
	if (COOKIE_REGISTER(current.cookie))
		set_register(COOKIE_REGISTER(current.cookie), number());
	else
		CALL_ARGUMENT_4(&regs) = number();
	program(&regs);
}

/* return COOKIE STACK_POINTER RESULT */
static void leave_tls(int (*program)(struct pt_regs *))
{
	memset(&regs, 0xee, sizeof(regs));
	STACK_POINTER(&regs) = number();
	set_register(COOKIE_REGISTER(current.cookie), strtoll(word(), NULL, 0));
	program(&regs);
}

/* go_entry COOKIE SITE STACK_POINTER GOROUTINE CONN BUFFER LENGTH */
static void enter_go(void)
{
	memset(&regs, 0xee, sizeof(regs));
	current.cookie = number();
	INSTRUCTION_POINTER(&regs) = number();
	STACK_POINTER(&regs) = number();
	GO_G(&regs) = number();
	GO_ARGUMENT_1(&regs) = number();
	GO_ARGUMENT_2(&regs) = number();
	GO_ARGUMENT_3(&regs) = strtoll(word(), NULL, 0);
	gotls_entry(&regs);
}

/* go_return COOKIE SITE STACK_POINTER GOROUTINE RESULT. System calls that follow are made by the same goroutine. */
static void leave_go(void)
{
	memset(&regs, 0xee, sizeof(regs));
	current.cookie = number();
	INSTRUCTION_POINTER(&regs) = number();
	STACK_POINTER(&regs) = number();
	GO_G(&regs) = number();
	GO_RESULT_1(&regs) = strtoll(word(), NULL, 0);
	gotls_return(&regs);
}

static int (*const fixed_programs[16])(struct pt_regs *) = {
	tls_entry_0, tls_entry_1,  tls_entry_2,  tls_entry_3, tls_entry_4, tls_entry_5,   NULL,
	NULL,        tls_return_8, tls_return_9, NULL,        NULL,        tls_return_12, tls_return_13,
};

static int (*fixed_program(void))(struct pt_regs *)
{
	__u64 cookie = number();

	/* There is no cookie on such a kernel; here it only says where to put the arguments. */
	current.cookie = cookie;
	if (cookie > 15 || !fixed_programs[cookie])
		fail("there is no program for this cookie");
	return fixed_programs[cookie];
}

/* filter HEX...: A accepted, H the preface of HTTP/2, R refused, P pending, after each piece. */
static void run_filter(void)
{
	__u8 automaton = 0, bytes[4096];

	putchar('v');
	while (rest) {
		__u32 length = parse_hex(word(), bytes, sizeof(bytes));
		/* Exact: the sanitizer sees a read behind it. */
		__u8 *exact = allocate(length);

		memcpy(exact, bytes, length);
		automaton = filter_run(automaton, exact, length);
		free(exact);
		putchar(' ');
		putchar(automaton == FILTER_ACCEPTED  ? 'A'
			: automaton == FILTER_PREFACE ? 'H'
			: automaton == FILTER_REFUSED ? 'R'
						      : 'P');
		if (automaton == FILTER_ACCEPTED || automaton == FILTER_PREFACE)
			automaton = FILTER_REFUSED;
	}
	putchar('\n');
}

static void is_record(void)
{
	__u8 bytes[64];
	__u32 length = parse_hex(word(), bytes, sizeof(bytes));
	__u8 *exact = allocate(length);

	memcpy(exact, bytes, length);
	printf("v %d\n", is_tls_record(exact, length));
	free(exact);
}

static void print_counters(void)
{
	printf("v %llu", (unsigned long long)failed_reserves);
	for (__u32 i = 0; i < COUNTER_COUNT; i++)
		printf(" %llu", *(unsigned long long *)bpf_map_lookup_elem(&counters, &i));
	putchar('\n');
}

/* tls_bytes PID: plaintext, ciphertext */
static void print_tls_bytes(void)
{
	__u32 pid = number();
	struct tls_process *process = bpf_map_lookup_elem(&tls_processes, &pid);

	printf("v %llu %llu\n", process ? (unsigned long long)process->plaintext : 0,
	       process ? (unsigned long long)process->ciphertext : 0);
}

static void run(const char *command)
{
	__u64 context[] = {(__u64)&current.task, 0};

#define IS(name) (!strcmp(command, name))
	if (IS("reset")) {
		reset();
	} else if (IS("restart")) {
		restart();
	} else if (IS("memory")) {
		add_memory();
	} else if (IS("forget")) {
		forget_memory();
	} else if (IS("later")) {
		current.now_ns += number();
	} else if (IS("race")) {
		set_race();
	} else if (IS("thread")) {
		set_thread();
	} else if (IS("socket")) {
		set_sock();
	} else if (IS("settings")) {
		set_settings();
	} else if (IS("exclude")) {
		set_exclusion(1);
	} else if (IS("include")) {
		set_exclusion(0);
	} else if (IS("cgroups")) {
		set_cgroups();
	} else if (IS("scope")) {
		set_scope();
	} else if (IS("hierarchy")) {
		current.hierarchy.hierarchy_id = number();
	} else if (IS("cgroup_mkdir")) {
		report(cgroup_mkdir);
	} else if (IS("cgroup_rmdir")) {
		report(cgroup_rmdir);
	} else if (IS("ring")) {
		ring_free = number();
	} else if (IS("full")) {
		maps_full = number();
	} else if (IS("send")) {
		move(EGRESS);
	} else if (IS("receive")) {
		move(INGRESS);
	} else if (IS("exit")) {
		leave_syscall();
	} else if (IS("state")) {
		change_state(socket_state);
	} else if (IS("state_by_address")) {
		change_state(syscall_state);
	} else if (IS("entry")) {
		current.cookie = number();
		enter_tls(tls_entry);
	} else if (IS("return")) {
		current.cookie = number();
		leave_tls(tls_return);
	} else if (IS("entry_fixed")) {
		enter_tls(fixed_program());
	} else if (IS("return_fixed")) {
		leave_tls(fixed_program());
	} else if (IS("go_entry")) {
		enter_go();
	} else if (IS("go_return")) {
		leave_go();
	} else if (IS("process_exec")) {
		process_exec(context);
	} else if (IS("process_exit")) {
		current.signal.live.counter = number();
		process_exit(context);
	} else if (IS("filter")) {
		run_filter();
	} else if (IS("tls_record")) {
		is_record();
	} else if (IS("may_end")) {
		printf("v %d\n", may_end_message((__u8)number()));
	} else if (IS("counters")) {
		print_counters();
	} else if (IS("tls_bytes")) {
		print_tls_bytes();
	} else {
		fail("an unknown command");
	}
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	reset();
	while ((length = getline(&line, &room, stdin)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		rest = line;
		run(word());
		if (open_record)
			fail("a record was reserved and never submitted");
		puts(".");
	}
	reset();
	free(line);
	return 0;
}
