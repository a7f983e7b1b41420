/* Overlays of a fake machine's drives; what each holds is a number. */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "devices/block.h"
#include "tests/unit/fake_machine.h"
#include "vmm/base/fd.h"

enum { HELD = 0x0e71a };

struct block_overlay *block_overlay_of(struct device *d)
{
	return (struct block_overlay *)d;
}

static const char *id_of(const struct block_overlay *o)
{
	return ((const struct device *)o)->id;
}

int block_overlay_try(const struct block_overlay_config *config, struct err *e)
{
	(void)config;
	return fake_fails("overlay", e);
}

void block_overlay_mark(struct block_overlay *o)
{
	fake_note("mark %s", id_of(o));
}

void block_overlay_reset(struct block_overlay *o)
{
	fake_note("reset %s", id_of(o));
}

void block_overlay_save(const struct block_overlay *o, int fd, uint64_t *at,
			struct visitor *v)
{
	uint32_t held = HELD;

	fake_note("save %s", id_of(o));
	visit_u32(v, &held);
	assert(!fd_pwrite(fd, &held, sizeof(held), *at * 4096));
	(*at)++;
}

void block_overlay_load(struct block_overlay *o, int fd, uint64_t *at,
			struct visitor *v)
{
	uint32_t held = 0, there = 0;

	fake_note("load %s", id_of(o));
	visit_u32(v, &held);
	visit_check(v,
		    held == HELD && !fd_pread(fd, &there, 4, *at * 4096) &&
			    there == HELD,
		    "an overlay of %x and %x", held, there);
	(*at)++;
	close(fd);
}

uint32_t block_overlay_clusters(const struct block_overlay *o)
{
	(void)o;
	return 3;
}

int block_overlay_fork_begin(struct block_overlay *o, int fd, uint64_t at,
			     struct err *e)
{
	uint32_t held = HELD;

	fake_note("fork %s at %llu", id_of(o), (unsigned long long)at);
	assert(!fd_pwrite(fd, &held, sizeof(held), at * 4096));
	return fake_fails("overlay begin", e);
}

/* As often as the memory's. */
int block_overlay_fork_step(struct block_overlay *o, uint64_t end_ns,
			    struct overlay_fork_look *look, struct err *e)
{
	const int rc = fake_fails("overlay step", e);

	(void)end_ns;
	look->is_stuck = !strcmp(id_of(o), "stuck");
	if (fake.steps > 1 && !rc)
		return 0;
	fake_note("copy %s", id_of(o));
	return rc ? rc : 1;
}

void block_overlay_fork_again(struct block_overlay *o)
{
	fake_note("again %s", id_of(o));
}

int block_overlay_fork_rest(struct block_overlay *o, struct err *e)
{
	fake_note("rest %s", id_of(o));
	return fake_fails("overlay rest", e);
}

void block_overlay_fork_end(struct block_overlay *o)
{
	fake_note("end %s", id_of(o));
}

void block_overlay_fork_save(const struct block_overlay *o, uint64_t at,
			     struct visitor *v)
{
	fake_note("save %s", id_of(o));
	visit_u64(v, &at);
}

void block_overlay_fork_load(struct block_overlay *o, int fd, struct visitor *v)
{
	uint32_t held = 0;
	uint64_t at = 0;

	fake_note("load %s", id_of(o));
	visit_u64(v, &at);
	visit_check(v, !fd_pread(fd, &held, 4, at * 4096) && held == HELD,
		    "an overlay of %x", held);
	close(fd);
}
