// SPDX-License-Identifier: Apache-2.0
#include "client/engine/e2ee/announcement.h"

#include "base/cursor.h"

#include <string.h>

enum err announcement_parse(const uint8_t *bytes, size_t size, struct announcement *out)
{
	struct cursor c = cursor_reader(bytes, size);
	memset(out, 0, sizeof(*out));
	uint8_t version = cursor_read_u8(&c);
	if (!c.is_failed && version != ANNOUNCEMENT_VERSION)
		return ERR_VERSION;
	cursor_read_bytes(&c, out->run, sizeof(out->run));
	out->capture_epoch_ns = cursor_read_u64(&c);
	size_t name_size = 0;
	const uint8_t *name = cursor_read_vector16(&c, ANNOUNCEMENT_NAME_MAX, &name_size);
	enum err err = cursor_finish(&c);
	if (err)
		return err;
	// Who has a name that cannot be shown is still heard, under the participant's id.
	if (name && text_is_printable((const char *)name, name_size))
		memcpy(out->name, name, name_size);
	return ERR_OK;
}

void announcement_emit(const struct announcement *announcement, uint8_t out[static ANNOUNCEMENT_MAX_BYTES], size_t *size)
{
	struct cursor c = cursor_writer(out, ANNOUNCEMENT_MAX_BYTES);
	cursor_write_u8(&c, ANNOUNCEMENT_VERSION);
	cursor_write_bytes(&c, announcement->run, sizeof(announcement->run));
	cursor_write_u64(&c, announcement->capture_epoch_ns);
	cursor_write_vector16(&c, (const uint8_t *)announcement->name, strnlen(announcement->name, ANNOUNCEMENT_NAME_MAX));
	*size = c.position;
}
