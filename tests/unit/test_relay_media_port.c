// Both ways of receiving datagrams: more than fit into the buffers, two sockets, trains, waking up.
// SPDX-License-Identifier: Apache-2.0
#include "relay/media_port.h"

#include "base/log.h"
#include "relay/relay_address.h"
#include "relay/relay_socket.h"

#include <liburing.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 300, BYTES = 100, SEGMENTS = 20 };

struct lab {
	struct media_port sockets, *port;
	struct sockaddr_in6 at, legs_at;
	int sender;
};

static int open_socket(struct sockaddr_in6 *at)
{
	char problem[RELAY_SOCKET_PROBLEM_MAX];
	socklen_t size = sizeof(*at);
	int s;
	assert_int_equal(relay_address_parse("::1", 0, at), ERR_OK);
	assert_int_equal(relay_socket_udp(at, 0, 1, &s, problem), ERR_OK);
	assert_int_equal(getsockname(s, (struct sockaddr *)at, &size), 0);
	return s;
}

static void lab_open(struct lab *lab, enum loop_choice choice)
{
	struct io_uring ring;
	if (choice == LOOP_IO_URING && io_uring_queue_init(1, &ring, 0) < 0)
		skip();
	if (choice == LOOP_IO_URING)
		io_uring_queue_exit(&ring);
	lab->sockets.descriptor = open_socket(&lab->at);
	lab->sockets.leg_descriptor = open_socket(&lab->legs_at);
	lab->sockets.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	lab->sender = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(lab->sender >= 0 && lab->sockets.wake >= 0);
	assert_int_equal(media_port_open(choice, &lab->sockets, &lab->port), ERR_OK);
}

static void lab_close(struct lab *lab)
{
	lab->port->ops->close(lab->port);
	close(lab->sender);
	close(lab->sockets.wake);
	close(lab->sockets.descriptor);
	close(lab->sockets.leg_descriptor);
}

static void send_one(const struct lab *lab, const struct sockaddr_in6 *to, uint16_t value)
{
	uint8_t bytes[BYTES];
	memset(bytes, 0x55, sizeof(bytes));
	memcpy(bytes, &value, sizeof(value));
	assert_int_equal(sendto(lab->sender, bytes, sizeof(bytes), 0, (const struct sockaddr *)to, sizeof(*to)), sizeof(bytes));
}

static void send_train(const struct lab *lab, uint16_t first)
{
	uint8_t bytes[SEGMENTS * BYTES];
	int segment = BYTES, none = 0;
	memset(bytes, 0x55, sizeof(bytes));
	for (uint16_t i = 0; i < SEGMENTS; i++) {
		uint16_t value = (uint16_t)(first + i);
		memcpy(bytes + i * BYTES, &value, sizeof(value));
	}
	assert_int_equal(setsockopt(lab->sender, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	assert_int_equal(sendto(lab->sender, bytes, sizeof(bytes), 0, (const struct sockaddr *)&lab->at, sizeof(lab->at)), sizeof(bytes));
	assert_int_equal(setsockopt(lab->sender, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none)), 0);
}

// Clients' in their order, then what other relays sent; `batches` says in how many pieces.
static void expect(struct lab *lab, uint16_t first, size_t clients, size_t legs, size_t *batches)
{
	uint16_t next = first, next_leg = first;
	*batches = 0;
	while (clients + legs > 0) {
		struct media_port_batch batch;
		lab->port->ops->wait(lab->port);
		lab->port->ops->receive(lab->port, &batch);
		*batches += batch.count > 0;
		for (size_t i = 0; i < batch.count; i++) {
			const struct loop_datagram *d = &batch.datagram[i];
			uint16_t value;
			memcpy(&value, d->bytes, sizeof(value));
			assert_int_equal(d->size, BYTES);
			assert_int_equal(d->bytes[BYTES - 1], 0x55);
			assert_int_equal(value, d->is_leg ? next_leg++ : next++);
			assert_true(d->received_ns > 0 && d->mark == 0);
			assert_memory_equal(&d->from.local, &lab->at.sin6_addr, sizeof(d->from.local));
			assert_int_equal(d->from.peer.sin6_family, AF_INET6);
			assert_true((d->is_leg ? legs-- : clients--) > 0);
		}
	}
}

static void receive_all(enum loop_choice choice)
{
	static struct lab lab;
	struct media_port_batch batch;
	size_t batches;
	lab_open(&lab, choice);
	lab.port->ops->receive(lab.port, &batch);
	assert_int_equal(batch.count, 0);
	for (int round = 0; round < 3; round++) {
		for (uint16_t i = 0; i < MANY; i++) { // five times what there are buffers for
			send_one(&lab, &lab.at, i);
			if (i % 10 == 0)
				send_one(&lab, &lab.legs_at, i / 10);
		}
		assert_true(lab.port->ops->backlog(lab.port) > 0);
		expect(&lab, 0, MANY, MANY / 10, &batches);
		assert_true(batches >= MANY / 64);
		assert_int_equal(lab.port->ops->backlog(lab.port), 0);
		send_train(&lab, 7);
		expect(&lab, 7, SEGMENTS, 0, &batches);
	}
	uint64_t one = 1;
	assert_int_equal(write(lab.sockets.wake, &one, sizeof(one)), sizeof(one));
	lab.port->ops->wait(lab.port); // or the test never ends
	lab.port->ops->receive(lab.port, &batch);
	assert_int_equal(batch.count, 0);
	assert_false(batch.is_full);
	lab_close(&lab);
}

static void recvmmsg_receives_all(void **state)
{
	(void)state;
	receive_all(LOOP_EPOLL);
}

static void a_ring_receives_all(void **state)
{
	(void)state;
	receive_all(LOOP_IO_URING);
}

int main(void)
{
	log_init("test", LOG_ERROR);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recvmmsg_receives_all),
		cmocka_unit_test(a_ring_receives_all),
	};
	return cmocka_run_group_tests_name("relay_media_port", tests, NULL, NULL);
}
