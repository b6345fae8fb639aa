// SPDX-License-Identifier: Apache-2.0
#include "mgmt/auth_sign.h"

#include "base/secret.h"
#include "mgmt/x509.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static enum err ask(struct auth_sign *auth, struct request *request, struct reply *reply)
{
	enum err err = auth->ask(auth->context, request, reply);
	return err ? err : reply->err;
}

static enum err check_token(struct auth_sign *auth, const uint8_t hash[static TOKEN_PIN_BYTES], enum request_subject subject,
			    struct reply *found)
{
	struct request check = {.type = REQUEST_TOKEN_CHECK};
	memcpy(check.hash.hash, hash, TOKEN_PIN_BYTES);
	enum err err = ask(auth, &check, found);
	return err ? err : found->subject.subject == subject ? ERR_OK : ERR_DENIED;
}

// The device has the private key, and spoke on this very connection.
static enum err check_proof(const struct request_auth_device *r)
{
	uint8_t message[sizeof(AUTH_SIGN_ENROL_CONTEXT) - 1 + sizeof(r->channel) + sizeof(r->token)];
	struct cursor c = cursor_writer(message, sizeof(message));
	cursor_write_bytes(&c, (const uint8_t *)AUTH_SIGN_ENROL_CONTEXT, sizeof(AUTH_SIGN_ENROL_CONTEXT) - 1);
	cursor_write_bytes(&c, r->channel, sizeof(r->channel));
	cursor_write_bytes(&c, r->token, sizeof(r->token));
	return token_ed25519_verify(r->key, message, sizeof(message), r->proof);
}

static enum err put_certificates(struct auth_sign *auth, const X509 *certificate, struct reply_enrolled *out)
{
	enum err err = x509_emit(certificate, auth->certificate, sizeof(auth->certificate), &out->certificate.size);
	if (!err)
		err = x509_emit(auth->pki.issuer, auth->issuer, sizeof(auth->issuer), &out->issuer.size);
	if (!err)
		err = x509_emit(auth->pki.root, auth->root, sizeof(auth->root), &out->root.size);
	out->certificate.bytes = auth->certificate;
	out->issuer.bytes = auth->issuer;
	out->root.bytes = auth->root;
	memcpy(out->ticket_key, auth->pki.ticket_public, sizeof(out->ticket_key));
	return err;
}

static enum err sign(struct auth_sign *auth, const struct x509_options *options, struct reply_enrolled *out)
{
	X509 *certificate = NULL;
	enum err err = x509_sign(options, &certificate);
	if (!err)
		err = put_certificates(auth, certificate, out);
	X509_free(certificate);
	return err;
}

static enum err sign_device(struct auth_sign *auth, const struct id *device, const struct id *user, EVP_PKEY *key,
			    struct reply_enrolled *out)
{
	char device_text[TEXT_UUID_SIZE], user_text[TEXT_UUID_SIZE], name[128];
	text_id_emit(device, device_text);
	text_id_emit(user, user_text);
	snprintf(name, sizeof(name), "URI:huisclos:device:%s,URI:huisclos:user:%s", device_text, user_text);
	struct x509_options options = {.profile = X509_DEVICE, .common_name = device_text, .alternative_name = name,
				       .subject_key = key, .issuer = auth->pki.issuer, .issuer_key = auth->pki.issuer_key,
				       .days = AUTH_SIGN_DEVICE_DAYS};
	return sign(auth, &options, out);
}

// The certificate is made first and leaves only when the token was taken back in the same transaction that
// added the device: a failure in between costs a certificate nobody has.
static enum err answer_device(struct auth_sign *auth, const struct request *request, struct reply *reply)
{
	const struct request_auth_device *r = &request->auth_device;
	struct request add = {.type = REQUEST_DEVICE_ADD};
	struct reply found, added;
	EVP_PKEY *key = NULL;
	enum err err = check_proof(r);
	secret_sha256(r->token, sizeof(r->token), add.device_add.hash);
	if (!err)
		err = check_token(auth, add.device_add.hash, REQUEST_SUBJECT_USER, &found);
	if (!err)
		err = x509_ed25519_key(r->key, &key);
	if (err)
		return err;
	secret_random(add.device_add.device.bytes, TEXT_ID_BYTES);
	memcpy(add.device_add.key, r->key, sizeof(add.device_add.key));
	reply->enrolled.id = add.device_add.device;
	reply->enrolled.user = found.subject.id;
	memcpy(reply->enrolled.name, found.subject.name, sizeof(reply->enrolled.name));
	err = x509_key_pin(key, add.device_add.pin);
	if (!err)
		err = sign_device(auth, &add.device_add.device, &found.subject.id, key, &reply->enrolled);
	EVP_PKEY_free(key);
	return err ? err : ask(auth, &add, &added);
}

static enum err answer_relay(struct auth_sign *auth, const struct request *request, struct reply *reply)
{
	const struct request_auth_relay *r = &request->auth_relay;
	struct request activate = {.type = REQUEST_RELAY_ACTIVATE};
	struct reply found, activated;
	char name[REQUEST_HOST_MAX + 8], relay_text[TEXT_UUID_SIZE];
	EVP_PKEY *key = NULL;
	enum err err = x509_request_key(r->csr.bytes, r->csr.size, &key);
	secret_sha256(r->token, sizeof(r->token), activate.relay_activate.hash);
	if (!err)
		err = check_token(auth, activate.relay_activate.hash, REQUEST_SUBJECT_RELAY, &found);
	if (!err)
		err = x509_key_pin(key, activate.relay_activate.pin);
	if (!err) {
		text_id_emit(&found.subject.id, relay_text);
		snprintf(name, sizeof(name), "DNS:%s", found.subject.name);
		struct x509_options options = {.profile = X509_RELAY, .common_name = relay_text, .alternative_name = name,
					       .subject_key = key, .issuer = auth->pki.issuer,
					       .issuer_key = auth->pki.issuer_key, .days = AUTH_SIGN_RELAY_DAYS};
		memcpy(activate.relay_activate.backup_pin, r->backup_pin, sizeof(r->backup_pin));
		reply->enrolled.id = found.subject.id;
		memcpy(reply->enrolled.name, found.subject.name, sizeof(reply->enrolled.name));
		err = sign(auth, &options, &reply->enrolled);
	}
	EVP_PKEY_free(key);
	return err ? err : ask(auth, &activate, &activated);
}

static enum err answer_ticket(struct auth_sign *auth, const struct request *request, struct reply *reply)
{
	struct request join = {.type = REQUEST_MEETING_JOIN, .meeting = request->meeting};
	struct reply facts;
	enum err err = ask(auth, &join, &facts);
	if (err)
		return err;
	const struct reply_join *j = &facts.join;
	uint64_t now = (uint64_t)time(NULL);
	struct token_ticket ticket = {.relay = j->relay, .meeting = request->meeting.meeting, .participant = j->user,
				      .rights = TOKEN_RIGHT_SEND | TOKEN_RIGHT_RECEIVE | (j->is_owner ? TOKEN_RIGHT_HOST : 0),
				      .issued = now, .join_before = now + AUTH_SIGN_JOIN_S,
				      .rejoin_until = j->expires < now + AUTH_SIGN_REJOIN_S ? j->expires : now + AUTH_SIGN_REJOIN_S};
	token_key_id(auth->pki.ticket_public, ticket.key_id);
	secret_random(ticket.serial.bytes, TEXT_ID_BYTES);
	memcpy(ticket.device_key, j->device_key, sizeof(ticket.device_key));
	err = token_ticket_sign(&ticket, auth->pki.ticket_key, auth->ticket);
	struct reply_ticket *out = &reply->ticket;
	*out = (struct reply_ticket){.relay = j->relay, .port = j->port, .ticket = {auth->ticket, TOKEN_TICKET_BYTES}, .blob = j->blob};
	memcpy(out->name, j->name, sizeof(out->name));
	memcpy(out->address, j->address, sizeof(out->address));
	return err;
}

static enum err answer_info(struct auth_sign *auth, const struct request *request, struct reply *reply)
{
	(void)request;
	struct reply_auth_info *out = &reply->auth_info;
	memcpy(out->pin, auth->pki.pin, sizeof(out->pin));
	memcpy(out->backup_pin, auth->pki.backup_pin, sizeof(out->backup_pin));
	memcpy(out->root_pin, auth->pki.root_pin, sizeof(out->root_pin));
	memcpy(out->ticket_key, auth->pki.ticket_public, sizeof(out->ticket_key));
	out->issuer_expires = x509_expires(auth->pki.issuer);
	return ERR_OK;
}

void auth_sign_answer(struct auth_sign *auth, const struct request *request, struct reply *reply)
{
	static enum err (*const rows[REQUEST_TYPES])(struct auth_sign *, const struct request *, struct reply *) = {
		[REQUEST_AUTH_INFO] = answer_info,
		[REQUEST_AUTH_DEVICE] = answer_device,
		[REQUEST_AUTH_RELAY] = answer_relay,
		[REQUEST_AUTH_TICKET] = answer_ticket,
	};
	*reply = (struct reply){.serial = request->serial, .type = request->type};
	reply->err = rows[request->type] ? rows[request->type](auth, request, reply) : ERR_DENIED;
}
