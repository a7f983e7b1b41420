/*
 * Features of a processor, by the names that Linux gives them in /proc/cpuinfo
 * (Intel SDM vol. 2, CPUID; AMD APM vol. 3, E).
 */
#include "vmm/arch/x86_64/features.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX, REGISTERS };

/* A register whose bits are features; names as far as they are worth it. */
struct word {
	uint32_t function;
	uint32_t index;
	int reg;
	char names[32][24]; /* not pointers: see struct rule */
};

static const struct word words[] = {
	{0x1,
	 0,
	 ECX,
	 {"sse3",   "pclmulqdq", "dtes64", "monitor", "ds_cpl",
	  "vmx",    "smx",	 "est",	   "tm2",     "ssse3",
	  "cid",    "sdbg",	 "fma",	   "cx16",    "xtpr",
	  "pdcm",   "",		 "pcid",   "dca",     "sse4_1",
	  "sse4_2", "x2apic",	 "movbe",  "popcnt",  "tsc_deadline_timer",
	  "aes",    "xsave",	 "",	   "avx",     "f16c",
	  "rdrand", "hypervisor"}},
	{0x1, 0, EDX, {"fpu", "vme",  "de",   "pse",   "tsc", "msr",	 "pae",
		       "mce", "cx8",  "apic", "",      "sep", "mtrr",	 "pge",
		       "mca", "cmov", "pat",  "pse36", "pn",  "clflush", "",
		       "dts", "acpi", "mmx",  "fxsr",  "sse", "sse2",	 "ss",
		       "ht",  "tm",   "ia64", "pbe"}},
	{0x7, 0, EBX, {"fsgsbase", "tsc_adjust", "sgx",	     "bmi1",
		       "hle",	   "avx2",	 "",	     "smep",
		       "bmi2",	   "erms",	 "invpcid",  "rtm",
		       "cqm",	   "",		 "mpx",	     "rdt_a",
		       "avx512f",  "avx512dq",	 "rdseed",   "adx",
		       "smap",	   "avx512ifma", "",	     "clflushopt",
		       "clwb",	   "intel_pt",	 "avx512pf", "avx512er",
		       "avx512cd", "sha_ni",	 "avx512bw", "avx512vl"}},
	{0x7,
	 0,
	 ECX,
	 {"",
	  "avx512vbmi",
	  "umip",
	  "pku",
	  "",
	  "waitpkg",
	  "avx512_vbmi2",
	  "",
	  "gfni",
	  "vaes",
	  "vpclmulqdq",
	  "avx512_vnni",
	  "avx512_bitalg",
	  "tme",
	  "avx512_vpopcntdq",
	  "",
	  "la57",
	  "",
	  "",
	  "",
	  "",
	  "",
	  "rdpid",
	  "",
	  "bus_lock_detect",
	  "cldemote",
	  "",
	  "movdiri",
	  "movdir64b",
	  "enqcmd"}},
	{0x7,
	 0,
	 EDX,
	 {"",
	  "",
	  "avx512_4vnniw",
	  "avx512_4fmaps",
	  "fsrm",
	  "",
	  "",
	  "",
	  "avx512_vp2intersect",
	  "",
	  "md_clear",
	  "",
	  "",
	  "",
	  "serialize",
	  "",
	  "tsxldtrk",
	  "",
	  "",
	  "",
	  "",
	  "",
	  "amx_bf16",
	  "avx512_fp16",
	  "amx_tile",
	  "amx_int8",
	  "spec_ctrl",
	  "stibp",
	  "flush_l1d",
	  "arch_capabilities",
	  "",
	  "ssbd"}},
	{0x7,
	 1,
	 EAX,
	 {[4] = "avx_vnni",
	  [5] = "avx512_bf16",
	  [10] = "fzrm",
	  [11] = "fsrs",
	  [12] = "fsrc",
	  [23] = "avx_ifma"}},
	{0x7, 1, EDX, {""}},
	{0x7, 2, EDX, {""}},
	{0xd, 0, EAX, {""}}, /* components of XCR0 */
	{0xd, 0, EDX, {""}},
	{0xd, 1, EAX, {"xsaveopt", "xsavec", "xgetbv1", "xsaves"}},
	{0x80000001,
	 0,
	 ECX,
	 {"lahf_lm",
	  "cmp_legacy",
	  "svm",
	  "extapic",
	  "cr8_legacy",
	  "abm",
	  "sse4a",
	  "misalignsse",
	  "3dnowprefetch",
	  "osvw",
	  "ibs",
	  "xop",
	  "skinit",
	  "wdt",
	  "",
	  "lwp",
	  "fma4",
	  "tce",
	  [21] = "tbm",
	  [22] = "topoext",
	  [23] = "perfctr_core"}},
	{0x80000001,
	 0,
	 EDX,
	 {[11] = "syscall",
	  [20] = "nx",
	  [22] = "mmxext",
	  [25] = "fxsr_opt",
	  [26] = "pdpe1gb",
	  [27] = "rdtscp",
	  [29] = "lm",
	  [30] = "3dnowext",
	  [31] = "3dnow"}},
	{0x80000007, 0, EDX, {[8] = "constant_tsc"}},
	{0x80000008,
	 0,
	 EBX,
	 {"clzero", "irperf", "xsaveerptr", [9] = "wbnoinvd", [12] = "ibpb",
	  [14] = "ibrs", [15] = "stibp", [24] = "ssbd"}},
	{0x80000021, 0, EAX, {""}},
	{0x40000001,
	 0,
	 EAX,
	 {"kvmclock", "kvm_nopiodelay", "kvm_mmu_op", "kvmclock2",
	  "kvm_asyncpf", "kvm_steal_time", "kvm_pv_eoi", "kvm_pv_unhalt", "",
	  "kvm_pv_tlb_flush", "kvm_asyncpf_vmexit", "kvm_pv_send_ipi",
	  "kvm_poll_control", "kvm_pv_sched_yield", "kvm_asyncpf_int",
	  "kvm_msi_ext_dest_id", [24] = "kvm_clocksource_stable"}},
};

static const struct kvm_cpuid_entry2 *find(const struct cpuid *c,
					   uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < c->count; i++)
		if (c->entries[i].function == function &&
		    c->entries[i].index == index)
			return &c->entries[i];
	return NULL;
}

static uint32_t get(const struct cpuid *c, const struct word *w)
{
	const struct kvm_cpuid_entry2 *x = find(c, w->function, w->index);
	const uint32_t values[REGISTERS] = {
		x ? x->eax : 0,
		x ? x->ebx : 0,
		x ? x->ecx : 0,
		x ? x->edx : 0,
	};

	return values[w->reg];
}

/* Leaf 0: twelve letters in ebx, edx, ecx. */
static void vendor(const struct cpuid *c, char out[13])
{
	const struct kvm_cpuid_entry2 *x = find(c, 0, 0);

	memset(out, 0, 13);
	if (!x)
		return;
	memcpy(out, &x->ebx, 4);
	memcpy(out + 4, &x->edx, 4);
	memcpy(out + 8, &x->ecx, 4);
}

/* OSXSAVE and OSPKE only repeat what the guest has switched on. */
static uint32_t mirrored(const struct word *w)
{
	if (w->function == 1 && w->reg == ECX)
		return 1U << 27;
	return w->function == 7 && w->index == 0 && w->reg == ECX ? 1U << 4 : 0;
}

static int missing(const struct word *w, uint32_t bits, struct err *e)
{
	static const char *const registers[REGISTERS] = {"eax", "ebx", "ecx",
							 "edx"};
	const int bit = __builtin_ctz(bits);

	if (*w->names[bit])
		return err_set(e, -ENOTSUP,
			       "this host's processor lacks %s, which the "
			       "guest was shown; load it on a host that has "
			       "it, or boot it with a cpu_template",
			       w->names[bit]);
	return err_set(e, -ENOTSUP,
		       "this host's processor lacks a feature that the guest "
		       "was shown: CPUID leaf 0x%x, %u, bit %d of %s; load it "
		       "on a host that has it",
		       w->function, w->index, bit, registers[w->reg]);
}

int features_check(const struct cpuid *wanted, const struct cpuid *has,
		   struct err *e)
{
	char theirs[13], ours[13];
	uint32_t bits;
	size_t i;

	vendor(wanted, theirs);
	vendor(has, ours);
	/* The letters are a file's: they are compared, not shown. */
	if (memcmp(theirs, ours, sizeof(ours)))
		return err_set(e, -ENOTSUP,
			       "the guest was shown a processor of another "
			       "maker than this host's (%.12s); load it on a "
			       "host of its maker's",
			       ours);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		bits = get(wanted, &words[i]) & ~get(has, &words[i]) &
		       ~mirrored(&words[i]);
		if (bits)
			return missing(&words[i], bits, e);
	}
	return 0;
}
