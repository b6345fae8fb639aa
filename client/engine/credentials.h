// The device's key and certificate: the files device.key (PKCS#8) and device.crt (device, then issuing CA), both
// PEM, so that curl reads them as they are. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_CREDENTIALS_H
#define CLIENT_ENGINE_CREDENTIALS_H

#include "base/token.h"
#include "client/engine/home.h"

#define CREDENTIALS_KEY_FILE "device.key"
#define CREDENTIALS_CERTIFICATE_FILE "device.crt"
enum { CREDENTIALS_DER_MAX = 4096 };

struct credentials_der {
	size_t size;
	uint8_t bytes[CREDENTIALS_DER_MAX];
};

// The chain as enrolment returned it: issuer signed by the root that the link names, certificate signed by the issuer
// and made for our key. On failure `problem` says what is wrong.
enum err credentials_check(const struct credentials_der *certificate, const struct credentials_der *issuer,
			   const struct credentials_der *root, const uint8_t root_pin[static TOKEN_PIN_BYTES],
			   const uint8_t device_key[static TOKEN_ED25519_BYTES], char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;

// With the lock held.
enum err credentials_save_key(const struct home *home, const uint8_t private_key[static TOKEN_ED25519_BYTES],
			      char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
enum err credentials_save_chain(const struct home *home, const struct credentials_der *certificate,
				const struct credentials_der *issuer, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
enum err credentials_load_key(const struct home *home, uint8_t private_key[static TOKEN_ED25519_BYTES],
			      char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;

#endif
