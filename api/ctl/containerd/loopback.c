/*
 * A program of the kernel's socket look-up (BPF_PROG_TYPE_SK_LOOKUP, Linux 5.9)
 * hands each connection to 127.0.0.0/8, whatever its port, to one listener. The
 * kernel knows no listener for all ports, and a rule of nft's that redirects
 * them would want nft, a table in the pod's network, and connection tracking.
 */
#include "api/ctl/containerd/loopback.h"

#include <linux/bpf.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { BACKLOG = 128 };

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int open_listener(void)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	CLEAN_FD int fd =
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, BACKLOG))
		return -1;
	return fd_steal(&fd);
}

/* A map of one, which is how a program names a socket. */
static int make_map(int listener)
{
	const uint32_t key = 0;
	const uint64_t value = (uint64_t)listener;
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_SOCKMAP,
		.key_size = sizeof(key),
		.value_size = sizeof(value),
		.max_entries = 1,
	};
	CLEAN_FD int fd = bpf(BPF_MAP_CREATE, &attr);

	if (fd < 0)
		return -1;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)fd;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&value;
	return bpf(BPF_MAP_UPDATE_ELEM, &attr) ? -1 : fd_steal(&fd);
}

#define INSN(op, to, from, jump, value) \
	{.code = (op),                  \
	 .dst_reg = (to),               \
	 .src_reg = (from),             \
	 .off = (jump),                 \
	 .imm = (value)}
#define LOAD(to, field)                                \
	INSN(BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_6, \
	     offsetof(struct bpf_sk_lookup, field), 0)
#define MOVE(to, from) INSN(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0)
#define SET(to, value) INSN(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value)
#define UNLESS(reg, value, jump) \
	INSN(BPF_JMP | BPF_JNE | BPF_K, reg, 0, jump, value)
#define CALL(function) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, function)

static int load_program(int map)
{
	/* Jumps are counted from behind the jump: to PASS all of them. */
	const struct bpf_insn program[] = {
		MOVE(BPF_REG_6, BPF_REG_1),
		LOAD(BPF_REG_2, protocol),
		UNLESS(BPF_REG_2, IPPROTO_TCP, 19),
		LOAD(BPF_REG_2, family),
		UNLESS(BPF_REG_2, AF_INET, 17),
		/* The first byte of four in the network's order. */
		LOAD(BPF_REG_2, local_ip4),
		INSN(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xff),
		UNLESS(BPF_REG_2, IN_LOOPBACKNET, 14),
		INSN(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0),
		MOVE(BPF_REG_2, BPF_REG_10),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
		INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0,
		     map),
		INSN(0, 0, 0, 0, 0), /* of the one before, upper half */
		CALL(BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 7, 0),
		MOVE(BPF_REG_7, BPF_REG_0),
		MOVE(BPF_REG_1, BPF_REG_6),
		MOVE(BPF_REG_2, BPF_REG_7),
		SET(BPF_REG_3, 0),
		CALL(BPF_FUNC_sk_assign),
		MOVE(BPF_REG_1, BPF_REG_7),
		CALL(BPF_FUNC_sk_release),
		SET(BPF_REG_0, SK_PASS),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SK_LOOKUP,
		.expected_attach_type = BPF_SK_LOOKUP,
		.insns = (uintptr_t)program,
		.insn_cnt = sizeof(program) / sizeof(program[0]),
		.license = (uintptr_t)"",
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int program, int netns_fd)
{
	union bpf_attr attr = {.link_create = {
				       .prog_fd = (uint32_t)program,
				       .target_fd = (uint32_t)netns_fd,
				       .attach_type = BPF_SK_LOOKUP,
			       }};

	return bpf(BPF_LINK_CREATE, &attr);
}

int loopback_open(struct loopback *l, int netns_fd, struct err *e)
{
	CLEAN_FD int map = -1;
	CLEAN_FD int program = -1;

	l->link_fd = -1;
	l->listen_fd = open_listener();
	if (l->listen_fd >= 0)
		map = make_map(l->listen_fd);
	if (map >= 0)
		program = load_program(map);
	if (program >= 0)
		l->link_fd = attach(program, netns_fd);
	if (l->link_fd >= 0)
		return 0;
	err_errno(e, "can't have what is dialled at the pod's localhost");
	loopback_close(l);
	return e->code;
}

void loopback_close(struct loopback *l)
{
	fd_close(&l->link_fd);
	fd_close(&l->listen_fd);
}
