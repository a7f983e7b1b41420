#include "api/ctl/serve/reload.h"

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"

/* A registry may be slow, or answer for ever. */
static const uint64_t trial_ns = 600ull * 1000000000;

static void refuse(const char *why)
{
	log_warn("the functions stay as they were: %s", why);
}

static void again(struct reload *r)
{
	const bool is_wanted = r->is_wanted;

	r->is_wanted = false;
	if (is_wanted)
		reload_ask(r);
}

static void trial_ended(struct maker *m, bool is_ok, const char *said)
{
	struct reload *r = container_of(m, struct reload, maker);
	struct err e = {0};

	loop_disarm(r->loop, &r->timer);
	/* What went wrong may be mended by now: the next trial tells. */
	if (is_ok && r->read(r, &e))
		said = e.text;
	else if (is_ok)
		said = NULL;
	if (said && !r->is_wanted)
		refuse(said);
	again(r);
}

static void late_fire(struct loop_timer *t)
{
	struct reload *r = container_of(t, struct reload, timer);

	maker_stop(&r->maker);
	refuse("their images did not come within ten minutes");
	again(r);
}

void reload_ask(struct reload *r)
{
	struct err e = {0};

	if (maker_is_busy(&r->maker)) {
		r->is_wanted = true;
		return;
	}
	r->maker.ended = trial_ended;
	r->timer.fire = late_fire;
	if (maker_start(&r->maker, r->loop, r->words, &e))
		refuse(e.text);
	else
		loop_arm(r->loop, &r->timer, clock_now_ns() + trial_ns);
}

void reload_fini(struct reload *r)
{
	if (!r->loop)
		return;
	loop_disarm(r->loop, &r->timer);
	maker_stop(&r->maker);
}
