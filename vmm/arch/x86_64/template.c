/*
 * The features that a template leaves. T2 is what Amazon's instances of that
 * name show, of Intel's Haswell; each line says what it takes away. Leaves and
 * bits: Intel SDM vol. 2, CPUID; AMD APM vol. 3, E.4.
 */
#include "vmm/arch/x86_64/template.h"

#include <stddef.h>
#include <stdint.h>

enum reg { EAX, EBX, ECX, EDX };

static const struct keep {
	uint32_t function;
	uint32_t index;
	enum reg reg;
	uint32_t bits; /* that may stay */
} t2[] = {
	/* debug store, MONITOR, VMX, SMX, power, thermal, SDBG, xTPR, PDCM, DCA
	 */
	{0x1, 0, ECX, 0xfffb3203},
	/* MCA is kept; PSN, debug store, ACPI, self-snoop, thermal, PBE */
	{0x1, 0, EDX, 0x179bffff},
	/* SGX, HLE, RTM, MPX, QoS, AVX-512, RDSEED, ADX, PCOMMIT, CLFLUSHOPT,
	   CLWB, PT, SHA */
	{0x7, 0, EBX, 0x001027eb},
	/* AVX-512 VBMI and its kin, PKU, WAITPKG, GFNI, VAES, MAWAU, RDPID,
	 * SGX_LC
	 */
	{0x7, 0, ECX, 0xbfbea0a1},
	/* AVX-512 4VNNIW, 4FMAPS and VP2INTERSECT, fast short REP MOV */
	{0x7, 0, EDX, 0xfffffee3},
	/* the state of MPX, AVX-512 and PKRU */
	{0xd, 0, EAX, 0xfffffd07},
	/* XSAVEC, XGETBV of index 1, XSAVES */
	{0xd, 1, EAX, 0xfffffff1},
	/* 3DNow prefetch, MONITORX */
	{0x80000001, 0, ECX, 0xdffffeff},
	/* pages of 1 GiB */
	{0x80000001, 0, EDX, 0xfbffffff},
	/* WBNOINVD */
	{0x80000008, 0, EBX, 0xfffffdff},
};

void template_apply(struct kvm_cpuid_entry2 *x, enum arch_template template)
{
	uint32_t *const regs[] = {&x->eax, &x->ebx, &x->ecx, &x->edx};
	size_t i;

	if (template != ARCH_TEMPLATE_T2)
		return;
	for (i = 0; i < sizeof(t2) / sizeof(t2[0]); i++)
		if (t2[i].function == x->function && t2[i].index == x->index)
			*regs[t2[i].reg] &= t2[i].bits;
}
