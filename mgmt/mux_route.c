// SPDX-License-Identifier: Apache-2.0
#include "mgmt/mux_route.h"

#include "mgmt/channel.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static enum err open_link(struct mux_link *link)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, link->socket, strlen(link->socket) + 1); // mux_config_load() checked the length
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return ERR_IO;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return ERR_CLOSED;
	}
	link->fd = fd;
	return ERR_OK;
}

enum err mux_route_pass(struct mux_link *link, int fd)
{
	static const uint8_t byte[1] = {0};
	enum err err = ERR_CLOSED;
	for (int attempt = 0; attempt < 2 && err == ERR_CLOSED; attempt++) {
		if (link->fd < 0 && (err = open_link(link)))
			return err;
		err = channel_send(link->fd, byte, sizeof(byte), fd);
		if (err && err != ERR_AGAIN)
			mux_route_close(link);
	}
	return err;
}

void mux_route_close(struct mux_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}
