/* A machine that writes down what happens to it. */
#include "tests/unit/fake_machine.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block.h"
#include "devices/block_file.h"
#include "devices/generation.h"
#include "devices/i8042.h"
#include "devices/net.h"
#include "devices/power.h"
#include "devices/tap.h"
#include "devices/uart.h"
#include "devices/vsock.h"
#include "vmm/base/fd.h"
#include "vmm/state/state.h"

struct fake_machine fake;

struct machine {
	struct machine_times times;
	uint64_t mem_bytes;
	struct device *devices[64];
	unsigned count;
};

void fake_reset(void)
{
	fake.calls[0] = '\0';
	fake.fail = NULL;
	fake.fail_code = 0;
	fake.steps = 0;
}

void fake_note(const char *fmt, ...)
{
	size_t at = strlen(fake.calls);
	va_list ap;

	if (at > sizeof(fake.calls) / 2)
		at = 0; /* a fuzzer's drives; no test has as many words */
	if (at)
		at += (size_t)snprintf(fake.calls + at, sizeof(fake.calls) - at,
				       "; ");
	va_start(ap, fmt);
	vsnprintf(fake.calls + at, sizeof(fake.calls) - at, fmt, ap);
	va_end(ap);
}

int fake_fails(const char *call, struct err *e)
{
	if (!fake.fail || strcmp(fake.fail, call) != 0)
		return 0;
	fake.fail = NULL;
	return err_set(e, fake.fail_code ? fake.fail_code : -ENOMEM,
		       "%s failed on demand", call);
}

int machine_new(struct machine **out, const struct machine_config *config,
		struct loop *loop, const struct machine_hooks *hooks,
		struct err *e)
{
	(void)loop;
	fake_note("new vcpus=%u mem=%llu pages=%d smt=%d%s%s%s", config->vcpus,
		  (unsigned long long)config->mem_bytes, config->backing.kind,
		  config->smt,
		  config->template == ARCH_TEMPLATE_T2 ? " t2" : "",
		  config->is_tracked ? " tracked" : "",
		  config->clock_realtime ? " realtime" : "");
	if (fake_fails("new", e))
		return -ENOMEM;
	fake.hooks = *hooks;
	fake.state = config->state;
	fake.alive++;
	*out = calloc(1, sizeof(**out));
	(*out)->times.begin_ns = 1000;
	(*out)->mem_bytes = config->mem_bytes;
	return 0;
}

static void device_gone(struct device *d)
{
	free((char *)(uintptr_t)d->id);
	free(d);
	fake.alive--;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	fake_note("free");
	while (m->count)
		device_gone(m->devices[--m->count]);
	free(m);
	fake.alive--;
}

int machine_add(struct machine *m, struct device *d, struct err *e)
{
	fake_note("add %s", d->id);
	if (fake_fails("add", e)) {
		device_gone(d);
		return -ENOMEM;
	}
	m->devices[m->count++] = d;
	return 0;
}

int machine_start(struct machine *m, const struct boot_source *source,
		  struct err *e)
{
	fake_note("start kernel=%s initrd=%s cmdline=[%s]", source->kernel_path,
		  source->initrd_path ? source->initrd_path : "-",
		  source->cmdline);
	m->times.loaded_ns = 2000;
	m->times.run_ns = 3000;
	return fake_fails("start", e);
}

/* Its state is a section of one number. */
enum { SAVED = 0x5a4ed };

int machine_load(struct machine *m, struct err *e)
{
	struct visitor v;
	uint32_t number = 0;
	int rc = state_section(fake.state, "fake", 1, &v, e);

	(void)m;
	fake_note("load");
	if (rc)
		return rc;
	visit_u32(&v, &number);
	visit_check(&v, number == SAVED, "the fake machine is %x", number);
	rc = visitor_end(&v);
	return rc ? rc : fake_fails("load", e);
}

int machine_save(struct machine *m, struct state *s, struct err *e)
{
	struct visitor v;
	uint32_t number = SAVED;

	(void)m;
	fake_note("save");
	if (fake_fails("save", e))
		return -ENOMEM;
	visitor_save(&v, 1, e);
	visit_u32(&v, &number);
	return state_add(s, "fake", &v, e);
}

int machine_quiet(struct machine *m, struct err *e)
{
	(void)m;
	fake_note("quiet");
	return fake_fails("quiet", e) ? -EBUSY : 0;
}

void machine_unquiet(struct machine *m)
{
	(void)m;
	fake_note("unquiet");
}

/* A page of it, at the start or for a diff at the second page. */
int machine_write_image(struct machine *m, enum machine_image kind, int fd,
			uint64_t offset, struct image_figures *figures,
			struct err *e)
{
	const bool is_diff = kind == MACHINE_IMAGE_DIFF;
	uint8_t page[4096];

	(void)m;
	fake_note("image %s", is_diff ? "diff" : "full");
	if (fake_fails("image", e))
		return -ENOMEM;
	memset(page, is_diff ? 'd' : 'f', sizeof(page));
	figures->written = sizeof(page);
	return fd_pwrite(fd, page, sizeof(page),
			 offset + (is_diff ? sizeof(page) : 0));
}

void machine_image_kept(struct machine *m)
{
	(void)m;
	fake_note("kept");
}

int machine_mark(struct machine *m, const struct state *s, struct err *e)
{
	(void)m;
	(void)s;
	fake_note("mark");
	return fake_fails("mark", e);
}

void machine_mark_loaded(struct machine *m, const struct state *s)
{
	(void)m;
	(void)s;
	fake_note("mark loaded");
}

int machine_renew(struct machine *m, bool clock_realtime, struct err *e)
{
	(void)m;
	fake_note("renew%s", clock_realtime ? " realtime" : "");
	return fake_fails("renew", e);
}

int machine_reload(struct machine *m, struct device *d, struct err *e)
{
	(void)m;
	fake_note("reload %s", d->id);
	return fake_fails("reload", e);
}

int machine_reset(struct machine *m, struct err *e)
{
	(void)m;
	fake_note("reset");
	return fake_fails("reset", e);
}

int machine_fork_begin(struct machine *m, bool runs, struct err *e)
{
	(void)m;
	fake_note(runs ? "fork begin" : "fork begin held");
	return fake_fails("fork begin", e);
}

int machine_fork_beside(struct machine *m,
			int (*act)(void *context, struct err *e), void *context,
			struct err *e)
{
	(void)m;
	return act(context, e);
}

void machine_fork_slow(struct machine *m)
{
	(void)m;
	fake_note("fork slow");
}

void machine_fork_again(struct machine *m)
{
	(void)m;
	fake_note("fork again");
}

int machine_fork_step(struct machine *m, uint64_t *rest_ns, struct err *e)
{
	(void)m;
	*rest_ns = 0;
	fake_note("step");
	if (fake_fails("step", e))
		return e->code;
	if (!fake.steps)
		return 1;
	fake.steps--;
	return 0;
}

int machine_fork(struct machine *m, struct err *e)
{
	(void)m;
	fake_note("fork");
	return fake_fails("fork", e);
}

int machine_fork_memory(struct machine *m, int *fd, struct err *e)
{
	(void)m;
	*fd = memfd_create("memory", MFD_CLOEXEC);
	fake_note("memory");
	return fake_fails("memory", e);
}

void machine_fork_end(struct machine *m)
{
	(void)m;
	fake_note("fork end");
}

uint64_t machine_memory(const struct machine *m)
{
	return m->mem_bytes;
}

void machine_pause(struct machine *m)
{
	(void)m;
	fake_note("pause");
}

void machine_resume(struct machine *m)
{
	(void)m;
	fake_note("resume");
}

const struct machine_times *machine_times(const struct machine *m)
{
	return &m->times;
}

uint64_t machine_exits(const struct machine *m)
{
	return m->count;
}

void machine_count(struct machine *m, struct machine_counters *c)
{
	unsigned i;

	c->begin(c, "vcpu", "");
	c->counters.put(&c->counters, "exit_io_out", 7);
	for (i = 0; i < m->count; i++) {
		c->begin(c, "drive", m->devices[i]->id);
		c->counters.put(&c->counters, "read_bytes", 512 * (i + 1));
	}
}

static int make(struct device **out, const char *id, struct err *e)
{
	static const struct device_ops ops = {.free = device_gone};

	if (fake_fails(id, e))
		return -ENOMEM;
	*out = calloc(1, sizeof(**out));
	(*out)->ops = &ops;
	(*out)->id = strdup(id);
	fake.alive++;
	return 0;
}

/* " ops=SIZE/BURST/MILLISECONDS" for each bucket that is given. */
static const char *limits(const char *prefix, const struct limiter_config *l)
{
	static char texts[2][128];
	static unsigned turn;
	char *out = texts[turn++ % 2];
	size_t at = 0;

	out[0] = '\0';
	if (l && l->bytes.is_given)
		at = (size_t)snprintf(out, 128, " %sbytes=%llu/%llu/%llu",
				      prefix, (unsigned long long)l->bytes.size,
				      (unsigned long long)l->bytes.burst,
				      (unsigned long long)l->bytes.refill_ms);
	if (l && l->ops.is_given)
		snprintf(out + at, 128 - at, " %sops=%llu/%llu/%llu", prefix,
			 (unsigned long long)l->ops.size,
			 (unsigned long long)l->ops.burst,
			 (unsigned long long)l->ops.refill_ms);
	return out;
}

int block_new(struct device **out, const struct block_config *config,
	      struct err *e)
{
	fake_note("block %s %s%s%s queues=%u%s", config->path,
		  config->is_read_only ? "ro" : "rw",
		  config->is_writeback ? " writeback" : "",
		  config->engine == BLOCK_ASYNC ? " async" : "", config->queues,
		  limits("", &config->limiter));
	if (config->overlay.is_wanted)
		fake_note("overlay of %llu in %s",
			  (unsigned long long)config->overlay.bytes_max,
			  config->overlay.dir ? config->overlay.dir : "memory");
	return make(out, config->id, e);
}

/* Files of the host: there unless a test says "file" or "tap". */
int block_file_open(struct block_file *f, const char *path, bool is_read_only,
		    struct err *e)
{
	(void)is_read_only;
	*f = (struct block_file){.fd = -1};
	return fake_fails("file", e) ? err_set(e, -ENOENT, "no file %s", path)
				     : 0;
}

void block_file_close(struct block_file *f)
{
	(void)f;
}

int tap_open(struct tap *t, const char *name, bool want_multi, struct err *e)
{
	(void)want_multi;
	*t = (struct tap){.fd = -1};
	return fake_fails("tap", e) ? err_set(e, -EBUSY, "no tap %s", name) : 0;
}

int tap_adopt(struct tap *t, int fd, const char *name, struct err *e)
{
	int rc = tap_open(t, name, false, e);

	t->fd = rc ? -1 : fd;
	return rc;
}

void tap_close(struct tap *t)
{
	fd_close(&t->fd);
}

int block_set_path(struct device *d, const char *path, struct err *e)
{
	if (fake_fails("path", e))
		return -ENOENT;
	fake_note("path %s %s", d->id, path ? path : "-");
	return 0;
}

void block_set_limiter(struct device *d, const struct limiter_config *config)
{
	fake_note("limiter %s%s", d->id, limits("", config));
}

int net_new(struct device **out, const struct net_config *config, struct err *e)
{
	const uint8_t *m = config->mac;

	fake_note("net %s %02x:%02x:%02x:%02x:%02x:%02x mtu=%u pairs=%u%s%s",
		  config->tap_name ? config->tap_name : "later", m[0], m[1],
		  m[2], m[3], m[4], m[5], config->mtu, config->queue_pairs,
		  limits("rx-", &config->rx), limits("tx-", &config->tx));
	return make(out, config->id, e);
}

void net_set_limiters(struct device *d, const struct limiter_config *rx,
		      const struct limiter_config *tx)
{
	fake_note("limiters %s%s%s", d->id, limits("rx-", rx),
		  limits("tx-", tx));
}

int net_set_tap(struct device *d, const char *tap_name, int tap_fd,
		struct err *e)
{
	(void)tap_fd;
	fake_note("late tap %s %s", d->id, tap_name);
	return fake_fails("late tap", e);
}

int vsock_listen(struct device *d, const char *uds_path, int listen_fd,
		 struct err *e)
{
	(void)listen_fd;
	fake_note("late %s %s", d->id, uds_path);
	return fake_fails("late vsock", e);
}

int vsock_new(struct device **out, const struct vsock_config *config,
	      struct err *e)
{
	fake_note("vsock %u %s", (unsigned)config->cid,
		  config->uds_path ? config->uds_path : "later");
	return make(out, config->id, e);
}

int uart_new(struct device **out, int out_fd, int in_fd, struct err *e)
{
	(void)out_fd;
	(void)in_fd;
	return make(out, "uart", e);
}

void uart_bound_output(struct device *d)
{
	(void)d;
	fake_note("bounded output");
}

int i8042_new(struct device **out, struct err *e)
{
	return make(out, "i8042", e);
}

void i8042_ctrl_alt_del(struct device *d)
{
	(void)d;
	fake_note("ctrl-alt-del");
}

int generation_new(struct device **out, struct err *e)
{
	return make(out, "generation", e);
}

int generation_changed(struct device *d, struct err *e)
{
	(void)d;
	fake_note("generation changed");
	return fake_fails("generation changed", e);
}

int generation_again(struct device *d, struct err *e)
{
	(void)d;
	fake_note("generation again");
	return fake_fails("generation again", e);
}

int sleep_new(struct device **out, struct err *e)
{
	return make(out, "sleep", e);
}

int boot_timer_new(struct device **out, struct err *e)
{
	return make(out, "boot_timer", e);
}
