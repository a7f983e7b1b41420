/* CPU templates: what they take, and that they give nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/arch/x86_64/template.h"

static struct kvm_cpuid_entry2 of(uint32_t function, uint32_t index,
				  uint32_t all)
{
	return (struct kvm_cpuid_entry2){
		.function = function,
		.index = index,
		.eax = all,
		.ebx = all,
		.ecx = all,
		.edx = all,
	};
}

static void without_one_all_stays(void **state)
{
	struct kvm_cpuid_entry2 x = of(7, 0, 0xffffffff);

	(void)state;
	template_apply(&x, ARCH_TEMPLATE_NONE);
	assert_int_equal(x.ebx, 0xffffffff);
}

static void t2_has_avx2_and_no_more(void **state)
{
	struct kvm_cpuid_entry2 x = of(7, 0, 0xffffffff);

	(void)state;
	template_apply(&x, ARCH_TEMPLATE_T2);
	assert_int_equal(x.eax, 0xffffffff);
	assert_true(x.ebx & 1U << 5);	/* AVX2 */
	assert_true(x.ebx & 1U << 20);	/* SMAP */
	assert_false(x.ebx & 1U << 16); /* AVX512F */
	assert_false(x.ebx & 1U << 29); /* SHA */
	assert_false(x.ecx & 1U << 3);	/* PKU */
	assert_true(x.edx & 1U << 26);	/* IBRS, IBPB */
	x = of(7, 1, 0xffffffff);
	template_apply(&x, ARCH_TEMPLATE_T2);
	assert_int_equal(x.eax & x.ebx & x.ecx & x.edx, 0xffffffff);
	x = of(0xd, 0, 0xffffffff);
	template_apply(&x, ARCH_TEMPLATE_T2);
	assert_int_equal(x.eax & 0x2ff, 7); /* x87, SSE, AVX */
	x = of(1, 0, 0xffffffff);
	template_apply(&x, ARCH_TEMPLATE_T2);
	assert_true(x.ecx & 1U << 31); /* a hypervisor */
	assert_true(x.ecx & 1U << 26); /* XSAVE */
	assert_false(x.ecx & 1U << 5); /* VMX */
	assert_int_equal(x.eax, 0xffffffff);
}

static void t2_gives_nothing(void **state)
{
	static const uint32_t leaves[] = {1, 7, 0xd, 0x80000001, 0x80000008};
	struct kvm_cpuid_entry2 x;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		x = of(leaves[i], 0, 0);
		template_apply(&x, ARCH_TEMPLATE_T2);
		assert_int_equal(x.eax | x.ebx | x.ecx | x.edx, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_one_all_stays),
		cmocka_unit_test(t2_has_avx2_and_no_more),
		cmocka_unit_test(t2_gives_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
