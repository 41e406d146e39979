/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The helpers, maps and kernel objects that bpf/ needs, as a host program has them, so that the real sources compile
 * and run without root: user memory is a list of regions outside of which every read faults, maps are small tables, the
 * ring buffer hands out exact allocations between guard bytes. Whatever a verifier would not let pass, or user space
 * would not expect, ends the process: a record that is never submitted, a write behind it, a mask that cuts a number.
 *
 * Limits: one CPU, one thread of execution, no preemption; memory of a deleted map value is gone at once.
 */
#ifndef PLAINSIGHT_TEST_STUBS_H
#define PLAINSIGHT_TEST_STUBS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __builtin_preserve_access_index(expression) (expression)
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* On the host nothing relocates: the fields of a tcp_sock stand behind the sock that it begins with. */
#define copied_seq behind_sock[64], copied_seq
#include "../../bpf/kernel.h"
#undef copied_seq

static _Noreturn void fail(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "host: %s\n", what);
	exit(3);
}

static void *allocate(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	return memory ? memory : (fail("out of memory"), NULL);
}

/* --- the task ------------------------------------------------------------------------------------------------------ */

#define MAX_FILES 8
#define MAX_CGROUPS 24

static struct {
	__u64 now_ns, cgroup_id, cookie;
	const void *regs;
	struct task_struct task, leader;
	struct mm_struct mm;
	struct file executable;
	struct dentry dentry;
	struct signal_struct signal;
	struct files_struct files;
	struct css_set css_set;
	/* The root, and the cgroups below it, each the child of the one before. */
	struct cgroup cgroups[MAX_CGROUPS];
	struct kernfs_node nodes[MAX_CGROUPS];
	struct cgroup_root hierarchy;
	struct fdtable table;
	char executable_name[64];
} current;

/* --- user memory --------------------------------------------------------------------------------------------------- */

#define MAX_REGIONS 4096
#define USER_END (1ULL << 47)

struct region {
	__u64 address, length;
	__u8 *bytes;
};

static struct region regions[MAX_REGIONS];
static int region_count;

static __u8 *find_user(__u64 address, __u64 length)
{
	for (int i = 0; i < region_count; i++)
		if (address >= regions[i].address && length <= regions[i].length &&
		    address - regions[i].address <= regions[i].length - length)
			return regions[i].bytes + (address - regions[i].address);
	return NULL;
}

/* What another thread of the traced process writes, just before the program's next-but-so-many read. */
static struct {
	int reads_left; /* 0: nothing */
	__u64 address;
	__u8 bytes[64];
	__u32 length;
} race;

/* mm/maccess.c at v5.8..v6.18: nothing is read of a range that faults, and the destination is zeroed. */
static long stub_read_user(void *to, __u32 length, const void *from)
{
	__u64 address = (__u64)from;
	__u8 *bytes;

	if (race.reads_left && --race.reads_left == 0) {
		bytes = find_user(race.address, race.length);
		if (bytes)
			memcpy(bytes, race.bytes, race.length);
	}
	if (!length)
		return address < USER_END ? 0 : -EFAULT;
	bytes = find_user(address, length);
	if (!bytes) {
		memset(to, 0, length);
		return -EFAULT;
	}
	memcpy(to, bytes, length);
	return 0;
}

static long stub_read_kernel(void *to, __u32 length, const void *from)
{
	if ((__u64)from < 4096) {
		memset(to, 0, length);
		return -EFAULT;
	}
	memcpy(to, from, length);
	return 0;
}

static long stub_read_kernel_string(char *to, __u32 size, const void *from)
{
	__u32 length;

	memset(to, 0, size);
	if ((__u64)from < 4096)
		return -EFAULT;
	length = strnlen(from, size - 1);
	memcpy(to, from, length);
	return length + 1;
}

/* --- maps ---------------------------------------------------------------------------------------------------------- */

struct shape {
	__u32 type, key_size, value_size, max_entries;
};

struct entry {
	struct entry *next; /* least recently used last */
	void *key;
	void *value;
};

struct table {
	const void *map;
	struct entry *entries;
	__u32 count;
};

#define MAX_TABLES 16

static struct table tables[MAX_TABLES];
static int table_count;
/* No map takes another entry. */
static int maps_full;

static struct table *find_table(const void *map)
{
	for (int i = 0; i < table_count; i++)
		if (tables[i].map == map)
			return &tables[i];
	if (table_count == MAX_TABLES)
		fail("more maps than MAX_TABLES");
	tables[table_count].map = map;
	return &tables[table_count++];
}

static void drop_entry(struct table *table, struct entry **at)
{
	struct entry *entry = *at;

	*at = entry->next;
	table->count--;
	free(entry->key);
	free(entry->value);
	free(entry);
}

static struct entry **find_entry(struct table *table, const struct shape *shape, const void *key)
{
	struct entry **at = &table->entries;

	while (*at && memcmp((*at)->key, key, shape->key_size))
		at = &(*at)->next;
	return at;
}

static int is_array(const struct shape *shape)
{
	return shape->type == BPF_MAP_TYPE_ARRAY || shape->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static void *add_entry(struct table *table, const struct shape *shape, const void *key, const void *value)
{
	struct entry *entry = allocate(sizeof(*entry));

	entry->key = allocate(shape->key_size);
	entry->value = allocate(shape->value_size);
	memcpy(entry->key, key, shape->key_size);
	if (value)
		memcpy(entry->value, value, shape->value_size);
	entry->next = table->entries;
	table->entries = entry;
	table->count++;
	return entry->value;
}

static void *stub_lookup(const void *map, struct shape shape, const void *key)
{
	struct table *table = find_table(map);
	struct entry **at = find_entry(table, &shape, key), *entry = *at;

	if (!entry)
		return is_array(&shape) && *(const __u32 *)key < shape.max_entries ? add_entry(table, &shape, key, NULL)
										   : NULL;
	*at = entry->next;
	entry->next = table->entries;
	table->entries = entry;
	return entry->value;
}

static long stub_update(const void *map, struct shape shape, const void *key, const void *value, __u64 flags)
{
	struct table *table = find_table(map);
	void *present = stub_lookup(map, shape, key);

	if (present) {
		if (flags & BPF_NOEXIST)
			return -EEXIST;
		memcpy(present, value, shape.value_size);
		return 0;
	}
	if (maps_full)
		return -E2BIG;
	if (table->count >= shape.max_entries) {
		struct entry **last = &table->entries;

		if (shape.type != BPF_MAP_TYPE_LRU_HASH)
			return -E2BIG;
		while ((*last)->next)
			last = &(*last)->next;
		drop_entry(table, last);
	}
	add_entry(table, &shape, key, value);
	return 0;
}

static long stub_delete(const void *map, struct shape shape, const void *key)
{
	struct table *table = find_table(map);
	struct entry **at = find_entry(table, &shape, key);

	if (!*at)
		return -ENOENT;
	drop_entry(table, at);
	return 0;
}

static void *stub_storage(const void *map, __u32 value_size, const void *sk, __u64 flags)
{
	struct shape shape = {BPF_MAP_TYPE_SK_STORAGE, sizeof(sk), value_size, 0};
	void *value = stub_lookup(map, shape, &sk);

	if (value || !(flags & BPF_SK_STORAGE_GET_F_CREATE) || maps_full)
		return value;
	return add_entry(find_table(map), &shape, &sk, NULL);
}

#define STUB_SHAPE(map)                                                                                 \
	((struct shape){sizeof(*(map)->type) / sizeof(int), sizeof(*(map)->key), sizeof(*(map)->value), \
			sizeof(*(map)->max_entries) / sizeof(int)})

/* --- the ring buffer ----------------------------------------------------------------------------------------------- */

#define GUARD_BYTES 64
#define GUARD 0xdb

static __u64 ring_free = ~0ULL; /* bytes */
static __u8 *open_record;
static __u64 open_size, failed_reserves;

static void *stub_reserve(__u64 size)
{
	if (open_record)
		fail("a record was reserved while another is open");
	if (size > ring_free) {
		failed_reserves++;
		return NULL;
	}
	ring_free -= size;
	open_size = size;
	/* What an earlier record left there is still in it. */
	open_record = malloc(size + GUARD_BYTES);
	if (!open_record)
		fail("out of memory");
	memset(open_record, GUARD, size + GUARD_BYTES);
	return open_record;
}

static void stub_submit(void *record)
{
	static const char digits[] = "0123456789abcdef";
	__u32 size;
	char *text;

	if (!open_record || record != open_record)
		fail("a record was submitted that was not reserved");
	for (int i = 0; i < GUARD_BYTES; i++)
		if (open_record[open_size + i] != GUARD)
			fail("bytes were written behind a record");
	memcpy(&size, record, sizeof(size));
	if (size > open_size)
		fail("a record says that it is larger than its reservation");
	text = malloc(2 * (size_t)size + 1);
	if (!text)
		fail("out of memory");
	for (__u32 i = 0; i < size; i++) {
		text[2 * i] = digits[open_record[i] >> 4];
		text[2 * i + 1] = digits[open_record[i] & 15];
	}
	text[2 * size] = 0;
	printf("r %s\n", text);
	free(text);
	free(open_record);
	open_record = NULL;
}

/* --- the names that bpf/ uses -------------------------------------------------------------------------------------- */

static inline __u64 stub_masked(__u64 number, __u64 mask)
{
	if (number & ~mask)
		fail("MASKED() cut a number: its bound does not hold");
	return number;
}

#define MASKED(number, mask) stub_masked(number, mask)
#define LOAD_REGISTER(value, regs, name) ((value) = (regs)->name)

#define bpf_map_lookup_elem(map, index) stub_lookup(map, STUB_SHAPE(map), index)
#define bpf_map_update_elem(map, index, element, flags) stub_update(map, STUB_SHAPE(map), index, element, flags)
#define bpf_map_delete_elem(map, index) stub_delete(map, STUB_SHAPE(map), index)
#define bpf_sk_storage_get(map, sk, initial, flags) stub_storage(map, sizeof(*(map)->value), sk, flags)
#define bpf_ringbuf_reserve(ring, size, flags) stub_reserve(size)
#define bpf_ringbuf_submit(record, flags) stub_submit(record)
#define bpf_probe_read_user(to, size, from) stub_read_user(to, size, from)
#define bpf_probe_read_kernel(to, size, from) stub_read_kernel(to, size, from)
#define bpf_probe_read_kernel_str(to, size, from) stub_read_kernel_string(to, size, from)
#define bpf_ktime_get_ns() (current.now_ns += 1000)
#define bpf_get_smp_processor_id() 3
#define bpf_get_current_pid_tgid() ((__u64)(__u32)current.task.tgid << 32 | (__u32)current.task.pid)
#define bpf_get_current_comm(to, size) stub_read_kernel_string(to, size, current.task.comm)
#define bpf_get_current_cgroup_id() (current.cgroup_id)
#define bpf_get_current_task() ((__u64) & current.task)
#define bpf_get_current_task_btf() (&current.task)
#define bpf_task_pt_regs(task) ((long)current.regs)
#define bpf_skc_to_tcp_sock(sk) ((struct tcp_sock *)(sk))
#define bpf_get_attach_cookie(context) (current.cookie)

#endif
