// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/relay_pki.h"

#include "base/secret.h"
#include "relay/relay_key.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "relay_pki: %s\n", what);
	abort();
}

X509 *relay_pki_sign(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_NAME_new();
	must(certificate && subject, "no memory");
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_set_subject_name(certificate, subject);
	X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(certificate, key);
	must(X509_sign(certificate, issuer_key, EVP_sha384()) > 0, "cannot sign");
	X509_NAME_free(subject);
	return certificate;
}

size_t relay_pki_der(X509 *certificate, uint8_t *out, size_t capacity)
{
	int size = i2d_X509(certificate, NULL);
	must(size > 0 && (size_t)size <= capacity, "certificate does not fit");
	i2d_X509(certificate, &out);
	return (size_t)size;
}

void relay_pki_make(struct relay_pki *pki, const char *directory)
{
	uint8_t key_pem[RELAY_KEY_PEM_MAX], backup_pem[RELAY_KEY_PEM_MAX], chain_pem[RELAY_KEY_CERTIFICATES_MAX];
	uint8_t leaf_der[4096], issuer_der[4096], root_der[4096];
	char problem[REGISTRATION_PROBLEM_MAX];
	memset(pki, 0, sizeof(*pki));
	struct registration *r = &pki->registration;
	EVP_PKEY *key = relay_key_new(), *backup = relay_key_new();
	pki->root_key = relay_key_new();
	pki->issuer_key = relay_key_new();
	pki->root = relay_pki_sign(pki->root_key, "root", NULL, pki->root_key);
	pki->issuer = relay_pki_sign(pki->issuer_key, "issuer", pki->root, pki->root_key);
	X509 *leaf = relay_pki_sign(key, "relay.test", pki->issuer, pki->issuer_key);
	must(!relay_key_certificate_pin(leaf, pki->relay_pin) && !relay_key_certificate_pin(pki->root, r->root), "no pin");
	secret_random(&r->relay, sizeof(r->relay));
	must(!token_ed25519_generate(pki->ticket_private, r->ticket_key), "no ticket key");
	strcpy(r->name, "relay.test");
	strcpy(r->tmms.name, "tmms.test");
	strcpy(r->tmms.address, "127.0.0.1");
	r->tmms.port = 9; // discard: nobody is there
	r->tmms.pins.count = 1;
	struct registration_files files = { .registration = r };
	struct relay_key_chain chain = { .certificate = leaf_der, .issuer = issuer_der, .root = root_der, .root_pin = r->root };
	chain.certificate_size = relay_pki_der(leaf, leaf_der, sizeof(leaf_der));
	chain.issuer_size = relay_pki_der(pki->issuer, issuer_der, sizeof(issuer_der));
	chain.root_size = relay_pki_der(pki->root, root_der, sizeof(root_der));
	files.key_pem.bytes = key_pem;
	files.backup_pem.bytes = backup_pem;
	files.certificate_pem.bytes = chain_pem;
	files.issuer_der = (struct registration_bytes){ issuer_der, chain.issuer_size };
	files.root_der = (struct registration_bytes){ root_der, chain.root_size };
	must(!relay_key_emit(key, key_pem, &files.key_pem.size) && !relay_key_emit(backup, backup_pem, &files.backup_pem.size) &&
		     !relay_key_check_chain(&chain, key, chain_pem, &files.certificate_pem.size), "no keys");
	must(!registration_store(directory, &files, false, problem), problem);
	must(!registration_load(directory, r, problem), problem);
	X509_free(leaf);
	EVP_PKEY_free(key);
	EVP_PKEY_free(backup);
}

void relay_pki_free(struct relay_pki *pki)
{
	X509_free(pki->root);
	X509_free(pki->issuer);
	EVP_PKEY_free(pki->root_key);
	EVP_PKEY_free(pki->issuer_key);
}

void relay_pki_directory(char out[static 64])
{
	const char *base = getenv("TMPDIR");
	snprintf(out, 64, "%.40s/relay-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
	must(mkdtemp(out) != NULL, "no temporary directory");
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

void relay_pki_remove(const char *directory) { (void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS); }
