// The closed list of what one role may ask of another, and the answers. One message a request, in the order
// serial u32, type u8, fields; an answer has enum err u8 after the type, and no fields unless that is ERR_OK.
//
// store answers a write after the commit has been synced. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_REQUEST_H
#define MGMT_REQUEST_H

#include "base/err.h"
#include "base/text.h"
#include "base/token.h"
#include "mgmt/channel.h"
#include "mgmt/role.h"
#include "mgmt/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	REQUEST_NAME_MAX = 64,     // of a user, in bytes
	REQUEST_MAIL_MAX = 254,
	REQUEST_HOST_MAX = 253,    // name of a relay
	REQUEST_ADDRESS_MAX = TOKEN_ADDRESS_MAX,
	REQUEST_BLOB_MAX = 8192,   // opaque description of a meeting
	REQUEST_CSR_MAX = 4096,
	REQUEST_CERTIFICATE_MAX = 4096,
	REQUEST_ENGINE_MAX = 64,
	REQUEST_ITEMS_MAX = 49152, // bytes of items in a page
};

enum request_type {
	// asked of store by http
	REQUEST_USER_ADD = 1,
	REQUEST_USER_LIST,
	REQUEST_USER_REMOVE,
	REQUEST_USER_TOKEN,
	REQUEST_WHO,
	REQUEST_MEETING_ADD,
	REQUEST_MEETING_LIST,
	REQUEST_MEETING_END,
	REQUEST_RELAY_ADD,
	REQUEST_RELAY_LIST,
	REQUEST_RELAY_REMOVE,
	REQUEST_RELAY_REPORT,
	REQUEST_EVENT_LIST,
	REQUEST_STATUS,
	// asked of store by auth
	REQUEST_TOKEN_CHECK,
	REQUEST_DEVICE_ADD,
	REQUEST_RELAY_ACTIVATE,
	REQUEST_MEETING_JOIN,
	// asked of auth by http
	REQUEST_AUTH_INFO,
	REQUEST_AUTH_DEVICE,
	REQUEST_AUTH_RELAY,
	REQUEST_AUTH_TICKET,
	REQUEST_TYPES
};

enum request_subject { REQUEST_SUBJECT_NONE, REQUEST_SUBJECT_USER, REQUEST_SUBJECT_RELAY, REQUEST_SUBJECT_LAST = REQUEST_SUBJECT_RELAY };
enum request_state { REQUEST_STATE_PENDING, REQUEST_STATE_ACTIVE, REQUEST_STATE_ENDED, REQUEST_STATE_LAST = REQUEST_STATE_ENDED };
enum request_event { REQUEST_EVENT_ENDED = 1, REQUEST_EVENT_REMOVED, REQUEST_EVENT_LAST = REQUEST_EVENT_REMOVED };

// --- requests

struct request_user_add { struct id user; char name[REQUEST_NAME_MAX + 1]; char mail[REQUEST_MAIL_MAX + 1]; };
struct request_page { struct id after; }; // USER_LIST, RELAY_LIST: zero for the first page
struct request_id { struct id id; };      // USER_REMOVE, RELAY_REMOVE
struct request_user_token { struct id user; uint8_t hash[TOKEN_PIN_BYTES]; uint64_t expires; };
struct request_pin { uint8_t pin[TOKEN_PIN_BYTES]; }; // WHO, RELAY_REPORT
struct request_meeting_add { uint8_t pin[TOKEN_PIN_BYTES]; struct id meeting; uint64_t expires; struct wire_view blob; };
// Without is_admin: meetings of the device's user.
struct request_meeting_list { uint8_t is_admin; uint8_t pin[TOKEN_PIN_BYTES]; struct id after; };
struct request_meeting_end { uint8_t is_admin; uint8_t pin[TOKEN_PIN_BYTES]; struct id meeting; };
struct request_relay_add {
	struct id relay;
	char name[REQUEST_HOST_MAX + 1];
	char address[REQUEST_ADDRESS_MAX + 1];
	uint16_t port;
	uint8_t hash[TOKEN_PIN_BYTES]; // of the enrolment token
	uint64_t expires;
};
struct request_event_list { uint8_t pin[TOKEN_PIN_BYTES]; uint64_t after; };
struct request_hash { uint8_t hash[TOKEN_PIN_BYTES]; }; // TOKEN_CHECK
struct request_device_add { uint8_t hash[TOKEN_PIN_BYTES]; struct id device; uint8_t key[TOKEN_ED25519_BYTES]; uint8_t pin[TOKEN_PIN_BYTES]; };
struct request_relay_activate { uint8_t hash[TOKEN_PIN_BYTES]; uint8_t pin[TOKEN_PIN_BYTES]; uint8_t backup_pin[TOKEN_PIN_BYTES]; };
struct request_meeting { uint8_t pin[TOKEN_PIN_BYTES]; struct id meeting; }; // MEETING_JOIN, AUTH_TICKET
struct request_auth_device {
	uint8_t token[TOKEN_SECRET_BYTES];
	uint8_t key[TOKEN_ED25519_BYTES];
	uint8_t proof[TOKEN_SIGNATURE_BYTES];
	uint8_t channel[TOKEN_SECRET_BYTES];
};
struct request_auth_relay { uint8_t token[TOKEN_SECRET_BYTES]; uint8_t backup_pin[TOKEN_PIN_BYTES]; struct wire_view csr; };

struct request {
	uint32_t serial;
	enum request_type type;
	union {
		struct request_user_add user_add;
		struct request_page page;
		struct request_id id;
		struct request_user_token user_token;
		struct request_pin pin;
		struct request_meeting_add meeting_add;
		struct request_meeting_list meeting_list;
		struct request_meeting_end meeting_end;
		struct request_relay_add relay_add;
		struct request_event_list event_list;
		struct request_hash hash;
		struct request_device_add device_add;
		struct request_relay_activate relay_activate;
		struct request_meeting meeting;
		struct request_auth_device auth_device;
		struct request_auth_relay auth_relay;
	};
};

// --- answers

// A page of items (below), each with a two-byte length. The next page starts after the last item's key.
struct reply_page { uint8_t is_last; struct wire_view items; };
struct reply_pins { struct wire_view pins; }; // USER_TOKEN: 32 bytes each, of the active relays
struct reply_who { uint8_t subject; struct id id; struct id user; char name[REQUEST_HOST_MAX + 1]; };
struct reply_status { uint32_t users, devices, meetings_open, relays; uint64_t bytes, bytes_max; };
struct reply_subject { uint8_t subject; struct id id; char name[REQUEST_HOST_MAX + 1]; }; // TOKEN_CHECK
struct reply_join {
	struct id user;
	uint8_t device_key[TOKEN_ED25519_BYTES];
	uint8_t is_owner;
	uint64_t expires;
	struct id relay;
	char name[REQUEST_HOST_MAX + 1];
	char address[REQUEST_ADDRESS_MAX + 1];
	uint16_t port;
	struct wire_view blob;
};
struct reply_auth_info {
	uint8_t pin[TOKEN_PIN_BYTES];        // of the TLS key in use
	uint8_t backup_pin[TOKEN_PIN_BYTES];
	uint8_t root_pin[TOKEN_PIN_BYTES];
	uint8_t ticket_key[TOKEN_ED25519_BYTES];
	uint64_t issuer_expires;
};
struct reply_enrolled { // AUTH_DEVICE, AUTH_RELAY
	struct id id, user; // user: AUTH_DEVICE
	char name[REQUEST_HOST_MAX + 1];
	uint8_t ticket_key[TOKEN_ED25519_BYTES];
	struct wire_view certificate, issuer, root;
};
struct reply_ticket {
	struct id relay;
	char name[REQUEST_HOST_MAX + 1];
	char address[REQUEST_ADDRESS_MAX + 1];
	uint16_t port;
	struct wire_view ticket, blob;
};

struct reply {
	uint32_t serial;
	enum request_type type;
	enum err err;
	union {
		struct reply_page page;
		struct reply_pins pins;
		struct reply_who who;
		struct reply_status status;
		struct reply_subject subject;
		struct reply_join join;
		struct reply_auth_info auth_info;
		struct reply_enrolled enrolled;
		struct reply_ticket ticket;
	};
};

// --- items of pages

struct item_user { struct id id; char name[REQUEST_NAME_MAX + 1]; char mail[REQUEST_MAIL_MAX + 1]; uint64_t created; uint32_t devices; };
struct item_meeting { struct id id; struct id owner; struct id relay; uint64_t created, expires; uint8_t state; uint8_t is_owner; struct wire_view blob; };
struct item_relay { struct id id; char name[REQUEST_HOST_MAX + 1]; char address[REQUEST_ADDRESS_MAX + 1]; uint16_t port; uint8_t state; uint8_t pin[TOKEN_PIN_BYTES]; uint64_t created; };
struct item_event { uint64_t sequence; uint8_t kind; struct id meeting; struct id participant; uint64_t until; };
union request_item {
	struct item_user user;
	struct item_meeting meeting;
	struct item_relay relay;
	struct item_event event;
};

// Who answers a request, and whether `asker` may ask it.
enum role request_target(enum request_type type);
bool request_is_allowed(enum request_type type, enum role asker);
const char *request_name(enum request_type type);

// `bytes` holds CHANNEL_MESSAGE_MAX. Parsed views borrow from the message. ERR_PARSE: malformed or unknown.
enum err request_emit(const struct request *request, uint8_t *bytes, size_t *size) CHECK_RESULT;
enum err request_parse(const uint8_t *bytes, size_t size, struct request *out) CHECK_RESULT;
enum err request_reply_emit(const struct reply *reply, uint8_t *bytes, size_t *size) CHECK_RESULT;
enum err request_reply_parse(const uint8_t *bytes, size_t size, struct reply *out) CHECK_RESULT;

// Append one item to a page. ERR_LIMIT when the page is full. `type` is the request that is answered.
enum err request_item_emit(enum request_type type, const void *item, struct cursor *c) CHECK_RESULT;
// Read the next item. ERR_NOT_FOUND at the end.
enum err request_item_parse(enum request_type type, struct cursor *c, union request_item *out) CHECK_RESULT;

#endif
