/*
 * A program with functions to probe.
 *   target offsets             prints the file offsets of probed_add, probed_twice and probed_bytes
 *   target add A B ...         calls probed_add(A, B) for each pair
 *   target twice A ...         calls probed_twice(A) for each number
 *   target bytes U L S ...     calls probed_bytes() for each triple: L bytes, which are the u32 U and then S+4, S+5, ...
 */
#define _GNU_SOURCE
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline, noclone, used)) long probed_add(long a, long b)
{
	__asm__ volatile("" ::: "memory");
	return a + b;
}

__attribute__((noinline, noclone, used)) long probed_twice(long a)
{
	__asm__ volatile("" ::: "memory");
	return 2 * a;
}

__attribute__((noinline, noclone, used)) long probed_bytes(const unsigned char *bytes, long length)
{
	__asm__ volatile("" ::"r"(bytes) : "memory");
	return length;
}

static int print_offset(struct dl_phdr_info *info, size_t size, void *function)
{
	ElfW(Addr) address = (ElfW(Addr))function - info->dlpi_addr;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type == PT_LOAD && address >= header->p_vaddr &&
		    address < header->p_vaddr + header->p_filesz) {
			printf("%lu\n", (unsigned long)(address - header->p_vaddr + header->p_offset));
			return 1;
		}
	}
	return 1; /* the first one is the program itself */
}

int main(int argc, char **argv)
{
	static unsigned char bytes[65536];
	const char *what = argc > 1 ? argv[1] : "";
	long sum = 0;

	if (!strcmp(what, "offsets")) {
		dl_iterate_phdr(print_offset, (void *)probed_add);
		dl_iterate_phdr(print_offset, (void *)probed_twice);
		dl_iterate_phdr(print_offset, (void *)probed_bytes);
		return 0;
	}
	if (!strcmp(what, "add"))
		for (int i = 2; i + 1 < argc; i += 2)
			sum += probed_add(atol(argv[i]), atol(argv[i + 1]));
	if (!strcmp(what, "twice"))
		for (int i = 2; i < argc; i++)
			sum += probed_twice(atol(argv[i]));
	if (!strcmp(what, "bytes"))
		for (int i = 2; i + 2 < argc; i += 3) {
			unsigned int first = (unsigned int)strtoul(argv[i], NULL, 10);
			long length = atol(argv[i + 1]);

			for (long j = 0; j < length; j++)
				bytes[j] = (unsigned char)(atol(argv[i + 2]) + j);
			memcpy(bytes, &first, sizeof(first));
			sum += probed_bytes(bytes, length);
		}
	printf("%ld\n", sum);
	return 0;
}
