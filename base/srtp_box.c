// SPDX-License-Identifier: Apache-2.0
#include "base/srtp_box.h"

#include <srtp2/srtp.h>

#include <pthread.h>
#include <stdlib.h>

enum { REPLAY_WINDOW_PACKETS = 1024 }; // a retransmission may come a second late

struct srtp_box {
	srtp_t context;
};

static srtp_err_status_t library_status;

static void library_init(void) { library_status = srtp_init(); }

enum err srtp_box_library_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (pthread_once(&once, library_init) != 0)
		return ERR_CRYPTO;
	return library_status == srtp_err_status_ok ? ERR_OK : ERR_CRYPTO;
}

struct srtp_box *srtp_box_new(uint32_t ssrc, const uint8_t master[static SRTP_MASTER_BYTES])
{
	struct srtp_box *box = calloc(1, sizeof(*box));
	if (!box)
		return NULL;
	srtp_policy_t policy = { .ssrc = { .type = ssrc_specific, .value = ssrc },
				 .key = (unsigned char *)(uintptr_t)master,
				 .window_size = REPLAY_WINDOW_PACKETS };
	srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
	srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
	if (srtp_create(&box->context, &policy) != srtp_err_status_ok) {
		free(box);
		return NULL;
	}
	return box;
}

void srtp_box_free(struct srtp_box *box)
{
	if (!box)
		return;
	(void)srtp_dealloc(box->context);
	free(box);
}

static enum err from_status(srtp_err_status_t status)
{
	switch (status) {
	case srtp_err_status_ok:
		return ERR_OK;
	case srtp_err_status_auth_fail:
		return ERR_AUTH;
	case srtp_err_status_replay_fail:
	case srtp_err_status_replay_old:
		return ERR_REPLAY;
	case srtp_err_status_bad_param:
	case srtp_err_status_parse_err:
	case srtp_err_status_no_ctx:
		return ERR_PARSE;
	default:
		return ERR_CRYPTO;
	}
}

static enum err run(srtp_err_status_t (*operation)(srtp_t, void *, int *), struct srtp_box *box, uint8_t *packet, size_t *size)
{
	if (*size > UINT16_MAX)
		return ERR_LIMIT;
	int n = (int)*size;
	enum err err = from_status(operation(box->context, packet, &n));
	if (!err)
		*size = (size_t)n;
	return err;
}

enum err srtp_box_protect_rtp(struct srtp_box *box, uint8_t *packet, size_t *size) { return run(srtp_protect, box, packet, size); }
enum err srtp_box_unprotect_rtp(struct srtp_box *box, uint8_t *packet, size_t *size) { return run(srtp_unprotect, box, packet, size); }
