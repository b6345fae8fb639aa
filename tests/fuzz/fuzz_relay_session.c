// A relay with two members, and whatever one of them or a stranger sends: frames on the control connection or
// datagrams, stamped correctly or not. SPDX-License-Identifier: Apache-2.0
#include "tests/fake/relay_world.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// The relay lives on from input to input, which looks like a leak each time and takes most of the time to find out.
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

enum { INPUT_MAX = 1536 }; // more than any datagram that is forwarded

static struct world world;
static struct client *sender, *receiver;

static struct client *entered(void)
{
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		abort();
	client_enter(client, &world);
	return client;
}

static void forget(struct client *client)
{
	client_pump(client);
	for (size_t i = 0; i < client->frame_count; i++) {
		free(client->frame[i].bytes);
		client->frame[i].bytes = NULL;
	}
	client->frame_count = 0;
}

// choice: bit 0 UDP, bit 1 with a good tag, bit 2 from a foreign address; 0xC0: any frame on the control
// connection, which mostly costs the session and so a new handshake
static void deliver(uint8_t choice, const uint8_t *data, size_t size)
{
	static const struct sockaddr_in6 foreign = { .sin6_family = AF_INET6, .sin6_port = 7 };
	uint8_t bytes[INPUT_MAX] = { 0 };
	memcpy(bytes, data, size);
	if (choice != 0xC0)
		bytes[0] &= 0x7f;
	enum hop_path path = choice & 1 ? HOP_PATH_UDP : HOP_PATH_TLS;
	if (choice & 2 && size >= PACKET_MEDIA_MIN_BYTES && size <= PACKET_MAX_BYTES)
		client_stamp(sender, path, bytes, size);
	if (path == HOP_PATH_UDP)
		relay_loop_receive(world.loop, choice & 4 ? &foreign : &sender->address, bytes, size);
	else
		client_send_frame(sender, bytes, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > INPUT_MAX)
		return 0;
	if (!receiver) {
		world_make(&world);
		receiver = entered();
	}
	if (!sender) {
		sender = entered();
		client_go_udp(sender);
	}
	deliver(data[0], data + 1, size - 1);
	relay_loop_advance(world.loop, 1000000);
	relay_loop_forget_sent(world.loop);
	client_send(receiver, &(struct control_message){ .type = CONTROL_PING });
	forget(receiver);
	forget(sender);
	if (relay_stream_is_finished(sender->stream)) { // the session was ended for it: the next one comes
		client_free(sender);
		free(sender);
		sender = NULL;
	}
	return 0;
}
