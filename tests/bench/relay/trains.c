// A client's bursts as the product's own client sends them: one sendmsg with UDP_SEGMENT, so that the packets stay one
// train in the kernel until a device cuts it. SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/measure.h"
#include "tests/bench/relay/senders.h"

#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

enum { SEGMENTS_MAX = 48 };
#define STALL_NS 10000000ull

static void send_train(int fd, const uint8_t *bytes, size_t segment, size_t size)
{
	struct sockaddr_in to = lab_address(WIRE_RELAY_ADDRESS, WIRE_RELAY_PORT);
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &part, .msg_iovlen = 1,
				  .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	uint16_t segment_size = (uint16_t)segment;
	header->cmsg_level = SOL_UDP;
	header->cmsg_type = UDP_SEGMENT;
	header->cmsg_len = CMSG_LEN(sizeof(segment_size));
	memcpy(CMSG_DATA(header), &segment_size, sizeof(segment_size));
	if (sendmsg(fd, &message, 0) != (ssize_t)size)
		lab_die("sending a train");
}

// Until all copies so far arrived; a stall is counted.
static void await(const struct wire_config *config, struct wire_totals *totals, uint64_t *awaited)
{
	uint64_t since = lab_now_ns();
	while (*(volatile uint64_t *)&totals->arrived < *awaited) {
		if (lab_now_ns() - since < STALL_NS)
			continue;
		totals->stalls++;
		*awaited = totals->arrived;
	}
	if (config->period_ns == 0)
		return;
	static uint64_t next_ns;
	next_ns = next_ns ? next_ns + config->period_ns : config->start_ns;
	lab_sleep_until(next_ns);
}

void trains_send(const struct wire_config *config, struct wire_totals *totals, struct wire_sender *sender)
{
	static uint8_t bytes[SEGMENTS_MAX][WIRE_FRAME_MAX];
	static uint8_t train[SEGMENTS_MAX * WIRE_FRAME_MAX];
	size_t segment = config->frame_bytes - WIRE_HEADERS_BYTES, count = config->burst < SEGMENTS_MAX ? config->burst : SEGMENTS_MAX;
	uint64_t awaited = 0;
	int fd = lab_socket(LAB_GENERATOR, SOCK_DGRAM, WIRE_SENDER_ADDRESS, sender->port);
	for (size_t i = 0; i < count; i++)
		senders_template(bytes[i], segment);
	lab_sleep_until(config->start_ns);
	for (uint64_t now; (now = lab_now_ns()) < config->stop_ns;) {
		for (size_t i = 0; i < count; i++) {
			senders_stamp(sender, config->stream, now, totals->sent, bytes[i], segment);
			memcpy(train + i * segment, bytes[i], segment);
			totals->sent++;
			totals->good++;
		}
		send_train(fd, train, segment, count * segment);
		awaited += count * config->copies;
		await(config, totals, &awaited);
	}
}
