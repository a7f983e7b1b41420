/* Which loader a kernel file wants. */
#include "vmm/boot/kernel.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

static int refuse(const struct boot_file *f, const char *wanted, struct err *e)
{
	const uint8_t *head = f->head;
	const size_t len = f->head_len;
	size_t i;

	if (!len)
		return err_set(e, -ENOEXEC, "is empty");
	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		if (len >= mistakes[i].len &&
		    !memcmp(head, mistakes[i].magic, mistakes[i].len))
			return err_set(e, -ENOEXEC, "is %s; give %s",
				       mistakes[i].what, wanted);
	return err_set(e, -ENOEXEC, "is not a kernel; give %s", wanted);
}

int kernel_load(int fd, const char *path, const struct guest_mem *mem,
		const struct kernel_formats *formats, struct kernel_image *out,
		struct err *e)
{
	struct boot_file f = {.fd = fd};
	const ssize_t len = pread(fd, f.head, sizeof(f.head), 0);
	struct err inner = {0};
	unsigned i;
	int rc;

	if (len < 0)
		return err_errno(e, "can't read the kernel %s", path);
	f.head_len = (size_t)len;
	for (i = 0; i < formats->count; i++)
		if (formats->formats[i].is(&f))
			break;
	rc = i < formats->count
		     ? formats->formats[i].load(&f, mem, formats->min_gpa, out,
						&inner)
		     : refuse(&f, formats->wanted, &inner);
	if (rc)
		return err_set(e, rc, "the kernel %s %s", path, inner.text);
	return 0;
}
