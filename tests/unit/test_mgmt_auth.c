// The PKI, and what auth signs and refuses to sign. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "base/token.h"
#include "mgmt/auth_sign.h"
#include "mgmt/pki.h"
#include "mgmt/pki_file.h"
#include "mgmt/x509.h"

#include <openssl/x509v3.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], pki_path[80];

static int make_directory(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/huisclos-pki-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(pki_path, sizeof(pki_path), "%s/pki", directory);
	return pki_make(pki_path, "tmms.example") == ERR_OK ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	char command[96];
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	return system(command);
}

// --- store, as auth sees it

struct fake_store {
	enum err token, add, join; // what it answers
	enum request_subject subject;
	struct reply_join facts;
	unsigned asked;
	struct request last;
};

static enum err fake_ask(void *context, struct request *request, struct reply *reply)
{
	struct fake_store *store = context;
	store->asked++;
	store->last = *request;
	*reply = (struct reply){.type = request->type};
	if (request->type == REQUEST_TOKEN_CHECK) {
		reply->err = store->token;
		reply->subject = (struct reply_subject){.subject = (uint8_t)store->subject, .id = {{7}}, .name = "tcs.example"};
	} else if (request->type == REQUEST_MEETING_JOIN) {
		reply->err = store->join;
		reply->join = store->facts;
	} else {
		reply->err = store->add;
	}
	return ERR_OK;
}

static void open_auth(struct auth_sign *auth, struct fake_store *store)
{
	*auth = (struct auth_sign){.ask = fake_ask, .context = store};
	assert_int_equal(pki_load(pki_path, &auth->pki), ERR_OK);
}

static bool is_signed_by(const uint8_t *der, size_t size, X509 *issuer)
{
	X509 *certificate = d2i_X509(NULL, &der, (long)size);
	assert_non_null(certificate);
	bool is_good = X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
	X509_free(certificate);
	return is_good;
}

// --- PKI

static void it_is_made_once_and_private(void **state)
{
	(void)state;
	static const char *const names[] = {"root.key", "root.pem", "ca.key", PKI_ISSUER, PKI_SERVER_KEY, PKI_SERVER_CERTIFICATE, "backup.key", "ticket.key"};
	assert_int_equal(pki_make(pki_path, "tmms.example"), ERR_EXISTS);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[PKI_FILE_PATH_MAX];
		struct stat info;
		pki_file_path(pki_path, names[i], path);
		assert_int_equal(stat(path, &info), 0);
		assert_int_equal(info.st_mode & 0777, 0600);
	}
}

// A first start that was cut off leaves a .part, which the next one replaces.
static void a_half_made_one_is_replaced(void **state)
{
	(void)state;
	char part[96], path[96];
	snprintf(path, sizeof(path), "%s/second", directory);
	snprintf(part, sizeof(part), "%s/second.part", directory);
	assert_int_equal(mkdir(part, 0700), 0);
	snprintf(part, sizeof(part), "%s/second.part/root.key", directory);
	FILE *file = fopen(part, "w");
	assert_non_null(file);
	fputs("half", file);
	fclose(file);
	assert_int_equal(pki_make(path, "tmms.example"), ERR_OK);
	struct pki pki;
	assert_int_equal(pki_load(path, &pki), ERR_OK);
	pki_free(&pki);
	assert_int_not_equal(access(part, F_OK), 0);
}

static void certificates_are_constrained(void **state)
{
	(void)state;
	struct pki pki;
	X509 *server;
	assert_int_equal(pki_load(pki_path, &pki), ERR_OK);
	assert_int_equal(pki_load_certificate(pki_path, PKI_SERVER_CERTIFICATE, &server), ERR_OK);
	assert_int_equal(X509_check_ca(pki.root), 1);
	assert_int_equal(X509_check_ca(pki.issuer), 1);
	assert_int_equal(X509_check_ca(server), 0);
	assert_int_equal(X509_get_pathlen(pki.root), 1);
	assert_int_equal(X509_get_pathlen(pki.issuer), 0);
	assert_int_equal(X509_get_key_usage(pki.issuer), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_get_key_usage(server), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(server), XKU_SSL_SERVER);
	assert_int_equal(X509_check_host(server, "tmms.example", 0, 0, NULL), 1);
	assert_int_equal(X509_verify(pki.issuer, X509_get0_pubkey(pki.root)), 1);
	assert_int_equal(X509_verify(server, X509_get0_pubkey(pki.issuer)), 1);
	uint64_t now = (uint64_t)time(NULL);
	assert_in_range(x509_expires(pki.root), now + 3640ull * 86400, now + 3660ull * 86400);
	assert_in_range(x509_expires(pki.issuer), now + 89ull * 86400, now + 91ull * 86400);
	X509_free(server);
	pki_free(&pki);
}

static void renewal_keeps_the_pins(void **state)
{
	(void)state;
	struct pki before, after;
	bool is_renewed = true;
	assert_int_equal(pki_load(pki_path, &before), ERR_OK);
	assert_int_equal(pki_renew(pki_path, "tmms.example", &is_renewed), ERR_OK);
	assert_false(is_renewed); // 90 days are left
	assert_int_equal(pki_renew(pki_path, "other.example", &is_renewed), ERR_OK);
	assert_true(is_renewed); // it has another name
	assert_int_equal(pki_load(pki_path, &after), ERR_OK);
	assert_memory_equal(before.pin, after.pin, TOKEN_PIN_BYTES);
	assert_memory_equal(before.backup_pin, after.backup_pin, TOKEN_PIN_BYTES);
	assert_memory_equal(before.root_pin, after.root_pin, TOKEN_PIN_BYTES);
	X509 *server;
	assert_int_equal(pki_load_certificate(pki_path, PKI_SERVER_CERTIFICATE, &server), ERR_OK);
	assert_int_equal(X509_check_host(server, "other.example", 0, 0, NULL), 1);
	assert_int_equal(X509_verify(server, X509_get0_pubkey(after.issuer)), 1);
	X509_free(server);
	pki_free(&before);
	pki_free(&after);
}

// An issuing CA of which 10 days are left, as it stands after 80.
static void an_old_issuer_is_renewed_with_its_key(void **state)
{
	(void)state;
	struct pki pki;
	EVP_PKEY *root_key;
	X509 *old = NULL, *fresh;
	bool is_renewed = false;
	assert_int_equal(pki_load(pki_path, &pki), ERR_OK);
	assert_int_equal(pki_file_read_key(pki_path, "root.key", &root_key), ERR_OK);
	struct x509_options options = {.profile = X509_ISSUER, .common_name = "issuing CA", .subject_key = pki.issuer_key,
				       .issuer = pki.root, .issuer_key = root_key, .days = 10};
	assert_int_equal(x509_sign(&options, &old), ERR_OK);
	assert_int_equal(pki_file_write_chain(pki_path, PKI_ISSUER, &old, 1), ERR_OK);
	assert_int_equal(pki_renew(pki_path, "tmms.example", &is_renewed), ERR_OK);
	assert_true(is_renewed);
	assert_int_equal(pki_load_certificate(pki_path, PKI_ISSUER, &fresh), ERR_OK);
	assert_true(x509_expires(fresh) > (uint64_t)time(NULL) + 80ull * 86400);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(fresh), pki.issuer_key), 1);
	X509_free(old);
	X509_free(fresh);
	EVP_PKEY_free(root_key);
	pki_free(&pki);
}

// A clock that ran 100 days ahead had the server certificate made: it is not valid yet when the clock is right.
static void a_certificate_of_the_future_is_made_anew(void **state)
{
	(void)state;
	struct pki pki;
	EVP_PKEY *key;
	X509 *ahead = NULL, *fresh;
	bool is_renewed = false;
	assert_int_equal(pki_load(pki_path, &pki), ERR_OK);
	assert_int_equal(pki_file_read_key(pki_path, PKI_SERVER_KEY, &key), ERR_OK);
	struct x509_options options = {.profile = X509_SERVER, .common_name = "tmms", .alternative_name = "DNS:tmms.example",
				       .subject_key = key, .issuer = pki.issuer, .issuer_key = pki.issuer_key, .days = 190};
	assert_int_equal(x509_sign(&options, &ahead), ERR_OK);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(ahead), 100 * 86400));
	assert_true(X509_sign(ahead, pki.issuer_key, EVP_sha384()) > 0);
	assert_int_equal(pki_file_write_chain(pki_path, PKI_SERVER_CERTIFICATE, &ahead, 1), ERR_OK);
	assert_int_equal(pki_renew(pki_path, "tmms.example", &is_renewed), ERR_OK);
	assert_true(is_renewed);
	assert_int_equal(pki_load_certificate(pki_path, PKI_SERVER_CERTIFICATE, &fresh), ERR_OK);
	assert_true(X509_cmp_current_time(X509_get0_notBefore(fresh)) < 0);
	X509_free(ahead);
	X509_free(fresh);
	EVP_PKEY_free(key);
	pki_free(&pki);
}

// --- what is signed

static void make_proof(struct request_auth_device *r, const uint8_t private_key[static TOKEN_ED25519_BYTES])
{
	uint8_t message[sizeof(AUTH_SIGN_ENROL_CONTEXT) - 1 + 64];
	memcpy(message, AUTH_SIGN_ENROL_CONTEXT, sizeof(AUTH_SIGN_ENROL_CONTEXT) - 1);
	memcpy(message + sizeof(AUTH_SIGN_ENROL_CONTEXT) - 1, r->channel, 32);
	memcpy(message + sizeof(AUTH_SIGN_ENROL_CONTEXT) - 1 + 32, r->token, 32);
	assert_int_equal(token_ed25519_sign(private_key, message, sizeof(message), r->proof), ERR_OK);
}

static void devices_are_enrolled_by_proof_and_token(void **state)
{
	(void)state;
	static struct auth_sign auth;
	struct fake_store store = {.subject = REQUEST_SUBJECT_USER};
	struct request request = {.serial = 5, .type = REQUEST_AUTH_DEVICE};
	struct reply reply;
	uint8_t private_key[TOKEN_ED25519_BYTES];
	open_auth(&auth, &store);
	secret_random(request.auth_device.token, 32);
	secret_random(request.auth_device.channel, 32);
	assert_int_equal(token_ed25519_generate(private_key, request.auth_device.key), ERR_OK);
	make_proof(&request.auth_device, private_key);

	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_OK);
	assert_int_equal(store.last.type, REQUEST_DEVICE_ADD);
	assert_memory_equal(store.last.device_add.key, request.auth_device.key, TOKEN_ED25519_BYTES);
	assert_true(is_signed_by(reply.enrolled.certificate.bytes, reply.enrolled.certificate.size, auth.pki.issuer));
	const uint8_t *der = reply.enrolled.certificate.bytes;
	X509 *certificate = d2i_X509(NULL, &der, (long)reply.enrolled.certificate.size);
	assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT);
	assert_int_equal(X509_check_ca(certificate), 0);
	X509_free(certificate);

	store.asked = 0; // another connection's proof, or another key's: store is not even asked
	request.auth_device.channel[0] ^= 1;
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_AUTH);
	request.auth_device.channel[0] ^= 1;
	request.auth_device.token[0] ^= 1;
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_AUTH);
	assert_int_equal(store.asked, 0);
	request.auth_device.token[0] ^= 1;

	store.subject = REQUEST_SUBJECT_RELAY; // a relay's token enrols no device
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_DENIED);
	store.subject = REQUEST_SUBJECT_USER;
	store.token = ERR_EXPIRED;
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_EXPIRED);
	store.token = ERR_OK;
	store.add = ERR_FULL; // not stored: no certificate leaves
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_FULL);
	pki_free(&auth.pki);
}

static size_t make_csr(EVP_PKEY *key, EVP_PKEY *signer, uint8_t *out)
{
	X509_REQ *request = X509_REQ_new();
	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	assert_true(X509_REQ_sign(request, signer, EVP_sha384()) > 0);
	int size = i2d_X509_REQ(request, &out);
	assert_true(size > 0);
	X509_REQ_free(request);
	return (size_t)size;
}

static void relays_are_enrolled_by_csr_and_token(void **state)
{
	(void)state;
	static struct auth_sign auth;
	struct fake_store store = {.subject = REQUEST_SUBJECT_RELAY};
	struct request request = {.type = REQUEST_AUTH_RELAY};
	struct reply reply;
	uint8_t csr[2048];
	EVP_PKEY *key = EVP_EC_gen("P-384"), *other = EVP_EC_gen("P-384"), *weak = EVP_RSA_gen(2048);
	open_auth(&auth, &store);
	request.auth_relay.csr = (struct wire_view){csr, make_csr(key, key, csr)};
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_OK);
	assert_string_equal(reply.enrolled.name, "tcs.example");
	assert_memory_equal(reply.enrolled.ticket_key, auth.pki.ticket_public, TOKEN_ED25519_BYTES);
	const uint8_t *der = reply.enrolled.certificate.bytes;
	X509 *certificate = d2i_X509(NULL, &der, (long)reply.enrolled.certificate.size);
	assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT | XKU_SSL_SERVER);
	assert_int_equal(X509_check_host(certificate, "tcs.example", 0, 0, NULL), 1);
	assert_int_equal(X509_verify(certificate, X509_get0_pubkey(auth.pki.issuer)), 1);
	X509_free(certificate);

	store.asked = 0;
	request.auth_relay.csr.size = make_csr(key, other, csr); // not signed with its own key
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_AUTH);
	request.auth_relay.csr.size = make_csr(weak, weak, csr);
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_AUTH);
	request.auth_relay.csr.size = make_csr(key, key, csr) - 1;
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_PARSE);
	assert_int_equal(store.asked, 0);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	EVP_PKEY_free(weak);
	pki_free(&auth.pki);
}

static void tickets_say_what_store_says(void **state)
{
	(void)state;
	static struct auth_sign auth;
	uint64_t now = (uint64_t)time(NULL);
	struct fake_store store = {.facts = {.user = {{1}}, .relay = {{2}}, .is_owner = 1, .expires = now + 3600, .name = "tcs.example",
					     .address = "::1", .port = 443}};
	struct request request = {.type = REQUEST_AUTH_TICKET, .meeting.meeting = {{3}}};
	struct reply reply;
	struct token_ticket ticket;
	open_auth(&auth, &store);
	memset(store.facts.device_key, 9, TOKEN_ED25519_BYTES);
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_OK);
	assert_int_equal(token_ticket_verify(reply.ticket.ticket.bytes, reply.ticket.ticket.size, auth.pki.ticket_public, &ticket), ERR_OK);
	assert_true(text_id_equal(&ticket.participant, &store.facts.user));
	assert_true(text_id_equal(&ticket.relay, &store.facts.relay));
	assert_true(text_id_equal(&ticket.meeting, &request.meeting.meeting));
	assert_memory_equal(ticket.device_key, store.facts.device_key, TOKEN_ED25519_BYTES);
	assert_int_equal(ticket.rights, TOKEN_RIGHT_SEND | TOKEN_RIGHT_RECEIVE | TOKEN_RIGHT_HOST);
	assert_in_range(ticket.join_before, now + 120, now + 122);
	assert_true(ticket.rejoin_until == now + 3600);

	store.facts.expires = now + 100 * 86400; // at most a day
	store.facts.is_owner = 0;
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(token_ticket_verify(reply.ticket.ticket.bytes, reply.ticket.ticket.size, auth.pki.ticket_public, &ticket), ERR_OK);
	assert_in_range(ticket.rejoin_until, now + 86400, now + 86402);
	assert_int_equal(ticket.rights, TOKEN_RIGHT_SEND | TOKEN_RIGHT_RECEIVE);

	static const enum err refusals[] = {ERR_DENIED, ERR_NOT_FOUND, ERR_EXPIRED, ERR_AGAIN, ERR_FULL};
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		store.join = refusals[i];
		auth_sign_answer(&auth, &request, &reply);
		assert_int_equal(reply.err, refusals[i]);
	}
	pki_free(&auth.pki);
}

static void nothing_else_is_answered(void **state)
{
	(void)state;
	static struct auth_sign auth;
	struct fake_store store = {0};
	struct request request = {.type = REQUEST_USER_ADD};
	struct reply reply;
	open_auth(&auth, &store);
	auth_sign_answer(&auth, &request, &reply);
	assert_int_equal(reply.err, ERR_DENIED);
	pki_free(&auth.pki);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_made_once_and_private),
		cmocka_unit_test(a_half_made_one_is_replaced),
		cmocka_unit_test(certificates_are_constrained),
		cmocka_unit_test(renewal_keeps_the_pins),
		cmocka_unit_test(an_old_issuer_is_renewed_with_its_key),
		cmocka_unit_test(a_certificate_of_the_future_is_made_anew),
		cmocka_unit_test(devices_are_enrolled_by_proof_and_token),
		cmocka_unit_test(relays_are_enrolled_by_csr_and_token),
		cmocka_unit_test(tickets_say_what_store_says),
		cmocka_unit_test(nothing_else_is_answered),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
