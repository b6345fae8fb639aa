// SPDX-License-Identifier: Apache-2.0
#include "mgmt/ctl.h"

#include "base/text.h"

#include <curl/curl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ANSWER_MAX = 64 << 20, TIMEOUT_S = 30 };

struct received {
	char *bytes;
	size_t size;
};

static size_t on_data(char *bytes, size_t one, size_t size, void *cls)
{
	(void)one;
	struct received *r = cls;
	char *grown = r->size + size <= ANSWER_MAX ? realloc(r->bytes, r->size + size + 1) : NULL;
	if (!grown)
		return 0;
	memcpy(grown + r->size, bytes, size);
	r->bytes = grown;
	r->size += size;
	return size;
}

static void say(const char *text)
{
	char harmless[512];
	ctl_table_harmless(text, harmless, sizeof(harmless));
	fprintf(stderr, "tmmsctl: %s\n", harmless);
}

static CURLcode perform(const struct ctl *ctl, const char *method, const char *path, const char *body, size_t size,
			struct received *received, long *status)
{
	char url[CTL_PATH_MAX + 32];
	snprintf(url, sizeof(url), "http://localhost%s", path);
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!curl || !headers) {
		curl_slist_free_all(headers);
		curl_easy_cleanup(curl);
		return CURLE_OUT_OF_MEMORY;
	}
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, received);
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)size);
	}
	CURLcode code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return code;
}

static void print_json(yyjson_doc *doc)
{
	size_t size = 0;
	char *text = yyjson_write(doc, YYJSON_WRITE_ESCAPE_UNICODE, &size);
	if (text)
		printf("%s\n", text);
	free(text);
}

// The answer as a document, or what is wrong with it.
static enum err judge(const struct ctl *ctl, const struct received *received, long status, struct ctl_answer *out)
{
	out->doc = received->bytes ? yyjson_read(received->bytes, received->size, YYJSON_READ_NOFLAG) : NULL;
	out->root = yyjson_doc_get_root(out->doc);
	if (!out->doc) {
		fprintf(stderr, "tmmsctl: %s: the answer is not JSON (status %ld)\n", ctl->socket, status);
		return ERR_PARSE;
	}
	if (status >= 200 && status < 300)
		return ERR_OK;
	const char *error = yyjson_get_str(yyjson_obj_get(out->root, "error"));
	say(error ? error : "the server refused without saying why");
	return ERR_DENIED;
}

enum err ctl_http_request(const struct ctl *ctl, const char *method, const char *path, yyjson_mut_doc *body, struct ctl_answer *out)
{
	struct received received = {0};
	long status = 0;
	size_t size = 0;
	*out = (struct ctl_answer){0};
	char *text = body ? yyjson_mut_write(body, YYJSON_WRITE_NOFLAG, &size) : NULL;
	bool is_lost = body && !text;
	yyjson_mut_doc_free(body);
	if (is_lost) {
		say("the arguments are not valid UTF-8");
		return ERR_USAGE;
	}
	CURLcode code = perform(ctl, method, path, text, size, &received, &status);
	free(text);
	enum err err = ERR_IO;
	if (code == CURLE_COULDNT_CONNECT)
		fprintf(stderr, "tmmsctl: %s: tmms does not run, or you may not use its socket\n", ctl->socket);
	else if (code)
		fprintf(stderr, "tmmsctl: %s: %s\n", ctl->socket, curl_easy_strerror(code));
	else
		err = judge(ctl, &received, status, out);
	free(received.bytes);
	if (out->doc && ctl->is_json)
		print_json(out->doc);
	if (err)
		ctl_http_free(out);
	return err;
}

void ctl_http_free(struct ctl_answer *answer)
{
	yyjson_doc_free(answer->doc);
	*answer = (struct ctl_answer){0};
}

yyjson_mut_doc *ctl_http_body(void)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
	return doc;
}

enum err ctl_http_find(const struct ctl *ctl, const char *path, const char *list, const char *member, const char *wanted, char *out)
{
	struct id id;
	if (!text_id_parse(wanted, &id)) {
		text_id_emit(&id, out);
		return ERR_OK;
	}
	struct ctl quiet = *ctl;
	struct ctl_answer answer;
	quiet.is_json = false;
	enum err err = ctl_http_request(&quiet, "GET", path, NULL, &answer);
	if (err)
		return err;
	size_t i, count;
	yyjson_val *row;
	err = ERR_NOT_FOUND;
	yyjson_arr_foreach(yyjson_obj_get(answer.root, list), i, count, row) {
		const char *name = yyjson_get_str(yyjson_obj_get(row, "name"));
		const char *found = yyjson_get_str(yyjson_obj_get(row, member));
		if (name && found && strcasecmp(name, wanted) == 0 && !text_id_parse(found, &id)) {
			text_id_emit(&id, out);
			err = ERR_OK;
			break;
		}
	}
	ctl_http_free(&answer);
	if (err)
		fprintf(stderr, "tmmsctl: there is no %s of this name or id\n", member);
	return err;
}
