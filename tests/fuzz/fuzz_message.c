/*
 * What a client or a function says to mayctl serve. The first byte chooses
 * which of the two it is, and how large the pieces are; what comes through is
 * never more than there is room for.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ctl/serve/head.h"
#include "api/ctl/serve/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_body(struct message *m, struct lane *out, bool is_request)
{
	const struct head_answer how = {.is_chunked = m->is_chunked};

	if (is_request)
		(void)head_put_request(out, m, "/", "::1");
	else
		(void)head_put_answer(out, m, &how);
	lane_take(out, out->len);
	message_open(m, out, !m->has_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct message m;
	struct lane out = {0};
	bool is_request;
	size_t step, at = 1;

	if (!size)
		return 0;
	is_request = data[0] & 1;
	step = (size_t)(data[0] >> 1) + 1;
	message_init(&m, is_request ? HTTP_REQUEST : HTTP_RESPONSE);
	while (at < size && m.stage != MESSAGE_DONE) {
		const size_t n = size - at < step ? size - at : step;
		const ssize_t used = message_feed(&m, data + at, n, NULL);

		if (used < 0)
			break;
		assert((size_t)used <= n && out.len <= n + MESSAGE_FRAMING_MAX);
		lane_take(&out, out.len);
		at += (size_t)used;
		if (m.stage == MESSAGE_JUDGED)
			open_body(&m, &out, is_request);
	}
	(void)message_end(&m, NULL);
	lane_fini(&out);
	return 0;
}
