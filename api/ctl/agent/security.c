#include "api/ctl/agent/security.h"

#include "api/ctl/agent/frame.h"
#include "guest/proto_security.h"

_Static_assert(+SESSION_CHAR == +PROTO_DEVICE_CHAR &&
		       +SESSION_FIFO == +PROTO_DEVICE_FIFO &&
		       +SESSION_RULE_CHAR == +PROTO_DEVICE_CHAR &&
		       +SESSION_RULE_BLOCK == +PROTO_DEVICE_BLOCK &&
		       +SESSION_MAKE == +PROTO_MAKE &&
		       +SESSION_READ == +PROTO_READ &&
		       +SESSION_WRITE == +PROTO_WRITE &&
		       SESSION_ANY == PROTO_ANY,
	       "as the agent has them");
_Static_assert(SESSION_PATHS_MAX == PROTO_PATHS &&
		       SESSION_DEVICES_MAX == PROTO_DEVICES &&
		       SESSION_RULES_MAX == PROTO_DEVICE_RULES &&
		       SESSION_FILTER_MAX == PROTO_FILTER_MAX,
	       "as many as the agent takes");

void frame_rights(struct payload *p, const struct session_security *s)
{
	struct proto_security head = {0};

	proto_put32(
		&head.flags,
		(s->has_sets ? PROTO_SECURITY_SETS : 0u) |
			(s->has_umask ? PROTO_SECURITY_UMASK : 0u) |
			(s->has_score ? PROTO_SECURITY_SCORE : 0u) |
			(s->is_sys_writable ? PROTO_SECURITY_SYS : 0u) |
			(s->is_group_writable ? PROTO_SECURITY_GROUPS : 0u) |
			(s->has_nodes ? PROTO_SECURITY_NODES : 0u));
	proto_put32(&head.umask, s->umask);
	proto_put32(&head.score, (uint32_t)s->score);
	proto_put64(&head.effective, s->effective);
	proto_put64(&head.permitted, s->permitted);
	proto_put64(&head.inheritable, s->inheritable);
	frame_put(p, &head, sizeof(head));
}

static void put_devices(struct payload *p, const struct session_security *s)
{
	frame_number(p, (uint32_t)s->device_count);
	for (size_t i = 0; i < s->device_count; i++) {
		const struct session_device *d = &s->devices[i];
		struct proto_device head;

		proto_put32(&head.kind, d->kind);
		proto_put32(&head.major, d->major);
		proto_put32(&head.minor, d->minor);
		proto_put32(&head.mode, d->mode);
		proto_put32(&head.uid, d->uid);
		proto_put32(&head.gid, d->gid);
		proto_put32(&head.is_optional, d->is_optional);
		frame_put(p, &head, sizeof(head));
		frame_string(p, d->path);
	}
}

static void put_rules(struct payload *p, const struct session_security *s)
{
	frame_number(p, (uint32_t)s->rule_count);
	for (size_t i = 0; i < s->rule_count; i++) {
		const struct session_rule *r = &s->rules[i];
		struct proto_device_rule rule;

		proto_put32(&rule.kind, r->kind);
		proto_put32(&rule.major, r->major);
		proto_put32(&rule.minor, r->minor);
		proto_put32(&rule.access, r->access);
		proto_put32(&rule.is_allowed, r->is_allowed);
		frame_put(p, &rule, sizeof(rule));
	}
}

void frame_walls(struct payload *p, const struct session_security *s)
{
	struct proto_walls head;

	proto_put32(&head.filter_flags, s->filter_flags);
	proto_put32(&head.propagation, s->propagation);
	frame_put(p, &head, sizeof(head));
	frame_number(p, (uint32_t)s->filter_len);
	frame_put(p, s->filter, s->filter_len);
	frame_string(p, s->ipc);
	frame_string(p, s->uts);
	frame_string(p, s->pid);
	frame_list(p, s->hidden);
	frame_list(p, s->fixed);
	frame_list(p, s->sysctls);
	put_devices(p, s);
	put_rules(p, s);
}
