/* The thread of a device that waits for the host. */
#include "devices/worker.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/base/log.h"

/* A system call, a log line: there is not much on it. */
enum { STACK_BYTES = THREAD_STACK(64 * 1024) };

void worker_init(struct worker *w, const struct worker_ops *ops,
		 struct device *device)
{
	*w = (struct worker){.ops = ops, .device = device};
	pthread_cond_init(&w->wanted, NULL);
}

static struct worker_job *take(struct worker *w) REQUIRES(w->device->lock)
{
	struct worker_job *j = w->first;

	w->first = j->next;
	if (!w->first)
		w->last = NULL;
	return j;
}

static void tell(struct worker *w, struct worker_job *j, int rc)
	REQUIRES(w->device->lock)
{
	w->in_flight--;
	w->ops->done(w->device, j, rc);
}

/* Nothing of the guest's is done by a thread that could not be confined. */
static int confine(const struct worker *w)
{
	const struct device *d = w->device;
	const struct device_host *host = d->host;
	struct err e;

	if (!host->confine || !host->confine(host->machine, &e))
		return 0;
	log_error("%s %s: %s", d->name ? d->name : d->ops->name,
		  d->id ? d->id : "", e.text);
	return -EPERM;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	const char *id = w->device->id;
	struct worker_job *j;
	char name[16];
	int broken, rc;

	snprintf(name, sizeof(name), "%s%s%.10s", w->ops->thread, id ? " " : "",
		 id ? id : "");
	log_set_thread(name);
	broken = confine(w);
	mutex_lock(&w->device->lock);
	for (;;) {
		while (!w->first && !w->is_over)
			pthread_cond_wait(&w->wanted, &w->device->lock.inner);
		if (!w->first)
			break;
		j = take(w);
		mutex_unlock(&w->device->lock);
		rc = broken ? broken : w->ops->perform(w->device, j);
		mutex_lock(&w->device->lock);
		tell(w, j, rc);
	}
	mutex_unlock(&w->device->lock);
	return NULL;
}

static int start(struct worker *w)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	rc = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	w->is_started = rc == 0;
	return -rc;
}

int worker_add(struct worker *w, struct worker_job *j)
{
	int rc = w->is_started ? 0 : start(w);

	if (rc)
		return rc;
	j->next = NULL;
	if (w->last)
		w->last->next = j;
	else
		w->first = j;
	w->last = j;
	w->in_flight++;
	pthread_cond_signal(&w->wanted);
	return 0;
}

void worker_cancel(struct worker *w)
{
	mutex_held(&w->device->lock);
	while (w->first)
		tell(w, take(w), -ECANCELED);
}

void worker_stop(struct worker *w)
{
	if (w->is_started) {
		mutex_lock(&w->device->lock);
		w->is_over = true;
		pthread_cond_signal(&w->wanted);
		mutex_unlock(&w->device->lock);
		pthread_join(w->thread, NULL);
	}
	w->is_started = false;
	pthread_cond_destroy(&w->wanted);
}
