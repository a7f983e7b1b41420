/* Which hosts a guest may go on at, by what its processor was shown to have. */
#include "vmm/arch/x86_64/features.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { EAX, EBX, ECX, EDX };

static struct cpuid host;
static struct cpuid guest;

static struct kvm_cpuid_entry2 *leaf(struct cpuid *c, uint32_t function,
				     uint32_t index)
{
	uint32_t i;

	for (i = 0; i < c->count; i++)
		if (c->entries[i].function == function &&
		    c->entries[i].index == index)
			return &c->entries[i];
	fail_msg("no leaf 0x%x", function);
	return NULL;
}

static uint32_t *reg(struct cpuid *c, uint32_t function, uint32_t index,
		     int which)
{
	struct kvm_cpuid_entry2 *x = leaf(c, function, index);
	uint32_t *regs[] = {&x->eax, &x->ebx, &x->ecx, &x->edx};

	return regs[which];
}

static void set_vendor(struct cpuid *c, const char *letters)
{
	memcpy(&leaf(c, 0, 0)->ebx, letters, 4);
	memcpy(&leaf(c, 0, 0)->edx, letters + 4, 4);
	memcpy(&leaf(c, 0, 0)->ecx, letters + 8, 4);
}

/* Two of one make, with nothing. */
static int setup(void **state)
{
	static const uint32_t leaves[][2] = {
		{0, 0},		 {1, 0},	  {7, 0},
		{7, 1},		 {7, 2},	  {0xd, 0},
		{0xd, 1},	 {0x40000001, 0}, {0x80000001, 0},
		{0x80000007, 0}, {0x80000008, 0}, {0x80000021, 0},
	};
	uint32_t i;

	(void)state;
	memset(&host, 0, sizeof(host));
	for (i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		host.entries[host.count++] = (struct kvm_cpuid_entry2){
			.function = leaves[i][0], .index = leaves[i][1]};
	set_vendor(&host, "GenuineIntel");
	guest = host;
	return 0;
}

/* Every named feature: SDM vol. 2, CPUID; APM vol. 3, E; KVM's cpuid.rst. */
static const struct {
	uint32_t function;
	uint32_t index;
	int which;
	int bit;
	const char *name;
} features[] = {
	{1, 0, ECX, 0, "sse3"},
	{1, 0, ECX, 12, "fma"},
	{1, 0, ECX, 13, "cx16"},
	{1, 0, ECX, 17, "pcid"},
	{1, 0, ECX, 20, "sse4_2"},
	{1, 0, ECX, 21, "x2apic"},
	{1, 0, ECX, 23, "popcnt"},
	{1, 0, ECX, 24, "tsc_deadline_timer"},
	{1, 0, ECX, 26, "xsave"},
	{1, 0, ECX, 28, "avx"},
	{1, 0, ECX, 30, "rdrand"},
	{1, 0, EDX, 11, "sep"},
	{1, 0, EDX, 19, "clflush"},
	{1, 0, EDX, 26, "sse2"},
	{1, 0, EDX, 31, "pbe"},
	{7, 0, EBX, 0, "fsgsbase"},
	{7, 0, EBX, 5, "avx2"},
	{7, 0, EBX, 9, "erms"},
	{7, 0, EBX, 16, "avx512f"},
	{7, 0, EBX, 18, "rdseed"},
	{7, 0, EBX, 29, "sha_ni"},
	{7, 0, EBX, 31, "avx512vl"},
	{7, 0, ECX, 1, "avx512vbmi"},
	{7, 0, ECX, 3, "pku"},
	{7, 0, ECX, 9, "vaes"},
	{7, 0, ECX, 16, "la57"},
	{7, 0, ECX, 22, "rdpid"},
	{7, 0, ECX, 28, "movdir64b"},
	{7, 0, EDX, 4, "fsrm"},
	{7, 0, EDX, 10, "md_clear"},
	{7, 0, EDX, 14, "serialize"},
	{7, 0, EDX, 22, "amx_bf16"},
	{7, 0, EDX, 24, "amx_tile"},
	{7, 0, EDX, 31, "ssbd"},
	{7, 1, EAX, 4, "avx_vnni"},
	{0xd, 1, EAX, 3, "xsaves"},
	{0x80000001, 0, ECX, 5, "abm"},
	{0x80000001, 0, ECX, 22, "topoext"},
	{0x80000001, 0, EDX, 20, "nx"},
	{0x80000001, 0, EDX, 26, "pdpe1gb"},
	{0x80000001, 0, EDX, 27, "rdtscp"},
	{0x80000007, 0, EDX, 8, "constant_tsc"},
	{0x80000008, 0, EBX, 12, "ibpb"},
	{0x40000001, 0, EAX, 3, "kvmclock2"},
	{0x40000001, 0, EAX, 15, "kvm_msi_ext_dest_id"},
	{0x40000001, 0, EAX, 24, "kvm_clocksource_stable"},
};

static void what_is_missing_is_named(void **state)
{
	char sentence[256];
	struct err e;
	unsigned i;

	for (i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		setup(state);
		*reg(&guest, features[i].function, features[i].index,
		     features[i].which) = 1U << features[i].bit;
		memset(&e, 0, sizeof(e));
		assert_int_equal(features_check(&guest, &host, &e), -ENOTSUP);
		snprintf(sentence, sizeof(sentence),
			 "this host's processor lacks %s, which the guest was "
			 "shown",
			 features[i].name);
		if (strncmp(e.text, sentence, strlen(sentence)) != 0)
			fail_msg("%s: %s", features[i].name, e.text);
		/* A host that has it, and more. */
		*reg(&host, features[i].function, features[i].index,
		     features[i].which) = UINT32_MAX;
		assert_int_equal(features_check(&guest, &host, &e), 0);
	}
}

static void what_has_no_name_is_told_by_its_bit(void **state)
{
	struct err e = {0};

	(void)state;
	*reg(&guest, 7, 2, EDX) = 1U << 5 | 1U << 9;
	*reg(&host, 7, 2, EDX) = ~(1U << 9);
	assert_int_equal(features_check(&guest, &host, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "CPUID leaf 0x7, 2, bit 9 of edx"));
	*reg(&host, 7, 2, EDX) = UINT32_MAX;
	/* AVX's part of XCR0: a bit that is no feature's name. */
	*reg(&guest, 0xd, 0, EAX) = 7;
	*reg(&host, 0xd, 0, EAX) = 3;
	assert_int_equal(features_check(&guest, &host, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "CPUID leaf 0xd, 0, bit 2 of eax"));
}

/* OSXSAVE and OSPKE: the guest's own CR4, of the moment. */
static void what_the_guest_switched_on_is_no_feature(void **state)
{
	struct err e = {0};

	(void)state;
	*reg(&guest, 1, 0, ECX) = 1U << 27;
	*reg(&guest, 7, 0, ECX) = 1U << 4;
	assert_int_equal(features_check(&guest, &host, &e), 0);
	/* The same bits of other registers are features. */
	*reg(&guest, 7, 0, EBX) = 1U << 4;
	assert_int_equal(features_check(&guest, &host, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "lacks hle,"));
}

static void numbers_are_no_features(void **state)
{
	struct err e = {0};

	(void)state;
	/* Family and model, leaf counts, sizes, addresses' width. */
	*reg(&guest, 0, 0, EAX) = 0x20;
	*reg(&guest, 1, 0, EAX) = UINT32_MAX;
	*reg(&guest, 1, 0, EBX) = UINT32_MAX;
	*reg(&guest, 7, 0, EAX) = 2;
	*reg(&guest, 0xd, 0, EBX) = 2696;
	*reg(&guest, 0x80000008, 0, EAX) = 0x3039;
	assert_int_equal(features_check(&guest, &host, &e), 0);
}

static void another_maker_is_another_processor(void **state)
{
	struct err e = {0};

	(void)state;
	set_vendor(&host, "AuthenticAMD");
	assert_int_equal(features_check(&guest, &host, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "another maker"));
	assert_non_null(strstr(e.text, "(AuthenticAMD)"));
	set_vendor(&guest, "AuthenticAMD");
	assert_int_equal(features_check(&guest, &host, &e), 0);
	/* The file's letters are shown to nobody. */
	set_vendor(&guest, "\033]0;hello\a\n\n");
	assert_int_equal(features_check(&guest, &host, &e), -ENOTSUP);
	assert_null(strchr(e.text, '\033'));
}

static void a_table_without_leaves_is_judged(void **state)
{
	static struct cpuid none;
	struct err e = {0};

	(void)state;
	assert_int_equal(features_check(&none, &host, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "another maker"));
	assert_int_equal(features_check(&none, &none, &e), 0);
	/* A leaf that the host hasn't is one without bits. */
	host.count--;
	assert_int_equal(features_check(&guest, &host, &e), 0);
	guest.entries[guest.count - 1].eax = 1;
	assert_int_equal(features_check(&guest, &host, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "leaf 0x80000021, 0, bit 0 of eax"));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_missing_is_named),
		TEST(what_has_no_name_is_told_by_its_bit),
		TEST(what_the_guest_switched_on_is_no_feature),
		TEST(numbers_are_no_features),
		TEST(another_maker_is_another_processor),
		TEST(a_table_without_leaves_is_judged),
	};

	return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
