#include "api/ctl/containerd/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <task.pb-c.h>
#include <time.h>

#define SERVICE "containerd.services.events.ttrpc.v1.Events"

static Task__Timestamp stamp_of(struct timespec t)
{
	Task__Timestamp s = TASK__TIMESTAMP__INIT;

	s.seconds = t.tv_sec;
	s.nanos = (int32_t)t.tv_nsec;
	return s;
}

/* protobuf-c's structs want what they don't change to be changeable. */
static char *text(const char *borrowed)
{
	return (char *)(uintptr_t)borrowed;
}

static void publish(struct service *s, const char *topic, const char *type,
		    const ProtobufCMessage *message)
{
	Task__Forward forward = TASK__FORWARD__INIT;
	Task__Envelope envelope = TASK__ENVELOPE__INIT;
	Task__Any any = TASK__ANY__INIT;
	Task__Timestamp now;
	struct timespec t;
	char url[64];

	if (!s->events.loop)
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	now = stamp_of(t);
	snprintf(url, sizeof(url), "containerd.events.%s", type);
	any.type_url = url;
	any.value.len = protobuf_c_message_get_packed_size(message);
	any.value.data = malloc(any.value.len + 1);
	if (!any.value.data)
		return;
	protobuf_c_message_pack(message, any.value.data);
	envelope.timestamp = &now;
	envelope.namespace_ = text(s->host->namespace);
	envelope.topic = text(topic);
	envelope.event = &any;
	forward.envelope = &envelope;
	(void)ttrpc_client_send(&s->events, SERVICE, "Forward", &forward.base);
	free(any.value.data);
}

void event_created(struct service *s, const struct task *t)
{
	Task__Created m = TASK__CREATED__INIT;
	Task__Streams io = TASK__STREAMS__INIT;

	io.stdin = t->init.in;
	io.stdout = t->init.out;
	io.stderr = t->init.err;
	io.terminal = t->init.has_tty;
	m.container_id = t->id;
	m.bundle = t->bundle;
	m.io = &io;
	m.pid = t->init.pid;
	publish(s, "/tasks/create", "TaskCreate", &m.base);
}

static void publish_exec(struct service *s, const struct task *t,
			 const struct process *p, const char *topic,
			 const char *type, uint32_t pid)
{
	Task__ExecEvent m = TASK__EXEC_EVENT__INIT;

	m.container_id = t->id;
	if (p)
		m.exec_id = p->exec_id;
	m.pid = pid;
	publish(s, topic, type, &m.base);
}

void event_exec_added(struct service *s, const struct task *t,
		      const struct process *p)
{
	publish_exec(s, t, p, "/tasks/exec-added", "TaskExecAdded", 0);
}

void event_started(struct service *s, const struct task *t,
		   const struct process *p)
{
	Task__Started m = TASK__STARTED__INIT;

	if (*p->exec_id) {
		publish_exec(s, t, p, "/tasks/exec-started", "TaskExecStarted",
			     p->pid);
		return;
	}
	m.container_id = t->id;
	m.pid = p->pid;
	publish(s, "/tasks/start", "TaskStart", &m.base);
}

void event_ended(struct service *s, const struct task *t,
		 const struct process *p)
{
	Task__Exited m = TASK__EXITED__INIT;
	Task__Timestamp at = stamp_of(p->exited_at);

	m.container_id = t->id;
	m.id = *p->exec_id ? p->exec_id : t->id;
	m.pid = p->pid;
	m.exit_status = p->exit_status;
	m.exited_at = &at;
	publish(s, "/tasks/exit", "TaskExit", &m.base);
}

void event_deleted(struct service *s, const struct task *t)
{
	Task__Deleted m = TASK__DELETED__INIT;
	Task__Timestamp at = stamp_of(t->init.exited_at);

	m.container_id = t->id;
	m.pid = t->init.pid;
	m.exit_status = t->init.exit_status;
	m.exited_at = &at;
	publish(s, "/tasks/delete", "TaskDelete", &m.base);
}

void event_paused(struct service *s, const struct task *t, bool is_paused)
{
	publish_exec(s, t, NULL, is_paused ? "/tasks/paused" : "/tasks/resumed",
		     is_paused ? "TaskPaused" : "TaskResumed", 0);
}

void event_oom(struct service *s, const struct task *t)
{
	publish_exec(s, t, NULL, "/tasks/oom", "TaskOOM", 0);
}
