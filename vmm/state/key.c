/* A key out of a file. */
#include "vmm/state/key.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "vmm/base/fd.h"

int state_key_read(const char *path, struct state_key *key, struct err *e)
{
	struct stat st;
	CLEAN_FD int fd = fd_open_stat(path, O_RDONLY, FD_REGULAR,
				       "snapshots' key", &st, e);
	int rc;

	if (fd < 0)
		return fd;
	if (st.st_size < STATE_KEY_MIN || st.st_size > STATE_KEY_MAX)
		return err_set(e, -EINVAL,
			       "the snapshots' key %s has %lld bytes, and a "
			       "key has %d to %d; make one by head -c 32 "
			       "/dev/urandom",
			       path, (long long)st.st_size, STATE_KEY_MIN,
			       STATE_KEY_MAX);
	rc = fd_pread(fd, key->bytes, (size_t)st.st_size, 0);
	if (rc)
		return err_set(e, rc, "can't read the snapshots' key %s", path);
	key->len = (size_t)st.st_size;
	return 0;
}
