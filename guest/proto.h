#pragma once

/*
 * The wire between the host and the guest's agent (guest/agent/). It
 * needs nothing else of ours: both ends are built from it. What is said about
 * containers' control groups (GROUP, STATS, OOM) is in proto_group.h, about
 * their walls in proto_security.h.
 *
 * Connections
 *
 * The agent listens on vsock port PROTO_PORT. With mayfly a host program
 * connects to the Unix socket `uds_path`, writes "CONNECT 1024\n" and reads
 * "OK <number>\n". The agent also calls: as soon as it listens it makes one
 * connection to the host (CID 2), port PROTO_PORT, which mayfly turns into one
 * to the Unix socket `<uds_path>_1024`. Who listens there learns without
 * polling that the guest is up, and has a connection like any other.
 *
 * A connection carries frames: struct proto_frame, then `length` bytes. Numbers
 * are little-endian and unaligned; fields called `zero` are sent as 0 and
 * ignored. Whatever breaks a rule of this file ends its connection, with an
 * ERROR if one can still be sent, and nothing else.
 *
 * The first frame of each side is a HELLO. The host need not wait for the
 * guest's before it goes on: HELLO, CONFIGURE and RUN may leave in one write.
 *
 * Then the host sends requests, and the guest takes up one after the other:
 *
 *	request    answer                              afterwards
 *	CONFIGURE  DONE (FILE, PREPARE likewise)       next request
 *	RUN        STARTED, streams, EXITED            next request
 *	EXEC       STARTED, streams, EXITED            next request
 *	ATTACH     STARTED, streams, EXITED            next request
 *	LOGS       DATA of streams 1 and 2, DONE       next request
 *	WAIT       EXITED                              next request
 *	KILL       DONE                                next request
 *	REMOVE     DONE                                next request
 *	LIST       CONTAINER, any number; DONE         next request
 *	COPY_IN    CREDIT, as the data is used; DONE   next request
 *	SHARED     likewise                            next request
 *	COPY_OUT   DATA of stream 1, EOF, DONE         next request
 *	FORWARD    STARTED                             raw bytes, see below
 *	SYNC       DONE                                next request
 *	CLOCK      DONE (IDENTITY likewise)            next request
 *	FREEZE     DONE (RENEW, THAW likewise)         next request
 *	GROUP      DONE                                next request
 *	STATS      USAGE                               next request
 *	OOM        KILLS, when there are more          next request
 *	SHUTDOWN   DONE                                the machine ends
 *
 * PROGRESS may come, any number of times, before the answer of SYNC, REMOVE and
 * SHUTDOWN, which take as long as there is something to write.
 *
 * Any request can be answered by ERROR instead, at any point before its last
 * answer; the guest then closes the connection. A host whose write fails finds
 * the ERROR by reading on.
 *
 * Requests that come while another is being served wait unread: what belongs to
 * a running one (DATA, EOF, CREDIT, SIGNAL, RESIZE) must not stand behind them.
 * So send the next request of a connection when the last one is answered, or
 * with it where nothing is to be said meanwhile (CONFIGURE, FILEs, then RUN).
 *
 * Streams and their windows
 *
 * Stream 0 is stdin, or a tar archive on its way in; 1 is stdout, or an archive
 * on its way out; 2 is stderr. Who sends a stream may have at most PROTO_WINDOW
 * bytes of DATA on their way that the reader has not yet made room for: each
 * stream begins with that much, and a CREDIT from the reader adds to it. So a
 * stream that nobody reads stops, and the others, signals and exit statuses
 * pass it by. A reader gives back what it has used, in steps of its liking
 * (half a window is a good one). DATA beyond the window breaks the rules.
 *
 * EOF ends a stream; EOF of stdin closes it (with a tty it types Ctrl-D). Data
 * of stdin for a process that has closed it is used up and thrown away. A
 * late DATA, EOF, CREDIT, SIGNAL or RESIZE, when the process has just ended and
 * EXITED is on its way, is ignored until the next request. LOGS and COPY_OUT
 * need CREDIT as well.
 *
 * What a process had written when it ended is sent before EXITED.
 *
 * Strings are struct proto_le32, the number of bytes, and the bytes: no NUL
 * inside or after. Lists are struct proto_le32, the number, and the items. A
 * payload is a struct, where one is named below, and then strings and lists in
 * the order given there, and nothing more.
 */

#include "guest/proto_number.h"

#include <stddef.h>
#include <stdint.h>

#define PROTO_PORT    1024
#define PROTO_MAGIC   0x4659414d /* "MAYF" */
#define PROTO_VERSION 2

#define PROTO_DATA_MAX	  (64 << 10)  /* bytes of one DATA */
#define PROTO_REQUEST_MAX (256 << 10) /* of any other frame */
#define PROTO_WINDOW	  (256 << 10) /* of each stream at its beginning */
#define PROTO_SESSIONS	  128	      /* more connections are closed */
#define PROTO_FORWARDS	  96	      /* of these; the rest is for control */
#define PROTO_RESERVED	  8	      /* of these; for what is short */
#define PROTO_CONTAINERS  64	      /* in one guest, ended ones included */
#define PROTO_ID_MAX	  64	      /* an id: [A-Za-z0-9_.-], not . or .. */
#define PROTO_LIST_MAX	  4096	      /* items of a list */
#define PROTO_MOUNTS	  64	      /* of a container */
#define PROTO_FILE_MAX	  (128 << 10) /* bytes of one FILE */
#define PROTO_FILES_MAX                               \
	(16 << 20) /* of all that wait for their RUN, \
		    * names included */

/* ---- frames ---------------------------------------------------------------
 */

struct proto_frame {
	struct proto_le32 length; /* of what follows this header */
	uint8_t type;
	uint8_t stream; /* of DATA, EOF, CREDIT; 0 otherwise */
	struct proto_le16 zero;
};

enum proto_type {
	/* both ways */
	PROTO_HELLO = 0x01,  /* struct proto_hello */
	PROTO_DATA = 0x02,   /* bytes, at least one */
	PROTO_EOF = 0x03,    /* nothing */
	PROTO_CREDIT = 0x04, /* struct proto_credit */

	/* host to guest: requests */
	PROTO_CONFIGURE = 0x10,
	PROTO_RUN = 0x11,
	PROTO_EXEC = 0x12,
	PROTO_ATTACH = 0x13,
	PROTO_LOGS = 0x14,
	PROTO_WAIT = 0x15,
	PROTO_KILL = 0x16,
	PROTO_REMOVE = 0x17,
	PROTO_LIST = 0x18, /* nothing */
	PROTO_COPY_IN = 0x19,
	PROTO_COPY_OUT = 0x1a,
	PROTO_FORWARD = 0x1b,
	PROTO_SYNC = 0x1c, /* nothing */
	PROTO_CLOCK = 0x1d,
	PROTO_IDENTITY = 0x1e,
	PROTO_SHUTDOWN = 0x1f,
	PROTO_FILE = 0x20,
	PROTO_FREEZE = 0x21, /* nothing */
	PROTO_THAW = 0x22,   /* nothing */
	PROTO_RENEW = 0x23,
	PROTO_PREPARE = 0x24,
	PROTO_GROUP = 0x25, /* these three: proto_group.h */
	PROTO_STATS = 0x26,
	PROTO_OOM = 0x27,
	PROTO_SHARED = 0x28,

	/* host to guest, to the process of this connection's RUN, EXEC, ATTACH
	 */
	PROTO_SIGNAL = 0x30, /* struct proto_signal */
	PROTO_RESIZE = 0x31, /* struct proto_resize */

	/* guest to host */
	PROTO_STARTED = 0x40,	/* struct proto_started */
	PROTO_EXITED = 0x41,	/* struct proto_exited */
	PROTO_DONE = 0x42,	/* nothing */
	PROTO_ERROR = 0x43,	/* struct proto_error; sentence */
	PROTO_CONTAINER = 0x44, /* struct proto_container; strings, see there */
	PROTO_PROGRESS = 0x45,	/* struct proto_progress */
	PROTO_USAGE = 0x46,	/* list of strings, see proto_group.h */
	PROTO_KILLS = 0x47,	/* struct proto_kills, likewise */
};

enum proto_stream {
	PROTO_STDIN = 0,
	PROTO_STDOUT = 1,
	PROTO_STDERR = 2,
};

/*
 * Each side sends its version. A guest serves a host of the same version and
 * answers ERROR to others.
 */
struct proto_hello {
	struct proto_le32 magic;   /* PROTO_MAGIC */
	struct proto_le32 version; /* PROTO_VERSION */
	/* Since the kernel's start, in µs; a host sends 0. */
	struct proto_le64 agent_us; /* when the agent began to run */
	struct proto_le64 ready_us; /* when it listened */
	struct proto_le64 now_us;
};

struct proto_credit {
	struct proto_le32 bytes; /* at least 1 */
};

struct proto_signal {
	struct proto_le32 signal; /* Linux's number, 1 to 64 */
};

struct proto_resize {
	struct proto_le16 rows;
	struct proto_le16 columns;
};

struct proto_started {
	struct proto_le32 pid; /* as the agent sees it; 0 for FORWARD */
};

struct proto_exited {
	struct proto_le32
		status; /* 0 to 255; 128 + signal if a signal did it */
	struct proto_le32 signal; /* 0 if it ended by itself */
};

/*
 * `status` is what a command line should exit with: 127 when the command is not
 * there, 126 when it can't be run, 125 for all else.
 * string: the sentence, without a full stop
 */
struct proto_error {
	struct proto_le32 error; /* Linux's errno, positive */
	struct proto_le32 status;
};

/*
 * About four times a second while disks are written to. As long as `written`
 * grows, or `left` falls, the guest has not hung.
 */
struct proto_progress {
	struct proto_le64 written; /* bytes, to all disks, since the start */
	struct proto_le64 left;	   /* bytes that wait in memory; a guess */
};

/* ---- the machine ----------------------------------------------------------
 */

/*
 * CONFIGURE: once for each guest; a second is an error (EALREADY). Everything
 * in it may be empty. Block devices are named by their serial: mayfly's
 * `drive_id`, of which a guest sees the first 20 bytes. File systems are EROFS,
 * squashfs or ext4, found by their magic.
 *
 * string: hostname, which may have a domain ("box.example.com")
 * string: image, the serial of the read-only root that RUN uses by default
 * string: upper, the serial of a writable ext4 disk that keeps what containers
 *         write; empty: a tmpfs
 * string: entropy, up to 512 random bytes that are credited in full
 * list of interfaces, each:
 *         struct proto_interface
 *         string: name; empty: the first that is not lo
 *         list of strings: addresses, "192.0.2.2/24" or "2001:db8::2/64"
 *         string: gateway of IPv4 ("192.0.2.1"), on the link if in no subnet
 *         string: gateway of IPv6
 * list of strings: name servers, addresses, in the order they are asked
 * list of strings: search domains
 * list of strings: options of resolv.conf ("ndots:2", "edns0")
 */
struct proto_configure {
	struct proto_le64 time_ns;   /* CLOCK_REALTIME; 0: leave it */
	struct proto_le64 tmp_bytes; /* of the tmpfs; 0: half of memory */
};

struct proto_interface {
	struct proto_le32 mtu; /* 0: leave it */
};

/*
 * SHUTDOWN: ends what runs, syncs, unmounts what can be; then comes DONE, and
 * then the machine's end by a reboot.
 */
struct proto_shutdown {
	struct proto_le32 grace_ms; /* 0: at once; else stop signal and wait */
};

/* CLOCK */
struct proto_clock {
	struct proto_le64 time_ns; /* since 1970 */
};

/*
 * IDENTITY: what a clone of a snapshot must change to be another machine. The
 * entropy is credited and the kernel's generator reseeded at once.
 *
 * string: hostname; empty: leave it
 * string: entropy, 16 to 512 bytes
 */
struct proto_identity {
	struct proto_le64 time_ns; /* 0: leave it */
};

/*
 * FREEZE: all processes but the agent stand still when DONE comes, and notice
 * nothing of it. Until THAW or RENEW: a FREEZE that is lost on its way is
 * undone, one that is answered stays when its connection closes. A host that
 * freezes a guest, saves it, and has each copy of it begin with RENEW lets none
 * of its programs run before. Meanwhile requests that need a process (RUN,
 * EXEC, COPY_IN, COPY_OUT, SYNC, REMOVE) are refused with EBUSY; SHUTDOWN
 * thaws. ENOTSUP where the kernel can't, ETIMEDOUT where something does not
 * stop within some seconds, EALREADY where it is frozen.
 *
 * THAW: they go on. Nothing where none is frozen.
 */

/*
 * RENEW: what a machine that goes on from a saved state must change to be
 * another one, in this order: random numbers, the clock, its name, its network;
 * then what FREEZE has stopped goes on. On an error that does not. An interface
 * that is named goes down and comes up again: what it is not given here it has
 * no more, and the link is told of its addresses. Containers that are called as
 * the machine was are renamed with it. Agents that are older know no such
 * request, but IDENTITY, which is part of it.
 *
 * string: hostname; empty: leave it
 * string: entropy, 32 to 512 bytes
 * list of interfaces as CONFIGURE's, but before its name each has
 *         string: its hardware address, "06:00:c0:00:02:02"; empty: leave it
 */
struct proto_renew {
	struct proto_le64 time_ns; /* 0: leave it */
};

/*
 * PREPARE: what RUN does that depends on nothing else is done now. For a guest
 * that is to be saved before its CONFIGURE, and to go on from there often: each
 * of them begins with RENEW. A RUN of another id or image, or one that wants
 * disks, files or what only flags give, does without.
 *
 * string: id, as RUN's
 * string: image, a serial
 *
 * A block device of PROTO_SPARE_BYTES is the place of one that comes after the
 * load: whoever mounts it waits until it has another size.
 */
#define PROTO_SPARE_BYTES 512

/* ---- containers and processes ---------------------------------------------
 */

enum proto_process_flags {
	PROTO_TTY = 1 << 0,   /* a terminal instead of three pipes */
	PROTO_INPUT = 1 << 1, /* stdin comes from here; else it is empty */
	/*
	 * The process outlives this connection: its output goes on to the
	 * container's log (of an EXEC: nowhere). Without this a connection that
	 * closes before EXITED kills it.
	 */
	PROTO_KEEP = 1 << 2,
	/* STARTED is the last answer, as if the connection were lost then. */
	PROTO_DETACH = 1 << 3,
	PROTO_NO_NEW_PRIVS = 1 << 4,
	/* of RUN only */
	PROTO_READ_ONLY = 1 << 5,   /* the root */
	PROTO_UNMASKED = 1 << 6,    /* all of /proc and /sys, writable */
	PROTO_OWN_NETWORK = 1 << 7, /* nothing but its own lo */
	/* PID 1 is an init: passes signals on, reaps, ends as the command. */
	PROTO_INIT = 1 << 8,
	PROTO_IDLE = 1 << 9, /* no command: PID 1 waits for a signal */
	/* of both again: the end is as proto_security.h has it */
	PROTO_SECURITY = 1 << 10,
};

/*
 * What RUN and EXEC have in common.
 *
 * string: user, "uid[:gid[:group,group…]]", each a number or a name of the
 *         container's /etc/passwd and /etc/group. Without a gid it is that of
 *         /etc/passwd with the groups of /etc/group; 0 if the uid isn't there.
 *         Empty: 0, for EXEC the container's.
 * string: working directory; made if it is missing. Empty: /, for EXEC the
 *         container's.
 * list of strings: argv, at least one; without a / it is looked for in PATH
 * list of strings: environment, "NAME=value". EXEC adds to the container's.
 * What is missing of PATH, HOME, HOSTNAME and, with a tty, TERM is set.
 */
struct proto_process {
	struct proto_le32 flags; /* enum proto_process_flags */
	struct proto_le16 rows;	 /* with PROTO_TTY; 0: leave it */
	struct proto_le16 columns;
	struct proto_le64 capabilities; /* bit n is capability n: the bounding
					 * set, and what uid 0 has; of an EXEC
					 * 0: the container's */
	struct proto_le64 ambient; /* of those, what other users have, too */
};

/*
 * FILE: bytes of a file that the next RUN's mounts may name. A second FILE of a
 * name appends to it, so a file of any length is some FILEs; mode and owner are
 * those of the first. RUN uses up all that there are.
 *
 * string: name, not a path: any but ""
 * bytes: counted as a string is, at most PROTO_FILE_MAX
 */
struct proto_file {
	struct proto_le32 mode; /* permission bits alone */
	struct proto_le32 uid, gid;
};

/*
 * RUN: makes a container and starts its first process, its PID 1.
 *
 * struct proto_process and what belongs to it, then struct proto_run, then
 * string: id
 * string: image, a serial; empty: CONFIGURE's
 * string: hostname, as in CONFIGURE; empty: the id's first 12 characters
 * list of mounts, at most PROTO_MOUNTS, each:
 *         struct proto_mount
 *         struct proto_owner, with PROTO_MOUNT_OWNER: of what it makes
 *         string: a disk's serial, or as the flags have it; empty: a tmpfs
 *         string: path in the container; made if it is missing
 * list of limits, which EXEC's processes have as well, each:
 *         struct proto_limit
 * list of strings: lines for /etc/hosts, "192.0.2.7 db db.example.com"
 * with PROTO_SECURITY: see proto_security.h
 *
 * Mounts are made in the order of their paths' depths, so that one may be in
 * another. Device nodes in any of them are not devices, nor are those that the
 * container makes itself, unless PROTO_UNMASKED.
 */
struct proto_run {
	struct proto_le32 stop_signal; /* for SHUTDOWN; 0: SIGTERM */
	struct proto_le32 log_bytes;   /* for LOGS, at most 16 MiB; 0: 1 MiB */
	struct proto_le64 shm_bytes;   /* /dev/shm; 0: half of memory */
};

enum proto_mount_flags {
	PROTO_MOUNT_READ_ONLY = 1 << 0,
	PROTO_MOUNT_FILE = 1 << 1, /* the string names a FILE */
	PROTO_MOUNT_NO_EXEC = 1 << 2,
	PROTO_MOUNT_NO_SUID = 1 << 3,
	PROTO_MOUNT_OWNER = 1 << 4, /* struct proto_owner follows */
	/*
	 * The string names, as an id is named, a directory that all containers
	 * share who name it. The first makes it, with mode and owner as those
	 * of a tmpfs, and what is in the FILE of that name, a tar archive.
	 */
	PROTO_MOUNT_SHARED = 1 << 5,
};

struct proto_mount {
	struct proto_le32 flags;     /* enum proto_mount_flags */
	struct proto_le32 mode;	     /* of a tmpfs, likewise; 0: 1777 */
	struct proto_le64 tmp_bytes; /* of a tmpfs; 0: half of memory */
};

struct proto_owner {
	struct proto_le32 uid, gid;
};

struct proto_limit {
	struct proto_le32 resource; /* Linux's number, RLIMIT_… */
	struct proto_le64 soft;	    /* ~0: none */
	struct proto_le64 hard;
};

/*
 * EXEC: one more process in a running container.
 *
 * What may take as long as somebody likes (EXEC, LOGS, WAIT, OOM, COPY_IN,
 * COPY_OUT, FORWARD) is refused (EAGAIN) over the last PROTO_RESERVED
 * connections, so that KILL, SYNC, SHUTDOWN and the like always have one.
 *
 * struct proto_process and what belongs to it, then
 * string: id
 * with PROTO_SECURITY: see proto_security.h
 */

/*
 * ATTACH: this connection becomes the one that has the container's streams,
 * from now on. One at a time: EBUSY. When it closes, the container goes on.
 *
 * string: id
 */

/*
 * LOGS: what is kept of the container's output, the oldest first. What a slow
 * reader has not fetched when it is written over is skipped.
 *
 * string: id
 */
struct proto_logs {
	struct proto_le32 follow; /* 1: go on until the container ends */
	struct proto_le32 tail;	  /* only the last so many lines; ~0: all */
};

/*
 * WAIT: EXITED comes when the container has ended, at once if it has.
 *
 * string: id
 */

/*
 * KILL: a signal for the container's PID 1; SIGKILL ends all of the container.
 * ESRCH if it has ended.
 *
 * string: id
 */
struct proto_kill {
	struct proto_le32 signal;
};

/*
 * REMOVE: forgets a container and what it wrote. EBUSY while it runs, unless
 * `force`, which kills it first.
 *
 * string: id
 */
struct proto_remove {
	struct proto_le32 force;
};

enum proto_state {
	PROTO_RUNNING = 1,
	PROTO_ENDED = 2,
};

/*
 * CONTAINER: one line of LIST.
 *
 * string: id
 * string: image's serial
 * string: hostname
 * list of strings: argv
 */
struct proto_container {
	struct proto_le32 state; /* enum proto_state */
	struct proto_le32 pid;	 /* 0 when it has ended */
	struct proto_le32 status;
	struct proto_le32 signal;
	struct proto_le64 started_ns; /* CLOCK_REALTIME */
	struct proto_le64 ended_ns;   /* 0 while it runs */
};

/* ---- files and ports ------------------------------------------------------
 */

/*
 * COPY_IN: DATA and EOF of stream 0 are a tar archive (ustar, pax, GNU's long
 * names), unpacked below `path`, which must be a directory. Every name is
 * resolved in the container's own tree, mounts and symbolic links included.
 * Device nodes are refused. Owners are taken from the archive by number.
 *
 * COPY_OUT: DATA of stream 1 is a tar archive (pax) of `path`, whose entries
 * begin with the last part of `path`. A symbolic link is not followed, with
 * PROTO_COPY_FOLLOW `path` itself is. Sockets and devices are left out, and
 * refused where `path` is one. Files with two names are hard links in it.
 *
 * Neither has extended attributes.
 *
 * Both work while the container runs and after it has ended.
 *
 * string: id
 * string: path, absolute
 */
enum proto_copy_flags {
	PROTO_COPY_FOLLOW = 1 << 0, /* COPY_OUT */
	PROTO_COPY_OWN = 1 << 1,    /* COPY_IN: owners become uid and gid 0 */
	PROTO_COPY_MAKE = 1 << 2,   /* COPY_IN: make `path` if it is missing */
};

struct proto_copy {
	struct proto_le32 flags; /* enum proto_copy_flags */
};

/*
 * SHARED: a directory that containers share (PROTO_MOUNT_SHARED) becomes what
 * DATA and EOF of stream 0, a tar archive as COPY_IN's, have of it. Nothing of
 * it is there before all has come. An archive with a link "..data" is one of
 * kubelet's volumes: the directory that the link leads to is there before it,
 * all changes with the link, by one rename, and what led through it and is not
 * in the archive, with directories whose names begin with "..", goes. Of others
 * each file is replaced by itself, and none goes. ENOENT where no container has
 * it.
 *
 * string: its name
 */

/*
 * FORWARD: a TCP connection to `address` in the guest. After STARTED there are
 * no more frames: bytes go both ways as they are, and closing for writing
 * (shutdown) passes through in each direction. The host may send bytes at once
 * behind the request. The guest's bytes begin right behind STARTED.
 *
 * string: address, IPv4 or IPv6; empty: 127.0.0.1
 */
struct proto_forward {
	struct proto_le16 port;
};
