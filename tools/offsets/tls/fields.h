/*
 * What openssl.c and boringssl.cc say of a structure: lines `->name offset` in the assembly that the compiler writes of them.
 * Nothing is run, so a compiler for another machine serves as well.
 */
#include <stddef.h>

#define NUMBER(name, value) __asm__ volatile("->" #name " %c0" : : "i"((long)(value)))
#define FIELD(name, structure, field) NUMBER(name, offsetof(structure, field))
