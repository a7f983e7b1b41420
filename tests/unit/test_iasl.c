/*
 * The ACPI tables as Intel's compiler sees them: taken apart and put together
 * again without one complaint. Skipped where there is no iasl.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/acpi_bench.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/layout.h"

enum { VIRTIO_MAX = 19 };

static struct guest_mem mem;

static int mem_setup(void **state)
{
	const struct guest_range ram = {0, 2 << 20};

	(void)state;
	return guest_mem_open(&mem, &ram, 1,
			      &(struct guest_mem_backing){GUEST_MEM_SMALL},
			      NULL);
}

static int mem_teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static void write_machine(unsigned virtio, uint32_t vcpus)
{
	const struct arch_topology topology = {.vcpus = vcpus};
	struct arch_slot slots[ARCH_SLOTS_MAX];
	const unsigned count = acpi_slots(slots, virtio);
	uint64_t rsdp;

	assert_int_equal(acpi_write(&mem, slots, count, &topology, &rsdp, NULL),
			 0);
	assert_int_equal(rsdp, LAYOUT_BIOS);
}

static const char iasl[] = "/usr/bin/iasl";
static char folder[64], output[1 << 16];

static void file_write(const char *name, const void *bytes, size_t len)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd > 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

/* The bytes of a file of the folder, with a NUL behind. */
static size_t file_read(const char *name, char *buf, size_t size)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("iasl made no %s: %s", name, output);
	n = read(fd, buf, size - 1);
	assert_true(n >= 0);
	buf[n] = 0;
	close(fd);
	return (size_t)n;
}

/* Runs iasl in the folder; its words go to output. */
static void iasl_run(const char *arguments)
{
	char command[256];
	int status;

	snprintf(command, sizeof(command), "cd %s && %s %s >out 2>&1", folder,
		 iasl, arguments);
	status = system(command);
	file_read("out", output, sizeof(output));
	if (status)
		fail_msg("iasl %s: %s", arguments, output);
}

/* Takes the table apart, puts it together again, without a complaint. */
static void iasl_round_trip(const char *name, const uint8_t *table, size_t len,
			    char *source, size_t size)
{
	char arguments[64], file[32];

	snprintf(file, sizeof(file), "%s.aml", name);
	file_write(file, table, len);
	snprintf(arguments, sizeof(arguments), "-d %s.aml", name);
	iasl_run(arguments);
	assert_null(strstr(output, "Warning"));
	assert_null(strstr(output, "Invalid"));
	snprintf(file, sizeof(file), "%s.dsl", name);
	file_read(file, source, size);
	assert_null(strstr(source, "ncorrect checksum"));
	snprintf(arguments, sizeof(arguments), "-p %s-again %s.dsl", name,
		 name);
	iasl_run(arguments);
	if (!strstr(output, "0 Errors, 0 Warnings"))
		fail_msg("%s: %s", name, output);
}

/*
 * What iasl makes of its own reading of a data table is our table again, but
 * for the compiler's name (28 to 35) and the checksum (9).
 */
static void check_data_table(const char *name, const uint8_t *table)
{
	static char source[1 << 16];
	const size_t len = get32(table + 4);
	char file[32];
	uint8_t ours[1024], theirs[1024];

	assert_true(len < sizeof(ours));
	iasl_round_trip(name, table, len, source, sizeof(source));
	snprintf(file, sizeof(file), "%s-again.aml", name);
	assert_int_equal(file_read(file, (char *)theirs, sizeof(theirs)), len);
	memcpy(ours, table, len);
	memset(ours + 28, 0, 8);
	memset(theirs + 28, 0, 8);
	ours[9] = theirs[9] = 0;
	assert_memory_equal(ours, theirs, len);
}

static void check_dsdt(const uint8_t *dsdt, unsigned virtio)
{
	static char source[1 << 16];
	const char *p = source;
	unsigned count = 0;

	iasl_round_trip("dsdt", dsdt, get32(dsdt + 4), source, sizeof(source));
	while ((p = strstr(p, "\"LNRO0005\""))) {
		p++;
		count++;
	}
	assert_int_equal(count, virtio);
	assert_non_null(strstr(source, "\"PNP0501\""));
	assert_non_null(strstr(source, "\"PNP0303\""));
	assert_non_null(strstr(source, "Name (_S5, Package (0x04)"));
	assert_non_null(strstr(source, "Method (_EVT, 1, NotSerialized)"));
	assert_non_null(strstr(source, "Notify (VGEN, 0x80)"));
	assert_non_null(strstr(source, "Notify (VCLK, 0x80)"));
}

static void iasl_reads_all_and_complains_of_nothing(void **state)
{
	static const struct {
		unsigned virtio;
		uint32_t vcpus;
	} machines[] = {{0, 1}, {VIRTIO_MAX, ARCH_VCPUS_MAX}};
	const uint8_t *xsdt, *fadt;
	char command[96];
	size_t i;

	(void)state;
	if (access(iasl, X_OK))
		skip();
	snprintf(folder, sizeof(folder), "/tmp/test_acpi.XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (i = 0; i < 2; i++) {
		write_machine(machines[i].virtio, machines[i].vcpus);
		/* test_acpi.c has proved the links. */
		xsdt = mem.map + get32(mem.map + LAYOUT_BIOS + 24);
		fadt = mem.map + get32(xsdt + 36);
		check_dsdt(mem.map + get32(fadt + 40), machines[i].virtio);
		check_data_table("facp", fadt);
		check_data_table("apic", mem.map + get32(xsdt + 44));
		check_data_table("xsdt", xsdt);
	}
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iasl_reads_all_and_complains_of_nothing),
	};

	return cmocka_run_group_tests_name("iasl", tests, mem_setup,
					   mem_teardown);
}
