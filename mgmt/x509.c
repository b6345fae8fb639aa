// SPDX-License-Identifier: Apache-2.0
#include "mgmt/x509.h"

#include "base/secret.h"

#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/x509v3.h>

#include <string.h>
#include <time.h>

enum { SERIAL_BYTES = 16, SKEW_S = 3600, DAY_S = 86400 };

struct profile_row {
	const char *constraints, *key_usage, *extended_usage;
};

static const struct profile_row profiles[] = {
	[X509_ROOT] = {"critical,CA:TRUE,pathlen:1", "critical,keyCertSign,cRLSign", NULL},
	[X509_ISSUER] = {"critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign", NULL},
	[X509_SERVER] = {"critical,CA:FALSE", "critical,digitalSignature", "serverAuth"},
	[X509_DEVICE] = {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth"},
	[X509_RELAY] = {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth,serverAuth"},
};

static bool add_extension(X509 *certificate, X509V3_CTX *context, int nid, const char *value)
{
	if (!value)
		return true;
	X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, context, nid, value);
	bool is_added = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return is_added;
}

static bool add_extensions(X509 *certificate, const struct x509_options *options)
{
	const struct profile_row *row = &profiles[options->profile];
	X509V3_CTX context;
	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, options->issuer ? (X509 *)(uintptr_t)options->issuer : certificate, certificate, NULL, NULL, 0);
	return add_extension(certificate, &context, NID_basic_constraints, row->constraints) &&
	       add_extension(certificate, &context, NID_key_usage, row->key_usage) &&
	       add_extension(certificate, &context, NID_ext_key_usage, row->extended_usage) &&
	       add_extension(certificate, &context, NID_subject_alt_name, options->alternative_name) &&
	       add_extension(certificate, &context, NID_subject_key_identifier, "hash") &&
	       (!options->issuer || add_extension(certificate, &context, NID_authority_key_identifier, "keyid:always"));
}

static bool set_serial(X509 *certificate)
{
	uint8_t bytes[SERIAL_BYTES];
	secret_random(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x40; // positive, and always of the same length
	BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	bool is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return is_set;
}

static bool set_names(X509 *certificate, const struct x509_options *options)
{
	X509_NAME *name = X509_get_subject_name(certificate);
	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"Huisclos", -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)options->common_name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, options->issuer ? X509_get_subject_name(options->issuer) : name) == 1;
}

static bool set_dates(X509 *certificate, unsigned days)
{
	time_t now = time(NULL);
	return ASN1_TIME_set(X509_getm_notBefore(certificate), now - SKEW_S) &&
	       ASN1_TIME_set(X509_getm_notAfter(certificate), now + (time_t)days * DAY_S);
}

enum err x509_sign(const struct x509_options *options, X509 **out)
{
	X509 *certificate = X509_new();
	bool is_done = certificate && X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
		       set_names(certificate, options) && set_dates(certificate, options->days) &&
		       X509_set_pubkey(certificate, options->subject_key) == 1 && add_extensions(certificate, options) &&
		       X509_sign(certificate, options->issuer_key, EVP_sha384()) > 0;
	if (!is_done) {
		X509_free(certificate);
		return ERR_CRYPTO;
	}
	*out = certificate;
	return ERR_OK;
}

enum err x509_key_pin(EVP_PKEY *key, uint8_t pin[static TOKEN_PIN_BYTES])
{
	uint8_t *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	if (size <= 0)
		return ERR_CRYPTO;
	secret_sha256(der, (size_t)size, pin);
	OPENSSL_free(der);
	return ERR_OK;
}

enum err x509_emit(const X509 *certificate, uint8_t *bytes, size_t capacity, size_t *size)
{
	uint8_t *der = NULL;
	int n = i2d_X509(certificate, &der);
	if (n <= 0)
		return ERR_CRYPTO;
	enum err err = (size_t)n > capacity ? ERR_LIMIT : ERR_OK;
	if (!err) {
		memcpy(bytes, der, (size_t)n);
		*size = (size_t)n;
	}
	OPENSSL_free(der);
	return err;
}

static bool is_good_key(EVP_PKEY *key)
{
	char group[32];
	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       (strcmp(group, SN_X9_62_prime256v1) == 0 || strcmp(group, SN_secp384r1) == 0);
}

enum err x509_request_key(const uint8_t *der, size_t size, EVP_PKEY **out)
{
	const uint8_t *at = der;
	X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)size);
	EVP_PKEY *key = request && at == der + size ? X509_REQ_get_pubkey(request) : NULL;
	enum err err = !key ? ERR_PARSE : is_good_key(key) && X509_REQ_verify(request, key) == 1 ? ERR_OK : ERR_AUTH;
	X509_REQ_free(request);
	if (err) {
		EVP_PKEY_free(key);
		return err;
	}
	*out = key;
	return ERR_OK;
}

enum err x509_ed25519_key(const uint8_t public_key[static TOKEN_ED25519_BYTES], EVP_PKEY **out)
{
	*out = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, TOKEN_ED25519_BYTES);
	return *out ? ERR_OK : ERR_CRYPTO;
}

uint64_t x509_expires(const X509 *certificate)
{
	struct tm end;
	return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1 ? (uint64_t)timegm(&end) : 0;
}
