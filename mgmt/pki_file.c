// SPDX-License-Identifier: Apache-2.0
#include "mgmt/pki_file.h"

#include "base/log.h"

#include <openssl/pem.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void pki_file_path(const char *directory, const char *name, char out[static PKI_FILE_PATH_MAX])
{
	snprintf(out, PKI_FILE_PATH_MAX, "%s/%s", directory, name);
}

static enum err fail_io(const char *what, const char *path)
{
	enum err err = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
	log_line(LOG_ERROR, "cannot %s %s: %s", what, path, strerror(errno));
	return err;
}

// NULL with errno set.
static FILE *create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	if (fd >= 0 && !file)
		close(fd);
	return file;
}

static enum err finish(FILE *file, bool is_written, const char *path)
{
	bool is_synced = is_written && fflush(file) == 0 && fsync(fileno(file)) == 0;
	enum err err = is_synced ? ERR_OK : fail_io("write", path);
	if (fclose(file) != 0 && !err)
		err = fail_io("write", path);
	if (err)
		unlink(path);
	return err;
}

enum err pki_file_write_key(const char *directory, const char *name, EVP_PKEY *key)
{
	char path[PKI_FILE_PATH_MAX];
	pki_file_path(directory, name, path);
	FILE *file = create(path);
	if (!file)
		return fail_io("write", path);
	return finish(file, PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1, path);
}

enum err pki_file_write_chain(const char *directory, const char *name, X509 *const *chain, size_t count)
{
	char path[PKI_FILE_PATH_MAX];
	pki_file_path(directory, name, path);
	FILE *file = create(path);
	if (!file)
		return fail_io("write", path);
	bool is_written = true;
	for (size_t i = 0; i < count; i++)
		is_written = is_written && PEM_write_X509(file, chain[i]) == 1;
	return finish(file, is_written, path);
}

enum err pki_file_sync_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err err = fd >= 0 && fsync(fd) == 0 ? ERR_OK : fail_io("sync", directory);
	if (fd >= 0)
		close(fd);
	return err;
}

enum err pki_file_rename(const char *directory, const char *from, const char *to)
{
	char source[PKI_FILE_PATH_MAX], target[PKI_FILE_PATH_MAX];
	pki_file_path(directory, from, source);
	pki_file_path(directory, to, target);
	if (rename(source, target) < 0)
		return fail_io("replace", target);
	return ERR_OK;
}

enum err pki_file_read_key(const char *directory, const char *name, EVP_PKEY **out)
{
	char path[PKI_FILE_PATH_MAX];
	pki_file_path(directory, name, path);
	FILE *file = fopen(path, "re");
	if (!file)
		return fail_io("read", path);
	*out = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	if (!*out)
		log_line(LOG_ERROR, "%s: not a private key", path);
	return *out ? ERR_OK : ERR_PARSE;
}

enum err pki_file_read_certificate(const char *directory, const char *name, X509 **out)
{
	char path[PKI_FILE_PATH_MAX];
	pki_file_path(directory, name, path);
	FILE *file = fopen(path, "re");
	if (!file)
		return fail_io("read", path);
	*out = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	if (!*out)
		log_line(LOG_ERROR, "%s: not a certificate", path);
	return *out ? ERR_OK : ERR_PARSE;
}

bool pki_file_is_there(const char *directory, const char *name)
{
	char path[PKI_FILE_PATH_MAX];
	pki_file_path(directory, name, path);
	return access(path, F_OK) == 0;
}
