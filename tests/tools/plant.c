// A hostile member: somebody with a real ticket, but without the meeting's secret, who puts a media key and an
// encoded frame in the clear into the relay's memory and traffic. The leak scan must find them there.
//
//   plant --home DIRECTORY --meeting UUID --control FILE [--watch PCAP --seconds N]
//
// Joins, says "joined" on standard output; with --watch writes the media that it is sent over TLS in the next N
// seconds (ciphertext, it can open none) to PCAP and says "watched". At a line on standard input it reads key and
// frame from FILE, sends them as its announcement, which the relay keeps for later members, and in a UDP datagram
// to the relay's port, and says "planted" when the relay has taken them. Stays until standard input ends.
// SPDX-License-Identifier: Apache-2.0
#include "base/control.h"
#include "base/packet.h"
#include "base/secret.h"
#include "base/tls_conn.h"
#include "client/engine/api.h"
#include "client/engine/api_answer.h"
#include "client/engine/credentials.h"
#include "client/engine/home.h"
#include "client/engine/identity.h"
#include "client/engine/transport/link.h"
#include "tests/tools/pcap.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { JOIN_TIMEOUT_MS = 10000, PING_MS = 2000, EXPORTER_BYTES = 32, CONTROL_LINE_MAX = 4096 };

struct plant {
	const char *home_path, *control_path, *watch_path;
	struct id meeting;
	uint64_t watch_seconds;
	struct home *home;
	struct identity identity;
	uint8_t device_key[TOKEN_ED25519_BYTES];
	struct api_answer_ticket ticket;
	struct tls_context *tls;
	struct link *link;
	struct control_welcome welcome;
	bool is_joined, is_join_sent, is_planted;
	uint64_t pong; // of the last ping that was answered
	uint64_t ping;
	uint64_t planted_ping; // its answer proves that the relay has read what was planted
	FILE *watch;
	uint64_t watched;
};

static bool complain(const char *what, const char *why)
{
	fprintf(stderr, "plant: %s: %s\n", what, why);
	return false;
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool get_ticket(struct plant *plant)
{
	char problem[API_PROBLEM_MAX] = "", certificate[HOME_PATH_MAX], key[HOME_PATH_MAX], path[128], meeting[TEXT_UUID_SIZE];
	struct api *api = NULL;
	struct api_answer answer;
	enum err err = home_open(plant->home_path, &plant->home, problem);
	if (!err)
		err = identity_load(plant->home, &plant->identity, problem);
	if (!err)
		err = credentials_load_key(plant->home, plant->device_key, problem);
	if (!err)
		err = home_path(plant->home, CREDENTIALS_CERTIFICATE_FILE, certificate);
	if (!err)
		err = home_path(plant->home, CREDENTIALS_KEY_FILE, key);
	if (err)
		return complain(plant->home_path, problem[0] ? problem : err_text(err));
	const struct api_options options = { .server = plant->identity.server, .address = plant->identity.address,
					     .port = plant->identity.port, .pins = &plant->identity.server_pins,
					     .certificate_path = certificate, .key_path = key };
	text_id_emit(&plant->meeting, meeting);
	snprintf(path, sizeof(path), "/v1/meetings/%s/tickets", meeting);
	err = api_open(&options, &api);
	if (!err)
		err = api_request(api, path, "{}", &answer, problem);
	if (!err) {
		uint8_t public_key[TOKEN_ED25519_BYTES];
		err = token_ed25519_public(plant->device_key, public_key);
		if (!err)
			err = api_answer_ticket(answer.body, answer.size, &plant->meeting, public_key, &plant->ticket);
	}
	api_close(api);
	return err ? complain("no ticket", problem[0] ? problem : err_text(err)) : true;
}

// A socket of `type` connected to the relay, at `port`.
static int connect_to_relay(const struct plant *plant, int type, uint16_t port)
{
	char service[8];
	const char *host = plant->ticket.relay_address[0] ? plant->ticket.relay_address : plant->ticket.relay_name;
	struct addrinfo hints = { .ai_socktype = type }, *found = NULL;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &found) != 0)
		return -1;
	int fd = socket(found->ai_family, type | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (connect(fd, found->ai_addr, found->ai_addrlen) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static bool connect_link(struct plant *plant)
{
	const struct tls_context_options options = { .alpn = CONTROL_ALPN, .pins = &plant->identity.relay_pins };
	int fd = connect_to_relay(plant, SOCK_STREAM, plant->ticket.relay_port);
	if (fd < 0)
		return complain("cannot connect to the relay", strerror(errno));
	enum err err = tls_context_new(&options, &plant->tls);
	if (err) {
		close(fd);
		return complain("TLS", err_text(err));
	}
	err = link_new(plant->tls, plant->ticket.relay_name, fd, &plant->link);
	return err ? complain("TLS", err_text(err)) : true;
}

static enum err send_message(struct plant *plant, const struct control_message *message)
{
	uint8_t body[CONTROL_FRAME_MAX];
	size_t size;
	enum err err = control_emit(message, body, sizeof(body), &size);
	return err ? err : link_send(plant->link, body, size);
}

static enum err send_join(struct plant *plant)
{
	struct { char context[sizeof(CONTROL_JOIN_CONTEXT) - 1]; uint8_t exporter[EXPORTER_BYTES], hash[SECRET_SHA256_BYTES]; } text;
	struct control_message message = { .type = CONTROL_JOIN, .join = { .version = CONTROL_VERSION, .ticket = plant->ticket.ticket,
									   .ticket_size = sizeof(plant->ticket.ticket) } };
	memcpy(text.context, CONTROL_JOIN_CONTEXT, sizeof(text.context));
	secret_sha256(plant->ticket.ticket, sizeof(plant->ticket.ticket), text.hash);
	enum err err = tls_conn_export(link_tls(plant->link), CONTROL_JOIN_EXPORTER, (const uint8_t *)"", 0, text.exporter, sizeof(text.exporter));
	if (!err)
		err = token_ed25519_sign(plant->device_key, (const uint8_t *)&text, sizeof(text), message.join.proof);
	plant->is_join_sent = true;
	return err ? err : send_message(plant, &message);
}

static enum err send_ping(struct plant *plant)
{
	const struct control_message message = { .type = CONTROL_PING, .ping = ++plant->ping };
	return send_message(plant, &message);
}

static enum err on_frame(void *context, uint8_t *body, size_t size)
{
	struct plant *plant = context;
	struct control_message message;
	if (body[0] >> 6 == PACKET_MEDIA && plant->watch) {
		pcap_write_datagram(plant->watch, plant->welcome.udp_port, 1, body, size);
		plant->watched++;
	}
	if (body[0] >> 6 != PACKET_MESSAGE)
		return ERR_OK;
	enum err err = control_parse(body, size, &message);
	if (err)
		return err;
	if (message.type == CONTROL_WELCOME) {
		plant->welcome = message.welcome;
		plant->is_joined = true;
	} else if (message.type == CONTROL_PONG)
		plant->pong = message.ping;
	else if (message.type == CONTROL_END) {
		complain("the relay ended the session", control_end_text(message.end));
		return ERR_CLOSED;
	}
	return ERR_OK;
}

// Wait at most `timeout_ms` for the network (and standard input, if asked) and do what is due.
static bool turn(struct plant *plant, int timeout_ms, bool *has_input)
{
	struct pollfd polls[2] = { { .fd = link_descriptor(plant->link), .events = link_events(plant->link) },
				   { .fd = has_input ? STDIN_FILENO : -1, .events = POLLIN } };
	if (poll(polls, 2, timeout_ms) < 0 && errno != EINTR)
		return complain("poll", strerror(errno));
	if (has_input)
		*has_input = polls[1].revents != 0;
	enum err err = link_pump(plant->link, on_frame, plant);
	if (err != ERR_OK && err != ERR_AGAIN)
		return complain("connection to the relay", err == ERR_CLOSED ? err_text(err) : tls_conn_problem(link_tls(plant->link)));
	if (link_is_ready(plant->link) && !plant->is_join_sent && (err = send_join(plant)) != ERR_OK)
		return complain("join", err_text(err));
	return true;
}

static bool join(struct plant *plant)
{
	uint64_t deadline_ms = now_ms() + JOIN_TIMEOUT_MS;
	while (!plant->is_joined)
		if (!turn(plant, 100, NULL))
			return false;
		else if (now_ms() > deadline_ms)
			return complain("join", err_text(ERR_TIMEOUT));
	puts("joined");
	return true;
}

static bool watch(struct plant *plant)
{
	uint64_t end_ms = now_ms() + plant->watch_seconds * 1000;
	plant->watch = fopen(plant->watch_path, "wbe");
	if (!plant->watch)
		return complain(plant->watch_path, strerror(errno));
	pcap_write_header(plant->watch);
	bool is_good = true;
	while (is_good && now_ms() < end_ms)
		is_good = turn(plant, 100, NULL);
	if (fclose(plant->watch) != 0)
		is_good = complain(plant->watch_path, strerror(errno));
	plant->watch = NULL;
	if (is_good)
		printf("watched %" PRIu64 "\n", plant->watched);
	return is_good;
}

// Key and frame as the leak scan wrote them, one after the other. 0: not there, or not such a file.
static size_t read_control(const struct plant *plant, uint8_t *bytes, size_t capacity)
{
	char line[CONTROL_LINE_MAX];
	size_t size = 0;
	FILE *file = fopen(plant->control_path, "re");
	for (int i = 0; file && i < 2; i++) {
		size_t part = fgets(line, sizeof(line), file) ? strcspn(line, "\n") / 2 : 0;
		line[part * 2] = 0;
		if (part == 0 || part > capacity - size || text_hex_parse(line, bytes + size, part) != ERR_OK) {
			size = 0;
			break;
		}
		size += part;
	}
	if (file)
		fclose(file);
	return size;
}

static bool plant_all(struct plant *plant)
{
	uint8_t bytes[PACKET_MAX_BYTES + 64];
	size_t size = read_control(plant, bytes, sizeof(bytes));
	if (size == 0)
		return complain(plant->control_path, "not a key and a frame in hex");
	const struct control_message announce = { .type = CONTROL_ANNOUNCE, .announce = { .bytes = bytes, .size = size } };
	int fd = connect_to_relay(plant, SOCK_DGRAM, plant->welcome.udp_port);
	bool is_sent = fd >= 0 && send(fd, bytes, size, 0) == (ssize_t)size;
	if (fd >= 0)
		close(fd);
	if (!is_sent)
		return complain("UDP datagram to the relay", strerror(errno));
	enum err err = send_message(plant, &announce);
	if (!err)
		err = send_ping(plant);
	plant->planted_ping = plant->ping;
	secret_wipe(bytes, sizeof(bytes));
	return err ? complain("announcement", err_text(err)) : true;
}

// Commands from standard input until it ends, and pings so that the relay does not take us for dead.
static bool serve(struct plant *plant)
{
	uint64_t next_ping_ms = now_ms() + PING_MS;
	for (;;) {
		bool has_input = false;
		char line[64];
		if (!turn(plant, 100, &has_input))
			return false;
		if (has_input) {
			ssize_t size = read(STDIN_FILENO, line, sizeof(line));
			if (size <= 0)
				return true;
			if (!plant_all(plant))
				return false;
		}
		if (plant->planted_ping && plant->pong >= plant->planted_ping && !plant->is_planted) {
			plant->is_planted = true;
			puts("planted");
		}
		if (now_ms() >= next_ping_ms) {
			next_ping_ms += PING_MS;
			if (send_ping(plant) != ERR_OK)
				return complain("ping", "the connection takes nothing more");
		}
	}
}

static bool parse_arguments(int argc, char **argv, struct plant *plant)
{
	static const struct option options[] = {
		{ "home", required_argument, NULL, 'h' },    { "meeting", required_argument, NULL, 'm' },
		{ "control", required_argument, NULL, 'c' }, { "watch", required_argument, NULL, 'w' },
		{ "seconds", required_argument, NULL, 's' }, {},
	};
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (option) {
		case 'h': plant->home_path = optarg; break;
		case 'c': plant->control_path = optarg; break;
		case 'w': plant->watch_path = optarg; break;
		case 'm':
			if (text_id_parse(optarg, &plant->meeting) != ERR_OK)
				return false;
			break;
		case 's':
			if (text_u64_parse(optarg, 1, 3600, &plant->watch_seconds) != ERR_OK)
				return false;
			break;
		default: return false;
		}
	return optind == argc && plant->home_path && plant->control_path && !text_id_is_zero(&plant->meeting) &&
	       !plant->watch_path == !plant->watch_seconds;
}

int main(int argc, char **argv)
{
	static struct plant plant; // large
	if (!parse_arguments(argc, argv, &plant)) {
		fprintf(stderr, "usage: plant --home DIRECTORY --meeting UUID --control FILE [--watch PCAP --seconds N]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	bool is_good = get_ticket(&plant) && connect_link(&plant) && join(&plant) && (!plant.watch_path || watch(&plant)) && serve(&plant);
	if (plant.link && is_good) {
		const struct control_message leave = { .type = CONTROL_LEAVE };
		if (send_message(&plant, &leave) == ERR_OK)
			link_flush(plant.link);
		link_close(plant.link);
	}
	link_free(plant.link);
	tls_context_free(plant.tls);
	home_close(plant.home);
	secret_wipe(&plant, sizeof(plant));
	return is_good ? 0 : 1;
}
