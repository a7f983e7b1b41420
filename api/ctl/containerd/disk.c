/*
 * What can be handed to a guest as it is: containerd's erofs snapshotter gives
 * a mount of an image, its devmapper snapshotter one of a block device. The
 * superblock is judged by what the guest's kernel (guest/kernel) can mount, for
 * one that it can't would fail in there: Linux 6.1, fs/erofs/erofs_fs.h and
 * fs/ext4/ext4.h.
 */
#include "api/ctl/containerd/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum {
	SUPER_AT = 1024,
	SUPER_SIZE = 1024,
	SECTOR = 512,
	PAGE_SHIFT = 12,
};

static uint64_t number(const uint8_t *at, unsigned size)
{
	uint64_t n = 0;

	while (size--)
		n = n << 8 | at[size];
	return n;
}

/*
 * Its incompatible features are those of zero padding, compression (by lz4
 * alone), chunks, big clusters, heads of a second kind, packed tails and
 * fragments: bits 0 to 5; none of it on another device, nor in blocks of other
 * sizes than a page.
 */
static uint64_t erofs_bytes(const uint8_t *s)
{
	enum {
		MAGIC = 0xe0f5e1e2,
		KNOWN = 0x3f,
		HAS_ALGORITHMS = 0x02,
		LZ4 = 1,
	};
	const uint64_t features = number(s + 80, 4);

	/* Byte 90: directories' blocks are others' size. */
	if (number(s, 4) != MAGIC || s[12] != PAGE_SHIFT || s[90] ||
	    features & ~(uint64_t)KNOWN || number(s + 86, 2))
		return 0;
	if (features & HAS_ALGORITHMS && number(s + 84, 2) & ~(uint64_t)LZ4)
		return 0;
	return number(s + 36, 4) << PAGE_SHIFT;
}

/*
 * Bits of s_feature_incompat: types in directories, extents, groups of other
 * kinds, 64 bits, attributes in inodes, seeds of checksums, large directories,
 * data in inodes. Not a journal that is to be replayed, or is elsewhere, nor
 * what is encrypted or without case.
 */
static uint64_t ext4_bytes(const uint8_t *s)
{
	enum {
		MAGIC = 0xef53,
		KNOWN = 0x2 | 0x10 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 |
			0x4000 | 0x8000,
		HAS_64_BITS = 0x80,
		IS_CLEAN = 1,
		HAS_ERRORS = 2,
		SHIFT_MAX = 2,
	};
	const uint64_t features = number(s + 96, 4);
	const uint64_t shift = number(s + 24, 4);
	uint64_t blocks = number(s + 4, 4);

	if (number(s + 56, 2) != MAGIC || features & ~(uint64_t)KNOWN ||
	    shift > SHIFT_MAX || !(number(s + 58, 2) & IS_CLEAN) ||
	    number(s + 58, 2) & HAS_ERRORS)
		return 0;
	if (features & HAS_64_BITS)
		blocks |= number(s + 336, 4) << 32;
	return blocks >> 40 ? 0 : blocks << (10 + shift);
}

/* Whether no option says more than that it is to be read. */
static bool is_plain(const char *options)
{
	static const char *const plain[] = {"ro",      "rw",	   "loop",
					    "noatime", "nosuid",   "nodev",
					    "discard", "nodiscard"};
	const char *at = options;

	while (*at) {
		const size_t len = strcspn(at, ",");
		bool is_known = !len;

		for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
			is_known |= strlen(plain[i]) == len &&
				    !strncmp(at, plain[i], len);
		if (!is_known)
			return false;
		at += len + (at[len] == ',');
	}
	return true;
}

int disk_open(const struct rootfs *r, struct disk *d, struct err *e)
{
	const struct rootfs_mount *m = r->mounts;
	uint8_t super[SUPER_SIZE];
	off_t end;

	d->fd = -1;
	if (r->count != 1 || !is_plain(m->options) ||
	    (strcmp(m->type, "erofs") != 0 && strcmp(m->type, "ext4") != 0))
		return 0;
	d->fd = fd_open_stat(m->source, O_RDONLY, FD_REGULAR_OR_BLOCK,
			     "root file system", &d->st, e);
	if (d->fd < 0)
		return d->fd;
	d->bytes = 0;
	if (!fd_pread(d->fd, super, sizeof(super), SUPER_AT))
		d->bytes = *m->type == 'e' && m->type[1] == 'r'
				   ? erofs_bytes(super)
				   : ext4_bytes(super);
	/* A disk has whole sectors, and all that its file system says. */
	end = lseek(d->fd, 0, SEEK_END);
	if (d->bytes && end > 0 && !(end % SECTOR) && d->bytes <= (uint64_t)end)
		return 1;
	fd_close(&d->fd);
	return 0;
}
