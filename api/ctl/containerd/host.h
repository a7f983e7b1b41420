#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "vmm/base/err.h"

/*
 * One shim: what containerd told it when it was started, and where its things
 * are. Names follow from those words alone, so that whoever comes after a shim
 * that was killed finds what it has left.
 */
struct host {
	const char *namespace; /* borrowed, as all words here */
	const char *id;	       /* the container that containerd asks about */
	const char *group;     /* whose shim it is: the pod's, or id */
	const char *address;   /* containerd's socket */
	const char *events;    /* its socket for events; NULL for none */
	const char *bundle;    /* where containerd keeps what belongs to id */
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char vm_name[40];
};

enum { HOST_VCPUS_MAX = 32, HOST_MEMORY_MIN = 32 };

/* Processors that are online, and MiB of memory: what a microVM can't exceed.
 */
uint64_t host_cpus(void);
uint64_t host_memory_mib(void);

/* /etc/mayfly/shim.json, or what $MAYFLY_SHIM_CONFIG names. */
struct host_config {
	uint32_t vcpus;
	uint64_t memory_mib;
	char *kernel; /* owned; NULL: as installed */
	/* What annotations may ask for (wishes.h): so many, as the host has;
	 * 0: as much memory as it has; a folder, owned; NULL: no kernel. */
	uint32_t vcpus_max;
	uint64_t memory_mib_max;
	char *kernels;
	bool has_jail;
	bool is_warm;	     /* microVMs go on from a guest at rest */
	uint64_t images_mib; /* what packed images may take; 0: none is kept */
	/* What becomes of the host's directories that are no kubelet's. */
	enum { DIRECTORIES_REFUSED, DIRECTORIES_COPIED } directories;
};

/* Fills in socket and vm_name from the words. */
int host_place(struct host *h, struct err *e);

/* A file that is not there leaves all as is usual. */
int host_read_config(struct host_config *c, struct err *e);
void host_config_fini(struct host_config *c);

/*
 * The shim's own socket: it listens when this returns 0 and *fd. 1: another
 * shim of this group does already.
 */
int host_listen(const struct host *h, int *fd, struct err *e);

/*
 * Whether this group's shim lives: it answers, or takes longer than a second to
 * do so. To be connected to is no sign: one that is being ended is, for a
 * while.
 */
bool host_answers(const struct host *h);
