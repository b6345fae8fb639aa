// A router in user space between two network namespaces that does to packets what netem would, and more.
//
// It has a TUN interface on each side, so it sees whole IP packets and nothing else lies between. Each decision
// is a line of the log; counters are printed as JSON at the end. SPDX-License-Identifier: Apache-2.0
#include "tests/net/impair_decide.h"
#include "tests/net/impair_flow.h"
#include "tests/net/impair_nat.h"

// A tool is built from one file.
#include "tests/net/impair_decide.c"
#include "tests/net/impair_flow.c"
#include "tests/net/impair_nat.c"
#include "tests/net/impair_parse.c"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_MAX = 65536, QUEUE_MAX = 65536, READ_BATCH = 64 };

struct queued {
	uint64_t due_ns, sequence;
	enum impair_direction direction;
	size_t size;
	uint8_t *bytes;
};

struct counters {
	uint64_t packets, bytes, duplicated, reordered;
	uint64_t verdict[IMPAIR_VERDICTS];
};

struct router {
	int tun[IMPAIR_DIRECTIONS]; // where packets of a direction come from
	struct impair_decide decide[IMPAIR_DIRECTIONS];
	struct impair_nat nat;
	struct counters counters[IMPAIR_DIRECTIONS];
	struct queued *heap; // by due time, then by arrival
	size_t heap_size;
	uint64_t sequence;
	uint64_t start_ns; // time zero of cases and log
	FILE *log;
};

static const char *const direction_names[IMPAIR_DIRECTIONS] = { [IMPAIR_UP] = "up", [IMPAIR_DOWN] = "down" };

static volatile sig_atomic_t is_stopped, is_armed;
static void on_stop(int signal_number) { (void)signal_number; is_stopped = 1; }
static void on_arm(int signal_number) { (void)signal_number; is_armed = 1; }

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void usage(FILE *out)
{
	fputs("usage: impair --inside NETNS:INTERFACE --outside NETNS:INTERFACE [OPTIONS]\n"
	      "A router between two namespaces (\"-\": this one) with a TUN interface on each side.\n"
	      "  --up LINK --down LINK --both LINK   from the inside, to it, both; LINK is a list of\n"
	      "      delay=TIME,jitter=TIME,distribution=uniform|normal|pareto,loss=SHARE,ge=P:R[:1-H[:1-K]],\n"
	      "      duplicate=SHARE,reorder=SHARE,rate=RATE,queue=SIZE,mtu=BYTES\n"
	      "      TIME 30ms 1.5s, SHARE 5%, RATE 2mbit, SIZE 64kb; ge: Gilbert-Elliott as in netem's gemodel\n"
	      "  --case CASE   udp-blocked[=FROM[-TO]], blackhole[=FROM[-TO]], rebind-port=AT[,udp],\n"
	      "      rebind-addr=AT,ADDRESS[,udp]; may be repeated\n"
	      "  --arm         times of cases count from SIGUSR1, not from the start; before it no case applies\n"
	      "  --seed N      of all chance (1)\n"
	      "  --log FILE    one line for each packet: seconds, direction, ordinal, flow, bytes, verdict, delay in us\n"
	      "  --duration S  end by itself (60)\n", out);
}

// ---------------------------------------------------------------- packets on their way

static bool is_earlier(const struct queued *a, const struct queued *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void swap(struct queued *a, struct queued *b)
{
	struct queued t = *a;
	*a = *b;
	*b = t;
}

static bool push(struct router *router, enum impair_direction direction, const uint8_t *packet, size_t size, uint64_t due_ns)
{
	uint8_t *copy = router->heap_size < QUEUE_MAX ? malloc(size) : NULL;
	if (!copy)
		return false;
	memcpy(copy, packet, size);
	size_t i = router->heap_size++;
	router->heap[i] = (struct queued){ due_ns, router->sequence++, direction, size, copy };
	for (; i && is_earlier(&router->heap[i], &router->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&router->heap[i], &router->heap[(i - 1) / 2]);
	return true;
}

static struct queued pop(struct router *router)
{
	struct queued first = router->heap[0];
	router->heap[0] = router->heap[--router->heap_size];
	for (size_t i = 0, child; (child = 2 * i + 1) < router->heap_size; i = child) {
		if (child + 1 < router->heap_size && is_earlier(&router->heap[child + 1], &router->heap[child]))
			child++;
		if (!is_earlier(&router->heap[child], &router->heap[i]))
			break;
		swap(&router->heap[child], &router->heap[i]);
	}
	return first;
}

static void send_due(struct router *router, uint64_t now)
{
	while (router->heap_size && router->heap[0].due_ns <= now) {
		struct queued packet = pop(router);
		int out = router->tun[packet.direction == IMPAIR_UP ? IMPAIR_DOWN : IMPAIR_UP];
		if (write(out, packet.bytes, packet.size) < 0)
			router->counters[packet.direction].verdict[IMPAIR_UNWRITABLE]++;
		free(packet.bytes);
	}
}

// ---------------------------------------------------------------- deciding

static struct impair_decision decide(struct router *router, enum impair_direction direction, uint8_t *packet, size_t size,
				     uint64_t now, char text[static IMPAIR_FLOW_TEXT])
{
	struct impair_flow flow;
	// The draws are made for every packet, so that ordinals and chance stay in step.
	struct impair_decision out = impair_decide_next(&router->decide[direction], size, now);
	if (impair_flow_parse(packet, size, &flow)) {
		snprintf(text, IMPAIR_FLOW_TEXT, "?");
		out.verdict = IMPAIR_MALFORMED;
		return out;
	}
	impair_flow_text(&flow, text);
	if (!router->start_ns)
		return out;
	enum impair_verdict verdict = impair_nat_apply(&router->nat, direction, packet, &flow, now - router->start_ns);
	if (verdict != IMPAIR_PASS)
		out.verdict = verdict;
	return out;
}

static void route(struct router *router, enum impair_direction direction, uint8_t *packet, size_t size)
{
	char text[IMPAIR_FLOW_TEXT];
	uint64_t now = now_ns(), ordinal = router->decide[direction].ordinal;
	struct counters *counters = &router->counters[direction];
	struct impair_decision decision = decide(router, direction, packet, size, now, text);
	bool is_passed = decision.verdict == IMPAIR_PASS;
	if (is_passed && !push(router, direction, packet, size, decision.due_ns)) {
		decision.verdict = IMPAIR_QUEUE_FULL;
		is_passed = false;
	}
	if (is_passed && decision.is_duplicated && !push(router, direction, packet, size, decision.duplicate_due_ns))
		decision.is_duplicated = false;
	counters->packets++;
	counters->bytes += size;
	counters->verdict[decision.verdict]++;
	counters->duplicated += is_passed && decision.is_duplicated;
	counters->reordered += is_passed && decision.is_reordered;
	if (!router->log)
		return;
	double at_s = router->start_ns ? (double)(now - router->start_ns) / 1e9 : -1;
	fprintf(router->log, "%.6f %s %" PRIu64 " %s %zu %s %" PRIu64 "%s%s\n", at_s, direction_names[direction], ordinal, text, size,
		impair_verdict_text(decision.verdict), is_passed ? (decision.due_ns - now) / 1000 : 0,
		is_passed && decision.is_duplicated ? " duplicated" : "", is_passed && decision.is_reordered ? " reordered" : "");
}

static void read_some(struct router *router, enum impair_direction direction)
{
	static uint8_t packet[PACKET_MAX];
	for (int i = 0; i < READ_BATCH; i++) {
		ssize_t size = read(router->tun[direction], packet, sizeof(packet));
		if (size <= 0)
			return;
		route(router, direction, packet, (size_t)size);
	}
}

static void run(struct router *router, uint64_t end_ns)
{
	struct pollfd fds[IMPAIR_DIRECTIONS];
	sigset_t none; // signals arrive while it waits, at no other time
	sigemptyset(&none);
	for (int i = 0; i < IMPAIR_DIRECTIONS; i++)
		fds[i] = (struct pollfd){ .fd = router->tun[i], .events = POLLIN };
	for (uint64_t now; !is_stopped && (now = now_ns()) < end_ns;) {
		if (is_armed && !router->start_ns)
			router->start_ns = now;
		send_due(router, now);
		uint64_t next_ns = router->heap_size && router->heap[0].due_ns < end_ns ? router->heap[0].due_ns : end_ns;
		uint64_t wait_ns = next_ns > now ? next_ns - now : 0;
		struct timespec wait = { .tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000) };
		if (ppoll(fds, IMPAIR_DIRECTIONS, &wait, &none) <= 0)
			continue;
		for (int i = 0; i < IMPAIR_DIRECTIONS; i++) {
			if (fds[i].revents)
				read_some(router, (enum impair_direction)i);
		}
	}
}

static void print_counters(const struct router *router)
{
	for (int i = 0; i < IMPAIR_DIRECTIONS; i++) {
		const struct counters *c = &router->counters[i];
		printf("%s\"%s\":{\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"reordered\":%" PRIu64,
		       i ? "," : "{", direction_names[i], c->packets, c->bytes, c->duplicated, c->reordered);
		for (int v = 0; v < IMPAIR_VERDICTS; v++)
			printf(",\"%s\":%" PRIu64, impair_verdict_text((enum impair_verdict)v), c->verdict[v]);
		printf("}");
	}
	printf(",\"bindings\":%" PRIu64 "}\n", router->nat.bindings_made);
}

// ---------------------------------------------------------------- setting up

// Open a TUN interface in a namespace: "NAME:INTERFACE", or "-:INTERFACE".
static int tun_open(const char *where)
{
	char path[256];
	const char *interface = strchr(where, ':');
	if (!interface || strlen(interface + 1) >= IFNAMSIZ || interface - where > 128) {
		fprintf(stderr, "impair: %s: NETNS:INTERFACE is needed\n", where);
		return -1;
	}
	snprintf(path, sizeof(path), "/run/netns/%.*s", (int)(interface - where), where);
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = where[0] == '-' ? dup(home) : open(path, O_RDONLY | O_CLOEXEC);
	int tun = -1;
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	memcpy(request.ifr_name, interface + 1, strlen(interface + 1) + 1);
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		fprintf(stderr, "impair: namespace of %s: %s\n", where, strerror(errno));
	else if ((tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0 || ioctl(tun, TUNSETIFF, &request) < 0)
		fprintf(stderr, "impair: interface of %s: %s\n", where, strerror(errno));
	else
		goto out;
	if (tun >= 0)
		close(tun);
	tun = -1;
out:
	if (home >= 0 && setns(home, CLONE_NEWNET) < 0 && tun >= 0) {
		close(tun);
		tun = -1;
	}
	close(there);
	close(home);
	return tun;
}

struct options {
	const char *inside, *outside, *log_path;
	struct impair_link link[IMPAIR_DIRECTIONS];
	uint64_t seed, duration_ns;
	bool is_armed_by_signal;
};

static enum err parse_number(const char *text, uint64_t *out)
{
	char *end;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || *end || end == text || *text == '-' ? ERR_USAGE : ERR_OK;
}

static enum err parse_option(int option, const char *value, struct options *options, struct impair_nat *nat, char problem[static 128])
{
	enum err err;
	snprintf(problem, 128, "wrong use, see impair --help");
	switch (option) {
	case 'i': options->inside = value; return ERR_OK;
	case 'o': options->outside = value; return ERR_OK;
	case 'l': options->log_path = value; return ERR_OK;
	case 'a': options->is_armed_by_signal = true; return ERR_OK;
	case 'u': return impair_link_parse(value, &options->link[IMPAIR_UP], problem);
	case 'd': return impair_link_parse(value, &options->link[IMPAIR_DOWN], problem);
	case 'b':
		err = impair_link_parse(value, &options->link[IMPAIR_UP], problem);
		return err ? err : impair_link_parse(value, &options->link[IMPAIR_DOWN], problem);
	case 'c': return impair_nat_add_case(nat, value, problem);
	case 's': return parse_number(value, &options->seed);
	case 't':
		err = parse_number(value, &options->duration_ns);
		options->duration_ns *= 1000000000;
		return err;
	default: return ERR_USAGE;
	}
}

static enum err parse_options(int argc, char **argv, struct options *options, struct impair_nat *nat)
{
	static const struct option names[] = {
		{ "inside", required_argument, NULL, 'i' }, { "outside", required_argument, NULL, 'o' },
		{ "up", required_argument, NULL, 'u' },	    { "down", required_argument, NULL, 'd' },
		{ "both", required_argument, NULL, 'b' },   { "case", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },   { "duration", required_argument, NULL, 't' },
		{ "log", required_argument, NULL, 'l' },    { "arm", no_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' },	    { NULL, 0, NULL, 0 },
	};
	char problem[128];
	for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (option == 'h') {
			usage(stdout);
			exit(0);
		}
		if (parse_option(option, optarg, options, nat, problem)) {
			fprintf(stderr, "impair: %s\n", problem);
			return ERR_USAGE;
		}
	}
	if (!options->inside || !options->outside || optind != argc) {
		usage(stderr);
		return ERR_USAGE;
	}
	return ERR_OK;
}

static enum err set_up(struct router *router, const struct options *options)
{
	for (int i = 0; i < IMPAIR_DIRECTIONS; i++)
		impair_decide_init(&router->decide[i], &options->link[i], options->seed, (enum impair_direction)i);
	router->heap = calloc(QUEUE_MAX, sizeof(*router->heap));
	if (!router->heap)
		return ERR_NOMEM;
	if (options->log_path && !(router->log = fopen(options->log_path, "we"))) {
		fprintf(stderr, "impair: %s: %s\n", options->log_path, strerror(errno));
		return ERR_IO;
	}
	router->tun[IMPAIR_UP] = tun_open(options->inside);
	router->tun[IMPAIR_DOWN] = router->tun[IMPAIR_UP] < 0 ? -1 : tun_open(options->outside);
	if (router->tun[IMPAIR_DOWN] < 0)
		return ERR_IO;
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	struct sigaction stop = { .sa_handler = on_stop }, arm = { .sa_handler = on_arm };
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGUSR1, &arm, NULL);
	return ERR_OK;
}

static void tear_down(struct router *router)
{
	while (router->heap_size)
		free(pop(router).bytes);
	free(router->heap);
	for (int i = 0; i < IMPAIR_DIRECTIONS; i++) {
		if (router->tun[i] >= 0)
			close(router->tun[i]);
	}
	if (router->log && fclose(router->log) != 0)
		fprintf(stderr, "impair: log: %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
	static struct router router = { .tun = { -1, -1 } };
	struct options options = { .seed = 1, .duration_ns = 60000000000 };
	if (parse_options(argc, argv, &options, &router.nat))
		return 2;
	enum err err = set_up(&router, &options);
	if (!err) {
		uint64_t start_ns = now_ns();
		router.start_ns = options.is_armed_by_signal ? 0 : start_ns;
		run(&router, start_ns + options.duration_ns);
		print_counters(&router);
	}
	tear_down(&router);
	return err ? 1 : 0;
}
