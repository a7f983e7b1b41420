#pragma once

#include <endian.h>
#include <stdint.h>

/*
 * Little-endian wire types. A one-member struct can't be added, compared or
 * printed by accident, so every look at memory the guest shares goes through a
 * getter, which loads once (relaxed): the compiler may neither split the load
 * nor repeat it, and the caller works on a copy the guest can't change.
 */
typedef struct {
	uint8_t raw;
} le8_t;

typedef struct {
	uint16_t raw;
} le16_t;

typedef struct {
	uint32_t raw;
} le32_t;

typedef struct {
	uint64_t raw;
} le64_t;

static inline uint8_t le8_get(const le8_t *p)
{
	return __atomic_load_n(&p->raw, __ATOMIC_RELAXED);
}

static inline uint16_t le16_get(const le16_t *p)
{
	return le16toh(__atomic_load_n(&p->raw, __ATOMIC_RELAXED));
}

static inline uint32_t le32_get(const le32_t *p)
{
	return le32toh(__atomic_load_n(&p->raw, __ATOMIC_RELAXED));
}

static inline uint64_t le64_get(const le64_t *p)
{
	return le64toh(__atomic_load_n(&p->raw, __ATOMIC_RELAXED));
}

static inline void le8_put(le8_t *p, uint8_t v)
{
	__atomic_store_n(&p->raw, v, __ATOMIC_RELAXED);
}

static inline void le16_put(le16_t *p, uint16_t v)
{
	__atomic_store_n(&p->raw, htole16(v), __ATOMIC_RELAXED);
}

static inline void le32_put(le32_t *p, uint32_t v)
{
	__atomic_store_n(&p->raw, htole32(v), __ATOMIC_RELAXED);
}

static inline void le64_put(le64_t *p, uint64_t v)
{
	__atomic_store_n(&p->raw, htole64(v), __ATOMIC_RELAXED);
}
