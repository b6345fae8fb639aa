// Messages between the roles: SOCK_SEQPACKET socketpairs, one message a request, at most one descriptor with it.
// Nothing here waits but channel_wait(). SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_CHANNEL_H
#define MGMT_CHANNEL_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { CHANNEL_MESSAGE_MAX = 65536 };

enum err channel_pair(int fd[static 2]) CHECK_RESULT;
// `passed`: descriptor that goes with it (stays the caller's), -1: none. ERR_AGAIN: the other side lags;
// ERR_CLOSED: it is gone.
enum err channel_send(int fd, const uint8_t *bytes, size_t size, int passed) CHECK_RESULT;
// `passed` is -1 if none came; NULL: what comes is closed. ERR_LIMIT: longer than `capacity`, dropped.
enum err channel_receive(int fd, uint8_t *bytes, size_t capacity, size_t *size, int *passed) CHECK_RESULT;
// Until one of poll(2)'s `events` is there. ERR_TIMEOUT otherwise.
enum err channel_wait(int fd, short events, int timeout_ms) CHECK_RESULT;

#endif
