// SPDX-License-Identifier: Apache-2.0
#include "base/token.h"

#include "base/cursor.h"
#include "base/secret.h"

#include <openssl/evp.h>

#include <string.h>

static const char ticket_context[] = "huisclos ticket v1";
enum { TICKET_CONTEXT_CHARS = sizeof(ticket_context) - 1, SIGNED_BYTES = TOKEN_TICKET_BYTES - TOKEN_SIGNATURE_BYTES };

void token_key_id(const uint8_t public_key[static TOKEN_ED25519_BYTES], uint8_t out[static TOKEN_KEY_ID_BYTES])
{
	uint8_t digest[SECRET_SHA256_BYTES];
	secret_sha256(public_key, TOKEN_ED25519_BYTES, digest);
	memcpy(out, digest, TOKEN_KEY_ID_BYTES);
}

enum err token_ed25519_public(const uint8_t private_key[static TOKEN_ED25519_BYTES], uint8_t public_key[static TOKEN_ED25519_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, TOKEN_ED25519_BYTES);
	size_t size = TOKEN_ED25519_BYTES;
	bool done = key && EVP_PKEY_get_raw_public_key(key, public_key, &size) == 1;
	EVP_PKEY_free(key);
	return done ? ERR_OK : ERR_CRYPTO;
}

enum err token_ed25519_generate(uint8_t private_key[static TOKEN_ED25519_BYTES], uint8_t public_key[static TOKEN_ED25519_BYTES])
{
	secret_random(private_key, TOKEN_ED25519_BYTES); // RFC 8032: the private key is 32 random bytes
	return token_ed25519_public(private_key, public_key);
}

enum err token_ed25519_sign(const uint8_t private_key[static TOKEN_ED25519_BYTES], const uint8_t *message, size_t size,
			    uint8_t signature[static TOKEN_SIGNATURE_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, TOKEN_ED25519_BYTES);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t signature_size = TOKEN_SIGNATURE_BYTES;
	bool done = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestSign(context, signature, &signature_size, message, size) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return done ? ERR_OK : ERR_CRYPTO;
}

enum err token_ed25519_verify(const uint8_t public_key[static TOKEN_ED25519_BYTES], const uint8_t *message, size_t size,
			      const uint8_t signature[static TOKEN_SIGNATURE_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, TOKEN_ED25519_BYTES);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(context, signature, TOKEN_SIGNATURE_BYTES, message, size) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return done ? ERR_OK : ERR_AUTH;
}

// What is signed: the context string, then the ticket up to its signature.
static void signed_message(const uint8_t *ticket, uint8_t out[static TICKET_CONTEXT_CHARS + SIGNED_BYTES])
{
	memcpy(out, ticket_context, TICKET_CONTEXT_CHARS);
	memcpy(out + TICKET_CONTEXT_CHARS, ticket, SIGNED_BYTES);
}

enum err token_ticket_sign(const struct token_ticket *ticket, const uint8_t private_key[static TOKEN_ED25519_BYTES],
			   uint8_t out[static TOKEN_TICKET_BYTES])
{
	struct cursor c = cursor_writer(out, SIGNED_BYTES);
	cursor_write_u8(&c, TOKEN_TICKET_VERSION);
	cursor_write_bytes(&c, ticket->key_id, TOKEN_KEY_ID_BYTES);
	cursor_write_bytes(&c, ticket->serial.bytes, TEXT_ID_BYTES);
	cursor_write_bytes(&c, ticket->relay.bytes, TEXT_ID_BYTES);
	cursor_write_bytes(&c, ticket->meeting.bytes, TEXT_ID_BYTES);
	cursor_write_bytes(&c, ticket->participant.bytes, TEXT_ID_BYTES);
	cursor_write_bytes(&c, ticket->device_key, TOKEN_ED25519_BYTES);
	cursor_write_u32(&c, ticket->rights);
	cursor_write_u64(&c, ticket->issued);
	cursor_write_u64(&c, ticket->join_before);
	cursor_write_u64(&c, ticket->rejoin_until);
	enum err err = cursor_finish(&c);
	if (err)
		return err;
	uint8_t message[TICKET_CONTEXT_CHARS + SIGNED_BYTES];
	signed_message(out, message);
	return token_ed25519_sign(private_key, message, sizeof(message), out + SIGNED_BYTES);
}

enum err token_ticket_verify(const uint8_t *bytes, size_t size, const uint8_t public_key[static TOKEN_ED25519_BYTES],
			     struct token_ticket *out)
{
	uint8_t key_id[TOKEN_KEY_ID_BYTES], message[TICKET_CONTEXT_CHARS + SIGNED_BYTES];
	if (size < 1)
		return ERR_PARSE;
	if (bytes[0] != TOKEN_TICKET_VERSION)
		return ERR_VERSION;
	if (size != TOKEN_TICKET_BYTES)
		return ERR_PARSE;
	token_key_id(public_key, key_id);
	signed_message(bytes, message);
	if (memcmp(bytes + 1, key_id, sizeof(key_id)) != 0 ||
	    token_ed25519_verify(public_key, message, sizeof(message), bytes + SIGNED_BYTES))
		return ERR_AUTH;
	struct cursor c = cursor_reader(bytes, SIGNED_BYTES);
	cursor_read_u8(&c);
	cursor_read_bytes(&c, out->key_id, TOKEN_KEY_ID_BYTES);
	cursor_read_bytes(&c, out->serial.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, out->relay.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, out->meeting.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, out->participant.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, out->device_key, TOKEN_ED25519_BYTES);
	out->rights = cursor_read_u32(&c);
	out->issued = cursor_read_u64(&c);
	out->join_before = cursor_read_u64(&c);
	out->rejoin_until = cursor_read_u64(&c);
	return cursor_finish(&c);
}
