#pragma once

#include "tests/guests/hostile.h"

/*
 * The hostile guest's block requests. Sectors below PROOF_SECTORS tell the
 * drive and themselves (tests/vm/hostile writes them), and no attack changes
 * them; whatever is written goes to WASTE_SECTOR and behind it.
 */
enum { SECTOR = 512, PROOF_SECTORS = 64, WASTE_SECTOR = 128 };

enum {
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_GET_LIFETIME = 10,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13,
	T_SECURE_ERASE = 14,
};

enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_NONE = 0xaa };

#define BLK_F_RO	   (1ULL << 5)
#define BLK_F_FLUSH	   (1ULL << 9)
#define BLK_F_DISCARD	   (1ULL << 13)
#define BLK_F_WRITE_ZEROES (1ULL << 14)

struct block_request {
	volatile uint32_t type;
	volatile uint32_t reserved;
	volatile uint64_t sector;
	volatile uint8_t status;
	_Alignas(SECTOR) volatile uint8_t data[8 * SECTOR];
};

/* The one for attacks. */
extern struct block_request request;

/* Header, `bytes` of data, status: descriptors 0 to 2 of the target queue. */
void block_fill(struct device *d, uint32_t type, uint64_t sector,
		uint32_t bytes);

/* The chain at head is used; its status, or S_NONE. */
uint8_t block_submit(struct device *d, uint16_t head);

/* Whether request.data is what that sector of d must hold. */
bool block_is_sector(const struct device *d, const struct block_request *r,
		     uint32_t sector);
