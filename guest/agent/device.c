/*
 * Devices: the nodes in a container's /dev, and a program of BPF in its control
 * group that judges who opens what. A device that the guest has is named by the
 * numbers that it has everywhere; disks are no container's.
 */
#include "guest/agent/device.h"

#include "guest/proto_security.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { FAILED = 125, PATH = 256, RULE_STEPS = 8, FRAME_STEPS = 16 };

/* ---- what was said --------------------------------------------------------
 */

/* Below /dev, and nowhere else. */
static bool is_path(const char *path)
{
	return !strncmp(path, "/dev/", 5) && strlen(path) < PATH &&
	       !strstr(path, "//") && !strstr(path, "/./") &&
	       !strstr(path, "/../") && path[strlen(path) - 1] != '/' &&
	       path[strlen(path) - 1] != '.';
}

/* Memory and ports, by which the microVM is whoever's has them: never. */
static bool is_forbidden(const struct device *d)
{
	return d->kind == PROTO_DEVICE_CHAR && d->major == 1 &&
	       (d->minor == 1 || d->minor == 2 || d->minor == 4);
}

static void nodes_read(struct devices *d, struct reader *r)
{
	const uint32_t n = reader_count(r);

	if (n > PROTO_DEVICES)
		r->is_bad = true;
	if (r->is_bad || !n)
		return;
	d->nodes = calloc(n, sizeof(*d->nodes));
	r->is_bad = !d->nodes;
	while (d->nodes_len < n && !r->is_bad) {
		const struct proto_device *head = reader_take(r, sizeof(*head));
		struct device *node = &d->nodes[d->nodes_len];

		if (!head)
			return;
		d->nodes_len++;
		*node = (struct device){
			.kind = proto_get32(&head->kind),
			.major = proto_get32(&head->major),
			.minor = proto_get32(&head->minor),
			.mode = proto_get32(&head->mode),
			.uid = proto_get32(&head->uid),
			.gid = proto_get32(&head->gid),
			.is_optional = proto_get32(&head->is_optional),
			.path = reader_copy(r),
		};
		if (!node->path || !is_path(node->path) || node->mode > 0777 ||
		    (node->kind != PROTO_DEVICE_CHAR &&
		     node->kind != PROTO_DEVICE_FIFO))
			r->is_bad = true;
	}
}

static void rules_read(struct devices *d, struct reader *r)
{
	const uint32_t n = reader_count(r);

	if (n > PROTO_DEVICE_RULES)
		r->is_bad = true;
	if (r->is_bad || !n)
		return;
	d->rules = calloc(n, sizeof(*d->rules));
	r->is_bad = !d->rules;
	while (d->rules_len < n && !r->is_bad) {
		const struct proto_device_rule *head =
			reader_take(r, sizeof(*head));

		if (!head)
			return;
		d->rules[d->rules_len++] = (struct device_rule){
			.kind = proto_get32(&head->kind),
			.major = proto_get32(&head->major),
			.minor = proto_get32(&head->minor),
			.access = proto_get32(&head->access),
			.is_allowed = proto_get32(&head->is_allowed),
		};
		if (proto_get32(&head->kind) > PROTO_DEVICE_BLOCK ||
		    proto_get32(&head->kind) == PROTO_DEVICE_FIFO)
			r->is_bad = true;
	}
}

void devices_read(struct devices *d, struct reader *r)
{
	nodes_read(d, r);
	rules_read(d, r);
}

void devices_fini(struct devices *d)
{
	for (size_t i = 0; i < d->nodes_len; i++)
		free(d->nodes[i].path);
	free(d->nodes);
	free(d->rules);
	*d = (struct devices){0};
}

/* ---- nodes ----------------------------------------------------------------
 */

void devices_check(const struct spawn *sp, struct devices *d)
{
	for (size_t i = 0; i < d->nodes_len; i++) {
		struct device *node = &d->nodes[i];
		char path[64];

		snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", node->major,
			 node->minor);
		if (node->kind == PROTO_DEVICE_FIFO ||
		    (!is_forbidden(node) && !access(path, F_OK)))
			continue;
		if (!node->is_optional)
			spawn_fail(sp, FAILED, ENODEV,
				   "%.100s: the microVM has no device %u:%u; "
				   "what the host has is not there",
				   node->path, node->major, node->minor);
		free(node->path);
		node->path = NULL;
	}
}

static void node_make(const struct spawn *sp, const struct device *node,
		      bool is_open)
{
	const mode_t type = node->kind == PROTO_DEVICE_FIFO ? S_IFIFO : S_IFCHR;
	const dev_t number = makedev(node->major, node->minor);
	bool is_there = false;
	char path[PATH];
	struct stat st;

	snprintf(path, sizeof(path), "%s", node->path);
	for (char *p = path + 5; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	/* One that all containers have is asked for again. */
	if (mknod(path, type | node->mode, number)) {
		is_there = errno == EEXIST && !lstat(path, &st) &&
			   (st.st_mode & S_IFMT) == type &&
			   st.st_rdev == number;
		if (!is_there)
			spawn_fail(sp, FAILED, errno, "cannot make %.150s",
				   path);
	}
	if ((is_there && chmod(path, node->mode)) ||
	    lchown(path, node->uid, node->gid))
		spawn_fail(sp, FAILED, errno, "cannot give %.150s", path);
	if (!is_there && !is_open && type == S_IFCHR &&
	    mount(path, path, NULL, MS_BIND, NULL))
		spawn_fail(sp, FAILED, errno, "cannot make %.150s", path);
}

/*
 * The devices that runc gives. Each is a mount of its own, for what else is in
 * /dev, or anywhere, is no device: what a container makes by mknod() leads to
 * no disk, whatever its root may do.
 */
void devices_make(const struct spawn *sp, const struct devices *d, bool is_open)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} usual[] = {
		{"/dev/null", 1, 3},	{"/dev/zero", 1, 5},
		{"/dev/full", 1, 7},	{"/dev/random", 1, 8},
		{"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
	};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		const char *path = usual[i].path;

		if (mknod(path, S_IFCHR | 0666,
			  makedev(usual[i].major, usual[i].minor)) ||
		    (!is_open && mount(path, path, NULL, MS_BIND, NULL)))
			spawn_fail(sp, FAILED, errno, "cannot make %s", path);
	}
	for (size_t i = 0; d && i < d->nodes_len; i++)
		if (d->nodes[i].path)
			node_make(sp, &d->nodes[i], is_open);
	if (!is_open &&
	    mount(NULL, "/dev", NULL,
		  MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV, NULL))
		spawn_fail(sp, FAILED, errno, "cannot fix /dev");
}

/* ---- rules ----------------------------------------------------------------
 */

/* A program in the making, of struct bpf_cgroup_dev_ctx: 1 lets it happen. */
struct program {
	struct bpf_insn *steps;
	size_t len;
};

enum { CONTEXT = BPF_REG_1, KIND, ACCESS, MAJOR, MINOR, SPARE };

static void step(struct program *p, uint8_t code, uint8_t to, uint8_t from,
		 int16_t off, int32_t imm)
{
	p->steps[p->len++] = (struct bpf_insn){.code = code,
					       .dst_reg = to & 0xf,
					       .src_reg = from & 0xf,
					       .off = off,
					       .imm = imm};
}

static void step_load(struct program *p, uint8_t to, size_t at)
{
	step(p, BPF_LDX | BPF_MEM | BPF_W, to, CONTEXT, (int16_t)at, 0);
}

/* On to what comes after @over more steps where reg is not that. */
static void step_unless(struct program *p, uint8_t reg, uint32_t is,
			size_t over)
{
	step(p, BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, (int16_t)over,
	     (int32_t)is);
}

static void step_end(struct program *p, bool is_allowed)
{
	step(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, is_allowed);
	step(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static uint32_t bpf_access(uint32_t access)
{
	return (access & PROTO_MAKE ? BPF_DEVCG_ACC_MKNOD : 0) |
	       (access & PROTO_READ ? BPF_DEVCG_ACC_READ : 0) |
	       (access & PROTO_WRITE ? BPF_DEVCG_ACC_WRITE : 0);
}

/*
 * What is allowed has to be allowed in full; what is forbidden, is with
 * whatever it comes together.
 */
static void rule_add(struct program *p, const struct device_rule *r)
{
	const bool has_kind = r->kind == PROTO_DEVICE_CHAR ||
			      r->kind == PROTO_DEVICE_BLOCK;
	const bool has_major = r->major != PROTO_ANY;
	const bool has_minor = r->minor != PROTO_ANY;
	const uint32_t access = bpf_access(r->access);
	size_t left = 5u + has_kind + has_major + has_minor;

	if (has_kind)
		step_unless(p, KIND,
			    r->kind == PROTO_DEVICE_CHAR ? BPF_DEVCG_DEV_CHAR
							 : BPF_DEVCG_DEV_BLOCK,
			    --left);
	if (has_major)
		step_unless(p, MAJOR, r->major, --left);
	if (has_minor)
		step_unless(p, MINOR, r->minor, --left);
	step(p, BPF_ALU64 | BPF_MOV | BPF_X, SPARE, ACCESS, 0, 0);
	step(p, BPF_ALU64 | BPF_AND | BPF_K, SPARE, 0, 0,
	     (int32_t)(r->is_allowed ? ~access & 0xffff : access));
	step(p, BPF_JMP32 | (r->is_allowed ? BPF_JNE : BPF_JEQ) | BPF_K, SPARE,
	     0, 2, 0);
	step_end(p, r->is_allowed);
}

/*
 * Whatever rules say: not disks, on which other containers are, nor memory and
 * ports, by which they could be reached. The node itself may be made.
 */
static void walls_add(struct program *p)
{
	static const struct device_rule walls[] = {
		{PROTO_DEVICE_BLOCK, PROTO_ANY, PROTO_ANY,
		 PROTO_READ | PROTO_WRITE, false},
		{PROTO_DEVICE_CHAR, 1, 1, PROTO_READ | PROTO_WRITE, false},
		{PROTO_DEVICE_CHAR, 1, 2, PROTO_READ | PROTO_WRITE, false},
		{PROTO_DEVICE_CHAR, 1, 4, PROTO_READ | PROTO_WRITE, false},
	};

	for (size_t i = 0; i < sizeof(walls) / sizeof(walls[0]); i++)
		rule_add(p, &walls[i]);
}

static void program_make(struct program *p, const struct devices *d)
{
	step_load(p, ACCESS, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	step(p, BPF_ALU64 | BPF_MOV | BPF_X, KIND, ACCESS, 0, 0);
	step(p, BPF_ALU64 | BPF_AND | BPF_K, KIND, 0, 0, 0xffff);
	step(p, BPF_ALU64 | BPF_RSH | BPF_K, ACCESS, 0, 0, 16);
	step_load(p, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	step_load(p, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
	walls_add(p);
	/* The last that fits counts. */
	for (size_t i = d->rules_len; i; i--)
		rule_add(p, &d->rules[i - 1]);
	step_end(p, false);
}

static int program_attach(const struct program *p, int group_fd)
{
	static const char license[] = "GPL";
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = (uint32_t)p->len,
		.insns = (uint64_t)(uintptr_t)p->steps,
		.license = (uint64_t)(uintptr_t)license,
	};
	const int fd =
		(int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	int rc = 0;

	if (fd < 0)
		return -errno;
	/* With others, should its own processes have some, below. */
	attr = (union bpf_attr){
		.target_fd = (uint32_t)group_fd,
		.attach_bpf_fd = (uint32_t)fd,
		.attach_type = BPF_CGROUP_DEVICE,
		.attach_flags = BPF_F_ALLOW_MULTI,
	};
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)))
		rc = -errno;
	close(fd);
	return rc;
}

int devices_restrict(const struct devices *d, int group_fd)
{
	struct program p = {0};
	int rc;

	if (!d->rules_len)
		return 0;
	p.steps = calloc(FRAME_STEPS + RULE_STEPS * (4 + d->rules_len),
			 sizeof(*p.steps));
	if (!p.steps)
		return -ENOMEM;
	program_make(&p, d);
	rc = program_attach(&p, group_fd);
	free(p.steps);
	return rc;
}
