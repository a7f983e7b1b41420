/*
 * Making an io_uring and locking it: it is made disabled, told the one file and
 * the operations it may use (IORING_REGISTER_RESTRICTIONS, Linux 5.10), and
 * then enabled, from when on neither can be changed.
 */
#include "vmm/event/uring.h"

#include <errno.h>
#include <string.h>

enum { OPS_MAX = 8 };

/* Only these operations, and only on the fixed file; inline or not. */
static int restrict_to(struct uring *u, const uint8_t *ops, unsigned count)
{
	struct io_uring_restriction rules[OPS_MAX + 2] = {0};
	unsigned i;

	if (count > OPS_MAX)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		rules[i].opcode = IORING_RESTRICTION_SQE_OP;
		rules[i].sqe_op = ops[i];
	}
	rules[i].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	rules[i++].sqe_flags = IOSQE_FIXED_FILE | IOSQE_ASYNC;
	rules[i].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
	rules[i++].sqe_flags = IOSQE_FIXED_FILE;
	return io_uring_register_restrictions(&u->ring, rules, i);
}

int uring_open(struct uring *u, unsigned entries, int fd, const uint8_t *ops,
	       unsigned op_count, struct err *e)
{
	int rc;

	memset(u, 0, sizeof(*u));
	u->watch.fd = -1;
	rc = io_uring_queue_init(entries, &u->ring, IORING_SETUP_R_DISABLED);
	if (rc)
		return err_set(e, rc, "can't make an io_uring: %s",
			       strerror(-rc));
	u->is_open = true;
	rc = io_uring_register_files(&u->ring, &fd, 1);
	if (!rc)
		rc = restrict_to(u, ops, op_count);
	if (!rc)
		rc = io_uring_enable_rings(&u->ring);
	if (!rc)
		return 0;
	uring_close(u);
	return err_set(e, rc, "can't set an io_uring up: %s", strerror(-rc));
}

void uring_close(struct uring *u)
{
	if (u->is_open)
		io_uring_queue_exit(&u->ring);
	u->is_open = false;
}
