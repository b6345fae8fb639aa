// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_enrol.h"

#include "base/secret.h"
#include "relay/relay_http.h"
#include "relay/relay_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { ANSWER_MAX = 65536, BODY_MAX = 4096, TIMEOUT_S = 30 };

struct attempt {
	struct token_link link;
	EVP_PKEY *key, *backup;
	uint8_t key_pem[RELAY_KEY_PEM_MAX], backup_pem[RELAY_KEY_PEM_MAX], certificates[RELAY_KEY_CERTIFICATES_MAX];
	size_t key_size, backup_size, certificates_size;
	char body[BODY_MAX];
	char text[ANSWER_MAX];
	size_t text_size;
	struct relay_enrol_answer answer;
};

// ---------------------------------------------------------------- answer

static bool get_bytes(yyjson_val *root, const char *key, uint8_t *out, size_t capacity, size_t *size)
{
	yyjson_val *value = yyjson_obj_get(root, key);
	return yyjson_is_str(value) && !text_base64_parse(yyjson_get_str(value), yyjson_get_len(value), out, capacity, size) && *size > 0;
}

enum err relay_enrol_answer_parse(const char *json, size_t size, struct relay_enrol_answer *out)
{
	yyjson_doc *doc = yyjson_read(json, size, 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *name = yyjson_obj_get(root, "name");
	const char *relay = yyjson_get_str(yyjson_obj_get(root, "relay"));
	size_t ticket_key_size = 0, name_size = yyjson_get_len(name);
	bool is_good = relay && !text_id_parse(relay, &out->relay) && yyjson_is_str(name) && name_size > 0 &&
		       name_size < sizeof(out->name) && text_is_printable(yyjson_get_str(name), name_size) &&
		       get_bytes(root, "ticket_key", out->ticket_key, sizeof(out->ticket_key), &ticket_key_size) &&
		       ticket_key_size == sizeof(out->ticket_key) &&
		       get_bytes(root, "certificate", out->certificate, sizeof(out->certificate), &out->certificate_size) &&
		       get_bytes(root, "issuer", out->issuer, sizeof(out->issuer), &out->issuer_size) &&
		       get_bytes(root, "root", out->root, sizeof(out->root), &out->root_size);
	if (is_good)
		memcpy(out->name, yyjson_get_str(name), name_size + 1);
	yyjson_doc_free(doc);
	return is_good ? ERR_OK : ERR_PARSE;
}

// ---------------------------------------------------------------- request

static enum err make_request(struct attempt *attempt)
{
	uint8_t csr[RELAY_KEY_CSR_MAX], pin[TOKEN_PIN_BYTES];
	char csr_text[TEXT_BASE64_SIZE(RELAY_KEY_CSR_MAX)], pin_text[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)];
	char token_text[TEXT_BASE64_SIZE(TOKEN_SECRET_BYTES)];
	size_t csr_size = 0;
	attempt->key = relay_key_new();
	attempt->backup = relay_key_new();
	if (!attempt->key || !attempt->backup)
		return ERR_CRYPTO;
	enum err err = relay_key_emit(attempt->key, attempt->key_pem, &attempt->key_size);
	if (!err)
		err = relay_key_emit(attempt->backup, attempt->backup_pem, &attempt->backup_size);
	if (!err)
		err = relay_key_pin(attempt->backup, pin);
	if (!err)
		err = relay_key_request(attempt->key, csr, &csr_size);
	if (err)
		return err;
	text_base64_emit(csr, csr_size, csr_text);
	text_base64_emit(pin, sizeof(pin), pin_text);
	text_base64_emit(attempt->link.token, sizeof(attempt->link.token), token_text);
	snprintf(attempt->body, sizeof(attempt->body), "{\"token\":\"%s\",\"csr\":\"%s\",\"backup_pin\":\"%s\"}", token_text, csr_text,
		 pin_text);
	return ERR_OK;
}

static size_t on_body(char *bytes, size_t each, size_t count, void *context)
{
	struct attempt *attempt = context;
	size_t size = each * count;
	if (size > sizeof(attempt->text) - attempt->text_size)
		return 0;
	memcpy(attempt->text + attempt->text_size, bytes, size);
	attempt->text_size += size;
	return size;
}

// What the server says for people, beside its status.
static void add_reason(const struct attempt *attempt, char problem[static RELAY_ENROL_PROBLEM_MAX])
{
	yyjson_doc *doc = yyjson_read(attempt->text, attempt->text_size, 0);
	yyjson_val *error = yyjson_obj_get(yyjson_doc_get_root(doc), "error");
	size_t at = strlen(problem);
	if (yyjson_is_str(error) && text_is_printable(yyjson_get_str(error), yyjson_get_len(error)))
		snprintf(problem + at, RELAY_ENROL_PROBLEM_MAX - at, ": %.200s", yyjson_get_str(error));
	yyjson_doc_free(doc);
}

static enum err ask(struct attempt *attempt, char problem[static RELAY_ENROL_PROBLEM_MAX])
{
	const struct token_link *link = &attempt->link;
	struct relay_http_server server = { .name = link->name, .address = link->address, .port = link->port, .pins = &link->server_pins };
	struct relay_http http;
	enum err err = relay_http_init(&http, &server, "/v1/relay/enrol", attempt->body);
	if (err) {
		snprintf(problem, RELAY_ENROL_PROBLEM_MAX, "%s", err_text(err));
		return err;
	}
	(void)curl_easy_setopt(http.curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(http.curl, CURLOPT_WRITEDATA, attempt);
	(void)curl_easy_setopt(http.curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
	err = relay_http_result(&http, curl_easy_perform(http.curl), problem);
	if (err)
		add_reason(attempt, problem);
	relay_http_fini(&http);
	if (!err && relay_enrol_answer_parse(attempt->text, attempt->text_size, &attempt->answer)) {
		snprintf(problem, RELAY_ENROL_PROBLEM_MAX, "the management server's answer is not understood");
		return ERR_PARSE;
	}
	return err;
}

// ---------------------------------------------------------------- result

static enum err check(struct attempt *attempt, char problem[static RELAY_ENROL_PROBLEM_MAX])
{
	const struct relay_enrol_answer *a = &attempt->answer;
	struct relay_key_chain chain = { .certificate = a->certificate, .certificate_size = a->certificate_size,
					 .issuer = a->issuer, .issuer_size = a->issuer_size,
					 .root = a->root, .root_size = a->root_size, .root_pin = attempt->link.root };
	enum err err = relay_key_check_chain(&chain, attempt->key, attempt->certificates, &attempt->certificates_size);
	if (err)
		snprintf(problem, RELAY_ENROL_PROBLEM_MAX, "the certificate that came does not lead from our key to the root of the link");
	return err;
}

static enum err store(const struct attempt *attempt, const char *state_directory, bool is_forced, struct registration *out,
		      char problem[static RELAY_ENROL_PROBLEM_MAX])
{
	const struct relay_enrol_answer *a = &attempt->answer;
	*out = (struct registration){ .relay = a->relay, .tmms.port = attempt->link.port, .tmms.pins = attempt->link.server_pins };
	strcpy(out->name, a->name);
	memcpy(out->ticket_key, a->ticket_key, sizeof(out->ticket_key));
	memcpy(out->root, attempt->link.root, sizeof(out->root));
	strcpy(out->tmms.name, attempt->link.name);
	strcpy(out->tmms.address, attempt->link.address);
	struct registration_files files = {
		.registration = out,
		.key_pem = { attempt->key_pem, attempt->key_size },
		.backup_pem = { attempt->backup_pem, attempt->backup_size },
		.certificate_pem = { attempt->certificates, attempt->certificates_size },
		.issuer_der = { a->issuer, a->issuer_size },
		.root_der = { a->root, a->root_size },
	};
	return registration_store(state_directory, &files, is_forced, problem);
}

enum err relay_enrol(const char *state_directory, const char *link, bool is_forced, struct registration *out,
		     char problem[static RELAY_ENROL_PROBLEM_MAX])
{
	if (registration_exists(state_directory) && !is_forced) {
		snprintf(problem, RELAY_ENROL_PROBLEM_MAX, "%s: this relay is registered already; --force replaces it", state_directory);
		return ERR_EXISTS;
	}
	struct attempt *attempt = secret_alloc(sizeof(*attempt));
	if (!attempt) {
		snprintf(problem, RELAY_ENROL_PROBLEM_MAX, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	enum err err = token_link_parse(link, &attempt->link);
	if (err || attempt->link.kind != TOKEN_LINK_RELAY) {
		snprintf(problem, RELAY_ENROL_PROBLEM_MAX, "this is not a relay's enrolment link (https://NAME/relay#...)");
		err = ERR_USAGE;
	}
	if (!err) {
		err = make_request(attempt);
		if (err)
			snprintf(problem, RELAY_ENROL_PROBLEM_MAX, "cannot make keys: %s", err_text(err));
	}
	if (!err)
		err = ask(attempt, problem);
	if (!err)
		err = check(attempt, problem);
	if (!err)
		err = store(attempt, state_directory, is_forced, out, problem);
	EVP_PKEY_free(attempt->key);
	EVP_PKEY_free(attempt->backup);
	secret_free(attempt);
	return err;
}
