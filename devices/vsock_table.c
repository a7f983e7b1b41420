/*
 * Connections by ports, by turn and by deadline. All lists run through the
 * connections themselves.
 */
#include "devices/vsock_table.h"

#include <assert.h>
#include <stdlib.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"

#define NS_PER_MS 1000000ULL

static const uint64_t wait_ns[VSOCK_WAITS] = {
	[VSOCK_WAIT_GREETING] = 2000 * NS_PER_MS,
	[VSOCK_WAIT_ANSWER] = 5000 * NS_PER_MS,
	[VSOCK_WAIT_RETRY] = 10 * NS_PER_MS,
	[VSOCK_WAIT_RST] = 8000 * NS_PER_MS, /* as long as Linux */
	[VSOCK_WAIT_DRAIN] = 30000 * NS_PER_MS,
};

/* ---- lists -------------------------------------------------------------- */

void vsock_link_init(struct vsock_link *head)
{
	head->prev = head->next = head;
}

bool vsock_link_is_empty(const struct vsock_link *head)
{
	return head->next == head;
}

struct vsock_conn *vsock_link_first(const struct vsock_link *head)
{
	return vsock_link_is_empty(head)
		       ? NULL
		       : container_of(head->next, struct vsock_conn, all);
}

static void append(struct vsock_link *head, struct vsock_link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static void take_out(struct vsock_link *l)
{
	if (!l->next)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

/* ---- connections -------------------------------------------------------- */

void vsock_table_init(struct vsock_table *t)
{
	unsigned i;

	vsock_link_init(&t->all);
	vsock_link_init(&t->doomed);
	vsock_link_init(&t->ready);
	for (i = 0; i < VSOCK_WAITS; i++)
		vsock_link_init(&t->waits[i]);
	t->last_port = (1U << 30) - 1;
}

/*
 * Room that a guest is given, of which each can make us hold that much for a
 * process that does not read: the more there are, the less for each.
 */
static uint32_t room_for(unsigned count)
{
	if (count <= 64)
		return 256 << 10;
	return count <= 1024 ? 64 << 10 : 16 << 10;
}

struct vsock_conn *vsock_table_add(struct vsock_table *t,
				   enum vsock_state state)
{
	struct vsock_conn *c;

	if (t->count >= VSOCK_CONNS_MAX)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->fd = -1;
	c->watch.fd = -1;
	c->state = state;
	c->batch = 1;
	t->count++;
	if (state == VSOCK_GREETING)
		t->greeting++;
	c->buf_alloc = room_for(t->count);
	append(&t->all, &c->all);
	return c;
}

void vsock_table_remove(struct vsock_table *t, struct vsock_conn *c)
{
	vsock_table_unhash(t, c);
	take_out(&c->all);
	take_out(&c->ready);
	take_out(&c->wait);
	t->count--;
	if (c->state == VSOCK_GREETING)
		t->greeting--;
	free(c->buffer);
	free(c);
}

void vsock_table_doom(struct vsock_table *t)
{
	struct vsock_conn *c;

	while ((c = vsock_link_first(&t->all))) {
		vsock_table_unhash(t, c);
		take_out(&c->all);
		take_out(&c->ready);
		take_out(&c->wait);
		c->state = VSOCK_DOOMED;
		append(&t->doomed, &c->all);
	}
	t->greeting = 0;
}

/* ---- ports -------------------------------------------------------------- */

static unsigned bucket_of(uint32_t host_port, uint32_t guest_port)
{
	/* Either may be the one that changes; both in the highest bits. */
	return (host_port * 0x9e3779b1U ^ guest_port * 0x85ebca6bU) >> 22;
}

_Static_assert(VSOCK_BUCKETS == 1 << (32 - 22), "bucket_of()");

struct vsock_conn *vsock_table_find(const struct vsock_table *t,
				    uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn *c = t->buckets[bucket_of(host_port, guest_port)];

	while (c && (c->host_port != host_port || c->guest_port != guest_port))
		c = c->same;
	return c;
}

void vsock_table_hash(struct vsock_table *t, struct vsock_conn *c)
{
	struct vsock_conn **head =
		&t->buckets[bucket_of(c->host_port, c->guest_port)];

	assert(!c->is_hashed);
	c->same = *head;
	*head = c;
	c->is_hashed = true;
}

void vsock_table_unhash(struct vsock_table *t, struct vsock_conn *c)
{
	struct vsock_conn **at =
		&t->buckets[bucket_of(c->host_port, c->guest_port)];

	if (!c->is_hashed)
		return;
	while (*at != c)
		at = &(*at)->same;
	*at = c->same;
	c->is_hashed = false;
}

uint32_t vsock_table_port(struct vsock_table *t, uint32_t guest_port)
{
	/* [2^30, 2^31) is larger than the table: this ends. */
	do
		t->last_port = ((t->last_port + 1) & ((1U << 30) - 1)) |
			       1U << 30;
	while (vsock_table_find(t, t->last_port, guest_port));
	return t->last_port;
}

bool vsock_table_is_port(uint32_t port)
{
	return port >= (1U << 30) - 1 && port < 1U << 31;
}

/* ---- turns and deadlines ------------------------------------------------ */

void vsock_table_ready(struct vsock_table *t, struct vsock_conn *c)
{
	if (!c->ready.next)
		append(&t->ready, &c->ready);
}

struct vsock_conn *vsock_table_next(struct vsock_table *t)
{
	struct vsock_conn *c;

	if (vsock_link_is_empty(&t->ready))
		return NULL;
	c = container_of(t->ready.next, struct vsock_conn, ready);
	take_out(&c->ready);
	return c;
}

void vsock_table_wait(struct vsock_table *t, struct vsock_conn *c,
		      enum vsock_wait what)
{
	take_out(&c->wait);
	c->deadline_ns = clock_now_ns() + wait_ns[what];
	append(&t->waits[what], &c->wait);
}

void vsock_table_unwait(struct vsock_conn *c)
{
	take_out(&c->wait);
}

static struct vsock_conn *first_waiting(const struct vsock_table *t, unsigned i)
{
	const struct vsock_link *head = &t->waits[i];

	return vsock_link_is_empty(head)
		       ? NULL
		       : container_of(head->next, struct vsock_conn, wait);
}

uint64_t vsock_table_deadline(const struct vsock_table *t)
{
	uint64_t first = UINT64_MAX;
	const struct vsock_conn *c;
	unsigned i;

	for (i = 0; i < VSOCK_WAITS; i++) {
		c = first_waiting(t, i);
		if (c && c->deadline_ns < first)
			first = c->deadline_ns;
	}
	return first;
}

struct vsock_conn *vsock_table_expired(struct vsock_table *t, uint64_t now_ns)
{
	struct vsock_conn *c;
	unsigned i;

	for (i = 0; i < VSOCK_WAITS; i++) {
		c = first_waiting(t, i);
		if (c && c->deadline_ns <= now_ns) {
			take_out(&c->wait);
			return c;
		}
	}
	return NULL;
}
