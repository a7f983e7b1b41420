/* Finding who answers at an address. */
#include "vmm/kvm/bus.h"

#include <errno.h>
#include <string.h>

int bus_add(struct bus *b, const struct bus_range *range, struct err *e)
{
	uint64_t end;
	unsigned at;

	if (!range->size ||
	    __builtin_add_overflow(range->base, range->size, &end))
		return err_set(e, -EINVAL,
			       "bus range at 0x%llx is empty or wraps",
			       (unsigned long long)range->base);
	if (b->count == BUS_RANGES_MAX)
		return err_set(e, -ENOSPC, "the bus is full: %d devices",
			       BUS_RANGES_MAX);
	for (at = 0; at < b->count && b->ranges[at].base < range->base; at++)
		;
	if ((at < b->count && end > b->ranges[at].base) ||
	    (at > 0 &&
	     b->ranges[at - 1].base + b->ranges[at - 1].size > range->base))
		return err_set(e, -EEXIST, "two devices at 0x%llx",
			       (unsigned long long)range->base);
	memmove(&b->ranges[at + 1], &b->ranges[at],
		(b->count - at) * sizeof(b->ranges[0]));
	b->ranges[at] = *range;
	b->count++;
	return 0;
}

static const struct bus_range *bus_find(const struct bus *b, uint64_t addr,
					uint32_t len)
{
	unsigned low = 0, high = b->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct bus_range *r = &b->ranges[mid];

		if (addr < r->base)
			high = mid;
		else if (addr - r->base >= r->size)
			low = mid + 1;
		else
			return len <= r->size - (addr - r->base) ? r : NULL;
	}
	return NULL;
}

/* KVM promises these widths; a device may rely on it all the same. */
static bool is_width(uint32_t len)
{
	return len == 1 || len == 2 || len == 4 || len == 8;
}

void bus_read(struct bus *b, uint64_t addr, void *data, uint32_t len)
{
	const struct bus_range *r = bus_find(b, addr, len);

	if (!r || !is_width(len)) {
		b->unclaimed++;
		memset(data, 0xff, len);
		return;
	}
	memset(data, 0, len);
	if (!r->read)
		return;
	if (r->quick && r->quick(r->owner, addr - r->base, data, len, false))
		return;
	mutex_lock(r->lock);
	r->read(r->owner, addr - r->base, data, len);
	mutex_unlock(r->lock);
}

const struct bus_range *bus_write(struct bus *b, uint64_t addr,
				  const void *data, uint32_t len)
{
	const struct bus_range *r = bus_find(b, addr, len);

	if (!r || !is_width(len)) {
		b->unclaimed++;
		return NULL;
	}
	if (!r->write)
		return NULL;
	/* Quick writes only read data; one signature serves both ways. */
	if (r->quick && r->quick(r->owner, addr - r->base,
				 (void *)(uintptr_t)data, len, true))
		return NULL;
	mutex_lock(r->lock);
	r->write(r->owner, addr - r->base, data, len);
	mutex_unlock(r->lock);
	return r->settle && !r->settle(r->owner) ? r : NULL;
}
