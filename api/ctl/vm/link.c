/* What is asked of the kernel's table of interfaces, without a program. */
#include "api/ctl/vm/link.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum {
	ANSWER_MAX = 32 << 10,
	NAME_MAX_BYTES = 16,
	ATTRIBUTES_MAX = 512,
};

struct request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	struct rtattr attribute;
	char name[NAME_MAX_BYTES];
};

/* One request, one answer. Its length, or a negative errno. */
static ssize_t ask(const struct nlmsghdr *r, void *answer)
{
	CLEAN_FD int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct nlmsghdr *head = answer;
	ssize_t n;
	int error;

	if (fd < 0 || send(fd, r, r->nlmsg_len, 0) < 0)
		return -errno;
	do
		n = recv(fd, answer, ANSWER_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(head, (size_t)n))
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR) {
		memcpy(&error, (const char *)answer + NLMSG_HDRLEN,
		       sizeof(error));
		return error;
	}
	return n;
}

int link_find(const char *name, char alias[LINK_ALIAS_MAX])
{
	struct request r = {
		.head = {.nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = NLM_F_REQUEST},
		.attribute = {.rta_type = IFLA_IFNAME},
	};
	const size_t len = strlen(name) + 1;
	static union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} answer;
	struct ifinfomsg link;
	struct rtattr at;
	size_t begin = NLMSG_HDRLEN, end;
	ssize_t n;

	*alias = '\0';
	if (len > sizeof(r.name))
		return 0;
	memcpy(r.name, name, len);
	r.attribute.rta_len = (unsigned short)RTA_LENGTH(len);
	r.head.nlmsg_len =
		NLMSG_LENGTH(sizeof(r.link)) + RTA_ALIGN(r.attribute.rta_len);
	n = ask(&r.head, &answer);
	if (n <= 0 || answer.head.nlmsg_type != RTM_NEWLINK)
		return 0;
	memcpy(&link, answer.bytes + begin, sizeof(link));
	end = answer.head.nlmsg_len;
	for (begin += NLMSG_ALIGN(sizeof(link)); begin + sizeof(at) <= end;
	     begin += RTA_ALIGN(at.rta_len)) {
		memcpy(&at, answer.bytes + begin, sizeof(at));
		if (at.rta_len < sizeof(at) || at.rta_len > end - begin)
			break;
		if (at.rta_type != IFLA_IFALIAS ||
		    RTA_PAYLOAD(&at) > LINK_ALIAS_MAX)
			continue;
		memcpy(alias, answer.bytes + begin + RTA_LENGTH(0),
		       RTA_PAYLOAD(&at));
		alias[LINK_ALIAS_MAX - 1] = '\0';
	}
	return link.ifi_index;
}

int link_remove(int index)
{
	struct request r = {
		.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(r.link)),
			 .nlmsg_type = RTM_DELLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.link = {.ifi_index = index},
	};
	union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} answer;
	ssize_t n = ask(&r.head, &answer);

	return n < 0 ? (int)n : 0;
}

/* ---- its name, its address ------------------------------------------------
 */

/* A request that changes something, with attributes behind its head. */
struct change {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
	} of;
	char attributes[ATTRIBUTES_MAX];
};

static void begin(struct change *c, unsigned type, size_t of_len)
{
	*c = (struct change){
		.head = {.nlmsg_len = (unsigned)NLMSG_LENGTH(of_len),
			 .nlmsg_type = (unsigned short)type,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
	};
}

static void add(struct change *c, unsigned type, const void *bytes, size_t len)
{
	const struct rtattr head = {
		.rta_len = (unsigned short)RTA_LENGTH(len),
		.rta_type = (unsigned short)type,
	};
	char *at = (char *)c + NLMSG_ALIGN(c->head.nlmsg_len);

	memcpy(at, &head, sizeof(head));
	memcpy(at + RTA_LENGTH(0), bytes, len);
	c->head.nlmsg_len = NLMSG_ALIGN(c->head.nlmsg_len) +
			    (unsigned)RTA_ALIGN(head.rta_len);
}

static int change(const struct change *c)
{
	union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} answer;
	const ssize_t n = ask(&c->head, &answer);

	return n < 0 ? (int)n : 0;
}

int link_name(int index, const char *alias)
{
	struct change c;

	if (strlen(alias) >= LINK_ALIAS_MAX)
		return -ENAMETOOLONG;
	begin(&c, RTM_SETLINK, sizeof(c.of.link));
	c.of.link.ifi_index = index;
	add(&c, IFLA_IFALIAS, alias, strlen(alias));
	return change(&c);
}

int link_address(int index, const uint8_t ip[4], uint8_t prefix)
{
	struct change c;

	begin(&c, RTM_NEWADDR, sizeof(c.of.address));
	c.head.nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	c.of.address = (struct ifaddrmsg){
		.ifa_family = AF_INET,
		.ifa_prefixlen = prefix,
		.ifa_index = (unsigned)index,
	};
	add(&c, IFA_LOCAL, ip, 4);
	add(&c, IFA_ADDRESS, ip, 4);
	return change(&c);
}

int link_up(int index)
{
	struct change c;

	begin(&c, RTM_SETLINK, sizeof(c.of.link));
	c.of.link.ifi_index = index;
	c.of.link.ifi_flags = c.of.link.ifi_change = IFF_UP;
	return change(&c);
}
