// Rooms full of clients: in each so many senders (their UDP addresses are in the senders' host) and receivers. Commands
// come line by line on stdin. SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/crowd.h"

#include "base/log.h"
#include "base/secret.h"
#include "base/srtp_box.h"
#include "tests/bench/relay/bench.h"
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/senders.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEEP_S = 4, COUNTERS_BEFORE = 2048, WAIT_FOR_RELAY_S = 20, SPARE_FILES = 100 };

static const char usage_text[] =
	"usage: bench_relay crowd --state DIR --senders FILE [--receivers N] [--rooms R] [--senders-per-room S] [--staged]\n"
	"Registers a relay in DIR, says \"registered\"; when a tcs with that state directory listens at port 443 of the relay's\n"
	"host, R rooms of S senders and N receivers join, FILE is written for the generator, and it says \"joined\".\n"
	"--staged: waits for a line before connecting, says \"connected\" after the TLS handshakes, waits for a line before joining.\n"
	"Then on stdin: subscribe COUNT; an empty line or the end: leave.\n";

struct crowd_options {
	const char *state, *senders;
	uint32_t receivers, rooms, senders_per_room;
	bool is_staged;
};

// ---------------------------------------------------------------- alive

void crowd_serve(struct crowd *crowd, int ms)
{
	struct epoll_event events[256];
	int got = epoll_wait(crowd->poll, events, 256, ms);
	for (int i = 0; i < got; i++) {
		struct crowd_member *member = &crowd->member[events[i].data.u64 / 2];
		if (events[i].data.u64 & 1)
			crowd_member_receive_udp(member);
		else if (!member->is_gone)
			crowd_member_receive_tcp(member);
		if (member->is_gone) {
			fprintf(stderr, "bench_relay: crowd: a connection is gone (port %u)\n", member->port);
			exit(1);
		}
	}
	uint64_t now = lab_now_ns();
	for (size_t i = 0; i < crowd->count; i++) {
		if (crowd->member[i].is_joined && now - crowd->member[i].ping_ns > KEEP_S * 1000000000ull)
			crowd_member_keep(&crowd->member[i], now);
	}
}

static void watch(struct crowd *crowd, size_t index)
{
	struct epoll_event tcp = { .events = EPOLLIN, .data.u64 = index * 2 }, udp = { .events = EPOLLIN, .data.u64 = index * 2 + 1 };
	if (epoll_ctl(crowd->poll, EPOLL_CTL_ADD, crowd->member[index].tcp, &tcp) != 0 ||
	    (crowd->member[index].udp >= 0 && epoll_ctl(crowd->poll, EPOLL_CTL_ADD, crowd->member[index].udp, &udp) != 0))
		lab_die("epoll");
}

// ---------------------------------------------------------------- joining

static void open_udp(struct crowd_member *member)
{
	uint32_t address = member->is_sender ? WIRE_SENDER_ADDRESS : WIRE_RECEIVER_ADDRESS + (member->port - WIRE_RECEIVER_PORT);
	member->udp = lab_socket(member->is_sender ? LAB_GENERATOR : LAB_RECEIVERS, SOCK_DGRAM, address, member->port);
}

// Rooms one after the other, their senders first.
static void make_members(struct crowd *crowd, const struct crowd_options *options)
{
	uint32_t receiver = 0, sender = 0, of_room = options->receivers + options->senders_per_room;
	for (size_t i = 0; i < crowd->count; i++) {
		struct crowd_member *member = &crowd->member[i];
		member->room = (uint32_t)(i / of_room);
		member->is_first = i % of_room == 0;
		member->is_sender = i % of_room < options->senders_per_room;
		member->relay_host = member->is_sender ? WIRE_RELAY_ADDRESS : WIRE_EGRESS_ADDRESS;
		member->port = (uint16_t)(member->is_sender ? WIRE_SENDER_PORT + sender : WIRE_RECEIVER_PORT + receiver);
		member->udp = -1;
		if (!crowd->is_lean)
			open_udp(member);
		receiver += !member->is_sender;
		sender += member->is_sender;
	}
}

static bool wait_for_relay(void)
{
	struct sockaddr_in to = lab_address(WIRE_RELAY_ADDRESS, 443);
	for (int i = 0; i < WAIT_FOR_RELAY_S * 20; i++) {
		int fd = lab_socket(LAB_GENERATOR, SOCK_STREAM, INADDR_ANY, 0);
		bool is_there = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
		close(fd);
		if (is_there)
			return true;
		usleep(50000);
	}
	fputs("bench_relay: crowd: no relay came\n", stderr);
	return false;
}

static bool connect_all(struct crowd *crowd, struct tls_context *context)
{
	for (size_t i = 0; i < crowd->count; i++) {
		if (!crowd_member_connect(&crowd->member[i], context))
			return false;
		watch(crowd, i);
		if (i % 16 == 15)
			crowd_serve(crowd, 0);
	}
	return true;
}

static bool join_all(struct crowd *crowd, const struct relay_pki *pki, struct tls_context *context)
{
	struct crowd_member_ticket ticket = { .pki = pki };
	for (size_t i = 0; i < crowd->count; i++) {
		struct crowd_member *member = &crowd->member[i];
		if (member->is_first)
			secret_random(&ticket.meeting, sizeof(ticket.meeting));
		if (!member->tls) {
			if (!crowd_member_connect(member, context))
				return false;
			watch(crowd, i);
		}
		if (crowd->is_lean)
			open_udp(member);
		if (!crowd_member_join(member, &ticket) || !crowd_member_prove(member))
			return false;
		if (crowd->is_lean) {
			close(member->udp);
			member->udp = -1;
		}
		member->ping_ns = lab_now_ns();
		if (i % 16 == 15)
			crowd_serve(crowd, 0);
	}
	return true;
}

static bool tell_senders(const struct crowd *crowd, const char *path)
{
	static struct wire_sender senders[WIRE_SENDERS_MAX];
	size_t count = 0;
	for (size_t i = 0; i < crowd->count && count < WIRE_SENDERS_MAX; i++) {
		const struct crowd_member *member = &crowd->member[i];
		const struct hop *hop = &member->hop[HOP_PATH_UDP];
		if (!member->is_sender)
			continue;
		struct wire_sender *sender = &senders[count++];
		*sender = (struct wire_sender){ .handle = hop->handle, .index = member->welcome.index,
						.counter = hop->counter + COUNTERS_BEFORE, .port = member->port };
		memcpy(sender->key, hop->tag_key_out, sizeof(sender->key));
	}
	return senders_write(path, senders, count);
}

// ---------------------------------------------------------------- commands

// False when it is time to leave.
static bool obey(struct crowd *crowd)
{
	char line[128];
	unsigned count;
	if (!fgets(line, sizeof(line), stdin))
		return false;
	if (sscanf(line, "subscribe %u", &count) == 1) {
		subscribe_run(crowd, count);
		return true;
	}
	return false;
}

static int stay(struct crowd *crowd)
{
	struct epoll_event input = { .events = EPOLLIN, .data.u64 = UINT64_MAX };
	int both = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event, inner = { .events = EPOLLIN, .data.u64 = 0 };
	if (both < 0 || epoll_ctl(both, EPOLL_CTL_ADD, crowd->poll, &inner) != 0 || epoll_ctl(both, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
		lab_die("epoll");
	setvbuf(stdin, NULL, _IONBF, 0);
	for (;;) {
		int got = epoll_wait(both, &event, 1, 200);
		if (got > 0 && event.data.u64 == UINT64_MAX && !obey(crowd))
			return 0;
		crowd_serve(crowd, 0);
	}
}

static void say(const char *line)
{
	puts(line);
	fflush(stdout);
}

static int crowd_run(const struct crowd_options *options)
{
	struct relay_pki pki;
	struct tls_context *context;
	char line[128];
	struct crowd crowd = { .count = (size_t)options->rooms * (options->receivers + options->senders_per_room), .poll = epoll_create1(EPOLL_CLOEXEC) };
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
		crowd.is_lean = crowd.count * 2 + SPARE_FILES > files.rlim_cur;
	}
	log_init("crowd", LOG_ERROR);
	crowd.member = calloc(crowd.count, sizeof(*crowd.member));
	if (!crowd.member || crowd.poll < 0 || srtp_box_library_init())
		lab_die("crowd");
	relay_pki_make(&pki, options->state);
	struct token_pins pins = { .count = 1 };
	memcpy(pins.pin[0], pki.relay_pin, TOKEN_PIN_BYTES);
	if (tls_context_new(&(struct tls_context_options){ .alpn = CONTROL_ALPN, .pins = &pins }, &context))
		lab_die("TLS");
	make_members(&crowd, options);
	say("registered");
	bool is_good = wait_for_relay();
	if (is_good && options->is_staged) {
		is_good = fgets(line, sizeof(line), stdin) && connect_all(&crowd, context);
		say("connected");
		is_good = is_good && fgets(line, sizeof(line), stdin);
	}
	is_good = is_good && join_all(&crowd, &pki, context) && tell_senders(&crowd, options->senders);
	if (is_good) {
		say("joined");
		is_good = stay(&crowd) == 0;
	}
	for (size_t i = 0; i < crowd.count; i++)
		crowd_member_fini(&crowd.member[i]);
	free(crowd.member);
	tls_context_free(context);
	relay_pki_free(&pki);
	return is_good ? 0 : 1;
}

int crowd_main(int argc, char **argv)
{
	static const struct option rows[] = { { "state", 1, NULL, 's' }, { "senders", 1, NULL, 'f' }, { "receivers", 1, NULL, 'n' },
					      { "rooms", 1, NULL, 'r' }, { "senders-per-room", 1, NULL, 'm' }, { "staged", 0, NULL, 'g' }, { NULL, 0, NULL, 0 } };
	struct crowd_options options = { .receivers = 10, .rooms = 1, .senders_per_room = 1 };
	int option;
	while ((option = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		switch (option) {
		case 's': options.state = optarg; break;
		case 'f': options.senders = optarg; break;
		case 'n': options.receivers = (uint32_t)lab_number("--receivers", optarg, 10000); break;
		case 'r': options.rooms = (uint32_t)lab_number("--rooms", optarg, WIRE_SENDERS_MAX); break;
		case 'm': options.senders_per_room = (uint32_t)lab_number("--senders-per-room", optarg, WIRE_SENDERS_MAX); break;
		case 'g': options.is_staged = true; break;
		default: options.state = NULL;
		}
	}
	if (!options.state || !options.senders || options.rooms == 0 || options.senders_per_room == 0 ||
	    options.rooms * options.senders_per_room > WIRE_SENDERS_MAX || options.rooms * options.receivers > WIRE_RECEIVERS_MAX) {
		fputs(usage_text, stderr);
		return 2;
	}
	return crowd_run(&options);
}
