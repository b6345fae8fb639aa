// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/client_certificate.h"

#include "base/secret.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdio.h>

static X509 *self_signed(EVP_PKEY *key, const char *name)
{
	X509 *certificate = X509_new();
	X509_set_pubkey(certificate, key);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_sign(certificate, key, EVP_sha256());
	return certificate;
}

bool client_certificate_make(const char *directory, const char *name, char certificate_path[static CLIENT_CERTIFICATE_PATH_MAX],
			     char key_path[static CLIENT_CERTIFICATE_PATH_MAX], struct token_pins *pins)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = self_signed(key, name);
	snprintf(certificate_path, CLIENT_CERTIFICATE_PATH_MAX, "%s/%s.crt", directory, name);
	snprintf(key_path, CLIENT_CERTIFICATE_PATH_MAX, "%s/%s.key", directory, name);
	FILE *out = fopen(certificate_path, "w"), *key_out = fopen(key_path, "w");
	bool is_done = out && key_out && PEM_write_X509(out, certificate) == 1 &&
		       PEM_write_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1;
	if (out)
		fclose(out);
	if (key_out)
		fclose(key_out);
	uint8_t *der = NULL;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	secret_sha256(der, (size_t)size, pins->pin[0]);
	pins->count = 1;
	OPENSSL_free(der);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return is_done;
}
