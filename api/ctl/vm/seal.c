#include "api/ctl/vm/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/ctl/base/copy.h"
#include "api/ctl/vm/manifest.h"
#include "vmm/base/fd.h"
#include "vmm/base/le.h"
#include "vmm/state/hmac.h"

/* Hexadecimal digits, and the end of the line. */
enum { TAG_LEN = 2 * HMAC_LEN + 1 };

int seal_key(const char *named, struct state_key *key, struct err *e)
{
	const char *path = named ? named : getenv("MAYFLY_SNAPSHOT_KEY");

	*key = (struct state_key){0};
	return path && *path ? state_key_read(path, key, e) : 0;
}

/* ---- what the tag is of ---------------------------------------------------
 */

/* Both files in one piece of memory, and before them how they are divided. */
struct head {
	char mark[8];
	le64_t manifest_bytes;
};

static const char mark[8] = "mayflyct";

struct message {
	uint8_t *bytes; /* owned */
	size_t manifest_bytes, state_bytes;
};

static size_t message_bytes(const struct message *m)
{
	return sizeof(struct head) + m->manifest_bytes + m->state_bytes;
}

static uint8_t *manifest_in(const struct message *m)
{
	return m->bytes + sizeof(struct head);
}

static uint8_t *state_in(const struct message *m)
{
	return manifest_in(m) + m->manifest_bytes;
}

static int read_at(int fd, uint8_t *to, size_t len, const char *name,
		   struct err *e)
{
	const int rc = fd_pread(fd, to, len, 0);

	return rc ? err_set(e, rc, "can't read %s: %s", name,
			    rc == -ENODATA ? "it has become shorter"
					   : strerror(-rc))
		  : 0;
}

static int open_file(int dir, const char *name, uint64_t most, size_t *size,
		     struct err *e)
{
	uint64_t bytes = 0;
	CLEAN_FD int fd = copy_open(dir, name, &bytes, e);

	if (fd < 0)
		return fd;
	if (!bytes || bytes > most)
		return err_set(e, -EINVAL, "%s has %llu bytes", name,
			       (unsigned long long)bytes);
	*size = (size_t)bytes;
	return fd_steal(&fd);
}

static int open_both(int dir, struct sealed *s, struct message *m,
		     struct err *e)
{
	s->manifest_fd = open_file(dir, MANIFEST_FILE, MANIFEST_TEXT_MAX,
				   &m->manifest_bytes, e);
	if (s->manifest_fd < 0)
		return s->manifest_fd;
	s->state_fd = open_file(dir, MANIFEST_STATE, MANIFEST_STATE_MAX,
				&m->state_bytes, e);
	return s->state_fd < 0 ? s->state_fd : 0;
}

static int read_both(const struct sealed *s, struct message *m, struct err *e)
{
	struct head head;
	int rc;

	memcpy(head.mark, mark, sizeof(mark));
	le64_put(&head.manifest_bytes, m->manifest_bytes);
	m->bytes = malloc(message_bytes(m));
	if (!m->bytes)
		return err_set(e, -ENOMEM, "no memory for a snapshot's tag");
	memcpy(m->bytes, &head, sizeof(head));
	rc = read_at(s->manifest_fd, manifest_in(m), m->manifest_bytes,
		     MANIFEST_FILE, e);
	return rc ? rc
		  : read_at(s->state_fd, state_in(m), m->state_bytes,
			    MANIFEST_STATE, e);
}

static void tag_of(const struct message *m, const struct state_key *key,
		   char out[TAG_LEN + 1])
{
	uint8_t tag[HMAC_LEN];
	unsigned i;

	hmac_sha256(key->bytes, key->len, m->bytes, message_bytes(m), tag);
	for (i = 0; i < HMAC_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", tag[i]);
	out[TAG_LEN - 1] = '\n';
	out[TAG_LEN] = '\0';
}

/* ---- writing ------------------------------------------------------------ */

int seal_write(int dir, const struct state_key *key, bool is_synced,
	       struct err *e)
{
	CLEAN_FD int fd = copy_make(dir, SEAL_FILE, e);
	struct message m = {0};
	struct sealed s = {0};
	char tag[TAG_LEN + 1];
	int rc = fd < 0 ? fd : open_both(dir, &s, &m, e);

	rc = rc ? rc : read_both(&s, &m, e);
	if (!rc) {
		tag_of(&m, key, tag);
		if (fd_write(fd, tag, TAG_LEN) || (is_synced && fsync(fd)))
			rc = err_errno(e, "can't write the snapshot's tag");
	}
	free(m.bytes);
	seal_close(&s);
	return rc;
}

/* ---- checking ------------------------------------------------------------
 */

/* 1 where there is one, 0 where there is none. */
static int read_tag(int dir, char out[TAG_LEN + 1], struct err *e)
{
	uint64_t size = 0;
	CLEAN_FD int fd = -1;
	int rc;

	if (faccessat(dir, SEAL_FILE, F_OK, AT_SYMLINK_NOFOLLOW) &&
	    errno == ENOENT)
		return 0;
	fd = copy_open(dir, SEAL_FILE, &size, e);
	if (fd < 0)
		return fd;
	memset(out, 0, TAG_LEN + 1);
	if (size != TAG_LEN)
		return 1; /* which is nobody's */
	rc = read_at(fd, (uint8_t *)out, TAG_LEN, SEAL_FILE, e);
	return rc ? rc : 1;
}

static int check(const struct message *m, const struct state_key *key,
		 const char given[TAG_LEN + 1], struct err *e)
{
	char tag[TAG_LEN + 1];
	bool is_same;

	_Static_assert(TAG_LEN == 2 * HMAC_LEN + 1, "two comparisons");
	tag_of(m, key, tag);
	is_same = hmac_equal((const uint8_t *)tag, (const uint8_t *)given);
	/* Both, always: how long it takes tells nothing. */
	is_same = hmac_equal((const uint8_t *)tag + HMAC_LEN,
			     (const uint8_t *)given + HMAC_LEN) &&
		  is_same;
	if (is_same)
		return 0;
	return err_set(e, -EKEYREJECTED,
		       "the snapshot was made with another key, or changed "
		       "since; give the key that it was made with");
}

/* What was checked, out of reach of who may write to the folder. */
static int keep(int *fd, const char *name, const uint8_t *bytes, size_t len,
		struct err *e)
{
	CLEAN_FD int copy = memfd_create(name, MFD_CLOEXEC);

	if (copy < 0 || fd_pwrite(copy, bytes, len, 0))
		return err_errno(e, "can't make a memory file");
	fd_close(fd);
	*fd = fd_steal(&copy);
	return 0;
}

static int check_both(struct sealed *s, struct message *m,
		      const struct state_key *key,
		      const char given[TAG_LEN + 1], struct err *e)
{
	int rc = read_both(s, m, e);

	rc = rc ? rc : check(m, key, given, e);
	rc = rc ? rc
		: keep(&s->manifest_fd, MANIFEST_FILE, manifest_in(m),
		       m->manifest_bytes, e);
	return rc ? rc
		  : keep(&s->state_fd, MANIFEST_STATE, state_in(m),
			 m->state_bytes, e);
}

int seal_open(int dir, const struct state_key *key, struct sealed *s,
	      struct err *e)
{
	char given[TAG_LEN + 1];
	struct message m = {0};
	int rc;

	*s = (struct sealed){0};
	rc = read_tag(dir, given, e);
	if (rc < 0)
		return rc;
	if (rc && !key->len)
		return err_set(e, -EKEYREJECTED,
			       "the snapshot was made with a key; give it by "
			       "--snapshot-key");
	if (!rc && key->len)
		return err_set(e, -EKEYREJECTED,
			       "the snapshot was made without a key, and one "
			       "is asked for; make it anew with the key");
	rc = open_both(dir, s, &m, e);
	if (!rc && key->len)
		rc = check_both(s, &m, key, given, e);
	free(m.bytes);
	if (rc)
		seal_close(s);
	return rc;
}

void seal_close(struct sealed *s)
{
	fd_close(&s->manifest_fd);
	fd_close(&s->state_fd);
}
