// Relay A: what a good relay without eBPF, io_uring and GSO does. recvmmsg, one sendmmsg for all copies of the batch,
// straight from the receive buffers; real-time priority; no look at the packets at all.
// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/bench.h"
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/wire.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, RECEIVERS_MAX = 1024, SEND_MAX = 1024, PACKET_BYTES = 2048 };

static uint8_t bytes[BATCH][PACKET_BYTES];
static struct sockaddr_in receivers[RECEIVERS_MAX];
static struct mmsghdr in[BATCH], out[BATCH * RECEIVERS_MAX];
static struct iovec in_part[BATCH], out_part[BATCH];

static void send_all(int fd, size_t count)
{
	for (size_t done = 0; done < count;) {
		int sent = sendmmsg(fd, out + done, (unsigned)(count - done < SEND_MAX ? count - done : SEND_MAX), 0);
		if (sent > 0)
			done += (size_t)sent;
		else if (errno != EINTR)
			done++; // that copy is lost
	}
}

static void relay(int fd, size_t count)
{
	for (size_t i = 0; i < BATCH; i++) {
		in_part[i] = (struct iovec){ bytes[i], PACKET_BYTES };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &in_part[i], .msg_iovlen = 1 };
		for (size_t k = 0; k < count; k++)
			out[i * count + k].msg_hdr = (struct msghdr){ .msg_name = &receivers[k], .msg_namelen = sizeof(receivers[k]),
								      .msg_iov = &out_part[i], .msg_iovlen = 1 };
	}
	for (;;) {
		int got = recvmmsg(fd, in, BATCH, MSG_WAITFORONE, NULL);
		if (got <= 0)
			continue;
		for (int i = 0; i < got; i++)
			out_part[i] = (struct iovec){ bytes[i], in[i].msg_len };
		send_all(fd, (size_t)got * count);
	}
}

int baseline_main(int argc, char **argv)
{
	const struct sched_param priority = { .sched_priority = 5 };
	int buffer = 64 << 20;
	if (argc != 3) {
		fputs("usage: bench_relay baseline CORE RECEIVERS\n", stderr);
		return 2;
	}
	lab_pin((int)lab_number("CORE", argv[1], 1023));
	size_t count = lab_number("RECEIVERS", argv[2], RECEIVERS_MAX);
	for (size_t i = 0; i < count; i++)
		receivers[i] = lab_address(WIRE_RECEIVER_ADDRESS + (uint32_t)i, (uint16_t)(WIRE_RECEIVER_PORT + i));
	int fd = lab_socket(LAB_RELAY, SOCK_DGRAM, INADDR_ANY, WIRE_RELAY_PORT);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	if (sched_setscheduler(0, SCHED_RR, &priority) != 0)
		lab_die("real-time priority");
	puts("ready");
	fflush(stdout);
	relay(fd, count);
	return 0;
}
