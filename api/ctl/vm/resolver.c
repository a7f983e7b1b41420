/*
 * resolv.conf(5). A server on the host's loopback is another one in a guest, so
 * it is left out; systemd-resolved, who is such a server, keeps a file of those
 * that it asks.
 */
#include "api/ctl/vm/resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 1024 };

static void free_list(char ***list)
{
	char **at;

	for (at = *list; at && *at; at++)
		free(*at);
	free(*list);
	*list = NULL;
}

static void add(char ***list, const char *text)
{
	size_t n = 0;

	if (!*list)
		*list = calloc(RESOLVER_ITEMS_MAX + 1, sizeof(**list));
	while (*list && (*list)[n])
		n++;
	if (*list && n < RESOLVER_ITEMS_MAX)
		(*list)[n] = strdup(text);
}

/* A server that a guest can ask too; *is_local where only the host can. */
static bool is_usable(const char *text, bool *is_local)
{
	struct in6_addr six;
	unsigned char four[4];

	if (inet_pton(AF_INET, text, four) == 1) {
		*is_local = four[0] == 127 || four[0] == 0;
		return !*is_local;
	}
	/* With a zone behind it (%eth0) it is of a link of the host's. */
	if (inet_pton(AF_INET6, text, &six) != 1)
		return false;
	*is_local = IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_UNSPECIFIED(&six);
	return !*is_local && !IN6_IS_ADDR_LINKLOCAL(&six);
}

static void read_line(struct resolver *r, char *line)
{
	static const char blanks[] = " \t\r\n";
	char *rest = NULL, *word = strtok_r(line, blanks, &rest);
	char ***list = NULL;
	bool is_local = false;

	if (!word)
		return;
	if (!strcmp(word, "nameserver")) {
		word = strtok_r(NULL, blanks, &rest);
		if (word && is_usable(word, &is_local))
			add(&r->servers, word);
		r->is_local = r->is_local || is_local;
		return;
	}
	/* The last of these counts, of options all do. */
	if (!strcmp(word, "search") || !strcmp(word, "domain")) {
		free_list(&r->search);
		list = &r->search;
	} else if (!strcmp(word, "options")) {
		list = &r->options;
	}
	while (list && (word = strtok_r(NULL, blanks, &rest)))
		add(list, word);
}

static void read_file(struct resolver *r, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[LINE_BYTES];

	while (file && fgets(line, sizeof(line), file))
		if (*line != '#' && *line != ';')
			read_line(r, line);
	if (file)
		fclose(file);
}

void resolver_read(struct resolver *r, const char *path, const char *upstream)
{
	*r = (struct resolver){0};
	read_file(r, path ? path : "/etc/resolv.conf");
	if (r->servers || !r->is_local) {
		r->is_local = false;
		return;
	}
	resolver_fini(r);
	read_file(r, upstream ? upstream : "/run/systemd/resolve/resolv.conf");
	r->is_local = !r->servers;
}

void resolver_keep_ipv4(struct resolver *r)
{
	char **from = r->servers, **to = r->servers;

	for (; from && *from; from++)
		if (strchr(*from, ':'))
			free(*from);
		else
			*to++ = *from;
	if (to)
		*to = NULL;
	if (to == r->servers)
		free_list(&r->servers);
}

void resolver_fini(struct resolver *r)
{
	free_list(&r->servers);
	free_list(&r->search);
	free_list(&r->options);
	r->is_local = false;
}
