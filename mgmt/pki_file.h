// Keys and certificates as PEM files that are there whole or not at all. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_PKI_FILE_H
#define MGMT_PKI_FILE_H

#include "base/err.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stdbool.h>
#include <stddef.h>

enum { PKI_FILE_PATH_MAX = 768 };

void pki_file_path(const char *directory, const char *name, char out[static PKI_FILE_PATH_MAX]);
// New files, 0600, synced. Problems are said in the log.
enum err pki_file_write_key(const char *directory, const char *name, EVP_PKEY *key) CHECK_RESULT;
enum err pki_file_write_chain(const char *directory, const char *name, X509 *const *chain, size_t count) CHECK_RESULT;
// The directory is not synced.
enum err pki_file_rename(const char *directory, const char *from, const char *to) CHECK_RESULT;
enum err pki_file_sync_directory(const char *directory) CHECK_RESULT;
enum err pki_file_read_key(const char *directory, const char *name, EVP_PKEY **out) CHECK_RESULT;
enum err pki_file_read_certificate(const char *directory, const char *name, X509 **out) CHECK_RESULT;
bool pki_file_is_there(const char *directory, const char *name);

#endif
