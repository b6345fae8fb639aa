// Shared by engine.c and engine_join.c. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_ENGINE_PRIVATE_H
#define CLIENT_ENGINE_ENGINE_PRIVATE_H

#include "client/engine/api.h"
#include "client/engine/api_answer.h"
#include "client/engine/engine.h"
#include "client/engine/home.h"
#include "client/engine/identity.h"

struct engine {
	struct home *home;
};

enum err engine_api_open(const struct engine *engine, const struct identity *identity, const atomic_bool *is_cancelled,
			 struct api **out) CHECK_RESULT;
// `out` has room for ENGINE_TITLE_MAX + 1; empty if the title cannot be shown. ERR_AUTH, ERR_PARSE: not sealed with this secret.
enum err engine_open_title(const struct id *meeting, const uint8_t *secret, const struct api_answer_blob *blob, char *out) CHECK_RESULT;

#endif
