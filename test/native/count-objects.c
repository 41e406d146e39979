/*
 * Prints how many BPF programs, maps and links the kernel has whose name (a link: whose program's name) starts with the
 * argument: what is left in the kernel, whoever holds it.
 */
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

static int read_info(int get_fd, unsigned int id, void *info, unsigned int length)
{
	union bpf_attr attr;
	int fd;
	long result;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id; /* one union: map_id, link_id */
	fd = (int)bpf(get_fd, &attr);
	if (fd < 0)
		return -1;
	memset(&attr, 0, sizeof(attr));
	memset(info, 0, length);
	attr.info.bpf_fd = (unsigned int)fd;
	attr.info.info_len = length;
	attr.info.info = (unsigned long)info;
	result = bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
	close(fd);
	return result < 0 ? -1 : 0;
}

static int named(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int next(int command, unsigned int *id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.start_id = *id;
	if (bpf(command, &attr) < 0)
		return 0;
	*id = attr.next_id;
	return 1;
}

int main(int argc, char **argv)
{
	const char *prefix = argc > 1 ? argv[1] : "";
	unsigned int id, programs = 0, maps = 0, links = 0;
	struct bpf_prog_info program;
	struct bpf_map_info map;
	struct bpf_link_info link;

	for (id = 0; next(BPF_PROG_GET_NEXT_ID, &id);)
		if (!read_info(BPF_PROG_GET_FD_BY_ID, id, &program, sizeof(program)))
			programs += named(program.name, prefix);
	for (id = 0; next(BPF_MAP_GET_NEXT_ID, &id);)
		if (!read_info(BPF_MAP_GET_FD_BY_ID, id, &map, sizeof(map)))
			maps += named(map.name, prefix);
	for (id = 0; next(BPF_LINK_GET_NEXT_ID, &id);)
		if (!read_info(BPF_LINK_GET_FD_BY_ID, id, &link, sizeof(link)) &&
		    !read_info(BPF_PROG_GET_FD_BY_ID, link.prog_id, &program, sizeof(program)))
			links += named(program.name, prefix);
	printf("%u %u %u\n", programs, maps, links);
	return 0;
}
