// tcsctl: what a running tcs does. SPDX-License-Identifier: Apache-2.0
#include "base/err.h"
#include "relay/control_socket.h"
#include "relay/engine.h"
#include "relay/relay_stats.h"
#include "relay/tcs_config.h"
#include "relay/tcs_status.h"
#include "version.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <yyjson.h>

enum { EXIT_USAGE = 2, TIMEOUT_S = 5, ANSWER_MAX = 64 << 20 };

struct arguments {
	const char *socket;
	bool is_json;
	enum tcs_status_kind kind;
	const char *wish; // of "engine", NULL: none
};

static const char usage[] = "usage: tcsctl [--socket PATH] [--json] COMMAND\n"
			    "\n"
			    "  status      state, latency, drops that happened\n"
			    "  meetings    running meetings and who is in them, as random identifiers\n"
			    "  counters    every counter with what it means\n"
			    "  engine [" ENGINE_WISH_CHOICES "]\n"
			    "              which engine serves each device; switch to another, meetings go on\n"
			    "\n"
			    "  --json          the answer as it comes, one JSON document\n"
			    "  --socket PATH   control socket of tcs, default " TCS_CONFIG_CONTROL_SOCKET "\n"
			    "  --version, --help\n"
			    "\n"
			    "Exit status: 0 done, 1 failed, 2 wrong usage\n";

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "tcsctl: %s: %s\n", what, why);
	return EXIT_FAILURE;
}

// ---------------------------------------------------------------- request

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s >= 0 && (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
		       connect(s, (const struct sockaddr *)&address, sizeof(address)) != 0)) {
		int error = errno;
		close(s);
		errno = error;
		return -1;
	}
	return s;
}

// All that comes until the end; NULL on failure.
static char *read_answer(int s, size_t *size)
{
	size_t capacity = 65536;
	char *text = malloc(capacity);
	*size = 0;
	while (text) {
		ssize_t got = recv(s, text + *size, capacity - *size, 0);
		if (got == 0)
			return text;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || capacity == ANSWER_MAX)
			break;
		*size += (size_t)got;
		if (*size < capacity)
			continue;
		char *grown = realloc(text, capacity * 2);
		if (!grown)
			break;
		text = grown;
		capacity *= 2;
	}
	free(text);
	return NULL;
}

static char *ask(const struct arguments *arguments, size_t *size)
{
	char request[CONTROL_SOCKET_REQUEST_MAX];
	const char *wish = arguments->wish ? arguments->wish : "";
	int length = snprintf(request, sizeof(request), "%s%s%s\n", tcs_status_name(arguments->kind), *wish ? " " : "", wish);
	const char *path = arguments->socket;
	int s = dial(path);
	char *answer = s >= 0 && send(s, request, (size_t)length, MSG_NOSIGNAL) == length ? read_answer(s, size) : NULL;
	int error = errno;
	if (s >= 0)
		close(s);
	errno = error;
	return answer;
}

// ---------------------------------------------------------------- for people

static unsigned long long number(yyjson_val *object, const char *key) { return yyjson_get_uint(yyjson_obj_get(object, key)); }

static const char *text(yyjson_val *object, const char *key)
{
	const char *value = yyjson_get_str(yyjson_obj_get(object, key));
	return value ? value : "?";
}

static void print_happened(yyjson_val *drops)
{
	size_t index, count;
	yyjson_val *key, *value;
	bool is_any = false;
	yyjson_obj_foreach(drops, index, count, key, value) {
		if (yyjson_get_uint(value) == 0)
			continue;
		if (!is_any)
			puts("dropped       (what each means: tcsctl counters)");
		is_any = true;
		printf("  %-20s %12llu\n", yyjson_get_str(key), (unsigned long long)yyjson_get_uint(value));
	}
	if (!is_any)
		puts("dropped       nothing");
}

static void print_engines(yyjson_val *root)
{
	size_t index, count;
	yyjson_val *device, *engines = yyjson_obj_get(root, "engines");
	printf("engine        %s%s\n", text(root, "engine"), yyjson_arr_size(engines) ? "" : "; no program in the kernel: user space serves all");
	yyjson_arr_foreach(engines, index, count, device)
		printf("  %-11s %s (%s)\n", text(device, "device"), text(device, "engine"), text(device, "reason"));
}

static void print_kernel(yyjson_val *root)
{
	yyjson_val *kernel = yyjson_obj_get(root, "kernel"), *latency = yyjson_obj_get(root, "kernel_latency_us");
	if (yyjson_arr_size(yyjson_obj_get(root, "engines")) == 0)
		return;
	printf("kernel        %llu packets, %llu copies; until the last copy p50 < %.1f us, p99 < %.1f us over %llu samples\n",
	       number(kernel, "media_received"), number(kernel, "media_forwarded"), yyjson_get_num(yyjson_obj_get(latency, "p50")),
	       yyjson_get_num(yyjson_obj_get(latency, "p99")), number(latency, "count"));
}

static void print_status(yyjson_val *root)
{
	yyjson_val *management = yyjson_obj_get(root, "management"), *latency = yyjson_obj_get(root, "latency_us");
	bool is_connected = yyjson_get_bool(yyjson_obj_get(management, "connected"));
	printf("relay         %s (%s)\n", text(root, "name"), text(root, "relay"));
	printf("version       %s, up %llu s, loop %s, UDP port %llu\n", text(root, "version"), number(root, "uptime_s"),
	       text(root, "loop"), number(root, "udp_port"));
	printf("management    %s\n", is_connected ? "connected" : "not connected; meetings go on");
	printf("meetings      %llu with %llu participants; %llu connections, %llu of them in the handshake\n", number(root, "meetings"),
	       number(root, "participants"), number(root, "connections"), number(root, "handshakes"));
	print_engines(root);
	print_kernel(root);
	printf("user space    p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us from the device on, over %llu packets\n",
	       yyjson_get_num(yyjson_obj_get(latency, "p50")), yyjson_get_num(yyjson_obj_get(latency, "p99")),
	       yyjson_get_num(yyjson_obj_get(latency, "p999")), yyjson_get_num(yyjson_obj_get(latency, "max")), number(latency, "count"));
	print_happened(yyjson_obj_get(root, "drops"));
}

static void print_meetings(yyjson_val *root)
{
	size_t index, count, i, n;
	yyjson_val *meeting, *participant;
	yyjson_arr_foreach(yyjson_obj_get(root, "meetings"), index, count, meeting) {
		yyjson_val *participants = yyjson_obj_get(meeting, "participants");
		printf("%s  %zu participants, engine %s, %llu of %llu receivers in the kernel\n", text(meeting, "meeting"),
		       yyjson_arr_size(participants), text(meeting, "engine"), number(meeting, "in_kernel"), number(meeting, "receivers"));
		yyjson_arr_foreach(participants, i, n, participant)
			printf("  %s  index %llu, %s, %s, %llu streams\n", text(participant, "participant"), number(participant, "index"),
			       text(participant, "path"), text(participant, "address"), number(participant, "streams"));
	}
}

static void print_row(yyjson_val *table, const char *name, const char *meaning)
{
	printf("%-20s %12llu  %s\n", name, number(table, name), meaning);
}

static void print_counters(yyjson_val *root)
{
	yyjson_val *drops = yyjson_obj_get(root, "drops"), *ups = yyjson_obj_get(root, "ups"), *counts = yyjson_obj_get(root, "counts");
	puts("dropped");
	for (enum fanout_counter c = 0; c < FANOUT_UPS_FIRST; c++)
		print_row(drops, relay_stats_fanout_name(c), relay_stats_fanout_text(c));
	for (enum relay_stats_counter c = 0; c < STATS_DROPS; c++)
		print_row(drops, relay_stats_name(c), relay_stats_text(c));
	puts("passed to user space by the kernel's programs");
	for (enum fanout_counter c = FANOUT_UPS_FIRST; c < FANOUT_COUNTS_FIRST; c++)
		print_row(ups, relay_stats_fanout_name(c), relay_stats_fanout_text(c));
	puts("done");
	for (enum fanout_counter c = FANOUT_COUNTS_FIRST; c < FANOUT_COUNTERS; c++)
		print_row(counts, relay_stats_fanout_name(c), relay_stats_fanout_text(c));
	for (enum relay_stats_counter c = STATS_DROPS; c < STATS_COUNTERS; c++)
		print_row(counts, relay_stats_name(c), relay_stats_text(c));
}

static int print_answer(enum tcs_status_kind kind, const char *answer, size_t size)
{
	static void (*const printers[TCS_STATUS_KINDS])(yyjson_val *) = {
		[TCS_STATUS_STATUS] = print_status,
		[TCS_STATUS_MEETINGS] = print_meetings,
		[TCS_STATUS_COUNTERS] = print_counters,
		[TCS_STATUS_ENGINE] = print_engines,
	};
	yyjson_doc *doc = yyjson_read(answer, size, 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *error = yyjson_obj_get(root, "error");
	int status = EXIT_SUCCESS;
	if (!root || error)
		status = fail("tcs", error ? yyjson_get_str(error) : "the answer is not understood");
	else
		printers[kind](root);
	yyjson_doc_free(doc);
	return status;
}

// ---------------------------------------------------------------- command line

static bool is_wish(const char *word)
{
	for (enum engine_wish wish = 0; wish < ENGINE_WISHES; wish++) {
		if (strcmp(word, engine_wish_name(wish)) == 0)
			return true;
	}
	return false;
}

// -1: go on; else the exit status.
static int parse_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option rows[] = { { "socket", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
					      { "version", no_argument, NULL, 'v' },      { "help", no_argument, NULL, 'h' },
					      { NULL, 0, NULL, 0 } };
	int option;
	while ((option = getopt_long(argc, argv, "h", rows, NULL)) != -1) {
		switch (option) {
		case 's':
			out->socket = optarg;
			break;
		case 'j':
			out->is_json = true;
			break;
		case 'v':
			puts("tcsctl " HUISCLOS_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_USAGE;
		}
	}
	int words = argc - optind;
	out->kind = 0;
	while (words > 0 && out->kind < TCS_STATUS_KINDS && strcmp(argv[optind], tcs_status_name(out->kind)) != 0)
		out->kind++;
	out->wish = words == 2 && out->kind == TCS_STATUS_ENGINE && is_wish(argv[optind + 1]) ? argv[optind + 1] : NULL;
	if (words < 1 || out->kind == TCS_STATUS_KINDS || words != (out->wish ? 2 : 1)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .socket = TCS_CONFIG_CONTROL_SOCKET };
	int status = parse_arguments(argc, argv, &arguments);
	if (status >= 0)
		return status;
	size_t size = 0;
	char *answer = ask(&arguments, &size);
	if (!answer)
		return fail(arguments.socket, errno == EAGAIN ? "no answer" : strerror(errno));
	if (arguments.is_json) {
		status = fwrite(answer, 1, size, stdout) == size ? EXIT_SUCCESS : EXIT_FAILURE;
	} else {
		status = print_answer(arguments.kind, answer, size);
	}
	free(answer);
	return status;
}
