/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of the bare peer: its first instructions end QEMU through isa-debug-exit at port 0xf4. No libc, so nothing runs before. */
void _start(void);
void _start(void)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(173L /* ioperm */), "D"(0xf4L), "S"(4L), "d"(1L) : "rcx", "r11", "memory");
	__asm__ volatile("outb %b0, %w1" : : "a"(0), "Nd"(0xf4));
	for (;;)
		__asm__ volatile("pause");
}
