/*
 * Linux's Image: a header of 64 bytes, then the kernel as it lies in memory.
 * The header is the first bytes of it, and executable: the entry.
 */
#include "vmm/arch/aarch64/image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/arch/aarch64/layout.h"
#include "vmm/base/fd.h"
#include "vmm/base/le.h"

struct image_header {
	uint8_t code[8];
	le64_t text_offset; /* from a base that is a multiple of 2 MiB */
	le64_t image_size;  /* with .bss; 0 in kernels before 3.17 */
	le64_t flags;
	uint8_t reserved[24];
	uint8_t magic[4]; /* "ARM\x64" */
	le32_t pe_offset;
};
_Static_assert(sizeof(struct image_header) == 64, "as booting.rst has it");

#define FLAG_BIG_ENDIAN 1ULL
#define TEXT_OFFSET_MAX (2ULL << 20)
#define IMAGE_SIZE_MAX	(1ULL << 32)
/*
 * Kernel and initrd must lie in a window of 32 GiB that begins at a multiple of
 * 1 GiB.
 */
#define WINDOW	     (32ULL << 30)
#define WINDOW_ALIGN (1ULL << 30)

static bool is_image(const struct boot_file *f)
{
	struct image_header h;

	if (f->head_len < sizeof(h))
		return false;
	memcpy(&h, f->head, sizeof(h));
	return !memcmp(h.magic, "ARM\x64", sizeof(h.magic));
}

static int check_header(const struct image_header *h, struct err *e)
{
	const uint64_t size = le64_get(&h->image_size);

	if (!size)
		return err_set(e, -ENOEXEC,
			       "does not say its size, as kernels before 3.17; "
			       "give a later one");
	if (le64_get(&h->flags) & FLAG_BIG_ENDIAN)
		return err_set(e, -ENOEXEC,
			       "is big-endian; give one that is little-endian");
	if (le64_get(&h->text_offset) >= TEXT_OFFSET_MAX ||
	    size > IMAGE_SIZE_MAX)
		return err_set(e, -ENOEXEC,
			       "has a header that makes no sense: %llu bytes "
			       "at 0x%llx",
			       (unsigned long long)size,
			       (unsigned long long)le64_get(&h->text_offset));
	return 0;
}

static int load_image(const struct boot_file *f, const struct guest_mem *mem,
		      uint64_t min_gpa, struct kernel_image *out, struct err *e)
{
	struct image_header h;
	struct stat st;
	uint64_t size;
	int rc;

	memset(out, 0, sizeof(*out));
	memcpy(&h, f->head, sizeof(h));
	if (fstat(f->fd, &st))
		return err_errno(e, "can't be examined");
	rc = check_header(&h, e);
	if (rc)
		return rc;
	/* What is behind it, such as a signature, is nobody's. */
	size = (uint64_t)st.st_size;
	if (size > le64_get(&h.image_size))
		size = le64_get(&h.image_size);
	out->start = min_gpa + le64_get(&h.text_offset);
	out->end = out->start + le64_get(&h.image_size);
	if (!guest_mem_at(mem, out->start, out->end - out->start))
		return err_set(
			e, -ENOMEM,
			"needs guest memory up to 0x%llx; give the "
			"machine at least %llu MiB",
			(unsigned long long)out->end,
			(unsigned long long)((out->end - LAYOUT_RAM) >> 20) +
				1);
	rc = fd_pread(f->fd, guest_mem_at(mem, out->start, size), size, 0);
	if (rc)
		return err_set(e, rc, "can't be read: %s", strerror(-rc));
	out->entry = out->start;
	out->initrd_max = out->start / WINDOW_ALIGN * WINDOW_ALIGN + WINDOW - 1;
	return 0;
}

/* Newer ones are packed in a program of EFI's, with their own unpacker. */
static bool is_zboot(const struct boot_file *f)
{
	return f->head_len >= 8 && !memcmp(f->head, "MZ\0\0zimg", 8);
}

static int refuse_zboot(const struct boot_file *f, const struct guest_mem *mem,
			uint64_t min_gpa, struct kernel_image *out,
			struct err *e)
{
	(void)f, (void)mem, (void)min_gpa, (void)out;
	return err_set(e, -ENOEXEC,
		       "is packed for EFI (zboot); give the Image that is in "
		       "it, as `unpack_efi_zboot` or the kernel's build has "
		       "it");
}

const struct kernel_formats image_formats = {
	.wanted = "an uncompressed Image",
	.min_gpa = LAYOUT_KERNEL,
	.count = 2,
	.formats =
		{
			{.is = is_image, .load = load_image},
			{.is = is_zboot, .load = refuse_zboot},
		},
};
