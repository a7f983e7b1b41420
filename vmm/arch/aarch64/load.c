/*
 * What the guest finds in memory at its first instruction: kernel, initrd and
 * the device tree, which has the command line. The tree tells of processors'
 * caches, so it is written when there are vCPUs that tell (arch_vcpus_ready()).
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/arch/aarch64/arm.h"
#include "vmm/arch/aarch64/image.h"
#include "vmm/boot/cmdline.h"
#include "vmm/boot/initrd.h"

static int take_cmdline(struct arch *a, const char *text, struct err *e)
{
	struct cmdline line;

	/* Nothing is added: all devices are in the tree. */
	return cmdline_init(&line, a->cmdline, sizeof(a->cmdline), text, e);
}

/* So that the guest's randomness does not begin with what it sees of time. */
static int make_seeds(struct tree_plan *plan, struct err *e)
{
	if (getrandom(plan->rng_seed, sizeof(plan->rng_seed), 0) !=
		    sizeof(plan->rng_seed) ||
	    getrandom(&plan->kaslr_seed, sizeof(plan->kaslr_seed), 0) !=
		    sizeof(plan->kaslr_seed))
		return err_errno(e, "no random bytes for the guest's seed");
	return 0;
}

int arch_load(struct arch *a, const struct guest_mem *mem,
	      const struct boot_source *source, struct boot_entry *entry,
	      struct err *e)
{
	const struct guest_region *ram = &mem->regions[0];
	struct tree_plan *plan = &a->plan;
	struct kernel_image kernel;
	int rc;

	memset(plan, 0, sizeof(*plan));
	rc = kernel_load(source->kernel_fd, source->kernel_path, mem,
			 &image_formats, &kernel, e);
	if (!rc && source->initrd_fd >= 0)
		rc = initrd_load(source->initrd_fd, source->initrd_path, mem,
				 &kernel, &plan->initrd_gpa, &plan->initrd_size,
				 e);
	rc = rc ? rc : take_cmdline(a, source->cmdline, e);
	rc = rc ? rc : make_seeds(plan, e);
	if (rc)
		return rc;
	plan->topology = &a->topology;
	plan->slots = a->slots;
	plan->slot_count = a->slot_count;
	plan->memory = (struct guest_range){
		.gpa = LAYOUT_TREE,
		.size = ram->gpa + ram->size - LAYOUT_TREE,
	};
	plan->cmdline = a->cmdline;
	a->has_plan = true;
	*entry = (struct boot_entry){
		.protocol = BOOT_ARM64,
		.entry = kernel.entry,
		.argument = LAYOUT_TREE,
	};
	return 0;
}
