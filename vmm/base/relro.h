#pragma once

/*
 * Makes read-only what is relocated at the start and never written to
 * afterwards: tables of functions, and those of the linker. glibc does it for a
 * static program, musl does not. Costs one system call; a program that can't
 * goes on without. First thing in main(); thread: the first.
 */
void relro_protect(void);
