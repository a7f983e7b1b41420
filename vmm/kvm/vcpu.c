/*
 * A vCPU and the loop around KVM_RUN.
 *
 * Kicks: vcpu_kick() sets run->immediate_exit, then sends a signal. The signal
 * pulls a running guest out; the flag catches the vCPU that was about to go
 * in, after its last look at anything else. Whoever sees VCPU_KICKED looks at
 * what the kicker wants and only then runs again; the flag is cleared here,
 * before the return, so a kick that arrives later is never swallowed.
 */
#include "vmm/kvm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

/*
 * None of the real-time signals: each of those that is sent takes one of the
 * RLIMIT_SIGPENDING that all processes of a user share, and is lost where none
 * is left. This one is nobody's: ignored by default, and sent by the kernel to
 * who asked for it alone. Yet there are those who pass on to what they have
 * started all that they get, and runtimes that send it to themselves. So only
 * vCPUs' threads have it unblocked, to whom one more is no more than an exit.
 */
enum { KICK_SIGNAL = SIGURG };

static void kick_handler(int sig)
{
	(void)sig;
}

void vcpu_take_kicks(sigset_t *blocked)
{
	const struct sigaction sa = {.sa_handler = kick_handler};

	sigaction(KICK_SIGNAL, &sa, NULL);
	sigaddset(blocked, KICK_SIGNAL);
}

void vcpu_hear_kicks(void)
{
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

void vcpu_kick(struct vcpu *v)
{
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELEASE);
	pthread_kill(v->thread, KICK_SIGNAL);
}

int vcpu_open(struct vcpu *v, const struct vm *vm, struct bus *mmio,
	      struct bus *pio, struct err *e)
{
	CLEAN_FD int fd = ioctl(vm->fd, KVM_CREATE_VCPU, v->id);
	void *run;

	v->fd = -1;
	v->mmio = mmio;
	v->pio = pio;
	if (fd < 0)
		return err_errno(e, "KVM_CREATE_VCPU %u", v->id);
	v->run_bytes = vm->kvm->vcpu_map_bytes;
	run = mmap(NULL, (size_t)v->run_bytes, PROT_READ | PROT_WRITE,
		   MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		return err_errno(e, "can't map vCPU %u", v->id);
	v->run = run;
	v->fd = fd_steal(&fd);
	return 0;
}

void vcpu_close(struct vcpu *v)
{
	if (v->run)
		munmap(v->run, (size_t)v->run_bytes);
	v->run = NULL;
	fd_close(&v->fd);
}

/* By the one writer there is. */
static void count(_Atomic uint64_t *counter)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

static void serve_pio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t i;

	count(run->io.direction == KVM_EXIT_IO_IN ? &v->exits.io_in
						  : &v->exits.io_out);
	/* String instructions arrive as count items for the same port. */
	for (i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			bus_read(v->pio, run->io.port, data, run->io.size);
		else
			(void)bus_write(v->pio, run->io.port, data,
					run->io.size);
	}
}

static void serve_mmio(struct vcpu *v)
{
	const struct bus_range *begun;
	struct kvm_run *run = v->run;

	count(run->mmio.is_write ? &v->exits.mmio_write : &v->exits.mmio_read);
	if (!run->mmio.is_write) {
		bus_read(v->mmio, run->mmio.phys_addr, run->mmio.data,
			 run->mmio.len);
		return;
	}
	begun = bus_write(v->mmio, run->mmio.phys_addr, run->mmio.data,
			  run->mmio.len);
	/* Of a wide access the second half does not undo the first. */
	if (begun)
		v->unsettled = begun;
}

static unsigned long long where(const struct vcpu *v)
{
	return v->where ? v->where(v) : 0;
}

static enum vcpu_exit explain_failure(struct vcpu *v, struct err *e)
{
	const struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_FAIL_ENTRY:
		err_set(e, -EIO,
			"KVM could not enter the guest on vCPU %u: hardware "
			"reason 0x%llx",
			v->id,
			(unsigned long long)
				run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		err_set(e, -EIO,
			"KVM internal error on vCPU %u: suberror %u at 0x%llx",
			v->id, run->internal.suberror, where(v));
		break;
	default:
		err_set(e, -EIO,
			"vCPU %u left the guest for reason %u, which mayfly "
			"does not use, at 0x%llx",
			v->id, run->exit_reason, where(v));
	}
	return VCPU_FAILED;
}

/* Handles one exit. True to go on in *how. */
static bool vcpu_serve(struct vcpu *v, enum vcpu_exit *how, struct err *e)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		serve_pio(v);
		return true;
	case KVM_EXIT_MMIO:
		serve_mmio(v);
		return true;
	case KVM_EXIT_IOAPIC_EOI: /* our pins are edges: nothing waits for it */
	case KVM_EXIT_INTR:
		count(&v->exits.other);
		return true;
	case KVM_EXIT_SHUTDOWN:
		/* Some guests reboot so; for others it is the end. */
		if (log_wants(LOG_WARN))
			log_warn("vCPU %u: a triple fault at 0x%llx", v->id,
				 where(v));
		*how = VCPU_RESET;
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		*how = v->run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN
			       ? VCPU_POWEROFF
			       : VCPU_RESET;
		return false;
	default:
		*how = explain_failure(v, e);
		return false;
	}
}

static void take_kick(struct vcpu *v)
{
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELEASE);
}

static bool is_kicked(const struct vcpu *v)
{
	return __atomic_load_n(&v->run->immediate_exit, __ATOMIC_ACQUIRE);
}

/*
 * Waits for what the guest's last write began, which may take as long as a
 * disk does. The guest may wait; whoever kicks may not, so a kick ends the
 * wait, and the next vcpu_run() goes on with it. The kick's signal ends a rest;
 * one that came just before costs a millisecond.
 */
static void settle(struct vcpu *v)
{
	const struct bus_range *r = v->unsettled;

	while (r && !r->settle(r->owner)) {
		if (is_kicked(v))
			return;
		clock_rest();
	}
	v->unsettled = NULL;
}

enum vcpu_exit vcpu_run(struct vcpu *v, struct err *e)
{
	enum vcpu_exit how = VCPU_KICKED;

	v->is_loaded = false;
	for (;;) {
		/*
		 * Where a kick ended it, KVM_RUN comes straight back, too. But
		 * it has to be called, or the access would be finished later,
		 * in whatever the vCPU has been loaded with by then: on
		 * aarch64, by one instruction left out.
		 */
		settle(v);
		if (ioctl(v->fd, KVM_RUN, 0) == 0) {
			if (!vcpu_serve(v, &how, e))
				return how;
			/*
			 * A pending kick makes the next KVM_RUN finish the
			 * access and come straight back.
			 */
			continue;
		}
		if (errno == EINTR) {
			count(&v->exits.interrupted);
			take_kick(v);
			return VCPU_KICKED;
		}
		if (errno == EAGAIN)
			continue;
		err_errno(e, "KVM_RUN on vCPU %u", v->id);
		return VCPU_FAILED;
	}
}
