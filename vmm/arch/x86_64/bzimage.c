/*
 * The bzImage loader (Documentation/arch/x86/boot.rst).
 *
 * The file is real-mode code, which we never run, then the protected-mode
 * part, a decompressor with the kernel packed inside. We enter the latter at
 * its 64-bit entry, 0x200 after its start.
 */
#include "vmm/arch/x86_64/bzimage.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/fd.h"

enum { HEADER_AT = 0x1f1, MAGIC_AT = 0x202, SECTOR = 512 };
enum { PROTOCOL_MIN = 0x020c, ENTRY64_AT = 0x200 };
enum { PARAGRAPH = 16 }; /* syssize counts these */

bool bzimage_is(const uint8_t *head, size_t len)
{
	return len >= MAGIC_AT + 4 && memcmp(head + MAGIC_AT, "HdrS", 4) == 0;
}

static int read_header(int fd, struct setup_header *h, struct kernel_image *out,
		       struct err *e)
{
	uint8_t jump_len;

	if (fd_pread(fd, out->header, sizeof(out->header), HEADER_AT))
		return err_set(e, -ENOEXEC,
			       "is truncated inside its setup header");
	memcpy(h, out->header, sizeof(*h));
	/*
	 * The header ends where the jump at 0x200 lands; its second byte is
	 * the distance from 0x202 (boot.rst, "The Real-Mode Kernel Header").
	 */
	jump_len = (uint8_t)(h->jump >> 8);
	out->header_len = MAGIC_AT - HEADER_AT + jump_len;
	if (out->header_len > sizeof(out->header))
		out->header_len = sizeof(out->header);
	if (h->header != 0x53726448)
		return err_set(e, -ENOEXEC, "is not a bzImage");
	if (h->version < PROTOCOL_MIN || !(h->xloadflags & XLF_KERNEL_64))
		return err_set(e, -ENOEXEC,
			       "has no 64-bit entry (boot protocol %u.%02u, "
			       "2.12 with XLF_KERNEL_64 is needed)",
			       h->version >> 8, h->version & 0xff);
	if (!(h->loadflags & LOADED_HIGH))
		return err_set(e, -ENOEXEC, "is a zImage; give a bzImage");
	return 0;
}

/* Where the kernel likes to be, or the lowest free place if it may move. */
static uint64_t choose_start(const struct setup_header *h, uint64_t min_gpa)
{
	uint64_t align = h->kernel_alignment, start = h->pref_address;

	if (start >= min_gpa || !h->relocatable_kernel)
		return start;
	if (!align || align & (align - 1) || align > 1ULL << 30)
		align = 1ULL << 21;
	return (min_gpa + align - 1) & ~(align - 1);
}

int bzimage_load(int fd, const struct guest_mem *mem, uint64_t min_gpa,
		 struct kernel_image *out, struct err *e)
{
	struct setup_header h = {0};
	uint64_t offset, size, need;
	struct stat st;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = read_header(fd, &h, out, e);
	if (rc)
		return rc;
	offset = ((h.setup_sects ? h.setup_sects : 4) + 1ULL) * SECTOR;
	if (fstat(fd, &st))
		return err_errno(e, "can't be examined");
	if ((uint64_t)st.st_size <= offset + ENTRY64_AT)
		return err_set(e, -ENOEXEC,
			       "is truncated before its protected-mode part");
	size = (uint64_t)st.st_size - offset;
	/* The last paragraph need not be whole; in memory zeroes follow. */
	if (size + PARAGRAPH <= (uint64_t)h.syssize * PARAGRAPH)
		return err_set(e, -ENOEXEC,
			       "is truncated: %llu of %llu bytes of kernel",
			       (unsigned long long)size,
			       (unsigned long long)h.syssize * PARAGRAPH);
	out->start = choose_start(&h, min_gpa);
	/* init_size covers decompression and .bss, from the start on. */
	need = h.init_size > size ? h.init_size : size;
	if (out->start < min_gpa ||
	    __builtin_add_overflow(out->start, need, &out->end))
		return err_set(e, -ENOEXEC, "wants to be loaded at 0x%llx",
			       (unsigned long long)out->start);
	if (!guest_mem_at(mem, out->start, need))
		return err_set(e, -ENOMEM,
			       "needs guest memory up to 0x%llx; give the "
			       "machine at least %llu MiB",
			       (unsigned long long)out->end,
			       (unsigned long long)(out->end >> 20) + 1);
	rc = fd_pread(fd, guest_mem_at(mem, out->start, size), size, offset);
	if (rc)
		return err_set(e, rc, "can't be read: %s", strerror(-rc));
	out->entry = out->start + ENTRY64_AT;
	out->initrd_max = h.initrd_addr_max;
	return 0;
}
