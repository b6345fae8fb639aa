// Numbers that all roles add to and the status shows, in memory that outlives a role.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_COUNTERS_H
#define MGMT_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

// One row each: constant, name in the status. Names of drops say the reason.
#define COUNTERS_LIST(X) \
	X(COUNTER_CONNECTIONS, "front_connections") \
	X(COUNTER_CONNECTIONS_MUX, "front_connections_from_mux") \
	X(COUNTER_CONNECTIONS_ADMIN, "front_connections_admin") \
	X(COUNTER_DROP_TOTAL, "front_drop_too_many_connections") \
	X(COUNTER_DROP_ADDRESS, "front_drop_too_many_of_address") \
	X(COUNTER_DROP_DESCRIPTORS, "front_drop_no_descriptor") \
	X(COUNTER_DROP_MEMORY, "front_drop_no_memory") \
	X(COUNTER_DROP_HANDSHAKE, "front_drop_handshake_failed") \
	X(COUNTER_DROP_HANDSHAKE_TIME, "front_drop_handshake_timeout") \
	X(COUNTER_DROP_IDLE, "front_drop_idle") \
	X(COUNTER_DROP_NOBODY, "front_drop_nobody_for_too_long") \
	X(COUNTER_DROP_TLS, "front_drop_tls_error") \
	X(COUNTER_DROP_HTTP_BUSY, "front_drop_http_busy") \
	X(COUNTER_DROP_ADMIN_DENIED, "front_drop_admin_denied") \
	X(COUNTER_DROP_MUX_DENIED, "front_drop_mux_denied") \
	X(COUNTER_DROP_MUX_MESSAGE, "front_drop_mux_message") \
	X(COUNTER_REQUESTS, "http_requests") \
	X(COUNTER_REQUESTS_BAD, "http_answers_4xx") \
	X(COUNTER_REQUESTS_FAILED, "http_answers_5xx") \
	X(COUNTER_DROP_BODY, "http_drop_body_too_large") \
	X(COUNTER_DROP_HANDOFF, "http_drop_handoff") \
	X(COUNTER_DROP_PENDING, "http_drop_too_many_pending") \
	X(COUNTER_ROLE_TIMEOUT, "http_role_timeout") \
	X(COUNTER_CERTIFICATES, "auth_certificates_signed") \
	X(COUNTER_TICKETS, "auth_tickets_signed") \
	X(COUNTER_AUTH_DENIED, "auth_denied") \
	X(COUNTER_DROP_MESSAGE, "roles_drop_malformed_message") \
	X(COUNTER_STORE_REQUESTS, "store_requests") \
	X(COUNTER_STORE_FULL, "store_full") \
	X(COUNTER_STORE_FAILED, "store_failed") \
	X(COUNTER_ROLE_RESTARTS, "supervisor_role_restarts")

enum counter {
#define COUNTERS_ENUM(constant, name) constant,
	COUNTERS_LIST(COUNTERS_ENUM)
#undef COUNTERS_ENUM
	COUNTER_COUNT
};

struct counters {
	_Atomic uint64_t value[COUNTER_COUNT];
};

const char *counters_name(enum counter counter);
// Shared by this process and the ones it forks. NULL without memory.
struct counters *counters_new(void);

static inline void counters_add(struct counters *counters, enum counter counter)
{
	atomic_fetch_add_explicit(&counters->value[counter], 1, memory_order_relaxed);
}

static inline uint64_t counters_get(const struct counters *counters, enum counter counter)
{
	return atomic_load_explicit(&counters->value[counter], memory_order_relaxed);
}

#endif
