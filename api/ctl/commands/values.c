/*
 * Values of options. docker's users have their spellings in their fingers, so
 * these are docker's, as far as they have a meaning for a microVM.
 */
#include "api/ctl/commands/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

#include "api/ctl/base/capability.h"

/* Reads a number that ends where *end says; false where there is none. */
static bool read_number(const char *text, const char **end, uint64_t *value)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	*end = stop;
	return !errno;
}

/* The same with a fraction: digits, a point, digits; no sign, no exponent. */
static bool read_decimal(const char *text, const char **end, double *value)
{
	const size_t whole = strspn(text, "0123456789");
	size_t len = whole;
	char copy[40];

	if (text[len] == '.')
		len += 1 + strspn(text + len + 1, "0123456789");
	if (len >= sizeof(copy) || len < 1 + (text[whole] == '.'))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*end = text + len;
	*value = strtod(copy, NULL);
	return true;
}

/* ---- sizes and times ----------------------------------------------------- */

bool value_bytes(const char *text, uint64_t *bytes)
{
	static const char units[] = "kmgt";
	const char *end, *unit;
	double value;

	if (!read_decimal(text, &end, &value))
		return false;
	unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	if (unit) {
		value *= (double)(1ull << 10 * (unit - units + 1));
		end++;
		if (*end == 'i' && end[1])
			end++;
	}
	if (*end == 'b' || *end == 'B')
		end++;
	if (*end || !(value < 0x1p63))
		return false;
	*bytes = (uint64_t)value;
	return true;
}

int value_memory(const char *text, uint64_t *mib, struct err *e)
{
	const bool is_bare = text[strspn(text, "0123456789")] == '\0';
	/* Who types less without a unit means MiB: docker has it refused. */
	const uint64_t bytes_min = 1 << 20;
	uint64_t value = 0;

	if (value_bytes(text, &value)) {
		if (!is_bare || value >= bytes_min)
			value = (value + (1 << 20) - 1) >> 20;
	}
	if (value < VALUE_MEMORY_MIN_MIB || value > VALUE_MEMORY_MAX_MIB)
		return err_set(e, -EINVAL,
			       "--memory takes MiB, bytes, or a number with k, "
			       "m or g behind it, from %dm to %dg, not '%s'",
			       VALUE_MEMORY_MIN_MIB, VALUE_MEMORY_MAX_MIB >> 10,
			       text);
	*mib = value;
	return 0;
}

int value_cpus(const char *text, unsigned *count, struct err *e)
{
	const char *end;
	double value;

	if (!read_decimal(text, &end, &value) || *end || !(value > 0) ||
	    value > (double)VALUE_CPUS_MAX)
		return err_set(e, -EINVAL,
			       "--cpus takes a number up to %d, whose fraction "
			       "is rounded up to a whole vCPU, not '%s'",
			       VALUE_CPUS_MAX, text);
	*count = (unsigned)value;
	if (value > *count)
		++*count;
	return 0;
}

/* One unit, at *at up to the next digit, as ms; 0 where it is none. */
static double read_unit(const char **at)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {
		{"s", 1e3},    {"ms", 1},      {"m", 60e3},
		{"h", 3600e3}, {"d", 86400e3},
	};
	const size_t len = strcspn(*at, "0123456789");
	unsigned i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].unit) == len &&
		    !strncmp(*at, units[i].unit, len)) {
			*at += len;
			return units[i].ms;
		}
	return 0;
}

int value_duration(const char *text, uint64_t *ms, struct err *e)
{
	const char *at = text;
	double value = 0, part, unit;

	while (read_decimal(at, &at, &part)) {
		/* Without a unit it is seconds, and nothing beside it. */
		if (!*at && !(value > 0))
			unit = 1e3;
		else
			unit = read_unit(&at);
		value += part * unit;
		if (!(unit > 0) || *at)
			continue;
		/* A year. */
		if (!(value >= 1 && value <= 366 * 86400e3))
			break;
		*ms = (uint64_t)value;
		return 0;
	}
	return err_set(e, -EINVAL,
		       "'%s' is no time: seconds, or numbers with ms, s, m, h "
		       "or d behind each, such as 1h30m",
		       text);
}

/* ---- moments ------------------------------------------------------------- */

#define NS_PER_S UINT64_C(1000000000)

/* ".5" as ns, which may be nothing at all. */
static uint64_t read_fraction(const char **at)
{
	uint64_t ns = 0, unit = NS_PER_S;

	if (**at != '.')
		return 0;
	for (++*at; **at >= '0' && **at <= '9'; ++*at) {
		unit /= 10;
		ns += (uint64_t)(**at - '0') * unit;
	}
	return ns;
}

/* RFC 3339's zone behind a date; none is the one that we live in. */
static bool read_zone(const char *text, struct tm *tm, int64_t *seconds)
{
	unsigned hours, minutes;
	int end = 0;

	tm->tm_isdst = -1;
	*seconds = *text ? timegm(tm) : mktime(tm);
	if (!*text || !strcasecmp(text, "Z"))
		return true;
	if ((*text != '+' && *text != '-') ||
	    sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &end) != 2 ||
	    end != 5 || text[6] || hours > 23 || minutes > 59)
		return false;
	*seconds -= (*text == '+' ? 1 : -1) *
		    (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

static bool read_date(const char *text, uint64_t *ns)
{
	static const char *const forms[] = {
		"%Y-%m-%dT%H:%M:%S",
		"%Y-%m-%dT%H:%M",
		"%Y-%m-%dT%H",
		"%Y-%m-%d",
	};
	uint64_t fraction = 0;
	const char *end;
	int64_t seconds;
	unsigned i;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = {.tm_mday = 1};

		end = strptime(text, forms[i], &tm);
		if (!end)
			continue;
		if (!i)
			fraction = read_fraction(&end);
		if (!read_zone(end, &tm, &seconds) || seconds < 0 ||
		    (uint64_t)seconds >= UINT64_MAX / NS_PER_S)
			return false;
		*ns = (uint64_t)seconds * NS_PER_S + fraction;
		return true;
	}
	return false;
}

int value_moment(const char *text, uint64_t now_ns, uint64_t *ns, struct err *e)
{
	const char *end;
	uint64_t number = 0, ms = 0;

	if (read_date(text, ns))
		return 0;
	if (read_number(text, &end, &number) &&
	    (number >= NS_PER_S || !strcmp(text, "0")) &&
	    number < UINT64_MAX / NS_PER_S) {
		*ns = number * NS_PER_S + read_fraction(&end);
		if (!*end)
			return 0;
	}
	if (!value_duration(text, &ms, NULL)) {
		*ns = now_ns - ms * 1000000;
		return 0;
	}
	return err_set(e, -EINVAL,
		       "it takes a time ago, such as 10m or 1h30m, seconds "
		       "since 1970, or a date, such as 2026-11-25T12:00:00Z, "
		       "not '%s'",
		       text);
}

/* ---- ports and addresses ------------------------------------------------- */

static bool read_port(const char *text, uint16_t *port)
{
	const char *end;
	uint64_t value;

	if (!read_number(text, &end, &value) || *end || value > 65535)
		return false;
	*port = (uint16_t)value;
	return true;
}

bool value_is_address(const char *text)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, text, bytes) == 1 ||
	       inet_pton(AF_INET6, text, bytes) == 1;
}

int value_port(const char *text, struct forward_rule *port, struct err *e)
{
	char copy[80], *guest, *host, *address;
	size_t len = strlen(text);

	*port = (struct forward_rule){0};
	if (len > 4 && !strcasecmp(text + len - 4, "/tcp"))
		len -= 4;
	if (len >= sizeof(copy))
		goto bad;
	memcpy(copy, text, len);
	copy[len] = '\0';
	guest = strrchr(copy, ':');
	if (!guest)
		guest = copy;
	else
		*guest++ = '\0';
	if (!read_port(guest, &port->guest) || !port->guest)
		goto bad;
	if (guest == copy)
		return 0;
	host = strrchr(copy, ':');
	address = host ? copy : NULL;
	if (host)
		*host++ = '\0';
	else
		host = copy;
	/* ADDRESS::GUEST leaves the host's port open. */
	if (*host && !read_port(host, &port->host))
		goto bad;
	if (!address)
		return 0;
	len = strlen(address);
	if (len > 2 && *address == '[' && address[len - 1] == ']') {
		address[len - 1] = '\0';
		address++;
	}
	if (!value_is_address(address) ||
	    strlen(address) >= sizeof(port->address))
		goto bad;
	memcpy(port->address, address, strlen(address) + 1);
	return 0;
bad:
	return err_set(e, -EINVAL,
		       "-p takes [ADDRESS:]HOST:GUEST, TCP ports from 1 to "
		       "65535, or ranges as long as one another, and an "
		       "address in numbers, not '%s'",
		       text);
}

/* "8000-8010", or one alone. */
static bool read_range(const char *text, const char *stop, uint64_t *first,
		       uint64_t *count)
{
	const char *end;
	uint64_t last;

	if (!read_number(text, &end, first) || *first > UINT16_MAX)
		return false;
	last = *first;
	if (*end == '-' && (!read_number(end + 1, &end, &last) ||
			    last < *first || last > UINT16_MAX))
		return false;
	*count = last - *first + 1;
	return end == stop;
}

int value_ports(const char *text, struct forward_rule *ports, unsigned room,
		struct err *e)
{
	const char *stop = text + strcspn(text, "/");
	const char *guest = memrchr(text, ':', (size_t)(stop - text));
	const char *host = guest ? memrchr(text, ':', (size_t)(guest - text))
				 : NULL;
	uint64_t from, to, count, same, i;
	char one[96];
	int rc = 0;

	host = host ? host + 1 : text;
	guest = guest ? guest + 1 : text;
	/* What is no pair of ranges is judged as one, and so are its faults. */
	if (!memchr(host, '-', (size_t)(stop - host)) ||
	    !read_range(guest, stop, &to, &count) || strlen(text) > 64)
		return value_port(text, ports, e) ? -EINVAL : 1;
	from = 0;
	if (host < guest && host != guest - 1 &&
	    (!read_range(host, guest - 1, &from, &same) || same != count))
		return value_port(text, ports, e) ? -EINVAL : 1;
	if (count > room)
		return err_set(e, -E2BIG, "-p %s are more ports than %u", text,
			       room);
	for (i = 0; i < count && !rc; i++) {
		if (from)
			snprintf(one, sizeof(one), "%.*s%u:%u%s",
				 (int)(host - text), text, (unsigned)(from + i),
				 (unsigned)(to + i), stop);
		else
			snprintf(one, sizeof(one), "%.*s%u%s",
				 (int)(guest - text), text, (unsigned)(to + i),
				 stop);
		rc = value_port(one, &ports[i], e);
	}
	return rc ? rc : (int)count;
}

int value_hostname(const char *text, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_";
	const size_t len = strlen(text);
	const char *part = text;
	size_t n;

	if (len > VALUE_HOSTNAME_MAX)
		return err_set(e, -EINVAL,
			       "--hostname has %zu characters; Linux takes at "
			       "most %d, so choose a shorter one",
			       len, VALUE_HOSTNAME_MAX);
	for (;;) {
		n = strspn(part, allowed);
		if (!n || n > 63 || *part == '-' || part[n - 1] == '-' ||
		    (part[n] && part[n] != '.'))
			break;
		if (!part[n])
			return 0;
		part += n + 1;
	}
	return err_set(e, -EINVAL,
		       "--hostname takes letters, digits and hyphens, with "
		       "dots between the parts of a domain, not '%s'",
		       text);
}

/* ---- limits and rights ----------------------------------------------------
 */

static bool read_limit(const char *text, const char **end, uint64_t *value)
{
	if (!strncmp(text, "-1", 2)) {
		*value = UINT64_MAX;
		*end = text + 2;
		return true;
	}
	if (!strncmp(text, "unlimited", 9)) {
		*value = UINT64_MAX;
		*end = text + 9;
		return true;
	}
	return read_number(text, end, value);
}

int value_limit(const char *text, struct session_limit *limit, struct err *e)
{
	static const struct {
		const char *name;
		int resource;
	} limits[] = {
		{"as", RLIMIT_AS},
		{"core", RLIMIT_CORE},
		{"cpu", RLIMIT_CPU},
		{"data", RLIMIT_DATA},
		{"fsize", RLIMIT_FSIZE},
		{"locks", RLIMIT_LOCKS},
		{"memlock", RLIMIT_MEMLOCK},
		{"msgqueue", RLIMIT_MSGQUEUE},
		{"nice", RLIMIT_NICE},
		{"nofile", RLIMIT_NOFILE},
		{"nproc", RLIMIT_NPROC},
		{"rss", RLIMIT_RSS},
		{"rtprio", RLIMIT_RTPRIO},
		{"rttime", RLIMIT_RTTIME},
		{"sigpending", RLIMIT_SIGPENDING},
		{"stack", RLIMIT_STACK},
	};
	const size_t len = strcspn(text, "=");
	const char *end;
	unsigned i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (strlen(limits[i].name) == len &&
		    !strncmp(text, limits[i].name, len))
			break;
	if (i == sizeof(limits) / sizeof(limits[0]) || !text[len])
		goto bad;
	limit->resource = limits[i].resource;
	if (!read_limit(text + len + 1, &end, &limit->soft))
		goto bad;
	limit->hard = limit->soft;
	if (*end == ':' && !read_limit(end + 1, &end, &limit->hard))
		goto bad;
	if (!*end && limit->soft <= limit->hard)
		return 0;
bad:
	return err_set(e, -EINVAL,
		       "--ulimit takes NAME=SOFT[:HARD], such as "
		       "nofile=1024:4096, SOFT at most HARD and -1 for none, "
		       "not '%s'",
		       text);
}

int value_capability(const char *text, uint64_t *bits, struct err *e)
{
	const char *name = strncasecmp(text, "CAP_", 4) ? text : text + 4;
	unsigned i;

	if (!strcasecmp(name, "ALL")) {
		*bits = UINT64_MAX;
		return 0;
	}
	for (i = 0; i < CAPABILITY_COUNT; i++)
		if (!strcasecmp(name, capability_names[i])) {
			*bits = 1ull << i;
			return 0;
		}
	return err_set(e, -EINVAL,
		       "there is no capability '%s'; capabilities(7) lists "
		       "them, NET_ADMIN and ALL would be such",
		       text);
}

/* ---- paths --------------------------------------------------------------- */

int value_target(const char *option, const char *text, struct err *e)
{
	static const char *const taken[] = {"/", "/dev", "/proc", "/sys"};
	size_t len = strlen(text);
	const char *at;
	unsigned i;

	while (len > 1 && text[len - 1] == '/')
		len--;
	if (*text != '/')
		return err_set(e, -EINVAL,
			       "%s takes a path of the container from / on, "
			       "not '%s'",
			       option, text);
	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strlen(taken[i]) == len && !strncmp(text, taken[i], len))
			return err_set(
				e, -EINVAL,
				"%s can't cover %s of a container; choose a "
				"directory below it%s",
				option, taken[i],
				i ? "" : ", or import a root as an image");
	for (at = text; (at = strstr(at, "/..")); at += 3)
		if (!at[3] || at[3] == '/')
			return err_set(e, -EINVAL,
				       "%s takes a path without .., not '%s'",
				       option, text);
	return 0;
}
