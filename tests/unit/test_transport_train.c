// Trains on real sockets of the loopback: they arrive whole, in pieces where the kernel refuses them, and only what may
// be together is. SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/train.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SEGMENT = 700, LAST = 123 };

struct pair {
	struct datagram *datagram;
	int peer;
	uint8_t bytes[UINT16_MAX];
};

static void pair_open(struct pair *pair, bool takes_trains)
{
	struct sockaddr_storage address = { .ss_family = AF_INET };
	struct sockaddr_in *in = (struct sockaddr_in *)&address;
	socklen_t size = sizeof(*in);
	int on = takes_trains;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	pair->peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(pair->peer >= 0);
	assert_int_equal(bind(pair->peer, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(getsockname(pair->peer, (struct sockaddr *)in, &size), 0);
	assert_int_equal(setsockopt(pair->peer, SOL_UDP, UDP_GRO, &on, sizeof(on)), 0);
	assert_int_equal(datagram_open(&address, ntohs(in->sin_port), &pair->datagram), ERR_OK);
}

static void pair_close(struct pair *pair)
{
	datagram_close(pair->datagram);
	if (pair->peer >= 0)
		close(pair->peer);
}

// Bytes of what the next system call gives; 0: nothing within a while.
static size_t take(struct pair *pair)
{
	struct pollfd fd = { .fd = pair->peer, .events = POLLIN };
	if (poll(&fd, 1, 200) != 1)
		return 0;
	ssize_t n = recv(pair->peer, pair->bytes, sizeof(pair->bytes), 0);
	return n > 0 ? (size_t)n : 0;
}

static void fill(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
}

static void test_a_train_arrives_whole(void **state)
{
	(void)state;
	static struct pair pair;
	uint8_t bytes[3 * SEGMENT + LAST];
	fill(bytes, sizeof(bytes));
	pair_open(&pair, true);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, sizeof(bytes), SEGMENT), 0);
	assert_int_equal(take(&pair), sizeof(bytes));
	assert_memory_equal(pair.bytes, bytes, sizeof(bytes));
	assert_int_equal(datagram_trains(pair.datagram), 1);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, LAST, LAST), 0); // one alone is none
	assert_int_equal(take(&pair), LAST);
	assert_int_equal(datagram_trains(pair.datagram), 1);
	pair_close(&pair);
}

static void take_pieces(struct pair *pair, const uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at < size; at += SEGMENT) {
		size_t piece = size - at < SEGMENT ? size - at : SEGMENT;
		assert_int_equal(take(pair), piece);
		assert_memory_equal(pair->bytes, bytes + at, piece);
	}
	assert_int_equal(take(pair), 0);
}

// Who does not ask for trains gets datagrams, as ever.
static void test_a_train_is_datagrams_to_others(void **state)
{
	(void)state;
	static struct pair pair;
	uint8_t bytes[7 * SEGMENT + LAST];
	fill(bytes, sizeof(bytes));
	pair_open(&pair, false);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, sizeof(bytes), SEGMENT), 0);
	assert_int_equal(datagram_trains(pair.datagram), 1);
	take_pieces(&pair, bytes, sizeof(bytes));
	pair_close(&pair);
}

static void test_a_kernel_that_refuses_is_not_asked_again(void **state)
{
	(void)state;
	static struct pair pair;
	uint8_t bytes[4 * SEGMENT];
	int on = 1, off = 0;
	fill(bytes, sizeof(bytes));
	pair_open(&pair, true);
	int fd = datagram_descriptor(pair.datagram);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0); // no trains without checksums
	assert_int_equal(datagram_send_train(pair.datagram, bytes, sizeof(bytes), SEGMENT), 0);
	take_pieces(&pair, bytes, sizeof(bytes)); // nothing was lost by the attempt, nothing came twice
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &off, sizeof(off)), 0);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, sizeof(bytes), SEGMENT), 0);
	take_pieces(&pair, bytes, sizeof(bytes));
	assert_int_equal(datagram_trains(pair.datagram), 0);
	pair_close(&pair);
}

// An error that an earlier datagram met is reported by the next call: that train is sent all the same.
static void test_nobody_there_for_a_while(void **state)
{
	(void)state;
	static struct pair pair;
	uint8_t bytes[2 * SEGMENT];
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	fill(bytes, sizeof(bytes));
	pair_open(&pair, true);
	assert_int_equal(getsockname(pair.peer, (struct sockaddr *)&address, &size), 0);
	close(pair.peer);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, sizeof(bytes), SEGMENT), 0);
	pair.peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(pair.peer >= 0);
	assert_int_equal(bind(pair.peer, (struct sockaddr *)&address, size), 0);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, sizeof(bytes), SEGMENT), 0);
	take_pieces(&pair, bytes, sizeof(bytes));
	pair_close(&pair);
}

static void test_what_is_refused_is_counted(void **state)
{
	(void)state;
	static struct pair pair;
	uint8_t bytes[2 * SEGMENT + LAST];
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	fill(bytes, sizeof(bytes));
	pair_open(&pair, true);
	assert_int_equal(connect(datagram_descriptor(pair.datagram), &nowhere, sizeof(nowhere)), 0);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, sizeof(bytes), SEGMENT), 3);
	assert_int_equal(datagram_send_train(pair.datagram, bytes, LAST, LAST), 1);
	assert_int_equal(datagram_trains(pair.datagram), 0);
	pair_close(&pair);
}

static void test_what_goes_together(void **state)
{
	(void)state;
	static struct train train;
	assert_true(train_takes(&train, PACKET_STREAM_AUDIO, 1, 100));
	train_add(&train, PACKET_STREAM_AUDIO, 1, 100);
	assert_false(train_takes(&train, PACKET_STREAM_AUDIO, 1, 100));
	assert_false(train_takes(&train, PACKET_STREAM_VIDEO, 1, 100));
	train_clear(&train);
	train_add(&train, PACKET_STREAM_VIDEO, 1, 100);
	assert_true(train_takes(&train, PACKET_STREAM_VIDEO, 1, 100));
	assert_true(train_takes(&train, PACKET_STREAM_VIDEO, 1, 99));
	assert_false(train_takes(&train, PACKET_STREAM_VIDEO, 1, 101));
	assert_false(train_takes(&train, PACKET_STREAM_VIDEO, 2, 100));
	assert_false(train_takes(&train, PACKET_STREAM_VIDEO + 1, 1, 100));
	assert_false(train_takes(&train, PACKET_STREAM_AUDIO, 1, 100));
	assert_ptr_equal(train_end(&train), train.bytes + 100);
	train_add(&train, PACKET_STREAM_VIDEO, 1, 99);
	assert_false(train_takes(&train, PACKET_STREAM_VIDEO, 1, 99)); // behind a shorter one nothing goes
	train_clear(&train);
	for (int i = 0; i < DATAGRAM_TRAIN_MAX; i++) {
		assert_true(train_takes(&train, PACKET_STREAM_VIDEO, 1, PACKET_MAX_BYTES));
		train_add(&train, PACKET_STREAM_VIDEO, 1, PACKET_MAX_BYTES);
	}
	assert_false(train_takes(&train, PACKET_STREAM_VIDEO, 1, 1));
	assert_true(train.size <= sizeof(train.bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_train_arrives_whole),   cmocka_unit_test(test_a_train_is_datagrams_to_others),
		cmocka_unit_test(test_a_kernel_that_refuses_is_not_asked_again), cmocka_unit_test(test_nobody_there_for_a_while),
		cmocka_unit_test(test_what_is_refused_is_counted),	     cmocka_unit_test(test_what_goes_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
