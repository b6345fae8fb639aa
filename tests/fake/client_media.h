// A media engine for tests of the session: counts what it is told and keeps the last payloads.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_CLIENT_MEDIA_H
#define TESTS_FAKE_CLIENT_MEDIA_H

#include "client/engine/session.h"

#include <stdatomic.h>

struct client_media {
	atomic_int started, freed, key_frames, set, gone, received;
	atomic_uint last_sequence, last_ssrc;
	atomic_ullong payload_sum; // of the first four bytes of each payload, big-endian
	atomic_ullong round_trip_ns;
	atomic_ullong epoch_ns;    // of the last participant that was set
};

struct session_media client_media_operations(struct client_media *media);

#endif
