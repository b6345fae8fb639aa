// Enrolment of devices and relays, and the links that start it. SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"

#include "base/secret.h"
#include "mgmt/json.h"

#include <string.h>

enum { TOKEN_LIFE_S = 7 * 24 * 3600 };

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void put_certificates(struct api_call *call, const struct reply_enrolled *e)
{
	json_put_bytes(call->doc, call->root, "certificate", e->certificate.bytes, e->certificate.size);
	json_put_bytes(call->doc, call->root, "issuer", e->issuer.bytes, e->issuer.size);
	json_put_bytes(call->doc, call->root, "root", e->root.bytes, e->root.size);
}

enum api_next api_enrol_device(struct api_call *call, const struct reply *reply)
{
	if (!reply) {
		struct request_auth_device *r = &call->request.auth_device;
		const struct json_field fields[] = {
			{"token", JSON_BYTES, r->token, sizeof(r->token), sizeof(r->token), NULL, false},
			{"device_key", JSON_BYTES, r->key, sizeof(r->key), sizeof(r->key), NULL, false},
			{"proof", JSON_BYTES, r->proof, sizeof(r->proof), sizeof(r->proof), NULL, false},
		};
		if (json_read(call->body, call->body_size, fields, COUNT(fields), call->problem))
			return api_bad_body(call);
		memcpy(r->channel, call->peer->channel, sizeof(r->channel));
		return api_ask(call, REQUEST_AUTH_DEVICE);
	}
	const struct reply_enrolled *e = &reply->enrolled;
	json_put_id(call->doc, call->root, "user", &e->user);
	json_put_id(call->doc, call->root, "device", &e->id);
	yyjson_mut_obj_add_strcpy(call->doc, call->root, "name", e->name);
	put_certificates(call, e);
	return api_done(call, 201);
}

enum api_next api_enrol_relay(struct api_call *call, const struct reply *reply)
{
	if (!reply) {
		struct request_auth_relay *r = &call->request.auth_relay;
		size_t size = 0;
		const struct json_field fields[] = {
			{"token", JSON_BYTES, r->token, sizeof(r->token), sizeof(r->token), NULL, false},
			{"csr", JSON_BYTES, call->blob, 1, REQUEST_CSR_MAX, &size, false},
			{"backup_pin", JSON_BYTES, r->backup_pin, sizeof(r->backup_pin), sizeof(r->backup_pin), NULL, false},
		};
		if (json_read(call->body, call->body_size, fields, COUNT(fields), call->problem))
			return api_bad_body(call);
		r->csr = (struct wire_view){call->blob, size};
		return api_ask(call, REQUEST_AUTH_RELAY);
	}
	const struct reply_enrolled *e = &reply->enrolled;
	json_put_id(call->doc, call->root, "relay", &e->id);
	yyjson_mut_obj_add_strcpy(call->doc, call->root, "name", e->name);
	put_certificates(call, e);
	json_put_bytes(call->doc, call->root, "ticket_key", e->ticket_key, sizeof(e->ticket_key));
	return api_done(call, 201);
}

enum err api_enrol_emit_link(const struct api_call *call, enum token_link_kind kind, const struct token_pins *relay_pins,
			     char out[static TOKEN_LINK_MAX])
{
	const struct config *config = call->context->config;
	struct token_link link = {.kind = kind, .port = (uint16_t)config->public_port};
	if (strlen(config->server_name) > TOKEN_NAME_MAX || strlen(config->public_address) > TOKEN_ADDRESS_MAX)
		return ERR_LIMIT;
	strcpy(link.name, config->server_name);
	strcpy(link.address, config->public_address);
	memcpy(link.token, call->token, sizeof(link.token));
	memcpy(link.root, call->info.root_pin, sizeof(link.root));
	link.server_pins.count = 2;
	memcpy(link.server_pins.pin[0], call->info.pin, TOKEN_PIN_BYTES);
	memcpy(link.server_pins.pin[1], call->info.backup_pin, TOKEN_PIN_BYTES);
	if (relay_pins)
		link.relay_pins = *relay_pins;
	return token_link_emit(&link, out);
}

// auth knows the pins, store keeps the token's hash and knows the relays.
enum api_next api_enrol_link(struct api_call *call, const struct reply *reply)
{
	if (!reply) {
		if (!api_is_empty_object(call))
			return api_bad_body(call);
		return api_ask(call, REQUEST_AUTH_INFO);
	}
	if (reply->type == REQUEST_AUTH_INFO) {
		struct request_user_token *r = &call->request.user_token;
		call->info = reply->auth_info;
		call->expires = call->now + TOKEN_LIFE_S;
		secret_random(call->token, sizeof(call->token));
		*r = (struct request_user_token){.user = call->id, .expires = call->expires};
		secret_sha256(call->token, sizeof(call->token), r->hash);
		return api_ask(call, REQUEST_USER_TOKEN);
	}
	char link[TOKEN_LINK_MAX];
	struct token_pins pins = {.count = reply->pins.pins.size / TOKEN_PIN_BYTES};
	memcpy(pins.pin, reply->pins.pins.bytes, pins.count * TOKEN_PIN_BYTES);
	if (api_enrol_emit_link(call, TOKEN_LINK_ENROL, &pins, link))
		return api_fail(call, 500, "internal", "the link cannot be made");
	yyjson_mut_obj_add_strcpy(call->doc, call->root, "link", link);
	yyjson_mut_obj_add_uint(call->doc, call->root, "expires", call->expires);
	return api_done(call, 201);
}
