/*
 * Two registers by which a guest tells of its own life: that it is up, and
 * that it wants to end.
 */
#include "devices/power.h"

#include <errno.h>
#include <stdlib.h>

/* ACPI 6.5, 4.8.3.7: sleep control, then sleep status. */
enum { SLEEP_CONTROL, SLEEP_STATUS };
enum { SLEEP_ENABLE = 1 << 5, SLEEP_TYPE_SHIFT = 2, SLEEP_TYPE_MASK = 7 };
enum { SLEEP_S5 = 5 }; /* as the DSDT's _S5 says */

enum { BOOT_TIMER_VALUE = 123 };

static void plain_free(struct device *d)
{
	free(d);
}

static int plain_new(struct device **out, const struct device_ops *ops,
		     struct err *e)
{
	struct device *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(e, -ENOMEM, "no memory for a device");
	d->ops = ops;
	*out = d;
	return 0;
}

static void sleep_write(struct device *d, uint64_t offset, const void *data,
			uint32_t len)
{
	const uint8_t value = *(const uint8_t *)data;

	(void)len;
	/* The status register only remembers a wake-up, which we never have. */
	if (offset == SLEEP_CONTROL && value & SLEEP_ENABLE &&
	    (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == SLEEP_S5)
		d->host->signal(d->host->machine, DEVICE_POWEROFF);
}

static const struct device_ops sleep_ops = {
	.name = "sleep register",
	.kind = ARCH_SLEEP,
	.write = sleep_write,
	.free = plain_free,
};

int sleep_new(struct device **out, struct err *e)
{
	return plain_new(out, &sleep_ops, e);
}

static void boot_timer_write(struct device *d, uint64_t offset,
			     const void *data, uint32_t len)
{
	(void)len;
	if (offset == 0 && *(const uint8_t *)data == BOOT_TIMER_VALUE)
		d->host->signal(d->host->machine, DEVICE_BOOTED);
}

static const struct device_ops boot_timer_ops = {
	.name = "boot timer",
	.kind = ARCH_BOOT_TIMER,
	.write = boot_timer_write,
	.free = plain_free,
};

int boot_timer_new(struct device **out, struct err *e)
{
	return plain_new(out, &boot_timer_ops, e);
}
