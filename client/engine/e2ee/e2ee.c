// Meeting keys from the secret in the link. SPDX-License-Identifier: Apache-2.0
#include "client/engine/e2ee/e2ee.h"

#include "base/cursor.h"
#include "base/secret.h"

#include <string.h>

enum { SALT_BYTES = 32, CONTEXT_MAX = TEXT_ID_BYTES + SALT_BYTES };

struct e2ee {
	struct id meeting;
	struct id self;
	uint8_t prk[SECRET_PRK_BYTES]; // all that is kept of S
	uint8_t run[E2EE_RUN_BYTES];
};

enum err e2ee_new(const struct e2ee_options *options, struct e2ee **out)
{
	struct e2ee *e2ee = secret_alloc(sizeof(*e2ee));
	if (!e2ee)
		return ERR_NOMEM;
	e2ee->meeting = options->meeting;
	e2ee->self = options->self;
	enum err err = secret_extract(options->meeting.bytes, TEXT_ID_BYTES, options->secret, TOKEN_SECRET_BYTES, e2ee->prk);
	if (err) {
		secret_free(e2ee);
		return err;
	}
	secret_random(e2ee->run, sizeof(e2ee->run));
	*out = e2ee;
	return ERR_OK;
}

void e2ee_free(struct e2ee *e2ee)
{
	secret_free(e2ee);
}

const uint8_t *e2ee_run(const struct e2ee *e2ee)
{
	return e2ee->run;
}

uint32_t e2ee_epoch(const struct e2ee *e2ee)
{
	(void)e2ee; // the secret in a link never changes, so neither does the epoch
	return 0;
}

// Seal under a key and nonce of this message alone: both come from a random salt that stands before it.
static enum err seal(const uint8_t *prk, const char *label, const struct id *bound, const struct id *meeting,
		     const uint8_t *plain, size_t size, uint8_t *out, size_t *out_size)
{
	uint8_t keys[SECRET_KEY_BYTES + SECRET_NONCE_BYTES], context[CONTEXT_MAX];
	secret_random(out, SALT_BYTES);
	memcpy(context, bound->bytes, TEXT_ID_BYTES);
	memcpy(context + TEXT_ID_BYTES, out, SALT_BYTES);
	enum err err = secret_expand(prk, label, context, sizeof(context), keys, sizeof(keys));
	if (!err)
		err = secret_seal(keys, keys + SECRET_KEY_BYTES, meeting->bytes, TEXT_ID_BYTES, plain, size, out + SALT_BYTES);
	secret_wipe(keys, sizeof(keys));
	*out_size = err ? 0 : size + E2EE_SEAL_OVERHEAD;
	return err;
}

static enum err open_sealed(const uint8_t *prk, const char *label, const struct id *bound, const struct id *meeting,
			    const uint8_t *sealed, size_t size, uint8_t *out, size_t *out_size)
{
	uint8_t keys[SECRET_KEY_BYTES + SECRET_NONCE_BYTES], context[CONTEXT_MAX];
	*out_size = 0;
	if (size < E2EE_SEAL_OVERHEAD)
		return ERR_PARSE;
	memcpy(context, bound->bytes, TEXT_ID_BYTES);
	memcpy(context + TEXT_ID_BYTES, sealed, SALT_BYTES);
	enum err err = secret_expand(prk, label, context, sizeof(context), keys, sizeof(keys));
	if (!err)
		err = secret_open(keys, keys + SECRET_KEY_BYTES, meeting->bytes, TEXT_ID_BYTES, sealed + SALT_BYTES,
				  size - SALT_BYTES, out);
	secret_wipe(keys, sizeof(keys));
	if (!err)
		*out_size = size - E2EE_SEAL_OVERHEAD;
	return err;
}

#define ANNOUNCE_LABEL "huisclos announce v1"
#define META_LABEL "huisclos meta v1"

enum err e2ee_announce_seal(struct e2ee *e2ee, const uint8_t *plain, size_t size, uint8_t *out, size_t *out_size)
{
	return seal(e2ee->prk, ANNOUNCE_LABEL, &e2ee->self, &e2ee->meeting, plain, size, out, out_size);
}

enum err e2ee_announce_open(struct e2ee *e2ee, const struct id *sender, const uint8_t *sealed, size_t size,
			    uint8_t *out, size_t *out_size)
{
	return open_sealed(e2ee->prk, ANNOUNCE_LABEL, sender, &e2ee->meeting, sealed, size, out, out_size);
}

static enum err stream_key(const struct e2ee *e2ee, const struct id *sender, const uint8_t *run, uint32_t ssrc,
			   uint32_t generation, uint8_t *master)
{
	uint8_t run_context[TEXT_ID_BYTES + E2EE_RUN_BYTES], run_key[SECRET_PRK_BYTES], stream_context[8];
	memcpy(run_context, sender->bytes, TEXT_ID_BYTES);
	memcpy(run_context + TEXT_ID_BYTES, run, E2EE_RUN_BYTES);
	struct cursor c = cursor_writer(stream_context, sizeof(stream_context));
	cursor_write_u32(&c, ssrc);
	cursor_write_u32(&c, generation);
	enum err err = secret_expand(e2ee->prk, "huisclos media v1", run_context, sizeof(run_context), run_key, sizeof(run_key));
	if (!err)
		err = secret_expand(run_key, "huisclos stream v1", stream_context, sizeof(stream_context), master, SRTP_MASTER_BYTES);
	secret_wipe(run_key, sizeof(run_key));
	return err;
}

enum err e2ee_send_key(struct e2ee *e2ee, uint32_t ssrc, uint32_t generation, uint8_t master[static SRTP_MASTER_BYTES])
{
	if (generation >> E2EE_GENERATION_BITS)
		return ERR_LIMIT; // the MKI could not tell it from an earlier one
	return stream_key(e2ee, &e2ee->self, e2ee->run, ssrc, generation, master);
}

enum err e2ee_receive_key(struct e2ee *e2ee, const struct id *sender, const uint8_t run[static E2EE_RUN_BYTES],
			  uint32_t ssrc, uint32_t mki, uint8_t master[static SRTP_MASTER_BYTES])
{
	if (mki >> E2EE_GENERATION_BITS != e2ee_epoch(e2ee))
		return ERR_NOT_FOUND;
	return stream_key(e2ee, sender, run, ssrc, mki & ((1u << E2EE_GENERATION_BITS) - 1), master);
}

static enum err metadata_prk(const struct id *meeting, const uint8_t *secret, uint8_t *prk)
{
	return secret_extract(meeting->bytes, TEXT_ID_BYTES, secret, TOKEN_SECRET_BYTES, prk);
}

enum err e2ee_metadata_seal(const struct id *meeting, const uint8_t secret[static TOKEN_SECRET_BYTES], const uint8_t *plain,
			    size_t size, uint8_t *out, size_t *out_size)
{
	uint8_t prk[SECRET_PRK_BYTES];
	enum err err = metadata_prk(meeting, secret, prk);
	if (!err)
		err = seal(prk, META_LABEL, meeting, meeting, plain, size, out, out_size);
	secret_wipe(prk, sizeof(prk));
	return err;
}

enum err e2ee_metadata_open(const struct id *meeting, const uint8_t secret[static TOKEN_SECRET_BYTES], const uint8_t *sealed,
			    size_t size, uint8_t *out, size_t *out_size)
{
	uint8_t prk[SECRET_PRK_BYTES];
	enum err err = metadata_prk(meeting, secret, prk);
	if (!err)
		err = open_sealed(prk, META_LABEL, meeting, meeting, sealed, size, out, out_size);
	secret_wipe(prk, sizeof(prk));
	return err;
}
