// Home, enrolment and meetings. Joining is in engine_join.c. SPDX-License-Identifier: Apache-2.0
#include "client/engine/engine_private.h"

#include "base/secret.h"
#include "client/engine/api_answer.h"
#include "client/engine/credentials.h"
#include "client/engine/e2ee/e2ee.h"
#include "client/engine/json.h"
#include "client/engine/meetings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENROL_CONTEXT "huisclos enrol v1"
enum { ENROL_ATTEMPTS = 3, TITLE_JSON_MAX = ENGINE_TITLE_MAX * 6 + 64 };

enum err engine_open(const char *directory, struct engine **out, char problem[static ENGINE_PROBLEM_MAX])
{
	struct engine *engine = calloc(1, sizeof(*engine));
	if (!engine)
		return ERR_NOMEM;
	enum err err = home_open(directory, &engine->home, problem);
	if (err) {
		free(engine);
		return err;
	}
	*out = engine;
	return ERR_OK;
}

void engine_close(struct engine *engine)
{
	if (!engine)
		return;
	home_close(engine->home);
	free(engine);
}

enum err engine_identity(const struct engine *engine, struct engine_identity *out, char problem[static ENGINE_PROBLEM_MAX])
{
	struct identity identity;
	enum err err = identity_load(engine->home, &identity, problem);
	if (err)
		return err;
	*out = (struct engine_identity){ .user = identity.user, .device = identity.device };
	memcpy(out->name, identity.name, sizeof(out->name));
	memcpy(out->server, identity.server, sizeof(out->server));
	return ERR_OK;
}

// ---------------------------------------------------------------- enrolment

// Token and key are of use on this one connection only: the proof covers the connection's exporter value.
static enum err enrol_body(const struct token_link *link, const uint8_t *private_key, const uint8_t *public_key,
			   const uint8_t *channel, char **out)
{
	uint8_t text[sizeof(ENROL_CONTEXT) - 1 + API_CHANNEL_BYTES + TOKEN_SECRET_BYTES], proof[TOKEN_SIGNATURE_BYTES];
	uint8_t *at = text;
	at = mempcpy(at, ENROL_CONTEXT, sizeof(ENROL_CONTEXT) - 1);
	at = mempcpy(at, channel, API_CHANNEL_BYTES);
	memcpy(at, link->token, TOKEN_SECRET_BYTES);
	enum err err = token_ed25519_sign(private_key, text, sizeof(text), proof);
	secret_wipe(text, sizeof(text));
	if (err)
		return err;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, root);
	json_add_bytes(document, root, "token", link->token, TOKEN_SECRET_BYTES);
	json_add_bytes(document, root, "device_key", public_key, TOKEN_ED25519_BYTES);
	json_add_bytes(document, root, "proof", proof, sizeof(proof));
	*out = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	return *out ? ERR_OK : ERR_NOMEM;
}

static enum err enrol_request(struct api *api, const struct token_link *link, const uint8_t *private_key,
			      const uint8_t *public_key, struct api_answer_enrol *out, char *problem)
{
	for (int attempt = 0; attempt < ENROL_ATTEMPTS; attempt++) {
		uint8_t channel[API_CHANNEL_BYTES];
		struct api_answer answer;
		char *body;
		enum err err = api_channel(api, channel, problem);
		if (!err)
			err = enrol_body(link, private_key, public_key, channel, &body);
		if (err)
			return err;
		err = api_request(api, "/v1/enrol", body, &answer, problem);
		home_free(body, strlen(body));
		if (err && memcmp(channel, api_last_channel(api), sizeof(channel)) != 0)
			continue; // the connection was closed between the two requests
		if (err)
			return err;
		err = api_answer_enrol(answer.body, answer.size, out);
		if (err)
			snprintf(problem, ENGINE_PROBLEM_MAX, "%.200s gave an answer that cannot be understood", link->name);
		return err;
	}
	snprintf(problem, ENGINE_PROBLEM_MAX, "%.200s does not keep its connections open", link->name);
	return ERR_CLOSED;
}

static enum err enrol_save(struct engine *engine, const struct token_link *link, const uint8_t *public_key,
			   const struct api_answer_enrol *answer, char *problem)
{
	struct identity identity = { .user = answer->user, .device = answer->device, .port = link->port,
				     .server_pins = link->server_pins, .relay_pins = link->relay_pins };
	memcpy(identity.name, answer->name, sizeof(identity.name));
	memcpy(identity.server, link->name, sizeof(identity.server));
	memcpy(identity.address, link->address, sizeof(identity.address));
	memcpy(identity.root, link->root, sizeof(identity.root));
	enum err err = credentials_check(&answer->certificate, &answer->issuer, &answer->root, link->root, public_key, problem);
	if (!err)
		err = credentials_save_chain(engine->home, &answer->certificate, &answer->issuer, problem);
	return err ? err : identity_save(engine->home, &identity, problem);
}

// With the lock held. The key is written before the token is used up: a folder that cannot be written costs nothing.
static enum err enrol_locked(struct engine *engine, const struct token_link *link, char *problem)
{
	struct identity identity;
	struct api *api = NULL;
	uint8_t public_key[TOKEN_ED25519_BYTES];
	enum err err = identity_load(engine->home, &identity, problem);
	if (err != ERR_NOT_FOUND) {
		if (!err)
			snprintf(problem, ENGINE_PROBLEM_MAX, "this home is enrolled already, as %.128s at %.200s", identity.name, identity.server);
		return err ? err : ERR_EXISTS;
	}
	const struct api_options options = { .server = link->name, .address = link->address, .port = link->port, .pins = &link->server_pins };
	struct api_answer_enrol *answer = malloc(sizeof(*answer));
	uint8_t *private_key = secret_alloc(TOKEN_ED25519_BYTES);
	err = answer && private_key ? token_ed25519_generate(private_key, public_key) : ERR_NOMEM;
	if (!err)
		err = credentials_save_key(engine->home, private_key, problem);
	if (!err) {
		err = api_open(&options, &api);
		if (!err)
			err = enrol_request(api, link, private_key, public_key, answer, problem);
		if (!err)
			err = enrol_save(engine, link, public_key, answer, problem);
		if (err)
			home_remove(engine->home, CREDENTIALS_KEY_FILE);
	}
	api_close(api);
	secret_free(private_key);
	free(answer);
	return err;
}

enum err engine_enrol(struct engine *engine, const char *text, char problem[static ENGINE_PROBLEM_MAX])
{
	struct token_link link;
	problem[0] = 0;
	enum err err = token_link_parse(text, &link);
	if (err || link.kind != TOKEN_LINK_ENROL) {
		snprintf(problem, ENGINE_PROBLEM_MAX, "this is not an enrolment link");
		err = ERR_USAGE;
	} else if (!(err = home_lock(engine->home, problem))) {
		err = enrol_locked(engine, &link, problem);
		home_unlock(engine->home);
	}
	secret_wipe(&link, sizeof(link));
	if (err && !problem[0])
		snprintf(problem, ENGINE_PROBLEM_MAX, "%s", err_text(err));
	return err;
}

// ---------------------------------------------------------------- meetings

enum err engine_api_open(const struct engine *engine, const struct identity *identity, const atomic_bool *is_cancelled, struct api **out)
{
	char certificate[HOME_PATH_MAX], key[HOME_PATH_MAX];
	const struct api_options options = { .server = identity->server, .address = identity->address, .port = identity->port,
					     .pins = &identity->server_pins, .certificate_path = certificate, .key_path = key,
					     .is_cancelled = is_cancelled };
	enum err err = home_path(engine->home, CREDENTIALS_CERTIFICATE_FILE, certificate);
	if (!err)
		err = home_path(engine->home, CREDENTIALS_KEY_FILE, key);
	return err ? err : api_open(&options, out);
}

// The title as members see it: JSON, so that more can be said in it later.
static enum err seal_title(const struct meetings_entry *entry, uint8_t *blob, size_t *size)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, root);
	json_add_text(document, root, "title", entry->title);
	size_t json_size = 0;
	char *json = yyjson_mut_write(document, 0, &json_size);
	yyjson_mut_doc_free(document);
	enum err err = !json ? ERR_NOMEM : json_size > TITLE_JSON_MAX ? ERR_LIMIT : ERR_OK;
	if (!err)
		err = e2ee_metadata_seal(&entry->meeting, entry->secret, (const uint8_t *)json, json_size, blob, size);
	home_free(json, json_size);
	return err;
}

enum err engine_open_title(const struct id *meeting, const uint8_t *secret, const struct api_answer_blob *blob, char *out)
{
	uint8_t json[API_ANSWER_BLOB_MAX];
	size_t size;
	out[0] = 0;
	enum err err = e2ee_metadata_open(meeting, secret, blob->bytes, blob->size, json, &size);
	if (err)
		return err;
	yyjson_doc *document = yyjson_read((const char *)json, size, 0);
	if (json_text(yyjson_doc_get_root(document), "title", out, ENGINE_TITLE_MAX + 1) != ERR_OK || !text_is_printable(out, strlen(out)))
		out[0] = 0; // a member wrote something that cannot be shown
	yyjson_doc_free(document);
	return ERR_OK;
}

static enum err create_request(struct api *api, const struct meetings_entry *entry, uint64_t expires, char *problem)
{
	uint8_t blob[TITLE_JSON_MAX + E2EE_SEAL_OVERHEAD];
	size_t size;
	struct api_answer answer;
	enum err err = seal_title(entry, blob, &size);
	if (err)
		return err;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, root);
	json_add_id(document, root, "meeting", &entry->meeting);
	json_add_bytes(document, root, "blob", blob, size);
	(void)yyjson_mut_obj_add_uint(document, root, "expires", expires);
	char *body = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	err = body ? api_request(api, "/v1/meetings", body, &answer, problem) : ERR_NOMEM;
	free(body);
	return err;
}

// The secret is on the disk before the server hears of the meeting: no meeting without a key to it.
static enum err create(struct engine *engine, const struct identity *identity, const struct meetings_entry *entry,
		       uint64_t expires, char *problem)
{
	struct api *api = NULL;
	char ignored[ENGINE_PROBLEM_MAX];
	enum err err = engine_api_open(engine, identity, NULL, &api);
	if (!err)
		err = meetings_put(engine->home, entry, problem);
	if (!err) {
		err = create_request(api, entry, expires, problem);
		// After a time-out the meeting may be there: the secret stays. After a refusal it is of no use.
		if (err && err != ERR_TIMEOUT && err != ERR_IO)
			(void)!meetings_remove(engine->home, &entry->meeting, ignored);
	}
	api_close(api);
	return err;
}

enum err engine_meeting_create(struct engine *engine, const char *title, uint64_t expires, char text[static TOKEN_LINK_MAX],
			       char problem[static ENGINE_PROBLEM_MAX])
{
	struct identity identity;
	struct meetings_entry entry = { 0 };
	size_t size = strlen(title);
	problem[0] = 0;
	if (size == 0 || size > ENGINE_TITLE_MAX || !text_is_printable(title, size)) {
		snprintf(problem, ENGINE_PROBLEM_MAX, "a title is one line of 1 to %d bytes", ENGINE_TITLE_MAX);
		return ERR_USAGE;
	}
	enum err err = identity_load(engine->home, &identity, problem);
	if (err)
		return err;
	memcpy(entry.title, title, size + 1);
	secret_random(entry.meeting.bytes, sizeof(entry.meeting.bytes));
	secret_random(entry.secret, sizeof(entry.secret));
	err = create(engine, &identity, &entry, expires, problem);
	if (!err) {
		struct token_link link = { .kind = TOKEN_LINK_MEETING, .port = identity.port, .meeting = entry.meeting };
		memcpy(link.name, identity.server, sizeof(link.name));
		memcpy(link.secret, entry.secret, sizeof(link.secret));
		err = token_link_emit(&link, text);
		secret_wipe(&link, sizeof(link));
	}
	secret_wipe(&entry, sizeof(entry));
	if (err && !problem[0])
		snprintf(problem, ENGINE_PROBLEM_MAX, "%s", err_text(err));
	return err;
}

struct listing {
	const struct meetings *known;
	struct engine_meeting *rows;
	size_t count, capacity;
};

static enum err add_row(void *context, const struct api_answer_meeting *meeting)
{
	struct listing *listing = context;
	if (listing->count == listing->capacity) {
		size_t capacity = listing->capacity ? listing->capacity * 2 : 16;
		struct engine_meeting *rows = reallocarray(listing->rows, capacity, sizeof(*rows));
		if (!rows)
			return ERR_NOMEM;
		listing->rows = rows;
		listing->capacity = capacity;
	}
	struct engine_meeting *row = &listing->rows[listing->count++];
	const struct meetings_entry *known = meetings_find(listing->known, &meeting->meeting);
	*row = (struct engine_meeting){ .meeting = meeting->meeting, .is_owner = meeting->is_owner, .is_open = meeting->is_open,
					.expires = meeting->expires };
	row->has_secret = known && engine_open_title(&meeting->meeting, known->secret, &meeting->blob, row->title) == ERR_OK;
	return ERR_OK;
}

enum err engine_meetings(struct engine *engine, struct engine_meeting **out, size_t *count, char problem[static ENGINE_PROBLEM_MAX])
{
	struct identity identity;
	struct meetings known = { 0 };
	struct api *api = NULL;
	struct api_answer answer;
	problem[0] = 0;
	enum err err = identity_load(engine->home, &identity, problem);
	if (!err)
		err = meetings_load(engine->home, &known, problem);
	struct listing listing = { .known = &known };
	if (!err)
		err = engine_api_open(engine, &identity, NULL, &api);
	if (!err)
		err = api_request(api, "/v1/meetings", NULL, &answer, problem);
	if (!err) {
		err = api_answer_meetings(answer.body, answer.size, add_row, &listing);
		if (err)
			snprintf(problem, ENGINE_PROBLEM_MAX, "%.200s gave an answer that cannot be understood", identity.server);
	}
	api_close(api);
	meetings_fini(&known);
	if (err) {
		free(listing.rows);
		if (!problem[0])
			snprintf(problem, ENGINE_PROBLEM_MAX, "%s", err_text(err));
		return err;
	}
	*out = listing.rows;
	*count = listing.count;
	return ERR_OK;
}
