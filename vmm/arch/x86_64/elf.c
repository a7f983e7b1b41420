/*
 * The ELF loader (System V gABI, chapter 4 and 5).
 *
 * On x86 an ELF file of 32 bits is taken too, where it has a PVH note: that is
 * an entry in 32-bit mode, so nothing else about such a kernel matters. Its
 * headers are widened as they are read, and all the rest sees 64 bits.
 *
 * The file is hostile. Headers are copied once into structs of ours and every
 * sum is checked before use. Segments go from the page cache into guest memory
 * with one pread() each: no bounce buffer. .bss is not cleared, because guest
 * memory is fresh and zero. The rest costs no read of its own, as linkers have
 * it: headers are in the file's head, notes in a segment.
 */
#include "vmm/arch/x86_64/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/base/cursor.h"
#include "vmm/base/fd.h"

/* What goes with ELFCLASS64, and with ELFCLASS32. */
#define ELF_MACHINE    EM_X86_64
#define ELF_MACHINE_32 EM_386

enum { PHDRS_MAX = 64, NOTES_MAX_BYTES = 4096 };

#define GPA_MAX (1ULL << 40) /* above any machine's memory */

/* Xen's public/elfnote.h: where to enter in 32-bit mode, paging off. */
enum { NOTE_PHYS32_ENTRY = 18 };

/* As fd_pread(), of what has been read already where it is there. */
static int read_at(const struct boot_file *f, void *buf, size_t len,
		   uint64_t offset)
{
	if (offset > f->head_len || len > f->head_len - offset)
		return fd_pread(f->fd, buf, len, offset);
	memcpy(buf, f->head + offset, len);
	return 0;
}

/* Either class's head, as the wider one. */
static int read_ehdr(const struct boot_file *f, Elf64_Ehdr *h)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr narrow;
		Elf64_Ehdr wide;
	} raw = {0};
	int rc = read_at(f, &raw, sizeof(raw.narrow), 0);

	if (!rc && raw.ident[EI_CLASS] != ELFCLASS32)
		rc = read_at(f, &raw, sizeof(raw), 0);
	if (rc)
		return rc;
	if (raw.ident[EI_CLASS] != ELFCLASS32) {
		*h = raw.wide;
		return 0;
	}
	*h = (Elf64_Ehdr){
		.e_type = raw.narrow.e_type,
		.e_machine = raw.narrow.e_machine,
		.e_entry = raw.narrow.e_entry,
		.e_phoff = raw.narrow.e_phoff,
		.e_phentsize = raw.narrow.e_phentsize,
		.e_phnum = raw.narrow.e_phnum,
	};
	memcpy(h->e_ident, raw.ident, sizeof(raw.ident));
	return 0;
}

static bool is_narrow(const Elf64_Ehdr *h)
{
	return h->e_ident[EI_CLASS] == ELFCLASS32;
}

static int check_class(const Elf64_Ehdr *h, struct err *e)
{
	const unsigned machine = is_narrow(h) ? ELF_MACHINE_32 : ELF_MACHINE;

	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		return err_set(e, -ENOEXEC, "is not an ELF file");
	if ((h->e_ident[EI_CLASS] != ELFCLASS64 && !is_narrow(h)) ||
	    h->e_ident[EI_DATA] != ELFDATA2LSB || machine == EM_NONE)
		return err_set(e, -ENOEXEC,
			       "is not a 64-bit little-endian ELF file");
	if (h->e_machine != machine)
		return err_set(e, -ENOEXEC,
			       "is for another machine (ELF machine %u, this "
			       "host runs %u)",
			       h->e_machine, ELF_MACHINE);
	return 0;
}

static int read_header(const struct boot_file *f, Elf64_Ehdr *h, struct err *e)
{
	int rc = read_ehdr(f, h);
	size_t each;

	if (rc == -ENODATA)
		return err_set(e, -ENOEXEC, "is too short for an ELF header");
	if (rc)
		return err_set(e, rc, "can't be read: %s", strerror(-rc));
	rc = check_class(h, e);
	if (rc)
		return rc;
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return err_set(e, -ENOEXEC,
			       "is an ELF file but no executable (type %u); "
			       "give the linked vmlinux",
			       h->e_type);
	each = is_narrow(h) ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
	if (h->e_phentsize != each || !h->e_phnum || h->e_phnum > PHDRS_MAX)
		return err_set(e, -ENOEXEC,
			       "has %u program headers of %u bytes; 1 to %d of "
			       "%zu are expected",
			       h->e_phnum, h->e_phentsize, PHDRS_MAX, each);
	return 0;
}

static int read_phdrs(const struct boot_file *f, const Elf64_Ehdr *h,
		      Elf64_Phdr p[PHDRS_MAX])
{
	Elf32_Phdr narrow[PHDRS_MAX];
	unsigned i;
	int rc;

	if (!is_narrow(h))
		return read_at(f, p, h->e_phnum * sizeof(p[0]), h->e_phoff);
	rc = read_at(f, narrow, h->e_phnum * sizeof(narrow[0]), h->e_phoff);
	for (i = 0; i < h->e_phnum && !rc; i++)
		p[i] = (Elf64_Phdr){
			.p_type = narrow[i].p_type,
			.p_offset = narrow[i].p_offset,
			.p_paddr = narrow[i].p_paddr,
			.p_filesz = narrow[i].p_filesz,
			.p_memsz = narrow[i].p_memsz,
		};
	return rc;
}

static bool meets_other(const Elf64_Phdr *p, unsigned count, unsigned self)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if (i != self && p[i].p_type == PT_LOAD && p[i].p_memsz &&
		    p[self].p_paddr < p[i].p_paddr + p[i].p_memsz &&
		    p[i].p_paddr < p[self].p_paddr + p[self].p_memsz)
			return true;
	return false;
}

/* Checks a segment's numbers against themselves; memory comes later. */
static int check_segment(const Elf64_Phdr *p, uint64_t min_gpa, unsigned index,
			 struct err *e)
{
	uint64_t end;

	if (p->p_filesz > p->p_memsz ||
	    __builtin_add_overflow(p->p_paddr, p->p_memsz, &end) ||
	    __builtin_add_overflow(p->p_offset, p->p_filesz, &end))
		return err_set(e, -ENOEXEC,
			       "is broken: segment %u has impossible sizes",
			       index);
	if (p->p_memsz && p->p_paddr < min_gpa)
		return err_set(e, -ENOEXEC,
			       "has a segment at 0x%llx; below 0x%llx is not "
			       "free",
			       (unsigned long long)p->p_paddr,
			       (unsigned long long)min_gpa);
	return 0;
}

/* Most often a kernel whose physical addresses were linked as virtual ones. */
static int refuse_place(const Elf64_Phdr *p, struct err *e)
{
	const uint64_t end = p->p_paddr + p->p_memsz;

	if (p->p_paddr > GPA_MAX)
		return err_set(e, -ENOEXEC,
			       "has a segment at 0x%llx, where no machine has "
			       "memory; link it for a physical address",
			       (unsigned long long)p->p_paddr);
	return err_set(e, -ENOMEM,
		       "needs guest memory up to 0x%llx; give the machine at "
		       "least %llu MiB",
		       (unsigned long long)end,
		       (unsigned long long)(end >> 20) + 1);
}

static int load_segment(int fd, const Elf64_Phdr *p,
			const struct guest_mem *mem, struct kernel_image *out,
			struct err *e)
{
	const uint64_t end = p->p_paddr + p->p_memsz;
	void *at = guest_mem_at(mem, p->p_paddr, p->p_memsz);
	int rc;

	if (!at)
		return refuse_place(p, e);
	rc = fd_pread(fd, at, p->p_filesz, p->p_offset);
	if (rc == -ENODATA)
		return err_set(e, -ENOEXEC,
			       "is truncated: a segment reaches byte %llu",
			       (unsigned long long)(p->p_offset + p->p_filesz));
	if (rc)
		return err_set(e, rc, "can't be read: %s", strerror(-rc));
	if (p->p_paddr < out->start)
		out->start = p->p_paddr;
	if (end > out->end)
		out->end = end;
	return 0;
}

/* Copies bytes of the file that came into memory with a segment. */
static bool copy_loaded(const Elf64_Phdr *p, unsigned count,
			const struct guest_mem *mem, void *out, size_t len,
			uint64_t offset)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		const uint64_t at = offset - p[i].p_offset;

		if (p[i].p_type != PT_LOAD || offset < p[i].p_offset ||
		    at > p[i].p_filesz || len > p[i].p_filesz - at)
			continue;
		memcpy(out, guest_mem_at(mem, p[i].p_paddr + at, len), len);
		return true;
	}
	return false;
}

/*
 * Walks one PT_NOTE: name size, descriptor size, type, then name and
 * descriptor, each padded to 4 bytes. Broken notes end the walk; the kernel
 * may still be entered in another way.
 */
static void find_pvh_entry(uint8_t *notes, size_t len, struct kernel_image *out)
{
	struct cursor c = cursor_over(notes, len);

	while (c.at < c.len && !c.failed) {
		uint32_t name_len = cursor_get32(&c);
		uint32_t desc_len = cursor_get32(&c);
		uint32_t type = cursor_get32(&c);
		const char *name = cursor_take(&c, name_len);
		const uint8_t *desc;
		uint64_t entry = 0;

		cursor_align(&c, 4);
		desc = cursor_take(&c, desc_len);
		cursor_align(&c, 4);
		if (!name || !desc || name_len != 4 ||
		    memcmp(name, "Xen", 4) != 0 || type != NOTE_PHYS32_ENTRY ||
		    (desc_len != 4 && desc_len != 8))
			continue;
		memcpy(&entry, desc, desc_len);
		out->pvh_entry = entry;
		return;
	}
}

/* When all segments are loaded, and before the guest runs. */
static void read_notes(const struct boot_file *f, const Elf64_Phdr *p,
		       unsigned count, const struct guest_mem *mem,
		       struct kernel_image *out)
{
	uint8_t notes[NOTES_MAX_BYTES];
	unsigned i;

	for (i = 0; i < count; i++) {
		const uint64_t size = p[i].p_filesz;
		const size_t len = size < sizeof(notes) ? size : sizeof(notes);

		if (p[i].p_type == PT_NOTE && len &&
		    (copy_loaded(p, count, mem, notes, len, p[i].p_offset) ||
		     !read_at(f, notes, len, p[i].p_offset)))
			find_pvh_entry(notes, len, out);
	}
}

/* Whether entry lies in what was loaded, not in a gap between. */
static bool is_loaded(const Elf64_Phdr *p, unsigned count, uint64_t entry)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if (p[i].p_type == PT_LOAD && entry >= p[i].p_paddr &&
		    entry - p[i].p_paddr < p[i].p_memsz)
			return true;
	return false;
}

static int check_entries(const Elf64_Ehdr *h, const Elf64_Phdr *p,
			 struct kernel_image *out, struct err *e)
{
	const unsigned count = h->e_phnum;

	if (!out->end)
		return err_set(e, -ENOEXEC, "has no segment to load");
	if (out->pvh_entry && !is_loaded(p, count, out->pvh_entry))
		return err_set(e, -ENOEXEC,
			       "is broken: its PVH entry 0x%llx is outside its "
			       "segments",
			       (unsigned long long)out->pvh_entry);
	if (!is_loaded(p, count, out->entry))
		out->entry = 0;
	if (!out->entry && !out->pvh_entry && is_narrow(h))
		return err_set(e, -ENOEXEC,
			       "is a 32-bit ELF file without a PVH note, which "
			       "would tell where to enter it");
	if (!out->entry && !out->pvh_entry)
		return err_set(e, -ENOEXEC,
			       "is broken: its entry is outside its segments");
	return 0;
}

bool elf_is(const struct boot_file *f)
{
	return f->head_len >= SELFMAG && !memcmp(f->head, ELFMAG, SELFMAG);
}

int elf_load(const struct boot_file *f, const struct guest_mem *mem,
	     uint64_t min_gpa, struct kernel_image *out, struct err *e)
{
	Elf64_Phdr p[PHDRS_MAX];
	Elf64_Ehdr h = {0};
	unsigned i;
	int rc;

	rc = read_header(f, &h, e);
	if (rc)
		return rc;
	rc = read_phdrs(f, &h, p);
	if (rc)
		return err_set(e, rc == -EIO ? rc : -ENOEXEC,
			       "is truncated before its program headers (%s)",
			       strerror(-rc));
	memset(out, 0, sizeof(*out));
	out->start = UINT64_MAX;
	out->initrd_max = UINT64_MAX;
	/* What begins in 32-bit mode can't begin in 64-bit mode. */
	out->entry = is_narrow(&h) ? 0 : h.e_entry;
	for (i = 0; i < h.e_phnum; i++) {
		rc = p[i].p_type == PT_LOAD
			     ? check_segment(&p[i], min_gpa, i, e)
			     : 0;
		if (rc)
			return rc;
	}
	for (i = 0; i < h.e_phnum; i++) {
		if (p[i].p_type != PT_LOAD || !p[i].p_memsz)
			continue;
		if (meets_other(p, h.e_phnum, i))
			return err_set(e, -ENOEXEC,
				       "is broken: its segments overlap");
		rc = load_segment(f->fd, &p[i], mem, out, e);
		if (rc)
			return rc;
	}
	read_notes(f, p, h.e_phnum, mem, out);
	return check_entries(&h, p, out, e);
}
