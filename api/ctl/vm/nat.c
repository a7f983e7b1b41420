/*
 * Rules for a tap. They go into an nftables table of the microVM's own, which
 * goes as one with everything in it. Where there is no nft, iptables does it,
 * with the id in a comment to find each rule by, and ip6tables for IPv6, which
 * the tap has none of where that is not there either.
 *
 * What one table accepts, another may still drop, and hosts with docker or a
 * firewall do so with all that they do not know: chains of theirs that hang in
 * the way of what is forwarded and drop by default. Each of those gets two
 * rules that let this tap through, with the same comment.
 */
#include "api/ctl/vm/nat.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"

enum {
	SERVER_MAX = 80, /* the rule for a name server */
	SERVERS_MAX = NETWORK_SERVERS_MAX * SERVER_MAX,
	TEXT_MAX = 2048 + SERVERS_MAX,
	WORDS_MAX = 32,
	ANSWER_MAX = 4 << 20,
};

#define PREFIX "mayfly_"

static void format_address(const uint8_t address[4], char out[16])
{
	snprintf(out, 16, "%u.%u.%u.%u", address[0], address[1], address[2],
		 address[3]);
}

/* ---- nft ---------------------------------------------------------------- */

/* A rule for each name server, of which one may be the host itself. */
static void format_servers(const struct network *n, char out[SERVERS_MAX + 1])
{
	char server[16];
	size_t len = 0;
	unsigned i;

	*out = '\0';
	for (i = 0; i < n->server_count; i++) {
		format_address(n->servers[i], server);
		len += (size_t)snprintf(out + len, SERVER_MAX + 1,
					"  meta l4proto { tcp, udp } th dport "
					"53 ip daddr %s accept\n",
					server);
	}
}

static int make_table(const struct network *n, const char *id, struct err *e)
{
	static const char *const nft[] = {"nft", "-f", "-", NULL};
	char text[TEXT_MAX], servers[SERVERS_MAX + 1], guest[16];

	format_address(n->guest.ip, guest);
	format_servers(n, servers);
	snprintf(text, sizeof(text),
		 "table inet " PREFIX "%s {\n"
		 " chain input {\n"
		 "  type filter hook input priority 0;\n"
		 "  iifname != \"%s\" accept\n"
		 "  ct state established,related accept\n"
		 "%s"
		 "  drop\n"
		 " }\n"
		 " chain forward {\n"
		 "  type filter hook forward priority 0;\n"
		 "  iifname \"%s\" ip saddr %s accept\n"
		 "  iifname \"%s\" drop\n"
		 "  oifname \"%s\" ct state established,related accept\n"
		 "  oifname \"%s\" drop\n"
		 " }\n"
		 "}\n"
		 "table ip " PREFIX "%s {\n"
		 " chain out {\n"
		 "  type nat hook postrouting priority 100;\n"
		 "  ip saddr %s oifname != \"%s\" masquerade\n"
		 " }\n"
		 "}\n",
		 id, n->tap, servers, n->tap, guest, n->tap, n->tap, n->tap, id,
		 guest, n->tap);
	return process_feed(nft, text, e);
}

/* ---- iptables ----------------------------------------------------------- */

/*
 * Each is put before the ones above it. T is the tap, G the guest, S a name
 * server, for each of which there is the rule.
 */
static const char *const rules[] = {
	"nat POSTROUTING -s G ! -o T -j MASQUERADE",
	"filter FORWARD -o T -j DROP",
	"filter FORWARD -o T -m conntrack --ctstate ESTABLISHED,RELATED -j "
	"ACCEPT",
	"filter FORWARD -i T -j DROP",
	"filter FORWARD -i T -s G -j ACCEPT",
	"filter INPUT -i T -j DROP",
	"filter INPUT -i T -p udp -d S --dport 53 -j ACCEPT",
	"filter INPUT -i T -p tcp -d S --dport 53 -j ACCEPT",
	"filter INPUT -i T -m conntrack --ctstate ESTABLISHED,RELATED -j "
	"ACCEPT",
};

/* Of IPv6 nothing passes. */
static const char *const rules_of_six[] = {
	"filter FORWARD -o T -j DROP",
	"filter FORWARD -i T -j DROP",
	"filter INPUT -i T -j DROP",
};

/* What lets a tap through a chain of somebody else's, C. */
static const char *const passes[] = {
	"filter C -o T -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
	"filter C -i T -s G -j ACCEPT",
};

/* What a rule's words of one letter stand for. */
struct words {
	const struct network *network;
	const char *id;
	const char *chain;
	const uint8_t *server;
};

static int change_rule(const char *program, const char *action,
		       const char *rule, const struct words *w, struct err *e)
{
	char copy[160], guest[16], server[16] = "", comment[40];
	const char *argv[WORDS_MAX] = {program, "-w", "-t"};
	char *rest = copy, *word;
	unsigned count = 3;

	format_address(w->network->guest.ip, guest);
	if (w->server)
		format_address(w->server, server);
	snprintf(copy, sizeof(copy), "%s", rule);
	snprintf(comment, sizeof(comment), PREFIX "%s", w->id);
	argv[count++] = strsep(&rest, " ");
	argv[count++] = action;
	while ((word = strsep(&rest, " "))) {
		argv[count] = word;
		if (!strcmp(word, "T"))
			argv[count] = w->network->tap;
		else if (!strcmp(word, "G"))
			argv[count] = guest;
		else if (!strcmp(word, "S"))
			argv[count] = server;
		else if (!strcmp(word, "C"))
			argv[count] = w->chain;
		count++;
	}
	argv[count++] = "-m";
	argv[count++] = "comment";
	argv[count++] = "--comment";
	argv[count++] = comment;
	argv[count] = NULL;
	return process_run(argv, e);
}

/* Makes a rule, or as many as there are name servers. */
static int make_rule(const char *rule, const struct network *n, const char *id,
		     struct err *e)
{
	struct words w = {n, id, NULL, NULL};
	unsigned i;
	int rc = 0;

	if (!strstr(rule, " S "))
		return change_rule("iptables", "-I", rule, &w, e);
	for (i = 0; i < n->server_count && !rc; i++) {
		w.server = n->servers[i];
		rc = change_rule("iptables", "-I", rule, &w, e);
	}
	return rc;
}

/*
 * An interface without IPv6 takes none from its link: no address, no route, and
 * Linux drops what comes. That it can't be said of this one means that the host
 * has no IPv6, for what else is said of a tap could be.
 */
static int turn_six_off(const struct network *n)
{
	CLEAN_FD int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
		 n->tap);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return write(fd, "1", 1) == 1 ? 0 : -errno;
}

static int wall_six(const struct network *n, const char *id, struct err *e)
{
	const struct words w = {n, id, NULL, NULL};
	unsigned i;
	int rc = 0;

	for (i = 0; i < sizeof(rules_of_six) / sizeof(rules_of_six[0]) && !rc;
	     i++)
		rc = change_rule("ip6tables", "-I", rules_of_six[i], &w, e);
	if (!rc || rc == -EINTR)
		return rc;
	rc = turn_six_off(n);
	return rc ? err_set(e, rc,
			    "--net nat: nothing keeps the guest from this host "
			    "by IPv6: there is no nft, ip6tables does not do "
			    "it, and %s can't be without (%s); install nft",
			    n->tap, strerror(-rc))
		  : 0;
}

static int make_rules(const struct network *n, const char *id, struct err *e)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]) && !rc; i++)
		rc = make_rule(rules[i], n, id, e);
	if (rc == -ENOENT)
		return err_set(
			e, rc,
			"--net nat needs nft or iptables, and neither is "
			"installed; install nft");
	return rc ? rc : wall_six(n, id, e);
}

/* A rule as it is listed: "-A CHAIN ...". */
static void remove_rule(const char *program, const char *table, char *line)
{
	const char *argv[WORDS_MAX] = {program, "-w", "-t", table, "-D"};
	unsigned count = 5;
	char *word;

	(void)strsep(&line, " ");
	while ((word = strsep(&line, " ")) && count < WORDS_MAX - 1)
		argv[count++] = word;
	argv[count] = NULL;
	if (!word)
		(void)process_run(argv, NULL);
}

/* By their comment, for nobody knows by now which name servers there were. */
static void remove_rules(const char *program, const char *table, const char *id)
{
	const char *const list[] = {program, "-w", "-t", table, "-S", NULL};
	char comment[64], *text = NULL, *rest, *line;

	snprintf(comment, sizeof(comment), " --comment " PREFIX "%s ", id);
	(void)process_ask(list, ANSWER_MAX, &text, NULL);
	rest = text;
	while ((line = strsep(&rest, "\n")))
		if (strstr(line, comment))
			remove_rule(program, table, line);
	free(text);
}

static int pass_iptables(const char *action, const char *chain,
			 const struct network *n, const char *id, struct err *e)
{
	const struct words w = {n, id, chain, NULL};
	unsigned i;
	int rc = 0;

	for (i = 0; i < 2 && (!rc || *action != '-' || action[1] == 'D'); i++)
		rc = change_rule("iptables", action, passes[i], &w, e);
	return rc;
}

/* ---- chains of others --------------------------------------------------- */

/* A base chain that is asked about what the host forwards. */
struct chain {
	const char *family, *table, *name;
	bool is_dropping; /* what none of its rules has judged */
	/* iptables' own, whose rules it wants to have made itself. */
	bool is_iptables;
	bool has_docker; /* and docker's place for rules of others is there */
};

static bool read_chain(const json_t *json, struct chain *c)
{
	const json_t *chain = json_object_get(json, "chain");
	const char *hook = json_string_value(json_object_get(chain, "hook"));
	const char *type = json_string_value(json_object_get(chain, "type"));
	const char *policy =
		json_string_value(json_object_get(chain, "policy"));

	*c = (struct chain){
		.family = json_string_value(json_object_get(chain, "family")),
		.table = json_string_value(json_object_get(chain, "table")),
		.name = json_string_value(json_object_get(chain, "name")),
	};
	if (!c->family || !c->table || !c->name || !hook || !type ||
	    strcmp(hook, "forward") != 0 || strcmp(type, "filter") != 0 ||
	    (strcmp(c->family, "ip") != 0 && strcmp(c->family, "inet") != 0) ||
	    !strncmp(c->table, PREFIX, strlen(PREFIX)))
		return false;
	c->is_dropping = policy && !strcmp(policy, "drop");
	c->is_iptables = !strcmp(c->family, "ip") &&
			 !strcmp(c->table, "filter") &&
			 !strcmp(c->name, "FORWARD");
	return true;
}

static int pass_nft(const struct chain *c, const struct network *n,
		    const char *id, struct err *e)
{
	static const char *const nft[] = {"nft", "-f", "-", NULL};
	char text[TEXT_MAX], guest[16];

	format_address(n->guest.ip, guest);
	snprintf(text, sizeof(text),
		 "insert rule %s %s %s oifname \"%s\" ct state "
		 "established,related accept comment \"" PREFIX "%s\"\n"
		 "insert rule %s %s %s iifname \"%s\" ip saddr %s accept "
		 "comment \"" PREFIX "%s\"\n",
		 c->family, c->table, c->name, n->tap, id, c->family, c->table,
		 c->name, n->tap, guest, id);
	return process_feed(nft, text, e);
}

/* Removes the rules of a chain that have our comment. */
static void unpass_nft(const struct chain *c, const char *id)
{
	const char *const list[] = {"nft",    "-j",    "-a",
				    "list",   "chain", c->family,
				    c->table, c->name, NULL};
	char handle[24], comment[40], *text = NULL;
	const char *const delete[] = {"nft",	 "delete", "rule",
				      c->family, c->table, c->name,
				      "handle",	 handle,   NULL};
	json_t *json = NULL, *item, *rule;
	const char *said;
	size_t i;

	snprintf(comment, sizeof(comment), PREFIX "%s", id);
	if (!process_ask(list, ANSWER_MAX, &text, NULL))
		json = json_loads(text, 0, NULL);
	json_array_foreach(json_object_get(json, "nftables"), i, item)
	{
		rule = json_object_get(item, "rule");
		said = json_string_value(json_object_get(rule, "comment"));
		if (!said || strcmp(said, comment) != 0)
			continue;
		snprintf(handle, sizeof(handle), "%lld",
			 (long long)json_integer_value(
				 json_object_get(rule, "handle")));
		(void)process_run(delete, NULL);
	}
	json_decref(json);
	free(text);
}

static bool has_docker(const json_t *chains)
{
	const json_t *item, *chain;
	const char *name;
	size_t i;

	json_array_foreach(chains, i, item)
	{
		chain = json_object_get(item, "chain");
		name = json_string_value(json_object_get(chain, "name"));
		if (name && !strcmp(name, "DOCKER-USER"))
			return true;
	}
	return false;
}

/* Lets the tap through one chain, or no longer. */
static int pass(const struct chain *c, const struct network *n, const char *id,
		bool is_made, struct err *e)
{
	const char *name = c->has_docker ? "DOCKER-USER" : c->name;

	if (is_made && !c->is_dropping)
		return 0;
	if (is_made)
		return c->is_iptables ? pass_iptables("-I", name, n, id, e)
				      : pass_nft(c, n, id, e);
	/* Its policy may have been another when they were made. */
	if (c->is_iptables)
		(void)pass_iptables("-D", name, n, id, NULL);
	else
		unpass_nft(c, id);
	return 0;
}

static int pass_all(const struct network *n, const char *id, bool is_made,
		    struct err *e)
{
	static const char *const list[] = {"nft", "-j", "list", "chains", NULL};
	json_t *json = NULL, *chains, *item;
	char *text = NULL;
	struct chain c;
	size_t i;
	int rc = process_ask(list, ANSWER_MAX, &text, e);

	if (!rc)
		json = json_loads(text, 0, NULL);
	chains = json_object_get(json, "nftables");
	json_array_foreach(chains, i, item)
	{
		if (rc || !read_chain(item, &c))
			continue;
		c.has_docker = c.is_iptables && has_docker(chains);
		rc = pass(&c, n, id, is_made, e);
	}
	json_decref(json);
	free(text);
	return rc ? err_context(e, "--net nat") : 0;
}

/* ---- all of it ---------------------------------------------------------- */

int nat_make(const struct network *n, const char *id, struct err *e)
{
	int rc = make_table(n, id, e);

	if (rc == -ENOENT)
		return make_rules(n, id, e);
	return rc ? rc : pass_all(n, id, true, e);
}

void nat_remove(const struct network *n, const char *id)
{
	static const char *const nft[] = {"nft", "-f", "-", NULL};
	char text[200];

	/* `delete` fails where there is none; to add one that is there, not. */
	snprintf(text, sizeof(text),
		 "table inet " PREFIX "%s {}\n"
		 "table ip " PREFIX "%s {}\n"
		 "delete table inet " PREFIX "%s\n"
		 "delete table ip " PREFIX "%s\n",
		 id, id, id, id);
	if (process_feed(nft, text, NULL) != -ENOENT) {
		(void)pass_all(n, id, false, NULL);
		return;
	}
	remove_rules("iptables", "nat", id);
	remove_rules("iptables", "filter", id);
	remove_rules("ip6tables", "filter", id);
}
