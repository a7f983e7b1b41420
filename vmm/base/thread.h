#pragma once

#include <pthread.h>

/*
 * Clang's thread-safety analysis (-Wthread-safety), so that the rules of
 * docs/threads.md are checked by the compiler and not by memory. With gcc the
 * marks are empty.
 */
#if defined(__clang__)
#define THREAD_ATTR(x) __attribute__((x))
#else
#define THREAD_ATTR(x)
#endif

#define CAPABILITY(name) THREAD_ATTR(capability(name))
/* In C, clang resolves a sibling member only where its address is taken. */
/* NOLINTNEXTLINE(bugprone-macro-parentheses): it sees through none. */
#define GUARDED_BY(member) THREAD_ATTR(guarded_by(&member))
#define REQUIRES(...)	   THREAD_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...)	   THREAD_ATTR(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...)	   THREAD_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASE(...)	   THREAD_ATTR(release_capability(__VA_ARGS__))
#define ASSERTS_HELD(m)	   THREAD_ATTR(assert_capability(m))
#define NO_THREAD_CHECK	   THREAD_ATTR(no_thread_safety_analysis)

/*
 * A mutex the analysis knows. A device's lock is a leaf: nothing else is
 * locked while it is held.
 */
struct CAPABILITY("mutex") mutex {
	pthread_mutex_t inner;
};

/* Bytes of a thread's stack; ThreadSanitizer takes a megabyte for itself. */
#ifdef __SANITIZE_THREAD__
#define THREAD_STACK(bytes) ((bytes) + (4 << 20))
#else
#define THREAD_STACK(bytes) (bytes)
#endif

#define MUTEX_INIT {.inner = PTHREAD_MUTEX_INITIALIZER}

static inline void mutex_init(struct mutex *m)
{
	m->inner = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static inline void mutex_lock(struct mutex *m) ACQUIRE(m) NO_THREAD_CHECK
{
	pthread_mutex_lock(&m->inner);
}

static inline void mutex_unlock(struct mutex *m) RELEASE(m) NO_THREAD_CHECK
{
	pthread_mutex_unlock(&m->inner);
}

/*
 * Tells the analysis what it can't see through a table of functions: that the
 * caller holds m.
 */
static inline void mutex_held(struct mutex *m) ASSERTS_HELD(m) NO_THREAD_CHECK
{
	(void)m;
}
