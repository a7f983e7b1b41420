/* Synthetic kernels in memfds, and a mutator with a memory of its own. */
#include "tests/unit/kernel_file.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { PHDRS_AT = sizeof(Elf64_Ehdr), TEXT_AT = 0x1000, DATA_AT = 0x1800 };
enum { NOTES_AT = 0x1c00, NOTES_BYTES = 20, ELF_BYTES = 0x1d00 };
enum { SETUP_AT = 0x1f1, NOTE_PHYS32_ENTRY = 18 };

Elf64_Ehdr *kernel_file_ehdr(struct kernel_file *f)
{
	return (Elf64_Ehdr *)(void *)f->bytes;
}

Elf32_Ehdr *kernel_file_ehdr32(struct kernel_file *f)
{
	return (Elf32_Ehdr *)(void *)f->bytes;
}

Elf64_Phdr *kernel_file_phdr(struct kernel_file *f, unsigned index)
{
	return (Elf64_Phdr *)(void *)(f->bytes + PHDRS_AT) + index;
}

uint8_t *kernel_file_notes(struct kernel_file *f)
{
	return f->bytes + NOTES_AT;
}

struct setup_header *kernel_file_setup(struct kernel_file *f)
{
	return (struct setup_header *)(void *)(f->bytes + SETUP_AT);
}

void kernel_file_put_note(struct kernel_file *f, size_t *at, const char *name,
			  uint32_t type, const void *desc, uint32_t desc_len)
{
	const uint32_t head[3] = {(uint32_t)strlen(name) + 1, desc_len, type};

	memcpy(f->bytes + *at, head, sizeof(head));
	*at += sizeof(head);
	memcpy(f->bytes + *at, name, head[0]);
	*at += (head[0] + 3) & ~3U;
	if (desc_len)
		memcpy(f->bytes + *at, desc, desc_len);
	*at += (desc_len + 3) & ~3U;
}

void kernel_file_elf(struct kernel_file *f)
{
	const uint32_t pvh_entry = KERNEL_FILE_PVH_ENTRY;
	Elf64_Ehdr *h = kernel_file_ehdr(f);
	size_t at = NOTES_AT;

	memset(f, 0, sizeof(*f));
	f->len = ELF_BYTES;
	memcpy(h->e_ident, ELFMAG, SELFMAG);
	h->e_ident[EI_CLASS] = ELFCLASS64;
	h->e_ident[EI_DATA] = ELFDATA2LSB;
	h->e_ident[EI_VERSION] = EV_CURRENT;
	h->e_type = ET_EXEC;
#if defined(__x86_64__)
	h->e_machine = EM_X86_64;
#else
	h->e_machine = EM_AARCH64;
#endif
	h->e_version = EV_CURRENT;
	h->e_entry = KERNEL_FILE_ENTRY;
	h->e_phoff = PHDRS_AT;
	h->e_ehsize = sizeof(*h);
	h->e_phentsize = sizeof(Elf64_Phdr);
	h->e_phnum = 3;
	*kernel_file_phdr(f, KERNEL_FILE_TEXT) = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = TEXT_AT,
		.p_paddr = KERNEL_FILE_TEXT_GPA,
		.p_filesz = KERNEL_FILE_TEXT_BYTES,
		.p_memsz = KERNEL_FILE_TEXT_BYTES,
	};
	*kernel_file_phdr(f, KERNEL_FILE_DATA) = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = DATA_AT,
		.p_paddr = KERNEL_FILE_DATA_GPA,
		.p_filesz = KERNEL_FILE_DATA_BYTES,
		.p_memsz = KERNEL_FILE_DATA_MEMORY,
	};
	*kernel_file_phdr(f, KERNEL_FILE_NOTE) = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = NOTES_AT,
		.p_filesz = NOTES_BYTES,
		.p_memsz = NOTES_BYTES,
	};
	memset(f->bytes + TEXT_AT, 0x90, KERNEL_FILE_TEXT_BYTES);
	memset(f->bytes + DATA_AT, 0xd5, KERNEL_FILE_DATA_BYTES);
	kernel_file_put_note(f, &at, "Xen", NOTE_PHYS32_ENTRY, &pvh_entry, 4);
}

void kernel_file_narrow(struct kernel_file *f)
{
	const Elf64_Ehdr wide = *kernel_file_ehdr(f);
	Elf32_Ehdr *h = kernel_file_ehdr32(f);
	Elf32_Phdr *out = (Elf32_Phdr *)(h + 1);
	Elf64_Phdr p[3];
	unsigned i;

	memcpy(p, kernel_file_phdr(f, 0), sizeof(p));
	memset(f->bytes, 0, PHDRS_AT + sizeof(p));
	memcpy(h->e_ident, wide.e_ident, sizeof(h->e_ident));
	h->e_ident[EI_CLASS] = ELFCLASS32;
	h->e_type = wide.e_type;
	h->e_machine = EM_386;
	h->e_version = EV_CURRENT;
	h->e_entry = (Elf32_Addr)wide.e_entry;
	h->e_phoff = sizeof(*h);
	h->e_ehsize = sizeof(*h);
	h->e_phentsize = sizeof(Elf32_Phdr);
	h->e_phnum = wide.e_phnum;
	for (i = 0; i < wide.e_phnum; i++)
		out[i] = (Elf32_Phdr){
			.p_type = p[i].p_type,
			.p_offset = (Elf32_Off)p[i].p_offset,
			.p_paddr = (Elf32_Addr)p[i].p_paddr,
			.p_filesz = (Elf32_Word)p[i].p_filesz,
			.p_memsz = (Elf32_Word)p[i].p_memsz,
		};
}

void kernel_file_bzimage(struct kernel_file *f)
{
	struct setup_header *h = kernel_file_setup(f);

	memset(f, 0, sizeof(*f));
	f->len = KERNEL_FILE_SETUP_BYTES + KERNEL_FILE_PROTECTED_BYTES;
	h->setup_sects = KERNEL_FILE_SETUP_BYTES / 512 - 1;
	h->syssize = KERNEL_FILE_PROTECTED_BYTES / 16;
	h->boot_flag = 0xaa55;
	h->jump = 0x6aeb; /* over the header, to 0x26c */
	h->header = 0x53726448;
	h->version = 0x020f;
	h->loadflags = LOADED_HIGH;
	h->initrd_addr_max = 0x7fffffff;
	h->kernel_alignment = 0x10000;
	h->relocatable_kernel = 1;
	h->xloadflags = XLF_KERNEL_64;
	h->cmdline_size = 2047;
	h->pref_address = KERNEL_FILE_PREF_GPA;
	h->init_size = KERNEL_FILE_INIT_BYTES;
	memset(f->bytes + KERNEL_FILE_SETUP_BYTES, 0xb2,
	       KERNEL_FILE_PROTECTED_BYTES);
}

int kernel_file_rewrite(const struct kernel_file *f, int fd)
{
	int rc = fd_pwrite(fd, f->bytes, f->len, 0);

	return rc ? rc : ftruncate(fd, (off_t)f->len);
}

int kernel_file_open(const struct kernel_file *f)
{
	CLEAN_FD int fd = memfd_create("kernel", MFD_CLOEXEC);

	if (fd < 0 || kernel_file_rewrite(f, fd))
		return -1;
	return fd_steal(&fd);
}

/* xorshift64* */
uint32_t kernel_file_random(uint64_t *seed)
{
	uint64_t x = *seed;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*seed = x;
	return (uint32_t)((x * 0x2545f4914f6cdd1dULL) >> 32);
}

void kernel_file_mutate(struct kernel_file *f, size_t among, uint64_t *seed)
{
	static const uint64_t hurtful[] = {
		0,	    1,
		0x7fff,	    0xffff,
		0x10000,    0x7fffffff,
		0xffffffff, 0x100000000,
		INT64_MAX,  UINT64_MAX - 0xfff,
		UINT64_MAX,
	};
	unsigned times = 1 + kernel_file_random(seed) % 4;

	while (times--) {
		const uint64_t word =
			hurtful[kernel_file_random(seed) %
				(sizeof(hurtful) / sizeof(hurtful[0]))];
		const size_t at = kernel_file_random(seed) % among;
		const size_t width = 1U << kernel_file_random(seed) % 4;

		switch (kernel_file_random(seed) % 8) {
		case 0:
			f->len = kernel_file_random(seed) % (f->len + 1);
			break;
		case 1:
		case 2:
		case 3:
			/* Fields are aligned in ELF, so aim at whole ones. */
			memcpy(f->bytes + at / width * width, &word, width);
			break;
		default:
			f->bytes[at] ^=
				(uint8_t)(1U << kernel_file_random(seed) % 8);
			break;
		}
	}
}
