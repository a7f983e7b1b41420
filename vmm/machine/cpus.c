/*
 * vCPU threads and the gate.
 *
 * Making a vCPU, its CPU model above all, takes as long as loading a kernel,
 * so both happen at once: machine_new() starts the threads first, and they
 * meet the loop thread again at the gate. The gate's stage only the loop
 * thread changes; threads wait for it to reach what they need. One mutex and
 * one condition serve all of them, since every wait is short or idle.
 */
#include "vmm/machine/cpus.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/log.h"
#include "vmm/base/spare.h"
#include "vmm/base/thread.h"

enum stage {
	STAGE_MODEL, /* no VM yet: make the CPU model */
	STAGE_READY, /* VM and memory stand: make vCPUs, wait */
	STAGE_HOLD,  /* stay out of the guest */
	STAGE_RUN,
	STAGE_QUIT,
};

struct cpu {
	struct vcpu vcpu;
	struct cpus *all; /* borrowed: it contains us */
	bool is_started;  /* the thread exists */
	struct err err;	  /* why setup or the run failed */
};

struct cpus {
	struct cpus_config config;
	uint8_t *stacks; /* owned mapping: a guard and a stack for each */
	struct mutex lock;
	pthread_cond_t changed;	 /* threads wait: stage, is_model_ready */
	pthread_cond_t reported; /* the loop thread waits: the counts */
	enum stage stage GUARDED_BY(lock);
	bool is_model_ready GUARDED_BY(lock);
	uint32_t ready GUARDED_BY(lock);  /* vCPUs set up */
	uint32_t inside GUARDED_BY(lock); /* … that may be in the guest */
	uint32_t holds GUARDED_BY(lock);  /* how often all were held */
	/* Of the first that could not be set up; borrowed: its struct cpu. */
	const struct err *failure GUARDED_BY(lock);
	const struct vm *vm GUARDED_BY(lock);
	struct boot_entry entry GUARDED_BY(lock);
	bool has_entry GUARDED_BY(lock);  /* entry is there … */
	bool is_entered GUARDED_BY(lock); /* … and in the boot vCPU */
	struct cpu cpus[];		  /* config.count of them */
};

/* 10 KiB of CPUID table and a log line are the most a vCPU thread stacks. */
enum { STACK_BYTES = THREAD_STACK(128 * 1024), GUARD_BYTES = 4096 };
enum { STRIDE_BYTES = GUARD_BYTES + STACK_BYTES };

static void wait_change(struct cpus *c) REQUIRES(c->lock)
{
	pthread_cond_wait(&c->changed, &c->lock.inner);
}

static void wait_report(struct cpus *c) REQUIRES(c->lock)
{
	pthread_cond_wait(&c->reported, &c->lock.inner);
}

static void set_stage(struct cpus *c, enum stage stage)
{
	mutex_lock(&c->lock);
	c->stage = stage;
	mutex_unlock(&c->lock);
	pthread_cond_broadcast(&c->changed);
}

/* Thread: the boot vCPU's. */
static int make_model(struct cpus *c, struct err *e)
{
	int rc = arch_prepare_cpus(c->config.arch, e);

	if (rc)
		return rc;
	mutex_lock(&c->lock);
	c->is_model_ready = true;
	mutex_unlock(&c->lock);
	pthread_cond_broadcast(&c->changed);
	return 0;
}

static int open_cpu(struct cpu *cpu, const struct vm *vm, struct err *e)
{
	const struct cpus_config *config = &cpu->all->config;

	return vcpu_open(&cpu->vcpu, vm, config->mmio, config->pio, e);
}

/* Waits for the VM and the CPU model. NULL where it is time to quit. */
static const struct vm *await_vm(struct cpus *c)
{
	const struct vm *vm = NULL;

	mutex_lock(&c->lock);
	while (c->stage != STAGE_QUIT &&
	       (c->stage == STAGE_MODEL || !c->is_model_ready))
		wait_change(c);
	if (c->stage != STAGE_QUIT)
		vm = c->vm;
	mutex_unlock(&c->lock);
	return vm;
}

static int cpu_setup(struct cpu *cpu)
{
	struct cpus *c = cpu->all;
	const struct vm *vm;
	int rc = 0;

	if (cpu->vcpu.id == 0)
		rc = make_model(c, &cpu->err);
	if (rc)
		return rc;
	vm = await_vm(c);
	if (!vm)
		return err_set(&cpu->err, -ECANCELED, "stopped");
	if (cpu->vcpu.id != 0)
		rc = open_cpu(cpu, vm, &cpu->err);
	if (rc)
		return rc;
	rc = arch_vcpu_init(c->config.arch, &cpu->vcpu, &cpu->err);
	if (!rc && c->config.load)
		rc = c->config.load(c->config.context, &cpu->vcpu, &cpu->err);
	/* It waits from here on, or is in the guest. */
	if (!rc && c->config.load)
		spare_stack();
	return rc ? rc : c->config.confine(c->config.context, &cpu->err);
}

/*
 * Waits for leave to run. False to quit. *was_held: all were held since *holds
 * was counted, though it may be over before this one comes to the gate.
 */
static bool gate_enter(struct cpus *c, uint32_t *holds, bool *was_held)
{
	bool may_run;

	mutex_lock(&c->lock);
	while (c->stage != STAGE_RUN && c->stage != STAGE_QUIT)
		wait_change(c);
	*was_held = *holds != c->holds;
	*holds = c->holds;
	may_run = c->stage == STAGE_RUN;
	c->inside += may_run;
	mutex_unlock(&c->lock);
	return may_run;
}

static void gate_leave(struct cpus *c)
{
	mutex_lock(&c->lock);
	c->inside--;
	mutex_unlock(&c->lock);
	pthread_cond_signal(&c->reported);
}

/*
 * The boot vCPU gets its registers as soon as they are known, before it comes
 * to the gate: who holds all may want to save it, though it has not run yet.
 */
static int enter_kernel(struct cpu *cpu)
{
	struct cpus *c = cpu->all;
	struct boot_entry entry;
	bool has_entry;
	int rc;

	if (cpu->vcpu.id != 0 || c->config.load)
		return 0; /* in KVM, until the boot vCPU sends a SIPI */
	mutex_lock(&c->lock);
	while (!c->has_entry && c->stage != STAGE_QUIT)
		wait_change(c);
	has_entry = c->has_entry;
	entry = c->entry;
	mutex_unlock(&c->lock);
	if (!has_entry)
		return 0;
	rc = arch_vcpu_enter(c->config.arch, &cpu->vcpu, &entry, &cpu->err);
	mutex_lock(&c->lock);
	c->is_entered = true;
	mutex_unlock(&c->lock);
	pthread_cond_signal(&c->reported);
	return rc;
}

static void cpu_run(struct cpu *cpu)
{
	struct cpus *c = cpu->all;
	enum vcpu_exit how = enter_kernel(cpu) ? VCPU_FAILED : VCPU_KICKED;
	bool is_first = true, was_held;
	uint32_t holds = 0;

	while (how == VCPU_KICKED && gate_enter(c, &holds, &was_held)) {
		/* One that was loaded had one, however soon it goes on. */
		if (is_first ? c->config.load != NULL : was_held)
			arch_vcpu_note_pause(&cpu->vcpu);
		how = vcpu_run(&cpu->vcpu, &cpu->err);
		gate_leave(c);
		is_first = false;
	}
	if (how != VCPU_KICKED)
		c->config.ended(c->config.context, how, &cpu->err);
}

static void *cpu_main(void *arg)
{
	struct cpu *cpu = arg;
	struct cpus *c = cpu->all;
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "vcpu %u", cpu->vcpu.id);
	log_set_thread(name);
	vcpu_hear_kicks();
	rc = cpu_setup(cpu);
	mutex_lock(&c->lock);
	c->ready += rc == 0;
	if (rc && !c->failure)
		c->failure = &cpu->err;
	mutex_unlock(&c->lock);
	pthread_cond_signal(&c->reported);
	if (rc == 0)
		cpu_run(cpu);
	return NULL;
}

/*
 * Stacks are ours, since the C library gives the pages of its own back when a
 * thread ends, by a system call that vCPU threads need for nothing else.
 */
static int make_stacks(struct cpus *c, struct err *e)
{
	const size_t size = (size_t)c->config.count * STRIDE_BYTES;
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	uint32_t i;

	if (map == MAP_FAILED)
		return err_errno(e, "no memory for the stacks of vCPUs");
	c->stacks = map;
	for (i = 0; i < c->config.count; i++)
		if (mprotect(c->stacks + (size_t)i * STRIDE_BYTES, GUARD_BYTES,
			     PROT_NONE))
			return err_errno(e, "guarding the stacks of vCPUs");
	return 0;
}

static int cpu_start(struct cpu *cpu, struct err *e)
{
	uint8_t *stack = cpu->all->stacks +
			 (size_t)cpu->vcpu.id * STRIDE_BYTES + GUARD_BYTES;
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK_BYTES);
	rc = pthread_create(&cpu->vcpu.thread, &attr, cpu_main, cpu);
	pthread_attr_destroy(&attr);
	if (rc)
		return err_set(e, -rc, "can't start the thread of vCPU %u: %s",
			       cpu->vcpu.id, strerror(rc));
	cpu->is_started = true;
	return 0;
}

int cpus_new(struct cpus **out, const struct cpus_config *config, struct err *e)
{
	struct cpus *c =
		calloc(1, sizeof(*c) + config->count * sizeof(c->cpus[0]));
	uint32_t i;
	int rc;

	if (!c)
		return err_set(e, -ENOMEM, "no memory for vCPUs");
	c->config = *config;
	mutex_init(&c->lock);
	pthread_cond_init(&c->changed, NULL);
	pthread_cond_init(&c->reported, NULL);
	for (i = 0; i < config->count; i++) {
		c->cpus[i].vcpu.id = i;
		c->cpus[i].vcpu.fd = -1;
		c->cpus[i].all = c;
	}
	rc = make_stacks(c, e);
	for (i = 0; i < config->count && !rc; i++)
		rc = cpu_start(&c->cpus[i], e);
	if (rc) {
		cpus_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

/* Pulls whoever is in the guest out of it. */
static void kick_all(struct cpus *c)
{
	uint32_t i;

	for (i = 0; i < c->config.count; i++)
		if (c->cpus[i].is_started && c->cpus[i].vcpu.run)
			vcpu_kick(&c->cpus[i].vcpu);
}

void cpus_free(struct cpus *c)
{
	uint32_t i;

	if (!c)
		return;
	cpus_hold(c);
	set_stage(c, STAGE_QUIT);
	for (i = 0; i < c->config.count; i++) {
		if (c->cpus[i].is_started)
			pthread_join(c->cpus[i].vcpu.thread, NULL);
		vcpu_close(&c->cpus[i].vcpu);
	}
	pthread_cond_destroy(&c->changed);
	pthread_cond_destroy(&c->reported);
	if (c->stacks)
		munmap(c->stacks, (size_t)c->config.count * STRIDE_BYTES);
	free(c);
}

int cpus_use_vm(struct cpus *c, const struct vm *vm, struct err *e)
{
	/* Its thread has more to do: it still asks for the CPU model. */
	int rc = open_cpu(&c->cpus[0], vm, e);

	if (rc)
		return rc;
	mutex_lock(&c->lock);
	c->vm = vm;
	mutex_unlock(&c->lock);
	set_stage(c, STAGE_READY);
	return 0;
}

int cpus_wait(struct cpus *c, struct err *e)
{
	const struct err *failure;

	mutex_lock(&c->lock);
	while (c->ready < c->config.count && !c->failure)
		wait_report(c);
	failure = c->failure;
	mutex_unlock(&c->lock);
	if (!failure)
		return 0;
	/* Who has reported writes to its sentence no more. */
	if (e)
		*e = *failure;
	return failure->code;
}

void cpus_start(struct cpus *c, const struct boot_entry *entry)
{
	mutex_lock(&c->lock);
	c->entry = *entry;
	c->has_entry = true;
	mutex_unlock(&c->lock);
	set_stage(c, STAGE_RUN);
}

void cpus_start_held(struct cpus *c)
{
	set_stage(c, STAGE_HOLD);
}

struct vcpu *cpus_held(struct cpus *c, uint32_t i)
{
	return &c->cpus[i].vcpu;
}

void cpus_hold(struct cpus *c)
{
	bool was_running;

	mutex_lock(&c->lock);
	was_running = c->stage == STAGE_RUN;
	if (was_running) {
		c->stage = STAGE_HOLD;
		c->holds++;
	}
	mutex_unlock(&c->lock);
	if (!was_running)
		return;
	kick_all(c);
	mutex_lock(&c->lock);
	while (c->inside || c->has_entry != c->is_entered)
		wait_report(c);
	mutex_unlock(&c->lock);
}

void cpus_release(struct cpus *c)
{
	bool is_held;

	mutex_lock(&c->lock);
	is_held = c->stage == STAGE_HOLD;
	mutex_unlock(&c->lock);
	if (is_held)
		set_stage(c, STAGE_RUN);
}

enum { KINDS = 6 };

/* By kind, over all vCPUs, each as it is just now. */
static void sum_exits(const struct cpus *c, uint64_t sums[KINDS])
{
	uint32_t i, kind;

	for (i = 0; i < c->config.count; i++) {
		const struct vcpu_exits *x = &c->cpus[i].vcpu.exits;
		const _Atomic uint64_t *counts[KINDS] = {
			&x->io_in,	&x->io_out,	 &x->mmio_read,
			&x->mmio_write, &x->interrupted, &x->other,
		};

		for (kind = 0; kind < KINDS; kind++)
			sums[kind] += atomic_load_explicit(
				counts[kind], memory_order_relaxed);
	}
}

uint64_t cpus_exits(const struct cpus *c)
{
	uint64_t sums[KINDS] = {0}, sum = 0;
	uint32_t kind;

	sum_exits(c, sums);
	for (kind = 0; kind < KINDS; kind++)
		sum += sums[kind];
	return sum;
}

void cpus_count(const struct cpus *c, struct device_counters *counters)
{
	static const char *const names[KINDS] = {
		"exit_io_in",	   "exit_io_out",      "exit_mmio_read",
		"exit_mmio_write", "exit_interrupted", "exit_other",
	};
	uint64_t sums[KINDS] = {0};
	uint32_t kind;

	sum_exits(c, sums);
	for (kind = 0; kind < KINDS; kind++)
		counters->put(counters, names[kind], sums[kind]);
}
