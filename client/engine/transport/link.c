// SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/link.h"

#include "base/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK_BYTES = 16384, PUMP_CHUNKS = 16, LENGTH_BYTES = 2, SMALL_FRAME_BYTES = 2048 };

struct link {
	struct tls_conn *tls;
	int fd;
	bool is_ready;
	size_t output_size, output_sent; // ciphertext taken, not yet accepted by the socket
	uint8_t output[CHUNK_BYTES];
	size_t frame_size; // bytes gathered of the present frame
	uint8_t frame[LENGTH_BYTES + CONTROL_FRAME_MAX];
};

enum err link_new(struct tls_context *context, const char *server_name, int fd, struct link **out)
{
	struct link *link = calloc(1, sizeof(*link));
	enum err err = link ? tls_conn_new(context, server_name, &link->tls) : ERR_NOMEM;
	if (err) {
		free(link);
		close(fd);
		return err;
	}
	link->fd = fd;
	*out = link;
	return ERR_OK;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	tls_conn_free(link->tls);
	close(link->fd);
	free(link);
}

int link_descriptor(const struct link *link)
{
	return link->fd;
}

static size_t waiting(const struct link *link)
{
	return link->output_size - link->output_sent + tls_conn_has_output(link->tls);
}

short link_events(const struct link *link)
{
	return (short)(POLLIN | (waiting(link) ? POLLOUT : 0));
}

bool link_is_ready(const struct link *link)
{
	return link->is_ready;
}

struct tls_conn *link_tls(struct link *link)
{
	return link->tls;
}

static enum err flush(struct link *link)
{
	for (;;) {
		if (link->output_sent == link->output_size) {
			link->output_sent = 0;
			link->output_size = tls_conn_take(link->tls, link->output, sizeof(link->output));
			if (link->output_size == 0)
				return ERR_OK;
		}
		ssize_t n = send(link->fd, link->output + link->output_sent, link->output_size - link->output_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? ERR_OK : ERR_CLOSED;
		link->output_sent += (size_t)n;
	}
}

void link_flush(struct link *link)
{
	(void)flush(link); // a broken connection shows when it is read
}

bool link_is_congested(struct link *link, size_t limit_bytes)
{
	if (waiting(link) > limit_bytes)
		link_flush(link);
	return waiting(link) > limit_bytes;
}

// Gather plaintext into frames.
static enum err read_frames(struct link *link, enum err (*on_frame)(void *, uint8_t *, size_t), void *context)
{
	for (;;) {
		size_t want = LENGTH_BYTES, got = 0;
		if (link->frame_size >= LENGTH_BYTES)
			want += (size_t)link->frame[0] << 8 | link->frame[1];
		if (link->frame_size >= LENGTH_BYTES && want == LENGTH_BYTES)
			return ERR_PARSE;
		enum err err = tls_conn_read(link->tls, link->frame + link->frame_size, want - link->frame_size, &got);
		if (err)
			return err;
		link->frame_size += got;
		if (link->frame_size < want || want == LENGTH_BYTES)
			continue;
		link->frame_size = 0;
		err = on_frame(context, link->frame + LENGTH_BYTES, want - LENGTH_BYTES);
		if (err)
			return err;
	}
}

static enum err advance(struct link *link, enum err (*on_frame)(void *, uint8_t *, size_t), void *context)
{
	if (!link->is_ready) {
		enum err err = tls_conn_handshake(link->tls);
		if (err) {
			(void)flush(link); // the alert, if there is one
			return err;
		}
		link->is_ready = true;
	}
	return read_frames(link, on_frame, context);
}

enum err link_pump(struct link *link, enum err (*on_frame)(void *context, uint8_t *body, size_t size), void *context)
{
	uint8_t chunk[CHUNK_BYTES];
	enum err err = advance(link, on_frame, context);
	for (int i = 0; err == ERR_AGAIN && i < PUMP_CHUNKS; i++) {
		if (flush(link) != ERR_OK)
			return ERR_CLOSED;
		ssize_t n = recv(link->fd, chunk, sizeof(chunk), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return ERR_AGAIN;
		if (n <= 0)
			return ERR_CLOSED;
		err = tls_conn_feed(link->tls, chunk, (size_t)n);
		if (!err)
			err = advance(link, on_frame, context);
	}
	if (err == ERR_AGAIN && flush(link) != ERR_OK)
		return ERR_CLOSED;
	return err;
}

enum err link_send(struct link *link, const uint8_t *body, size_t size)
{
	uint8_t length[LENGTH_BYTES] = { (uint8_t)(size >> 8), (uint8_t)size };
	if (size == 0 || size > CONTROL_FRAME_MAX)
		return ERR_LIMIT;
	uint8_t record[LENGTH_BYTES + SMALL_FRAME_BYTES];
	if (size > SMALL_FRAME_BYTES) {
		enum err err = tls_conn_write(link->tls, length, sizeof(length));
		return err ? err : tls_conn_write(link->tls, body, size);
	}
	memcpy(record, length, sizeof(length)); // one TLS record for a packet of media
	memcpy(record + LENGTH_BYTES, body, size);
	return tls_conn_write(link->tls, record, LENGTH_BYTES + size);
}

void link_close(struct link *link)
{
	if (link->is_ready)
		tls_conn_close(link->tls);
	(void)flush(link);
}
