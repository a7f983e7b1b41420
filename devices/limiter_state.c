/* A device's limiter as saved state. */
#include "devices/limiter_state.h"

static void visit_bucket(struct visitor *w, struct bucket_rest *r)
{
	visit_u64(w, &r->burst);
	visit_u64(w, &r->ahead_ns);
	visit_u64(w, &r->fraction);
}

void limiter_visit(struct visitor *w, struct limiter *l)
{
	struct limiter_rest rest = limiter_rest(l);

	visit_bucket(w, &rest.bytes);
	visit_bucket(w, &rest.ops);
	/* Nothing to judge: what is too much is cut. */
	if (w->is_loading && !w->rc)
		limiter_set_rest(l, &rest);
}
