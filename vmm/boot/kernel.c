/* Which loader a kernel file wants. */
#include "vmm/boot/kernel.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/boot/bzimage.h"
#include "vmm/boot/elf.h"

/* Files people hand over by mistake, and what they should hand over. */
static const struct {
	const char *magic;
	size_t len;
	const char *what;
} mistakes[] = {
	{"\x1f\x8b", 2, "a gzip file"},
	{"\x28\xb5\x2f\xfd", 4, "a zstd file"},
	{"\xfd"
	 "7zXZ",
	 5, "an xz file"},
	{"BZh", 3, "a bzip2 file"},
	{"070701", 6, "a cpio archive (an initrd?)"},
	{"!<arch>", 7, "an archive (a package?)"},
	{"#!", 2, "a script"},
};

static int refuse(const uint8_t *head, size_t len, struct err *e)
{
	size_t i;

	if (!len)
		return err_set(e, -ENOEXEC, "is empty");
	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		if (len >= mistakes[i].len &&
		    !memcmp(head, mistakes[i].magic, mistakes[i].len))
			return err_set(e, -ENOEXEC,
				       "is %s; give an uncompressed vmlinux "
				       "(ELF) or a bzImage",
				       mistakes[i].what);
	return err_set(e, -ENOEXEC,
		       "is not a kernel; give an uncompressed vmlinux (ELF) "
		       "or a bzImage");
}

int kernel_load(int fd, const char *path, const struct guest_mem *mem,
		uint64_t min_gpa, struct kernel_image *out, struct err *e)
{
	struct boot_file f = {.fd = fd};
	const ssize_t len = pread(fd, f.head, sizeof(f.head), 0);
	struct err inner = {0};
	int rc;

	if (len < 0)
		return err_errno(e, "can't read the kernel %s", path);
	f.head_len = (size_t)len;
	if (f.head_len >= SELFMAG && !memcmp(f.head, ELFMAG, SELFMAG))
		rc = elf_load(&f, mem, min_gpa, out, &inner);
	else if (bzimage_is(f.head, f.head_len))
		rc = bzimage_load(fd, mem, min_gpa, out, &inner);
	else
		rc = refuse(f.head, f.head_len, &inner);
	if (rc)
		return err_set(e, rc, "the kernel %s %s", path, inner.text);
	return 0;
}
