// The one door to libsrtp: contexts for a single SSRC with AEAD_AES_256_GCM (RFC 7714).
// An OpenSSL build can replace srtp_box.c and nothing else changes. SPDX-License-Identifier: Apache-2.0
#ifndef BASE_SRTP_BOX_H
#define BASE_SRTP_BOX_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { SRTP_KEY_BYTES = 32, SRTP_SALT_BYTES = 12, SRTP_MASTER_BYTES = SRTP_KEY_BYTES + SRTP_SALT_BYTES, SRTP_RTP_OVERHEAD = 16 };

struct srtp_box; // one direction, one SSRC, one master key and salt

// Before the first context. More calls, also from other threads, do nothing.
enum err srtp_box_library_init(void) CHECK_RESULT;

// A context either sends or receives: the first call decides. NULL without memory or crypto.
struct srtp_box *srtp_box_new(uint32_t ssrc, const uint8_t master[static SRTP_MASTER_BYTES]);
void srtp_box_free(struct srtp_box *box);

// In place. `*size` is the plain size on entry and the protected size on return; the buffer has room for the
// overhead. ERR_CRYPTO if the library refuses (it refuses to reuse a sequence number).
enum err srtp_box_protect_rtp(struct srtp_box *box, uint8_t *packet, size_t *size) CHECK_RESULT;
// ERR_AUTH on a wrong tag, ERR_REPLAY on a repeated or too old packet, ERR_PARSE on a malformed one.
enum err srtp_box_unprotect_rtp(struct srtp_box *box, uint8_t *packet, size_t *size) CHECK_RESULT;

#endif
