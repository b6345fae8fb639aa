// SPDX-License-Identifier: Apache-2.0
#include "client/engine/identity.h"

#include "client/engine/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "identity.json"
enum { VERSION = 1 };

static enum err parse_pins(yyjson_val *root, const char *name, struct token_pins *out)
{
	yyjson_val *array = yyjson_obj_get(root, name), *value;
	size_t i, count, size;
	if (!yyjson_is_arr(array) || yyjson_arr_size(array) == 0 || yyjson_arr_size(array) > TOKEN_PINS_MAX)
		return ERR_PARSE;
	yyjson_arr_foreach(array, i, count, value) {
		const char *text = yyjson_get_str(value);
		if (!text || text_base64_parse(text, yyjson_get_len(value), out->pin[i], TOKEN_PIN_BYTES, &size) != ERR_OK ||
		    size != TOKEN_PIN_BYTES)
			return ERR_PARSE;
	}
	out->count = yyjson_arr_size(array);
	return ERR_OK;
}

static enum err parse_fields(yyjson_val *root, struct identity *out)
{
	uint64_t version, port;
	enum err err = json_number(root, "version", VERSION, &version);
	if (err)
		return err == ERR_LIMIT ? ERR_VERSION : err;
	if ((err = json_id(root, "user", &out->user)) || (err = json_id(root, "device", &out->device)) ||
	    (err = json_text(root, "name", out->name, sizeof(out->name))) ||
	    (err = json_text(root, "server", out->server, sizeof(out->server))) ||
	    (err = json_text(root, "address", out->address, sizeof(out->address))) ||
	    (err = json_number(root, "port", UINT16_MAX, &port)) || (err = parse_pins(root, "server_pins", &out->server_pins)) ||
	    (err = parse_pins(root, "relay_pins", &out->relay_pins)) ||
	    (err = json_bytes_exact(root, "root", out->root, sizeof(out->root))))
		return err;
	out->port = (uint16_t)port;
	return port > 0 && out->server[0] ? ERR_OK : ERR_PARSE;
}

enum err identity_parse(const char *json, size_t size, struct identity *out)
{
	yyjson_doc *document = yyjson_read(json, size, 0);
	memset(out, 0, sizeof(*out));
	enum err err = document ? parse_fields(yyjson_doc_get_root(document), out) : ERR_PARSE;
	yyjson_doc_free(document);
	return err;
}

enum err identity_load(const struct home *home, struct identity *out, char problem[static HOME_PROBLEM_MAX])
{
	char *json, path[HOME_PATH_MAX];
	size_t size;
	enum err err = home_read(home, FILE_NAME, &json, &size, problem);
	if (err == ERR_NOT_FOUND)
		snprintf(problem, HOME_PROBLEM_MAX, "this home is not enrolled yet: run tcc-cli enrol LINK");
	if (err)
		return err;
	err = identity_parse(json, size, out);
	home_free(json, size);
	if (err && home_path(home, FILE_NAME, path) == ERR_OK)
		snprintf(problem, HOME_PROBLEM_MAX, "%.400s is damaged: %s", path, err_text(err));
	return err;
}

static void add_pins(yyjson_mut_doc *document, yyjson_mut_val *root, const char *name, const struct token_pins *pins)
{
	yyjson_mut_val *array = yyjson_mut_obj_add_arr(document, root, name);
	for (size_t i = 0; i < pins->count; i++) {
		char text[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)];
		text_base64_emit(pins->pin[i], TOKEN_PIN_BYTES, text);
		(void)yyjson_mut_arr_add_strcpy(document, array, text);
	}
}

enum err identity_save(const struct home *home, const struct identity *identity, char problem[static HOME_PROBLEM_MAX])
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, root);
	(void)yyjson_mut_obj_add_uint(document, root, "version", VERSION);
	json_add_id(document, root, "user", &identity->user);
	json_add_id(document, root, "device", &identity->device);
	json_add_text(document, root, "name", identity->name);
	json_add_text(document, root, "server", identity->server);
	json_add_text(document, root, "address", identity->address);
	(void)yyjson_mut_obj_add_uint(document, root, "port", identity->port);
	add_pins(document, root, "server_pins", &identity->server_pins);
	add_pins(document, root, "relay_pins", &identity->relay_pins);
	json_add_bytes(document, root, "root", identity->root, sizeof(identity->root));
	size_t size = 0;
	char *json = yyjson_mut_write(document, YYJSON_WRITE_PRETTY, &size);
	yyjson_mut_doc_free(document);
	if (!json) {
		snprintf(problem, HOME_PROBLEM_MAX, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	enum err err = home_write(home, FILE_NAME, json, size, problem);
	free(json);
	return err;
}
