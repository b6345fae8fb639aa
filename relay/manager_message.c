// SPDX-License-Identifier: Apache-2.0
#include "relay/manager_message.h"

#include "base/cursor.h"

#include <errno.h>
#include <sys/socket.h>

void manager_message_emit(const struct manager_message *message, uint8_t out[static MANAGER_MESSAGE_BYTES])
{
	struct cursor c = cursor_writer(out, MANAGER_MESSAGE_BYTES);
	cursor_write_u8(&c, (uint8_t)message->type);
	cursor_write_u32(&c, message->number);
	cursor_write_u64(&c, message->until);
	cursor_write_bytes(&c, message->meeting.bytes, TEXT_ID_BYTES);
	cursor_write_bytes(&c, message->participant.bytes, TEXT_ID_BYTES);
}

enum { HAS_NUMBER = 1, HAS_MEETING = 2, HAS_PARTICIPANT = 4, IS_KNOWN = 8 };

static unsigned fields_of(enum manager_message_type type)
{
	switch (type) {
	case MANAGER_ENDED:
		return IS_KNOWN | HAS_MEETING;
	case MANAGER_REMOVED:
		return IS_KNOWN | HAS_MEETING | HAS_PARTICIPANT;
	case MANAGER_CONNECTION:
	case MANAGER_REPORT:
		return IS_KNOWN | HAS_NUMBER;
	case MANAGER_MEETING:
		return IS_KNOWN | HAS_NUMBER | HAS_MEETING;
	case MANAGER_SYNCED:
	case MANAGER_SYNC_JOURNAL:
		return IS_KNOWN;
	}
	return 0;
}

enum err manager_message_parse(const uint8_t *bytes, size_t size, struct manager_message *out)
{
	struct cursor c = cursor_reader(bytes, size);
	out->type = (enum manager_message_type)cursor_read_u8(&c);
	out->number = cursor_read_u32(&c);
	out->until = cursor_read_u64(&c);
	cursor_read_bytes(&c, out->meeting.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, out->participant.bytes, TEXT_ID_BYTES);
	unsigned fields = fields_of(out->type);
	if (!fields || (!(fields & HAS_NUMBER) && out->number) || !(fields & HAS_MEETING) != text_id_is_zero(&out->meeting) ||
	    !(fields & HAS_PARTICIPANT) != text_id_is_zero(&out->participant))
		return ERR_PARSE;
	return cursor_finish(&c);
}

enum err manager_message_send(int descriptor, const struct manager_message *message)
{
	uint8_t bytes[MANAGER_MESSAGE_BYTES];
	manager_message_emit(message, bytes);
	if (send(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(bytes))
		return ERR_OK;
	return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
}

enum err manager_message_receive(int descriptor, struct manager_message *out)
{
	uint8_t bytes[MANAGER_MESSAGE_BYTES + 1]; // one more, so that a longer one is seen
	ssize_t got = recv(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
	return got == 0 ? ERR_CLOSED : manager_message_parse(bytes, (size_t)got, out);
}
