// SPDX-License-Identifier: Apache-2.0
#include "mgmt/front.h"

#include "base/log.h"
#include "mgmt/pki.h"
#include "mgmt/pki_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum err load(struct front *front, struct tls_context **out)
{
	char certificate[PKI_FILE_PATH_MAX], key[PKI_FILE_PATH_MAX];
	X509 *issuer = NULL;
	uint8_t *der = NULL;
	pki_file_path(front->pki, PKI_SERVER_CERTIFICATE, certificate);
	pki_file_path(front->pki, PKI_SERVER_KEY, key);
	enum err err = pki_load_certificate(front->pki, PKI_ISSUER, &issuer);
	if (err)
		return err;
	int size = i2d_X509(issuer, &der);
	X509_free(issuer);
	if (size <= 0)
		return ERR_CRYPTO;
	struct tls_context_options options = {.is_server = true, .alpn = "http/1.1", .certificate_pem = certificate, .key_pem = key,
					      .client_ca_der = der, .client_ca_der_size = (size_t)size};
	err = tls_context_new(&options, out);
	OPENSSL_free(der);
	return err;
}

static int64_t changed_at(const struct front *front)
{
	char path[PKI_FILE_PATH_MAX];
	struct stat info;
	pki_file_path(front->pki, PKI_SERVER_CERTIFICATE, path);
	return stat(path, &info) < 0 ? 0 : (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
}

enum err front_tls_load(struct front *front)
{
	int64_t changed = changed_at(front);
	if (front->tls && (changed == front->certificate_changed || changed == 0))
		return ERR_OK;
	struct front_tls *fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return ERR_NOMEM;
	enum err err = load(front, &fresh->context);
	if (err) {
		free(fresh);
		return err;
	}
	struct front_tls *old = front->tls;
	if (old)
		log_line(LOG_NOTICE, "the renewed certificate is in use");
	fresh->users = 1; // the front itself
	front->tls = fresh;
	front->certificate_changed = changed;
	front_tls_release(old);
	return ERR_OK;
}

void front_tls_release(struct front_tls *tls)
{
	if (!tls || --tls->users > 0)
		return;
	tls_context_free(tls->context);
	free(tls);
}
