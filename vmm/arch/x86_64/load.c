/*
 * Everything the guest finds in memory at its first instruction.
 *
 * Devices are told twice where ACPI is on, in the DSDT and on the command
 * line: a kernel without ACPI can't be recognised from its file. A kernel that
 * knows both ways finds each device a second time and declines it with -EBUSY
 * before touching it. With acpi=off no ACPI table is written: nothing goes on
 * the start path that the guest won't read.
 */
#include "vmm/arch/x86_64/load.h"

#include <errno.h>

#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/bootparams.h"
#include "vmm/arch/x86_64/bzimage.h"
#include "vmm/arch/x86_64/elf.h"
#include "vmm/arch/x86_64/entry.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/mptable.h"
#include "vmm/arch/x86_64/pvh.h"
#include "vmm/arch/x86_64/x86.h"
#include "vmm/base/log.h"
#include "vmm/boot/cmdline.h"
#include "vmm/boot/initrd.h"

static void warn_of_word(const char *word, const char *takes, unsigned devices)
{
	log_warn("boot_args: with '%s' Linux leaves out %s of this machine, so "
		 "its %u devices with an interrupt, or its clock, stand still; "
		 "leave the word out",
		 word, takes, devices);
}

/*
 * Words by which Linux leaves out what our platform has only one of: the I/O
 * APIC, through which all interrupts of devices go, or the local APIC and its
 * timer. On a PC a PIC and a PIT stand in. They are the user's to say, but a
 * guest whose disks are silent should not be the only sign.
 */
static void warn_of_words(const struct arch *a, const struct cmdline *line)
{
	static const struct {
		const char *word;
		const char *takes;
	} words[] = {
		{"noapic", "the only interrupt controller"},
		{"nosmp", "the only interrupt controller"},
		{"nolapic", "the only interrupt controllers and timer"},
		{"disableapic", "the only interrupt controllers and timer"},
		{"nolapic_timer", "the only timer"},
		{"noapictimer", "the only timer"},
	};
	unsigned i, devices = 0;

	for (i = 0; i < a->slot_count; i++)
		devices += a->slots[i].has_irq;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (cmdline_names(line, words[i].word))
			warn_of_word(words[i].word, words[i].takes, devices);
	if (cmdline_has(line, "maxcpus=0"))
		warn_of_word("maxcpus=0", words[0].takes, devices);
}

static int write_cmdline(const struct arch *a, const struct guest_mem *mem,
			 const struct boot_source *source,
			 struct load_plan *plan, bool *has_acpi, struct err *e)
{
	char *buf = guest_mem_at(mem, LAYOUT_CMDLINE, LAYOUT_CMDLINE_SIZE);
	struct cmdline line;
	unsigned i;
	int rc;

	if (!buf)
		return err_set(e, -EFAULT, "no memory for the command line");
	rc = cmdline_init(&line, buf, LAYOUT_CMDLINE_SIZE, source->cmdline, e);
	for (i = 0; i < a->slot_count && !rc; i++) {
		const struct arch_slot *s = &a->slots[i];

		if (s->kind == ARCH_VIRTIO_MMIO)
			rc = cmdline_add(&line, e,
					 "virtio_mmio.device=4K@0x%llx:%u",
					 (unsigned long long)s->base, s->gsi);
	}
	if (rc)
		return rc;
	plan->cmdline_gpa = LAYOUT_CMDLINE;
	plan->cmdline_size = (uint32_t)line.len;
	*has_acpi = !cmdline_has(&line, "acpi=off");
	warn_of_words(a, &line);
	return 0;
}

static bool is_bzimage(const struct boot_file *f)
{
	return bzimage_is(f->head, f->head_len);
}

static int load_bzimage(const struct boot_file *f, const struct guest_mem *mem,
			uint64_t min_gpa, struct kernel_image *out,
			struct err *e)
{
	return bzimage_load(f->fd, mem, min_gpa, out, e);
}

const struct kernel_formats load_formats = {
	.wanted = "an uncompressed vmlinux (ELF) or a bzImage",
	/* Linkers put an ELF file's headers in front of a kernel at 1 MiB. */
	.min_gpa = LAYOUT_KERNEL_MIN,
	.count = 2,
	.formats =
		{
			{.is = elf_is, .load = elf_load},
			{.is = is_bzimage, .load = load_bzimage},
		},
};

static int load_files(const struct guest_mem *mem,
		      const struct boot_source *source,
		      struct kernel_image *kernel, struct load_plan *plan,
		      struct err *e)
{
	int rc = kernel_load(source->kernel_fd, source->kernel_path, mem,
			     &load_formats, kernel, e);

	if (rc || source->initrd_fd < 0)
		return rc;
	return initrd_load(source->initrd_fd, source->initrd_path, mem, kernel,
			   &plan->initrd_gpa, &plan->initrd_size, e);
}

/* Tells the platform: MP table always, ACPI where it will be read. */
static int write_tables(const struct arch *a, const struct guest_mem *mem,
			bool has_acpi, struct load_plan *plan, struct err *e)
{
	int rc = mptable_write(mem, &a->topology, e);

	if (rc || !has_acpi)
		return rc;
	return acpi_write(mem, a->slots, a->slot_count, &a->topology,
			  &plan->rsdp_gpa, e);
}

/*
 * Where a kernel can be entered: PVH in 32-bit mode, the other way within what
 * entry.c maps.
 */
static int choose_entry(const struct kernel_image *kernel, const char *path,
			struct boot_entry *entry, struct err *e)
{
	const bool is_pvh = kernel->pvh_entry;
	const uint64_t limit = is_pvh ? UINT32_MAX : ENTRY_MAPPED_BYTES;

	*entry = (struct boot_entry){
		.protocol = is_pvh ? BOOT_PVH : BOOT_LINUX64,
		.entry = is_pvh ? kernel->pvh_entry : kernel->entry,
		.argument = is_pvh ? LAYOUT_PVH_INFO : LAYOUT_ZERO_PAGE,
	};
	if (entry->entry < limit)
		return 0;
	return err_set(e, -ENOEXEC,
		       "the kernel %s has its entry at 0x%llx; below 0x%llx is "
		       "where it can be entered",
		       path, (unsigned long long)entry->entry,
		       (unsigned long long)limit);
}

int arch_load(struct arch *a, const struct guest_mem *mem,
	      const struct boot_source *source, struct boot_entry *entry,
	      struct err *e)
{
	struct load_plan plan = {0};
	struct kernel_image kernel;
	bool has_acpi = true;
	int rc;

	rc = load_files(mem, source, &kernel, &plan, e);
	if (!rc)
		rc = write_cmdline(a, mem, source, &plan, &has_acpi, e);
	if (!rc)
		rc = write_tables(a, mem, has_acpi, &plan, e);
	if (rc)
		return rc;
	rc = choose_entry(&kernel, source->kernel_path, entry, e);
	if (rc)
		return rc;
	if (entry->protocol == BOOT_PVH)
		return pvh_write(mem, &plan, e);
	rc = bootparams_write(mem, &kernel, &plan, e);
	return rc ? rc : entry_write_tables(mem, entry, e);
}
