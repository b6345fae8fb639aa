// Which streams of others this member wants. Wishes are kept by participant and stream, so they outlive connections and
// may be about somebody who is yet to come; what the relay was told is kept in the roster, as bits by stream number.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_SUBSCRIPTIONS_H
#define CLIENT_ENGINE_SUBSCRIPTIONS_H

#include "base/control.h"
#include "client/engine/roster.h"

#include <stdbool.h>

enum { SUBSCRIPTIONS_MAX = 256 };

struct subscriptions {
	bool is_audio_only; // pictures are wanted only where a wish says so
	size_t count;
	struct subscriptions_wish {
		struct id participant;
		uint8_t stream;
		bool is_wanted;
	} wishes[SUBSCRIPTIONS_MAX];
};

// ERR_LIMIT: no such stream number; ERR_FULL: too many wishes that differ from what goes without saying.
enum err subscriptions_wish(struct subscriptions *subscriptions, const struct id *participant, uint8_t stream, bool is_wanted) CHECK_RESULT;
// The next message that the relay is to be told, and the roster's bits as they are once it was; false: it knows all.
bool subscriptions_next(const struct subscriptions *subscriptions, struct roster *roster, struct control_subscribe *out);

#endif
