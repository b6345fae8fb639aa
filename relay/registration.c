// SPDX-License-Identifier: Apache-2.0
#include "relay/registration.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

#define FOLDER "registration"
#define FOLDER_NEW "registration.new"
enum { JSON_MAX = 65536 };

static enum err fail(char problem[static REGISTRATION_PROBLEM_MAX], enum err err, const char *directory, const char *what, const char *why)
{
	snprintf(problem, REGISTRATION_PROBLEM_MAX, "%.200s/%s: %.200s", directory, what, why);
	return err;
}

// ---------------------------------------------------------------- JSON

static bool get_text(yyjson_val *object, const char *key, char *out, size_t capacity)
{
	yyjson_val *value = yyjson_obj_get(object, key);
	const char *text = yyjson_get_str(value);
	size_t size = yyjson_get_len(value);
	if (!text || size >= capacity || !text_is_printable(text, size))
		return false;
	memcpy(out, text, size + 1);
	return true;
}

static bool get_bytes(yyjson_val *value, uint8_t *out, size_t wanted)
{
	size_t size = 0;
	return yyjson_is_str(value) && !text_base64_parse(yyjson_get_str(value), yyjson_get_len(value), out, wanted, &size) &&
	       size == wanted;
}

static enum err parse(const char *json, size_t size, struct registration *out)
{
	yyjson_doc *doc = yyjson_read(json, size, 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *tmms = yyjson_obj_get(root, "tmms"), *pins = yyjson_obj_get(tmms, "pins");
	const char *relay = yyjson_get_str(yyjson_obj_get(root, "relay"));
	uint64_t port = yyjson_get_uint(yyjson_obj_get(tmms, "port"));
	bool is_good = relay && !text_id_parse(relay, &out->relay) && get_text(root, "name", out->name, sizeof(out->name)) &&
		       get_bytes(yyjson_obj_get(root, "ticket_key"), out->ticket_key, sizeof(out->ticket_key)) &&
		       get_bytes(yyjson_obj_get(root, "root"), out->root, sizeof(out->root)) &&
		       get_text(tmms, "name", out->tmms.name, sizeof(out->tmms.name)) &&
		       get_text(tmms, "address", out->tmms.address, sizeof(out->tmms.address)) && port >= 1 && port <= UINT16_MAX;
	out->tmms.port = (uint16_t)port;
	size_t index, count;
	yyjson_val *pin;
	yyjson_arr_foreach(pins, index, count, pin) {
		is_good = is_good && index < TOKEN_PINS_MAX && get_bytes(pin, out->tmms.pins.pin[index], TOKEN_PIN_BYTES);
		out->tmms.pins.count = index + 1;
	}
	yyjson_doc_free(doc);
	return is_good && out->tmms.pins.count > 0 ? ERR_OK : ERR_PARSE;
}

static void add_bytes(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const uint8_t bytes[static 32])
{
	char text[TEXT_BASE64_SIZE(32)];
	text_base64_emit(bytes, 32, text);
	yyjson_mut_obj_add_strcpy(doc, object, key, text);
}

static char *emit(const struct registration *r, size_t *size)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	if (!doc)
		return NULL;
	char text[TEXT_UUID_SIZE];
	text_id_emit(&r->relay, text);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_strcpy(doc, root, "relay", text);
	yyjson_mut_obj_add_str(doc, root, "name", r->name);
	add_bytes(doc, root, "ticket_key", r->ticket_key);
	add_bytes(doc, root, "root", r->root);
	yyjson_mut_val *tmms = yyjson_mut_obj_add_obj(doc, root, "tmms");
	yyjson_mut_obj_add_str(doc, tmms, "name", r->tmms.name);
	yyjson_mut_obj_add_str(doc, tmms, "address", r->tmms.address);
	yyjson_mut_obj_add_uint(doc, tmms, "port", r->tmms.port);
	yyjson_mut_val *pins = yyjson_mut_obj_add_arr(doc, tmms, "pins");
	for (size_t i = 0; i < r->tmms.pins.count; i++) {
		char pin[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)];
		text_base64_emit(r->tmms.pins.pin[i], TOKEN_PIN_BYTES, pin);
		yyjson_mut_arr_add_strcpy(doc, pins, pin);
	}
	char *json = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY | YYJSON_WRITE_NEWLINE_AT_END, size);
	yyjson_mut_doc_free(doc);
	return json;
}

// ---------------------------------------------------------------- load

bool registration_exists(const char *state_directory)
{
	char path[REGISTRATION_PATH_MAX];
	struct stat status;
	snprintf(path, sizeof(path), "%s/" FOLDER "/relay.json", state_directory);
	return lstat(path, &status) == 0;
}

enum err registration_load(const char *directory, struct registration *out, char problem[static REGISTRATION_PROBLEM_MAX])
{
	char path[REGISTRATION_PATH_MAX];
	*out = (struct registration){ 0 };
	snprintf(path, sizeof(path), "%s/" FOLDER "/relay.json", directory);
	snprintf(out->certificate_path, sizeof(out->certificate_path), "%s/" FOLDER "/tls.pem", directory);
	snprintf(out->key_path, sizeof(out->key_path), "%s/" FOLDER "/tls.key", directory);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 && errno == ENOENT && access(directory, R_OK | X_OK) == 0)
		return fail(problem, ERR_NOT_FOUND, directory, FOLDER, "this relay is not registered: run tcs --enrol LINK");
	if (file < 0)
		return fail(problem, ERR_IO, directory, FOLDER, strerror(errno));
	char *json = malloc(JSON_MAX);
	ssize_t size = json ? read(file, json, JSON_MAX) : -1;
	enum err err = size < 0 ? ERR_IO : parse(json, (size_t)size, out);
	free(json);
	close(file);
	return err ? fail(problem, err, directory, FOLDER "/relay.json", "not a readable registration") : ERR_OK;
}

// ---------------------------------------------------------------- store

static enum err write_file(int folder, const char *name, const void *bytes, size_t size)
{
	int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return ERR_IO;
	bool is_written = write(file, bytes, size) == (ssize_t)size && fsync(file) == 0;
	int error = errno;
	close(file);
	errno = error;
	return is_written ? ERR_OK : ERR_IO;
}

// A folder of plain files, as we make them.
static void remove_folder(int directory, const char *name)
{
	int folder = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *entries = folder >= 0 ? fdopendir(folder) : NULL;
	if (!entries)
		return;
	for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)unlinkat(folder, entry->d_name, 0);
	}
	closedir(entries);
	(void)unlinkat(directory, name, AT_REMOVEDIR);
}

static enum err write_folder(int directory, const struct registration_files *files)
{
	remove_folder(directory, FOLDER_NEW); // of an earlier attempt
	if (mkdirat(directory, FOLDER_NEW, 0700) != 0)
		return ERR_IO;
	int folder = openat(directory, FOLDER_NEW, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t size = 0;
	char *json = emit(files->registration, &size);
	enum err err = folder < 0 ? ERR_IO : json ? write_file(folder, "relay.json", json, size) : ERR_NOMEM;
	const struct {
		const char *name;
		const struct registration_bytes *content;
	} rows[] = { { "tls.key", &files->key_pem }, { "backup.key", &files->backup_pem }, { "tls.pem", &files->certificate_pem },
		     { "issuer.der", &files->issuer_der }, { "root.der", &files->root_der } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !err; i++)
		err = write_file(folder, rows[i].name, rows[i].content->bytes, rows[i].content->size);
	if (!err && fsync(folder) != 0)
		err = ERR_IO;
	free(json);
	if (folder >= 0)
		close(folder);
	return err;
}

// The new folder in place of none, or exchanged for the old one, which then goes.
static enum err put_in_place(int directory)
{
	if (renameat2(directory, FOLDER_NEW, directory, FOLDER, RENAME_NOREPLACE) != 0) {
		if (errno != EEXIST || renameat2(directory, FOLDER_NEW, directory, FOLDER, RENAME_EXCHANGE) != 0)
			return ERR_IO;
		remove_folder(directory, FOLDER_NEW);
	}
	return fsync(directory) == 0 ? ERR_OK : ERR_IO;
}

enum err registration_store(const char *directory, const struct registration_files *files, bool is_forced,
			    char problem[static REGISTRATION_PROBLEM_MAX])
{
	if (registration_exists(directory) && !is_forced)
		return fail(problem, ERR_EXISTS, directory, FOLDER, "this relay is registered already; --force replaces it");
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return fail(problem, ERR_IO, directory, "", strerror(errno));
	enum err err = write_folder(folder, files);
	if (!err)
		err = put_in_place(folder);
	if (err) {
		(void)fail(problem, err, directory, FOLDER, err == ERR_IO ? strerror(errno) : err_text(err));
		remove_folder(folder, FOLDER_NEW);
	}
	close(folder);
	return err;
}
