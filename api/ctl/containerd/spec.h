#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/containerd/resources.h"
#include "vmm/base/err.h"

/*
 * What the OCI's config.json of a bundle says that the agent is to do. Of it
 * are argv, environment, user, capabilities, limits, resources, terminal, root,
 * mounts, and the walls: masks, sysctls, devices, a seccomp profile,
 * namespaces.
 */
struct spec {
	json_t *json;		  /* owned; what is borrowed below is its */
	const char **argv, **env; /* owned, and their strings are not */
	char user[512];
	const char *hostname; /* NULL where it has none */
	char *root;	      /* owned: the path of the root file system */
	const char *sandbox;  /* id of the pod's; NULL for none */
	void *files[SESSION_MOUNTS_MAX]; /* owned */
	/* Of its mounts, those that follow the host's: the path there. */
	const char *volumes[SESSION_MOUNTS_MAX];
	bool copies_directories;
	/* Paths of namespaces; NULL for its own. */
	const char *netns, *ipc, *uts, *pid;
	/* What security has of them; owned. */
	const char **hidden, **fixed;
	char **sysctls;
	struct session_device *devices;
	struct session_rule *rules;
	void *filter;
	struct session_security security;
	bool wants_hosts_network;   /* it has no namespace of it at all */
	struct resources resources; /* what it may use */
	struct session_plan plan;
};

/*
 * Reads BUNDLE/config.json, and what is copied of the host's files; directories
 * that are no kubelet's only where copies_directories. spec_fini() frees it,
 * also after a failure.
 */
int spec_read(struct spec *s, const char *bundle, bool copies_directories,
	      struct err *e);

/* What an annotation says; NULL where there is none, or it is no text. */
const char *spec_annotation(const struct spec *s, const char *name);

/* The group of the container in BUNDLE: its pod's id, or "" for its own. */
int spec_group(const char *bundle, char *out, size_t size, struct err *e);

/* Of an exec: the process alone, as JSON. */
int spec_parse_process(struct spec *s, const char *text, size_t len,
		       struct err *e);

/* Accepts a zeroed struct. */
void spec_fini(struct spec *s);
