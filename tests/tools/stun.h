// STUN messages (RFC 8489), as much as the clients of other relays need in benchmarks: building and finding attributes.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_STUN_H
#define TESTS_TOOLS_STUN_H

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	STUN_HEADER_BYTES = 20,
	STUN_MESSAGE_MAX = 512,
	STUN_BINDING = 0x0001, STUN_BINDING_SUCCESS = 0x0101,
	STUN_ALLOCATE = 0x0003, STUN_ALLOCATE_SUCCESS = 0x0103,
	STUN_CHANNEL_BIND = 0x0009, STUN_CHANNEL_BIND_SUCCESS = 0x0109,
	STUN_MESSAGE_INTEGRITY = 0x0008, STUN_CHANNEL_NUMBER = 0x000c, STUN_LIFETIME = 0x000d, STUN_XOR_PEER_ADDRESS = 0x0012,
	STUN_REQUESTED_TRANSPORT = 0x0019, STUN_XOR_MAPPED_ADDRESS = 0x0020, STUN_FINGERPRINT = 0x8028,
	STUN_ADDRESS_BYTES = 8,
};
#define STUN_COOKIE 0x2112a442u

struct stun {
	size_t size;
	uint8_t bytes[STUN_MESSAGE_MAX];
};

static inline void stun_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void stun_put32(uint8_t *p, uint32_t v)
{
	stun_put16(p, (uint16_t)(v >> 16));
	stun_put16(p + 2, (uint16_t)v);
}

static inline uint16_t stun_type(const uint8_t *bytes) { return (uint16_t)(bytes[0] << 8 | bytes[1]); }

static inline bool stun_is(const uint8_t *bytes, size_t size)
{
	return size >= STUN_HEADER_BYTES && bytes[0] < 4 && bytes[4] == 0x21 && bytes[5] == 0x12 && bytes[6] == 0xa4 && bytes[7] == 0x42;
}

static inline void stun_begin(struct stun *m, uint16_t type, const uint8_t transaction[static 12])
{
	m->size = STUN_HEADER_BYTES;
	memset(m->bytes, 0, sizeof(m->bytes));
	stun_put16(m->bytes, type);
	stun_put32(m->bytes + 4, STUN_COOKIE);
	memcpy(m->bytes + 8, transaction, 12);
}

// The header's length counts it at once, as MESSAGE-INTEGRITY and FINGERPRINT want it.
static inline uint8_t *stun_add(struct stun *m, uint16_t type, size_t size)
{
	uint8_t *at = m->bytes + m->size;
	stun_put16(at, type);
	stun_put16(at + 2, (uint16_t)size);
	m->size += 4 + (size + 3) / 4 * 4;
	stun_put16(m->bytes + 2, (uint16_t)(m->size - STUN_HEADER_BYTES));
	return at + 4;
}

static inline void stun_add_address(struct stun *m, uint16_t type, const struct sockaddr_in *address)
{
	uint8_t *value = stun_add(m, type, STUN_ADDRESS_BYTES);
	value[1] = 1; // IPv4
	stun_put16(value + 2, ntohs(address->sin_port) ^ (uint16_t)(STUN_COOKIE >> 16));
	stun_put32(value + 4, ntohl(address->sin_addr.s_addr) ^ STUN_COOKIE);
}

static inline uint32_t stun_crc32(const uint8_t *bytes, size_t size)
{
	uint32_t crc = 0xffffffff;
	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

// Both at the end, in this order.
static inline void stun_sign(struct stun *m, const char *password)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned mac_size;
	size_t before = m->size;
	uint8_t *value = stun_add(m, STUN_MESSAGE_INTEGRITY, 20);
	HMAC(EVP_sha1(), password, (int)strlen(password), m->bytes, before, mac, &mac_size);
	memcpy(value, mac, 20);
	before = m->size;
	value = stun_add(m, STUN_FINGERPRINT, 4);
	stun_put32(value, stun_crc32(m->bytes, before) ^ 0x5354554e);
}

#endif
