// SRTCP (RFC 3711) with AEAD_AES_256_GCM (RFC 7714), encrypted always, no MKI: one direction of one SSRC in a hundred bytes.
// libsrtp takes 18 KB for the same, and a relay has four of them for each participant.
// SPDX-License-Identifier: Apache-2.0
#ifndef BASE_SRTCP_H
#define BASE_SRTCP_H

#include "base/err.h"
#include "base/srtp_box.h"

#include <stddef.h>
#include <stdint.h>

enum { SRTCP_OVERHEAD = 20, SRTCP_HEADER_BYTES = 8, SRTCP_WINDOW = 128 };

// Embedded; either sends or receives. Wipe it with secret_wipe when it is not needed any more.
struct srtcp {
	uint8_t key[SRTP_KEY_BYTES], salt[SRTP_SALT_BYTES]; // of the session, derived from the master key and salt
	uint32_t ssrc;
	uint32_t index;    // the last one sent, or the highest received
	uint64_t seen[2];  // bit n: index - n was received
};

enum err srtcp_init(struct srtcp *srtcp, uint32_t ssrc, const uint8_t master[static SRTP_MASTER_BYTES]) CHECK_RESULT;

// In place. `*size` is the plain size on entry and the protected size on return; the buffer has room for the overhead.
// ERR_LIMIT after 2^31 packets, ERR_PARSE for less than a header.
enum err srtcp_protect(struct srtcp *srtcp, uint8_t *packet, size_t *size) CHECK_RESULT;
// ERR_REPLAY for what was seen or is too old, ERR_AUTH for a wrong tag, ERR_PARSE for a short packet or another SSRC. Only
// what is authentic is noted as seen.
enum err srtcp_unprotect(struct srtcp *srtcp, uint8_t *packet, size_t *size) CHECK_RESULT;

#endif
