/* The thread of a drive that waits for its disk. */
#include "devices/block_worker.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/base/log.h"
#include "vmm/base/thread.h"

/* A system call, a log line: there is not much on it. */
enum { STACK_BYTES = THREAD_STACK(64 * 1024) };

void block_worker_init(struct block_worker *w)
{
	pthread_cond_init(&w->wanted, NULL);
	w->first = w->last = NULL;
}

static struct block_request *take(struct block_worker *w)
	REQUIRES(w->device->lock)
{
	struct block_request *r = w->first;

	w->first = r->next;
	if (!w->first)
		w->last = NULL;
	return r;
}

static void tell(struct block_worker *w, struct block_request *r, int rc)
	REQUIRES(w->device->lock)
{
	w->in_flight--;
	w->done(w->owner, r, rc);
}

int block_worker_perform(struct block_worker *w, struct block_request *r)
{
	int rc;

	if (w->overlay)
		return block_overlay_perform(w->overlay, r);
	rc = block_request_perform(r, w->file);
	if (!rc && r->syncs)
		rc = block_file_flush(w->file);
	return rc;
}

/* Nothing of the guest's is done by a thread that could not be confined. */
static int confine(const struct block_worker *w)
{
	const struct device_host *host = w->device->host;
	struct err e;

	if (!host->confine || !host->confine(host->machine, &e))
		return 0;
	log_error("drive %s: %s", w->device->id, e.text);
	return -EPERM;
}

static void *worker_main(void *arg)
{
	struct block_worker *w = arg;
	struct block_request *r;
	char name[16];
	int broken, rc;

	snprintf(name, sizeof(name), "disk %.10s", w->device->id);
	log_set_thread(name);
	broken = confine(w);
	mutex_lock(&w->device->lock);
	for (;;) {
		while (!w->first && !w->is_over)
			pthread_cond_wait(&w->wanted, &w->device->lock.inner);
		if (!w->first)
			break;
		r = take(w);
		mutex_unlock(&w->device->lock);
		rc = broken ? broken : block_worker_perform(w, r);
		mutex_lock(&w->device->lock);
		tell(w, r, rc);
	}
	mutex_unlock(&w->device->lock);
	return NULL;
}

static int start(struct block_worker *w)
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

int block_worker_add(struct block_worker *w, struct block_request *r)
{
	int rc = w->is_started ? 0 : start(w);

	if (rc)
		return rc;
	w->file->is_hurried = false;
	r->next = NULL;
	if (w->last)
		w->last->next = r;
	else
		w->first = r;
	w->last = r;
	w->in_flight++;
	pthread_cond_signal(&w->wanted);
	return 0;
}

void block_worker_cancel(struct block_worker *w)
{
	mutex_held(&w->device->lock);
	w->file->is_hurried = true;
	while (w->first)
		tell(w, take(w), -ECANCELED);
}

void block_worker_stop(struct block_worker *w)
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
