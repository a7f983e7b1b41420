#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/ctl/agent/security.h"
#include "api/ctl/base/terminal.h"
#include "vmm/base/err.h"

/*
 * mayctl's side of the agent's protocol (guest/proto.h): one connection to the
 * guest, with one thing done over it. The guest is hostile: whatever comes is
 * bounded and checked, and what makes no sense ends the session.
 */
enum {
	SESSION_MOUNTS_MAX = 64,
	SESSION_LIMITS_MAX = 32,
	SESSION_FILES_MAX = (16 << 20) - (64 << 10), /* bytes of all files */
};

/* One mount of the container's. Zeroes are what is usual. */
struct session_mount {
	enum { SESSION_DISK, SESSION_TMPFS, SESSION_FILE, SESSION_SHARED } kind;
	/* Of what is shared, by the containers of a guest that name it: as an
	 * id; of its archive, bytes, the first makes it. */
	char shared[32];
	unsigned volume;    /* a disk's number */
	const char *target; /* borrowed */
	bool is_read_only;
	bool is_no_exec, is_no_suid;
	uint32_t mode;	    /* of a tmpfs, 0: 1777; of a file */
	uint64_t tmp_bytes; /* of a tmpfs; 0: half of memory */
	uint32_t uid, gid;  /* of both; 0: root */
	const void *bytes;  /* of a file: what is in it, borrowed; or NULL */
	size_t len;	    /* of all files at most PROTO_FILES_MAX */
};

struct session_limit {
	int resource;	     /* RLIMIT_… */
	uint64_t soft, hard; /* ~0: none */
};

/*
 * How the guest is to call itself on its network: IPv4, or whatever is in the
 * words, which are borrowed.
 */
struct session_network {
	const char *const *addresses;	 /* "10.0.0.2/24", ends with NULL */
	const char *gateway4, *gateway6; /* with addresses; NULL for none */
	uint32_t mtu;			 /* with addresses; 0: leave it */
	uint8_t ip[4];
	uint8_t gateway[4]; /* 0.0.0.0 for none */
	uint8_t dns[4];	    /* a name server; 0.0.0.0 for none */
	uint8_t prefix;	    /* 0: it has no address from us */
};

enum session_kind {
	SESSION_RUN,	/* configure the guest, make the container, run it */
	SESSION_EXEC,	/* one more command in the container */
	SESSION_ATTACH, /* have the streams of the container's first command */
};

/* What the agent is to do; all strings are borrowed. */
struct session_plan {
	enum session_kind kind;
	/* Which container; NULL: the one that mayctl's microVMs have. */
	const char *id;
	/* Of RUN, the serial of the image's disk; NULL: as of the first. */
	const char *image;
	const char *hostname;
	const char *const *argv; /* ends with NULL, as env */
	const char *const *env;
	const char *workdir; /* NULL: the container's, as user */
	const char *user;
	bool has_tty;
	bool has_stdin;
	bool is_kept;	/* it outlives this connection */
	bool is_synced; /* there are disks to sync when it has ended */
	struct terminal_size size;
	int stop_signal;
	struct session_mount mounts[SESSION_MOUNTS_MAX];
	unsigned mount_count;
	const struct session_network *network; /* NULL for none */
	/* It goes on from a saved state, and becomes another machine first,
	 * with this hardware address; NULL for none. */
	bool is_warm;
	const char *mac;
	/* Of resolv.conf, each ends with NULL; dns NULL: the network's. */
	const char *const *dns, *const *search, *const *dns_options;
	const char *const *hosts; /* lines of /etc/hosts: "IP NAME" */
	struct session_limit limits[SESSION_LIMITS_MAX];
	unsigned limit_count;
	/* Bit n is capability n, all bits are ALL: to and from the usual. */
	uint64_t cap_add, cap_drop;
	uint64_t shm_bytes; /* 0: half of memory */
	bool has_init;	    /* a small one is PID 1 */
	bool is_idle;	    /* and argv is not started: EXECs come */
	bool is_read_only;  /* the root */
	bool has_upper;	    /* a disk for what containers write */
	bool has_no_new_privs;
	bool is_detached; /* of EXEC: nobody waits for it */
	bool is_another;  /* of RUN: the guest is configured already */
	/* Limits of a control group, each a file of it and what is written to
	 * it; ends with NULL. NULL: it has no group. */
	const char *const *group;
	/* Instead of cap_add and cap_drop, and more; NULL: as docker has it. */
	const struct session_security *security;
};

/* What comes from the guest. */
enum session_event {
	SESSION_STARTED, /* the command runs */
	SESSION_OUTPUT,	 /* bytes of stream */
	SESSION_EXITED,	 /* code, as a shell would say it */
	SESSION_FAILED,	 /* it could not be started: code, text */
	SESSION_DONE,	 /* a request without a command is done */
	SESSION_EOF,	 /* of a stream; nothing to do */
	SESSION_USAGE,	 /* bytes: what a control group says */
	SESSION_KILLS,	 /* kills of it, for want of memory */
};

struct session_frame {
	enum session_event event;
	int stream; /* 1 or 2 */
	uint32_t code;
	uint32_t error; /* errno of SESSION_FAILED */
	uint64_t kills;
	const uint8_t *bytes; /* until the next session_next() */
	size_t len;
	char text[256];
};

/* Bounds of what waits in memory, each way; out, beside files. */
enum { SESSION_IN_MAX = 256 << 10, SESSION_OUT_MAX = 512 << 10 };

/* The agent calls here, beside vsock.sock, once it is up. */
#define SESSION_READY_SOCKET "vsock.sock_1024"

/* The length of a disk that is the place of another (guest/proto.h). */
enum { SESSION_SPARE_BYTES = 512 };

/* The container of a microVM that has but one, and of several the first. */
#define SESSION_CONTAINER "main"

/* The serial of a disk: of the image, of what is written, of volume n. */
#define SESSION_IMAGE_SERIAL  "image"
#define SESSION_UPPER_SERIAL  "upper"
#define SESSION_VOLUME_SERIAL "volume%u"

struct session {
	int fd;	     /* owned; -1 while there is none */
	uint8_t *in; /* owned; SESSION_IN_MAX */
	size_t in_at, in_len;
	uint8_t *out; /* owned; out_max */
	size_t out_at, out_len, out_max;
	uint64_t input_room; /* bytes of stdin that the agent has room for */
	uint32_t used[3];    /* bytes of output not yet given back, by stream */
	unsigned done_due;   /* DONEs that are answers to CONFIGURE, FILE */
	bool is_greeted;     /* the agent's HELLO has come */
	unsigned unsettled;  /* of these, what makes a guest at rest ours */
	bool is_dialed;	     /* no input before session_is_heard() */
	bool owes_ok;	     /* the monitor, before it */
	uint64_t greeted_ns; /* when */
	bool is_input_over;
	/* Of that HELLO, in µs since the guest's kernel started. */
	uint64_t agent_us;
	uint64_t agent_ready_us;
	/* While it syncs or shuts down: bytes that its disks have got, and that
	 * wait. It works as long as the first grows or the second falls. */
	uint64_t written, left;
	uint64_t moves; /* how often one has */
};

/*
 * Takes a connection on which the agent has called us (owned from now on), or
 * makes one to a running microVM's socket (waits, at most 10 s).
 */
void session_adopt(struct session *s, int fd);
int session_connect(struct session *s, const char *socket, struct err *e);

/*
 * The same without waiting: what is said leaves at once, and session_next()
 * tells whether anybody has heard it. Until then no input is taken.
 */
int session_dial(struct session *s, const char *socket, struct err *e);

/*
 * Just the socket, before CONNECT; flags may be SOCK_NONBLOCK: a monitor that
 * means ill may take no connection, and one more than may wait would wait for
 * ever. A descriptor, or a negative errno.
 */
int session_connect_unix(const char *path, int flags, struct err *e);
void session_fini(struct session *s);

/* Asks for the plan's command. -E2BIG where it is too long to be told. */
int session_start(struct session *s, const struct session_plan *plan,
		  struct err *e);

/*
 * The next thing the guest has said. -EAGAIN where it has not come whole yet;
 * other errors with a sentence, and the session is of no use after them.
 */
int session_next(struct session *s, struct session_frame *f, struct err *e);

/*
 * Whether somebody is there who is ours: where we have called, the agent has
 * greeted, and has become another machine where it was at rest.
 */
bool session_is_heard(const struct session *s);

/* Whether bytes are waiting in memory that session_next() has not looked at. */
bool session_has_more(const struct session *s);

/* How many bytes session_input() would take now. */
size_t session_room(const struct session *s);
void session_input(struct session *s, const uint8_t *bytes, size_t len);
void session_end_input(struct session *s);
void session_signal(struct session *s, int signal);
void session_resize(struct session *s, struct terminal_size size);

/* Sends what is waiting. 0, -EAGAIN where some still is, or an error. */
int session_flush(struct session *s);
bool session_is_full(const struct session *s);

/* Has the guest write everything to its disks; SESSION_DONE says it has. */
void session_sync(struct session *s);

/*
 * A tar archive into a directory of the container, or out of it: see
 * guest/proto.h. To be followed by session_input() and session_next(). Without
 * has_owners all becomes root's; with is_followed a symbolic link at path
 * stands for what it leads to.
 */
int session_copy_in(struct session *s, const char *path, bool has_owners,
		    struct err *e);
int session_copy_out(struct session *s, const char *path, bool is_followed,
		     struct err *e);

/* Gives back n bytes of a stream that were read and used. */
void session_used(struct session *s, int stream, size_t n);

/*
 * Waits for the next frame, at most timeout_ms; -ETIMEDOUT. While the guest
 * writes to its disks and gets on with it, the time begins anew.
 */
int session_await(struct session *s, struct session_frame *f, int timeout_ms,
		  struct err *e);

/*
 * A signal for the container's command, over a connection of its own. -ESRCH
 * where it has ended; waits for the answer.
 */
int session_kill(const char *socket, int signal, struct err *e);

/*
 * Has the agent end what runs, within grace_ms, write all to the disks, and end
 * the machine, over a connection of its own; 0 when all is written.
 */
int session_shutdown(const char *socket, uint32_t grace_ms, struct err *e);

/*
 * The same, and waits for nothing but the agent's greeting. s is the caller's
 * to end, when the machine has ended or nobody waits for that any more; so it
 * is after an error.
 */
int session_ask_shutdown(struct session *s, const char *socket,
			 uint32_t grace_ms, struct err *e);

/*
 * All programs stand still when this returns, until THAW, or RENEW of a copy
 * that was made meanwhile.
 */
int session_freeze(const char *socket, struct err *e);
int session_thaw(const char *socket, struct err *e);

/* What a copy of a microVM is to be called and reached by. */
struct session_identity {
	const char *hostname;
	const struct session_network *network; /* NULL for none */
	const char *mac;		       /* of it */
	uint64_t answered_ns; /* gets when the agent first said something */
};

/*
 * Makes another machine of a copy that has just been loaded: random numbers,
 * the time, its name and its network; then its programs go on.
 */
int session_renew(const char *socket, struct session_identity *who,
		  struct err *e);

/*
 * Has the agent that has called at fd, which is closed then, make ready what
 * does not depend on the container that is to come, for a microVM that is to be
 * saved at rest.
 */
int session_prepare(int fd, int timeout_ms, struct err *e);
