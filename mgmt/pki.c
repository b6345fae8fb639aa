// SPDX-License-Identifier: Apache-2.0
#include "mgmt/pki.h"

#include "base/log.h"
#include "base/secret.h"
#include "mgmt/pki_file.h"
#include "mgmt/x509.h"

#include <openssl/ec.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROOT_DAYS = 3650, ISSUER_DAYS = 90, SERVER_DAYS = 90, RENEW_S = 30 * 86400 };

// Written whole, then renamed over the one it replaces.
#define NEW PKI_FRONT "/new.pem"

static const char *const files[] = {"root.key", "root.pem", "ca.key", PKI_ISSUER, PKI_SERVER_KEY, PKI_SERVER_CERTIFICATE,
				    "backup.key", "ticket.key", NEW};

struct making {
	EVP_PKEY *root_key, *issuer_key, *server_key, *backup_key, *ticket_key;
	X509 *root, *issuer, *server;
};

static void making_fini(struct making *m)
{
	EVP_PKEY_free(m->root_key);
	EVP_PKEY_free(m->issuer_key);
	EVP_PKEY_free(m->server_key);
	EVP_PKEY_free(m->backup_key);
	EVP_PKEY_free(m->ticket_key);
	X509_free(m->root);
	X509_free(m->issuer);
	X509_free(m->server);
}

static enum err sign_root(struct making *m)
{
	struct x509_options options = {.profile = X509_ROOT, .common_name = "identity root", .subject_key = m->root_key,
				       .issuer_key = m->root_key, .days = ROOT_DAYS};
	return x509_sign(&options, &m->root);
}

static enum err sign_issuer(struct making *m)
{
	struct x509_options options = {.profile = X509_ISSUER, .common_name = "issuing CA", .subject_key = m->issuer_key,
				       .issuer = m->root, .issuer_key = m->root_key, .days = ISSUER_DAYS};
	return x509_sign(&options, &m->issuer);
}

static enum err sign_server(struct making *m, const char *server_name)
{
	char name[TOKEN_NAME_MAX + 8];
	snprintf(name, sizeof(name), "DNS:%s", server_name);
	struct x509_options options = {.profile = X509_SERVER, .common_name = "tmms", .alternative_name = name,
				       .subject_key = m->server_key, .issuer = m->issuer, .issuer_key = m->issuer_key,
				       .days = SERVER_DAYS};
	return x509_sign(&options, &m->server);
}

static enum err generate(struct making *m, const char *server_name)
{
	m->root_key = EVP_EC_gen("P-384");
	m->issuer_key = EVP_EC_gen("P-384");
	m->server_key = EVP_EC_gen("P-384");
	m->backup_key = EVP_EC_gen("P-384");
	m->ticket_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!m->root_key || !m->issuer_key || !m->server_key || !m->backup_key || !m->ticket_key)
		return ERR_CRYPTO;
	enum err err = sign_root(m);
	if (!err)
		err = sign_issuer(m);
	return err ? err : sign_server(m, server_name);
}

static enum err sync_front(const char *directory)
{
	char path[PKI_FILE_PATH_MAX];
	pki_file_path(directory, PKI_FRONT, path);
	return pki_file_sync_directory(path);
}

static enum err make_directory(const char *path)
{
	if (mkdir(path, 0700) == 0)
		return ERR_OK;
	log_line(LOG_ERROR, "cannot make the directory %s: %s", path, strerror(errno));
	return errno == ENOSPC ? ERR_FULL : ERR_IO;
}

static enum err write_all(const struct making *m, const char *directory)
{
	const struct { const char *name; EVP_PKEY *key; } keys[] = {
		{"root.key", m->root_key}, {"ca.key", m->issuer_key}, {PKI_SERVER_KEY, m->server_key},
		{"backup.key", m->backup_key}, {"ticket.key", m->ticket_key},
	};
	X509 *const chain[] = {m->server, m->issuer};
	enum err err = ERR_OK;
	for (size_t i = 0; !err && i < sizeof(keys) / sizeof(keys[0]); i++)
		err = pki_file_write_key(directory, keys[i].name, keys[i].key);
	if (!err)
		err = pki_file_write_chain(directory, "root.pem", &m->root, 1);
	if (!err)
		err = pki_file_write_chain(directory, PKI_ISSUER, &m->issuer, 1);
	if (!err)
		err = pki_file_write_chain(directory, PKI_SERVER_CERTIFICATE, chain, 2);
	if (!err)
		err = sync_front(directory);
	return err ? err : pki_file_sync_directory(directory);
}

static void remove_part(const char *part)
{
	char path[PKI_FILE_PATH_MAX];
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		pki_file_path(part, files[i], path);
		unlink(path);
	}
	pki_file_path(part, PKI_FRONT, path);
	rmdir(path);
	rmdir(part);
}

enum err pki_make(const char *directory, const char *server_name)
{
	char part[PKI_FILE_PATH_MAX], parent[PKI_FILE_PATH_MAX], front[PKI_FILE_PATH_MAX];
	if (access(directory, F_OK) == 0)
		return ERR_EXISTS;
	snprintf(part, sizeof(part), "%s.part", directory);
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(directory, '/') - directory), directory);
	remove_part(part); // of a first start that was cut off
	pki_file_path(part, PKI_FRONT, front);
	struct making m = {0};
	enum err err = make_directory(part);
	if (!err)
		err = make_directory(front);
	if (!err) {
		err = generate(&m, server_name);
		if (err)
			log_line(LOG_ERROR, "the keys cannot be made: %s", err_text(err));
	}
	if (!err)
		err = write_all(&m, part);
	making_fini(&m);
	if (!err && rename(part, directory) < 0) {
		log_line(LOG_ERROR, "cannot rename %s: %s", part, strerror(errno));
		err = ERR_IO;
	}
	if (err) {
		remove_part(part);
		return err;
	}
	return pki_file_sync_directory(parent);
}

static bool is_due(const X509 *certificate)
{
	time_t now = time(NULL);
	// One that a clock which ran ahead made is not valid yet.
	return x509_expires(certificate) < (uint64_t)now + RENEW_S || X509_cmp_time(X509_get0_notBefore(certificate), &now) > 0;
}

static enum err replace(const char *directory, const char *name)
{
	enum err err = pki_file_rename(directory, NEW, name);
	return err ? err : sync_front(directory);
}

static enum err renew_issuer(const char *directory, struct making *m)
{
	enum err err = pki_file_read_key(directory, "root.key", &m->root_key);
	if (err)
		return err;
	X509 *old = m->issuer;
	m->issuer = NULL;
	err = sign_issuer(m);
	if (err) {
		m->issuer = old;
		return err;
	}
	X509_free(old);
	err = pki_file_write_chain(directory, NEW, &m->issuer, 1);
	return err ? err : replace(directory, PKI_ISSUER);
}

static enum err renew_server(const char *directory, struct making *m, const char *server_name)
{
	X509_free(m->server);
	m->server = NULL;
	enum err err = pki_file_read_key(directory, PKI_SERVER_KEY, &m->server_key);
	if (!err)
		err = sign_server(m, server_name);
	if (err)
		return err;
	X509 *const chain[] = {m->server, m->issuer};
	err = pki_file_write_chain(directory, NEW, chain, 2);
	return err ? err : replace(directory, PKI_SERVER_CERTIFICATE);
}

enum err pki_renew(const char *directory, const char *server_name, bool *is_renewed)
{
	struct making m = {0};
	*is_renewed = false;
	enum err err = pki_file_read_certificate(directory, "root.pem", &m.root);
	if (!err)
		err = pki_file_read_certificate(directory, PKI_ISSUER, &m.issuer);
	if (!err)
		err = pki_file_read_key(directory, "ca.key", &m.issuer_key);
	if (!err)
		err = pki_file_read_certificate(directory, PKI_SERVER_CERTIFICATE, &m.server);
	if (err)
		goto out;
	if (is_due(m.issuer)) {
		if (pki_file_is_there(directory, "root.key")) {
			err = renew_issuer(directory, &m);
			*is_renewed = !err;
		} else {
			log_line(LOG_WARNING, "the issuing CA expires in less than 30 days: bring back root.key to renew it");
		}
	}
	if (!err && (*is_renewed || is_due(m.server) || X509_check_host(m.server, server_name, 0, 0, NULL) != 1)) {
		err = renew_server(directory, &m, server_name);
		*is_renewed = !err;
	}
out:
	making_fini(&m);
	return err;
}

static enum err load_pin(const char *directory, const char *name, uint8_t pin[static TOKEN_PIN_BYTES])
{
	EVP_PKEY *key = NULL;
	enum err err = pki_file_read_key(directory, name, &key);
	if (!err)
		err = x509_key_pin(key, pin);
	EVP_PKEY_free(key);
	return err;
}

static enum err load_ticket_key(const char *directory, struct pki *pki)
{
	EVP_PKEY *key = NULL;
	size_t size = TOKEN_ED25519_BYTES;
	enum err err = pki_file_read_key(directory, "ticket.key", &key);
	if (err)
		return err;
	pki->ticket_key = secret_alloc(TOKEN_ED25519_BYTES);
	if (!pki->ticket_key)
		err = ERR_NOMEM;
	else if (EVP_PKEY_get_raw_private_key(key, pki->ticket_key, &size) != 1 || size != TOKEN_ED25519_BYTES)
		err = ERR_PARSE;
	EVP_PKEY_free(key);
	return err ? err : token_ed25519_public(pki->ticket_key, pki->ticket_public);
}

enum err pki_load(const char *directory, struct pki *out)
{
	*out = (struct pki){0};
	enum err err = pki_file_read_certificate(directory, "root.pem", &out->root);
	if (!err)
		err = pki_file_read_certificate(directory, PKI_ISSUER, &out->issuer);
	if (!err)
		err = pki_file_read_key(directory, "ca.key", &out->issuer_key);
	if (!err)
		err = load_ticket_key(directory, out);
	if (!err)
		err = x509_key_pin(X509_get0_pubkey(out->root), out->root_pin);
	if (!err)
		err = load_pin(directory, PKI_SERVER_KEY, out->pin);
	if (!err)
		err = load_pin(directory, "backup.key", out->backup_pin);
	if (err)
		pki_free(out);
	return err;
}

void pki_free(struct pki *pki)
{
	X509_free(pki->root);
	X509_free(pki->issuer);
	EVP_PKEY_free(pki->issuer_key);
	secret_free(pki->ticket_key);
	*pki = (struct pki){0};
}

enum err pki_load_certificate(const char *directory, const char *name, X509 **out)
{
	return pki_file_read_certificate(directory, name, out);
}
