// SPDX-License-Identifier: Apache-2.0
#include "base/srtcp.h"

#include "base/secret.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

enum { LABEL_KEY = 3, LABEL_SALT = 5, LABEL_AT = 7, BLOCK_BYTES = 16, WORD_BYTES = 4, INDEX_MAX = 0x7fffffff };
#define ENCRYPTED 0x80000000u // the E bit in front of the index

static uint32_t read_be32(const uint8_t *at) { return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]; }

static void write_be32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < WORD_BYTES; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

// RFC 3711 section 4.3 with AES-256 in counter mode (RFC 6188); the salt is padded to 14 bytes (RFC 7714 section 11).
static enum err derive(const uint8_t master[static SRTP_MASTER_BYTES], uint8_t label, uint8_t *out, size_t size)
{
	uint8_t counter[BLOCK_BYTES] = { 0 };
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int done = 0;
	memcpy(counter, master + SRTP_KEY_BYTES, SRTP_SALT_BYTES);
	counter[LABEL_AT] ^= label;
	memset(out, 0, size);
	bool is_good = context && EVP_EncryptInit_ex2(context, EVP_aes_256_ctr(), master, counter, NULL) == 1 &&
		       EVP_EncryptUpdate(context, out, &done, out, (int)size) == 1 && (size_t)done == size;
	EVP_CIPHER_CTX_free(context);
	return is_good ? ERR_OK : ERR_CRYPTO;
}

enum err srtcp_init(struct srtcp *srtcp, uint32_t ssrc, const uint8_t master[static SRTP_MASTER_BYTES])
{
	*srtcp = (struct srtcp){ .ssrc = ssrc };
	enum err err = derive(master, LABEL_KEY, srtcp->key, sizeof(srtcp->key));
	return err ? err : derive(master, LABEL_SALT, srtcp->salt, sizeof(srtcp->salt));
}

// RFC 7714 section 9.1.
static void make_nonce(const struct srtcp *srtcp, uint32_t index, uint8_t out[static SECRET_NONCE_BYTES])
{
	memset(out, 0, SECRET_NONCE_BYTES);
	write_be32(out + 2, srtcp->ssrc);
	write_be32(out + 8, index);
	for (size_t i = 0; i < SECRET_NONCE_BYTES; i++)
		out[i] ^= srtcp->salt[i];
}

// Header, then the last word of the packet.
static void make_aad(const uint8_t *packet, uint32_t word, uint8_t out[static SRTCP_HEADER_BYTES + WORD_BYTES])
{
	memcpy(out, packet, SRTCP_HEADER_BYTES);
	write_be32(out + SRTCP_HEADER_BYTES, word);
}

enum err srtcp_protect(struct srtcp *srtcp, uint8_t *packet, size_t *size)
{
	uint8_t nonce[SECRET_NONCE_BYTES], aad[SRTCP_HEADER_BYTES + WORD_BYTES];
	if (*size < SRTCP_HEADER_BYTES || read_be32(packet + 4) != srtcp->ssrc)
		return ERR_PARSE;
	if (srtcp->index == INDEX_MAX)
		return ERR_LIMIT;
	uint32_t index = ++srtcp->index;
	make_nonce(srtcp, index, nonce);
	make_aad(packet, ENCRYPTED | index, aad);
	uint8_t *plain = packet + SRTCP_HEADER_BYTES;
	enum err err = secret_seal(srtcp->key, nonce, aad, sizeof(aad), plain, *size - SRTCP_HEADER_BYTES, plain);
	if (err)
		return err;
	write_be32(packet + *size + SECRET_TAG_BYTES, ENCRYPTED | index);
	*size += SRTCP_OVERHEAD;
	return ERR_OK;
}

// ---------------------------------------------------------------- receiving

static bool is_seen(const struct srtcp *srtcp, uint32_t index)
{
	if (index > srtcp->index)
		return false;
	uint32_t age = srtcp->index - index;
	return age >= SRTCP_WINDOW || (srtcp->seen[age / 64] >> age % 64 & 1);
}

static void note(struct srtcp *srtcp, uint32_t index)
{
	if (index > srtcp->index) {
		uint32_t ahead = index - srtcp->index;
		if (ahead >= 64) {
			srtcp->seen[1] = ahead < SRTCP_WINDOW ? srtcp->seen[0] << (ahead - 64) : 0;
			srtcp->seen[0] = 0;
		} else {
			srtcp->seen[1] = srtcp->seen[1] << ahead | srtcp->seen[0] >> (64 - ahead);
			srtcp->seen[0] <<= ahead;
		}
		srtcp->index = index;
	}
	uint32_t age = srtcp->index - index;
	srtcp->seen[age / 64] |= 1ull << age % 64;
}

enum err srtcp_unprotect(struct srtcp *srtcp, uint8_t *packet, size_t *size)
{
	uint8_t nonce[SECRET_NONCE_BYTES], aad[SRTCP_HEADER_BYTES + WORD_BYTES];
	if (*size < SRTCP_HEADER_BYTES + SRTCP_OVERHEAD || read_be32(packet + 4) != srtcp->ssrc)
		return ERR_PARSE;
	uint32_t word = read_be32(packet + *size - WORD_BYTES), index = word & INDEX_MAX;
	if (!(word & ENCRYPTED))
		return ERR_AUTH; // nobody sends it in the clear
	if (is_seen(srtcp, index))
		return ERR_REPLAY;
	make_nonce(srtcp, index, nonce);
	make_aad(packet, word, aad);
	uint8_t *cipher = packet + SRTCP_HEADER_BYTES;
	enum err err = secret_open(srtcp->key, nonce, aad, sizeof(aad), cipher, *size - SRTCP_HEADER_BYTES - WORD_BYTES, cipher);
	if (err)
		return err;
	note(srtcp, index);
	*size -= SRTCP_OVERHEAD;
	return ERR_OK;
}
