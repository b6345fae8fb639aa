// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/measure.h"

#include "tests/bench/relay/bench.h"
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/senders.h"

#include "tests/bench/relay/traffic.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum { LEAD_MS = 20, TAIL_MS = 20, REST_STEPS = 50, BATCH_MAX = 64 };

static const char usage_text[] =
	"usage: bench_relay measure [OPTION]...\n"
	"  --senders FILE     made by crowd; without: somebody, for relays that check nothing\n"
	"  --use K            only the first K of them\n"
	"  --copies N         receivers of each packet\n"
	"  --burst B          packets sent together\n"
	"  --rate PACKETS     packets a second; without: a closed loop, a burst when all copies of the last arrived\n"
	"  --seconds S --bytes FRAME --stream S --audio-every K --core C\n"
	"  --train            each burst is one UDP_SEGMENT train from a socket\n"
	"  --sink tcx|xdp|egress|none   what takes the copies: a program where receivers are; one where the relay sends, in the\n"
	"                     relay's time; none: the receivers' sockets\n"
	"  --latency          percentiles of the time from sending to arrival\n"
	"  --forward N        not to the relay, but to N receivers in turn: for a router between\n"
	"  --plain rtp|channel --port P   as other relays take it, at that port\n"
	"  --forgery KIND     tag, counter, address, stream, room; --good-every K, --other-index I (for room)\n"
	"  --charge PID       whose time is counted: all threads of the process, or the kernel thread\n"
	"Prints JSON.\n";

static const char *const plains[WIRE_PLAINS] = { "none", "rtp", "channel" };
static const char *const sinks[] = { "tcx", "xdp", "egress", "none" };
static const char *const forgeries[WIRE_FORGERIES] = { "none", "tag", "counter", "address", "stream", "room" };

// ---------------------------------------------------------------- what is sent

static uint64_t sum_words(const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	uint64_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum += i & 1 ? (uint64_t)p[i] << 8 : p[i];
	return sum;
}

// Ethernet, IPv4 and UDP header, and sums of all that is the same in each packet.
static void set_headers(struct wire_config *config, uint16_t to_port, const uint8_t *payload, size_t size)
{
	uint8_t *ip = config->headers + 14, *udp = config->headers + 34;
	static const uint8_t ethernet[14] = { 2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 1, 8, 0 };
	uint32_t to = htonl(WIRE_RELAY_ADDRESS), from = htonl(WIRE_SENDER_ADDRESS);
	uint16_t length = htons((uint16_t)(size + 28)), udp_length = htons((uint16_t)(size + 8)), port = htons(to_port);
	memcpy(config->headers, ethernet, sizeof(ethernet));
	ip[0] = 0x45;
	memcpy(ip + 2, &length, 2);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 12, &from, 4);
	config->ip_sum = sum_words(ip, 20);
	memcpy(ip + 16, &to, 4);
	memcpy(udp + 2, &port, 2);
	memcpy(udp + 4, &udp_length, 2);
	config->base_sum = sum_words(ip + 12, 4) + htons(IPPROTO_UDP) + 2 * (uint64_t)udp_length +
			   sum_words(payload + WIRE_HEAD_BYTES + WIRE_STAMP_BYTES, size - WIRE_HEAD_BYTES - WIRE_STAMP_BYTES);
}

static void set_config(struct wire_config *config, const struct measure_options *options, const uint8_t *payload)
{
	*config = (struct wire_config){ .frame_bytes = options->frame_bytes, .stream = options->stream, .audio_every = options->audio_every,
					.forgery = options->forgery, .good_every = options->good_every, .forward = options->forward,
					.is_latency_wanted = options->is_latency_wanted, .other_index = options->other_index,
					.plain = options->plain,
					.burst = options->burst, .copies = options->rate ? 0 : options->copies };
	if (options->rate)
		config->period_ns = options->burst * 1000000000ull / options->rate;
	set_headers(config, options->port, payload, options->frame_bytes - WIRE_HEADERS_BYTES);
	memcpy(config->head, payload, WIRE_HEAD_BYTES);
	if (options->plain)
		return;
	config->head[2] &= 0xffff; // sequence, timestamp and SSRC are put in
	config->head[3] &= ~0xffffffffull;
}

// ---------------------------------------------------------------- sending

static void on_alarm(int signal) { (void)signal; }

// One long test run: the program itself keeps time, a signal ends it.
static void run_generator(struct traffic_bpf *traffic, const uint8_t *frame, size_t size, double seconds)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (uint32_t)size, .repeat = 0x7fffffff,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = traffic->bss->config.burst < BATCH_MAX ? (uint32_t)traffic->bss->config.burst : BATCH_MAX);
	double end = seconds + (LEAD_MS + 1) / 1e3;
	const struct itimerval timer = { .it_value = { (time_t)end, (suseconds_t)((end - (double)(time_t)end) * 1e6) }, .it_interval = { 0, 5000 } };
	const struct itimerval off = { 0 };
	const struct sigaction action = { .sa_handler = on_alarm };
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	int failed = bpf_prog_test_run_opts(bpf_program__fd(traffic->progs.generator), &run);
	int why = errno;
	setitimer(ITIMER_REAL, &off, NULL);
	errno = why;
	if (failed && errno != EINTR)
		lab_die("BPF_PROG_TEST_RUN");
}

// Until nothing arrives any more: what an overload left in the relay's queues would count for the next run.
static void rest(const struct wire_totals *totals)
{
	const volatile uint64_t *arrived = &totals->arrived;
	uint64_t before;
	for (int i = 0; i < REST_STEPS; i++) {
		before = *arrived;
		lab_sleep_until(lab_now_ns() + TAIL_MS * 1000000ull);
		if (*arrived == before)
			return;
	}
}

// Returns how many copies had arrived when the time was over.
static uint64_t send_all(struct traffic_bpf *traffic, const struct measure_options *options, const uint8_t *payload)
{
	uint8_t frame[WIRE_FRAME_MAX] = { 0 };
	memcpy(frame + WIRE_HEADERS_BYTES, payload, options->frame_bytes - WIRE_HEADERS_BYTES);
	struct wire_config *config = &traffic->bss->config;
	if (options->rate) {
		rest(&traffic->bss->totals);
		memset(&traffic->bss->totals, 0, sizeof(traffic->bss->totals));
		memset(traffic->bss->latency, 0, sizeof(traffic->bss->latency));
	}
	config->start_ns = lab_now_ns() + LEAD_MS * 1000000ull;
	config->stop_ns = config->start_ns + (uint64_t)(options->seconds * 1e9);
	if (options->is_train)
		trains_send(config, &traffic->bss->totals, &traffic->bss->senders[0]);
	else
		run_generator(traffic, frame, options->frame_bytes, options->seconds);
	uint64_t in_time = *(volatile uint64_t *)&traffic->bss->totals.arrived;
	rest(&traffic->bss->totals);
	return in_time;
}

// ---------------------------------------------------------------- result

static void print_percentiles(const uint64_t *histogram)
{
	static const struct {
		const char *name;
		double quantile;
	} rows[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 } };
	uint64_t total = 0, below = 0;
	for (size_t i = 0; i < WIRE_LATENCY_BUCKETS; i++)
		total += histogram[i];
	for (size_t i = 0, row = 0; i < WIRE_LATENCY_BUCKETS && row < sizeof(rows) / sizeof(rows[0]) && total > 0; i++) {
		below += histogram[i];
		for (; row < sizeof(rows) / sizeof(rows[0]) && (double)below >= rows[row].quantile * (double)total; row++)
			printf(",\"%s_us\":%.2f", rows[row].name, ((double)i + 0.5) * 0.512);
	}
}

static void print_result(const struct traffic_bpf *traffic, const struct measure_options *options, uint64_t in_time, const uint64_t *cpu_ns)
{
	const struct wire_totals *t = &traffic->bss->totals;
	uint64_t cpu = 0, expected = (options->forward ? t->sent : t->good) * options->copies;
	for (size_t i = 0; i < options->charged_count; i++)
		cpu += cpu_ns[i];
	printf("{\"sent\":%" PRIu64 ",\"good\":%" PRIu64 ",\"audio\":%" PRIu64 ",\"copies\":%" PRIu64 ",\"expected\":%" PRIu64
	       ",\"audio_copies\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"stalls\":%" PRIu64 ",\"late\":%" PRIu64 ",\"seconds\":%.3f,\"cpu_ns\":%" PRIu64,
	       t->sent, t->good, t->audio, t->arrived, expected, t->arrived_of[0], t->frames, t->stalls, t->late, options->seconds, cpu);
	printf(",\"in_time\":%" PRIu64, in_time);
	printf(",\"ns_per_copy\":%.2f,\"delivered\":%.6f,\"cpu\":[", t->arrived ? (double)cpu / (double)t->arrived : 0.0,
	       expected ? (double)t->arrived / (double)expected : 0.0);
	for (size_t i = 0; i < options->charged_count; i++)
		printf("%s%" PRIu64, i ? "," : "", cpu_ns[i]);
	printf("]");
	if (options->is_latency_wanted)
		print_percentiles(traffic->bss->latency);
	printf("}\n");
}

// One line on failure, not the verifier's log.
static int no_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

// A filter of the older kind, which is not a link: it is replaced by the next one, and goes with the device.
static void set_egress_sink(struct traffic_bpf *traffic, bool is_on)
{
	lab_enter(LAB_RELAY);
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)lab_device("hr1"), .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = 1, .priority = 1);
	(void)bpf_tc_hook_create(&hook); // it may be there
	if (!is_on) {
		(void)bpf_tc_detach(&hook, &filter);
		return;
	}
	filter.prog_fd = bpf_program__fd(traffic->progs.sink_egress);
	filter.flags = BPF_TC_F_REPLACE;
	if (bpf_tc_attach(&hook, &filter) != 0)
		lab_die("sink");
}

// NULL: none is wanted, or none that is a link.
static struct bpf_link *open_sink(struct traffic_bpf *traffic, enum measure_sink kind)
{
	struct bpf_link *link;
	if (kind == MEASURE_SINK_EGRESS)
		set_egress_sink(traffic, true);
	if (kind == MEASURE_SINK_EGRESS || kind == MEASURE_SINK_NONE)
		return NULL;
	lab_enter(LAB_RECEIVERS);
	if (kind == MEASURE_SINK_XDP)
		link = bpf_program__attach_xdp(traffic->progs.sink_xdp, (int)lab_device("hc0"));
	else
		link = bpf_program__attach_tcx(traffic->progs.sink, (int)lab_device("hc0"), NULL);
	if (!link)
		lab_die("sink");
	return link;
}

static int measure(const struct measure_options *options)
{
	static struct wire_sender senders[WIRE_SENDERS_MAX];
	static uint8_t payload[WIRE_FRAME_MAX];
	uint64_t before[MEASURE_CHARGED_MAX], cpu[MEASURE_CHARGED_MAX];
	size_t count = 1, used;
	senders[0] = senders_anybody();
	if (options->senders && !senders_read(options->senders, senders, &count))
		return 1;
	used = count;
	if (options->use > 0 && options->use < used)
		used = options->use;
	if (options->plain)
		senders_plain_template(options->plain, payload, options->frame_bytes - WIRE_HEADERS_BYTES);
	else
		senders_template(payload, options->frame_bytes - WIRE_HEADERS_BYTES);
	lab_pin(options->core);
	libbpf_set_print(no_log);
	struct traffic_bpf *traffic = traffic_bpf__open_and_load();
	if (!traffic)
		lab_die("BPF programs");
	struct bpf_link *link = open_sink(traffic, options->sink);
	lab_enter(LAB_GENERATOR);
	set_config(&traffic->bss->config, options, payload);
	traffic->bss->config.ifindex = lab_device("hg0");
	traffic->bss->config.senders = (uint32_t)used;
	memcpy(traffic->bss->senders, senders, count * sizeof(senders[0]));
	for (size_t i = 0; i < options->charged_count; i++)
		before[i] = lab_cpu_ns(options->charged[i]);
	uint64_t in_time = send_all(traffic, options, payload);
	for (size_t i = 0; i < options->charged_count; i++)
		cpu[i] = lab_cpu_ns(options->charged[i]) - before[i];
	print_result(traffic, options, in_time, cpu);
	bool is_good = !options->senders || senders_write(options->senders, traffic->bss->senders, count);
	bpf_link__destroy(link);
	if (options->sink == MEASURE_SINK_EGRESS)
		set_egress_sink(traffic, false);
	traffic_bpf__destroy(traffic);
	return is_good ? 0 : 1;
}

// ---------------------------------------------------------------- command line

static uint32_t parse_word(const char *option, const char *text, const char *const *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0)
			return i;
	}
	fprintf(stderr, "bench_relay: --%s %s: not known\n", option, text);
	exit(2);
}

static void parse_option(int option, const char *name, struct measure_options *out)
{
	switch (option) {
	case 's': out->senders = optarg; break;
	case 'u': out->use = (uint32_t)lab_number(name, optarg, WIRE_SENDERS_MAX); break;
	case 'n': out->copies = (uint32_t)lab_number(name, optarg, WIRE_RECEIVERS_MAX); break;
	case 'b': out->burst = (uint32_t)lab_number(name, optarg, 4096); break;
	case 'r': out->rate = lab_number(name, optarg, 100000000); break;
	case 't': out->seconds = strtod(optarg, NULL); break;
	case 'l': out->frame_bytes = (uint32_t)lab_number(name, optarg, WIRE_FRAME_MAX); break;
	case 'S': out->stream = (uint32_t)lab_number(name, optarg, WIRE_STREAMS - 1); break;
	case 'a': out->audio_every = (uint32_t)lab_number(name, optarg, 1000000); break;
	case 'c': out->core = (int)lab_number(name, optarg, 1023); break;
	case 'T': out->is_train = true; break;
	case 'L': out->is_latency_wanted = true; break;
	case 'f': out->forward = (uint32_t)lab_number(name, optarg, WIRE_RECEIVERS_MAX); break;
	case 'F': out->forgery = parse_word(name, optarg, forgeries, WIRE_FORGERIES); break;
	case 'P': out->plain = parse_word(name, optarg, plains, WIRE_PLAINS); break;
	case 'k': out->sink = (enum measure_sink)parse_word(name, optarg, sinks, 4); break;
	case 'q': out->port = (uint16_t)lab_number(name, optarg, 65535); break;
	case 'g': out->good_every = (uint32_t)lab_number(name, optarg, 1000000); break;
	case 'o': out->other_index = (uint32_t)lab_number(name, optarg, 0xffffff); break;
	case 'p':
		if (out->charged_count < MEASURE_CHARGED_MAX)
			out->charged[out->charged_count++] = (pid_t)lab_number(name, optarg, 1 << 30);
		break;
	default:
		fputs(usage_text, stderr);
		exit(2);
	}
}

int measure_main(int argc, char **argv)
{
	static const struct option rows[] = {
		{ "senders", 1, NULL, 's' }, { "use", 1, NULL, 'u' }, { "copies", 1, NULL, 'n' }, { "burst", 1, NULL, 'b' }, { "rate", 1, NULL, 'r' },
		{ "seconds", 1, NULL, 't' }, { "bytes", 1, NULL, 'l' }, { "stream", 1, NULL, 'S' }, { "audio-every", 1, NULL, 'a' },
		{ "core", 1, NULL, 'c' }, { "train", 0, NULL, 'T' }, { "latency", 0, NULL, 'L' }, { "forward", 1, NULL, 'f' },
		{ "forgery", 1, NULL, 'F' }, { "good-every", 1, NULL, 'g' }, { "other-index", 1, NULL, 'o' }, { "charge", 1, NULL, 'p' },
		{ "plain", 1, NULL, 'P' }, { "port", 1, NULL, 'q' }, { "sink", 1, NULL, 'k' },
		{ NULL, 0, NULL, 0 },
	};
	struct measure_options options = { .copies = 1, .burst = 1, .frame_bytes = 1142, .stream = 1, .seconds = 0.5, .core = 1, .port = WIRE_RELAY_PORT };
	int option, row = 0;
	while ((option = getopt_long(argc, argv, "", rows, &row)) != -1)
		parse_option(option, option == '?' ? "" : rows[row].name, &options);
	if (optind < argc || options.burst == 0 || options.frame_bytes < WIRE_FRAME_MIN || options.seconds <= 0 || options.seconds > 600) {
		fputs(usage_text, stderr);
		return 2;
	}
	return measure(&options);
}
