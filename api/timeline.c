/* The phases of a start, for users. */
#include "api/timeline.h"

#include <inttypes.h>

#include "vmm/base/log.h"

/* 0 for what is not over, or did not happen. */
static uint64_t between_us(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

void timeline_count(const struct machine_times *t, uint64_t process_ns,
		    struct samples *s)
{
	const struct {
		const char *name;
		uint64_t us;
	} phases[] = {
		{"before_us", between_us(process_ns, t->begin_ns)},
		{"load_us", between_us(t->begin_ns, t->loaded_ns)},
		{"entry_us", between_us(t->loaded_ns, t->run_ns)},
		{"boot_us", between_us(t->run_ns, t->booted_ns)},
	};
	unsigned i;

	for (i = 0; t->begin_ns && i < sizeof(phases) / sizeof(phases[0]); i++)
		samples_add(s, "timeline", "", phases[i].name, SAMPLE_GAUGE,
			    phases[i].us);
}

void timeline_log(const struct machine_times *t, uint64_t process_ns)
{
	log_info("Start-phases: %" PRIu64 " us before the machine, %" PRIu64
		 " us to make and load it, %" PRIu64 " us to its entry",
		 between_us(process_ns, t->begin_ns),
		 between_us(t->begin_ns, t->loaded_ns),
		 between_us(t->loaded_ns, t->run_ns));
}
