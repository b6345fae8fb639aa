// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

const char *err_text(enum err err)
{
	static const char *const texts[ERR_COUNT] = {
		[ERR_OK] = "done",
		[ERR_AGAIN] = "not ready yet",
		[ERR_PARSE] = "malformed",
		[ERR_LIMIT] = "over the limit",
		[ERR_VERSION] = "version not supported",
		[ERR_AUTH] = "not authentic",
		[ERR_EXPIRED] = "expired or not yet valid",
		[ERR_DENIED] = "not allowed",
		[ERR_NOT_FOUND] = "not found",
		[ERR_EXISTS] = "exists already",
		[ERR_REPLAY] = "seen before",
		[ERR_CLOSED] = "connection closed",
		[ERR_TIMEOUT] = "no answer in time",
		[ERR_IO] = "input/output error",
		[ERR_NOMEM] = "out of memory",
		[ERR_FULL] = "full",
		[ERR_CRYPTO] = "refused by the crypto library",
		[ERR_USAGE] = "wrong use",
	};
	if ((unsigned)err >= ERR_COUNT || !texts[err])
		return "unknown error";
	return texts[err];
}
