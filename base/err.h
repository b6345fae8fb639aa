// Result codes of every module. SPDX-License-Identifier: Apache-2.0
#ifndef BASE_ERR_H
#define BASE_ERR_H

// A function that can fail returns `enum err` and carries CHECK_RESULT; results go through pointers.
// Codes say what the caller can do about it, not where it happened; the place is in the log line.
enum err {
	ERR_OK = 0,
	ERR_AGAIN,     // not now: come back when the descriptor, timer or peer has moved
	ERR_PARSE,     // malformed input
	ERR_LIMIT,     // well formed, larger or more than is allowed
	ERR_VERSION,   // a protocol version or suite that we do not speak
	ERR_AUTH,      // a signature, tag, pin or certificate does not verify
	ERR_EXPIRED,   // authentic, but its time is over or not yet come
	ERR_DENIED,    // authentic, but not allowed to do this
	ERR_NOT_FOUND, // no such object
	ERR_EXISTS,    // there is one already
	ERR_REPLAY,    // seen before
	ERR_CLOSED,    // the peer ended the connection
	ERR_TIMEOUT,   // no answer in time
	ERR_IO,        // the operating system refused; errno says why
	ERR_NOMEM,     // no memory
	ERR_FULL,      // disk, store or table full
	ERR_CRYPTO,    // the crypto library refused
	ERR_USAGE,     // wrong command line or configuration
	ERR_COUNT
};

#define CHECK_RESULT __attribute__((warn_unused_result))

// Short English text without a full stop, for log lines and messages to people. Never NULL.
const char *err_text(enum err err);

#endif
