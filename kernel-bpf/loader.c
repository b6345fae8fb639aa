// huisclos-loader: puts the relay's programs into the kernel, hands it their maps and links, and ends. Nobody keeps a
// descriptor of a program: who has one may attach it anywhere. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout.h"
#include "kernel-bpf/fanout.skel.h"
#include "kernel-bpf/loader_device.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RELAY_SOCKET = 3, EXIT_USAGE = 2, PROBLEM_MAX = 200, LINKS_MAX = 2 };

static const char usage[] =
	"usage: huisclos-loader --check [--devices LIST] [--engine auto|tcx|xdp]\n"
	"       huisclos-loader OPTION...       started by tcs, with its socket as descriptor 3\n"
	"\n"
	"  --check              show what each device can do and whether the kernel takes the programs; attach nothing\n"
	"  --devices LIST       names with commas, or auto: every device with a global address, and lo (default)\n"
	"  --engine ENGINE      tcx: no XDP program; auto: XDP where hardware has it (default); xdp: wherever it can be\n"
	"  --port N             UDP port of clients\n"
	"  --relay-port N       UDP port of other relays, 0: none (default)\n"
	"  --senders N, --windows N, --blocks N, --receivers N, --history-small N, --history-large N   entries of the maps\n"
	"  --verbose            what libbpf and the kernel's verifier say, to the standard error output\n"
	"  --help\n";

static const char not_ethernet[] = "no Ethernet frames";

enum wish { WISH_AUTO, WISH_TCX, WISH_XDP };

struct arguments {
	const char *devices;
	enum wish wish;
	bool is_check, is_verbose;
	uint32_t port, relay_port, senders, windows, blocks, receivers, history_small, history_large;
};

struct attached {
	struct loader_device *device;
	uint32_t slot, engines;
	int link[LINKS_MAX];
	size_t link_count;
	char text[sizeof(((struct loader_message *)0)->text)];
};

struct loader {
	struct arguments arguments;
	struct fanout_bpf *programs;
	struct fanout_config config;
	struct loader_device device[LOADER_DEVICES_MAX];
	size_t device_count;
	uint32_t next_slot;
	bool has_xdp;               // its programs are in the kernel
	char xdp_refusal[PROBLEM_MAX]; // why not
};

// ---------------------------------------------------------------- libbpf's log: the first line of trouble

static struct {
	bool is_verbose;
	char first[PROBLEM_MAX];
} bpf_log;

__attribute__((format(printf, 2, 0))) static int on_bpf_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (bpf_log.is_verbose)
		return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, arguments);
	if (level != LIBBPF_WARN || bpf_log.first[0])
		return 0;
	vsnprintf(bpf_log.first, sizeof(bpf_log.first), format, arguments);
	bpf_log.first[strcspn(bpf_log.first, "\n")] = '\0';
	return 0;
}

static void explain(int error, char problem[static PROBLEM_MAX])
{
	if (error == EPERM)
		snprintf(problem, PROBLEM_MAX, "no privilege: CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN are needed");
	else
		snprintf(problem, PROBLEM_MAX, "%.60s%s%.120s", strerror(error), bpf_log.first[0] ? ": " : "",
			 strncmp(bpf_log.first, "libbpf: ", 8) == 0 ? bpf_log.first + 8 : bpf_log.first);
}

// ---------------------------------------------------------------- command line

enum { OPTION_CHECK = 256, OPTION_DEVICES, OPTION_ENGINE, OPTION_VERBOSE, OPTION_PORT, OPTION_RELAY_PORT, OPTION_SENDERS,
       OPTION_WINDOWS,       OPTION_BLOCKS, OPTION_RECEIVERS, OPTION_HISTORY_SMALL, OPTION_HISTORY_LARGE };

static const struct option option_rows[] = {
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "devices", required_argument, NULL, OPTION_DEVICES },
	{ "engine", required_argument, NULL, OPTION_ENGINE },
	{ "verbose", no_argument, NULL, OPTION_VERBOSE },
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "relay-port", required_argument, NULL, OPTION_RELAY_PORT },
	{ "senders", required_argument, NULL, OPTION_SENDERS },
	{ "windows", required_argument, NULL, OPTION_WINDOWS },
	{ "blocks", required_argument, NULL, OPTION_BLOCKS },
	{ "receivers", required_argument, NULL, OPTION_RECEIVERS },
	{ "history-small", required_argument, NULL, OPTION_HISTORY_SMALL },
	{ "history-large", required_argument, NULL, OPTION_HISTORY_LARGE },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool read_number(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < least || value > most)
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool read_wish(const char *text, enum wish *out)
{
	static const char *const names[] = { [WISH_AUTO] = "auto", [WISH_TCX] = "tcx", [WISH_XDP] = "xdp" };
	for (enum wish wish = WISH_AUTO; wish <= WISH_XDP; wish++) {
		if (strcmp(text, names[wish]) == 0) {
			*out = wish;
			return true;
		}
	}
	return false;
}

static bool read_value(int option, const char *text, struct arguments *out)
{
	switch (option) {
	case OPTION_DEVICES:
		out->devices = text;
		return *text != '\0';
	case OPTION_ENGINE:
		return read_wish(text, &out->wish);
	case OPTION_PORT:
		return read_number(text, 1, UINT16_MAX, &out->port);
	case OPTION_RELAY_PORT:
		return read_number(text, 0, UINT16_MAX, &out->relay_port);
	case OPTION_SENDERS:
		return read_number(text, 1, 1u << 20, &out->senders);
	case OPTION_WINDOWS:
		return read_number(text, 1, 1u << 20, &out->windows);
	case OPTION_BLOCKS:
		return read_number(text, 1, INT_MAX, &out->blocks);
	case OPTION_RECEIVERS:
		return read_number(text, 1, 1u << FANOUT_EXTENT_BITS, &out->receivers);
	case OPTION_HISTORY_SMALL:
		return read_number(text, 1, INT_MAX, &out->history_small);
	case OPTION_HISTORY_LARGE:
		return read_number(text, 1, INT_MAX, &out->history_large);
	default:
		return false;
	}
}

// -1: go on; else the exit status.
static int parse_arguments(int argc, char **argv, struct arguments *out)
{
	int option;
	*out = (struct arguments){ .devices = "auto", .senders = 1, .windows = 1, .blocks = 1, .receivers = 1, .history_small = 1, .history_large = 1 };
	while ((option = getopt_long(argc, argv, "h", option_rows, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		}
		if (option == OPTION_CHECK || option == OPTION_VERBOSE) {
			*(option == OPTION_CHECK ? &out->is_check : &out->is_verbose) = true;
		} else if (option == '?' || !read_value(option, optarg, out)) {
			if (option != '?')
				fprintf(stderr, "huisclos-loader: %s is no good value here; see --help\n", optarg);
			return EXIT_USAGE;
		}
	}
	int type = 0;
	socklen_t size = sizeof(type);
	if (optind < argc || (!out->is_check && out->port == 0)) {
		fputs("huisclos-loader: see --help\n", stderr);
		return EXIT_USAGE;
	}
	if (!out->is_check && (getsockopt(RELAY_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET)) {
		fputs("huisclos-loader: descriptor 3 is not the relay's socket: tcs starts this program; --check is for people\n", stderr);
		return EXIT_USAGE;
	}
	return -1;
}

// ---------------------------------------------------------------- to the relay

static bool tell(const struct loader_message *message, const int *descriptors, size_t count)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(LINKS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec vector = { .iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message) };
	struct msghdr out = { .msg_iov = &vector, .msg_iovlen = 1 };
	if (count != 0) {
		out.msg_control = &control;
		out.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&out);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
	}
	return sendmsg(RELAY_SOCKET, &out, MSG_NOSIGNAL) == (ssize_t)sizeof(*message);
}

static int fail(const struct loader *loader, const char *problem)
{
	struct loader_message message = { .item = LOADER_FAILED };
	snprintf(message.text, sizeof(message.text), "%s", problem);
	if (loader->arguments.is_check)
		printf("programs   refused: %s\n", problem);
	else
		(void)tell(&message, NULL, 0);
	return EXIT_FAILURE;
}

static bool tell_map(enum loader_map map, int descriptor, uint32_t entries)
{
	const struct loader_message message = { .item = LOADER_MAP, .map = map, .entries = entries };
	return tell(&message, &descriptor, 1);
}

static bool tell_maps(const struct loader *loader)
{
	const struct bpf_map *maps[LOADER_MAPS] = {
		[LOADER_MAP_CONFIG] = loader->programs->maps.config, [LOADER_MAP_SENDERS] = loader->programs->maps.senders,
		[LOADER_MAP_WINDOWS] = loader->programs->maps.windows, [LOADER_MAP_BLOCKS] = loader->programs->maps.blocks,
		[LOADER_MAP_RECEIVERS] = loader->programs->maps.receivers,
		[LOADER_MAP_HISTORY_SMALL] = loader->programs->maps.history_small,
		[LOADER_MAP_HISTORY_LARGE] = loader->programs->maps.history_large,
		[LOADER_MAP_RELAYS] = loader->programs->maps.relays, [LOADER_MAP_ADDRESSES] = loader->programs->maps.addresses,
		[LOADER_MAP_COUNTERS] = loader->programs->maps.counters, [LOADER_MAP_GRACE] = loader->programs->maps.grace,
	};
	for (enum loader_map map = LOADER_MAP_CONFIG; map < LOADER_MAP_GRACE_INNER; map++) {
		if (!tell_map(map, bpf_map__fd(maps[map]), bpf_map__max_entries(maps[map])))
			return false;
	}
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
	return inner >= 0 && tell_map(LOADER_MAP_GRACE_INNER, inner, 1);
}

// ---------------------------------------------------------------- load

static bool may_have_xdp(const struct loader *loader, const struct loader_device *device)
{
	return device->has_native_xdp && device->is_ethernet && loader->arguments.wish != WISH_TCX &&
	       (!device->is_virtual || loader->arguments.wish == WISH_XDP);
}

// 0, or an errno.
static int load(struct loader *loader, bool with_xdp)
{
	const struct arguments *a = &loader->arguments;
	bpf_log.first[0] = '\0';
	loader->programs = fanout_bpf__open();
	if (!loader->programs)
		return errno;
	struct fanout_bpf *p = loader->programs;
	bpf_program__set_autoload(p->progs.fanout_xdp, with_xdp);
	bpf_program__set_autoload(p->progs.fanout_egress, with_xdp);
	int error = bpf_map__set_max_entries(p->maps.senders, a->senders);
	error = error ? error : bpf_map__set_max_entries(p->maps.windows, a->windows);
	error = error ? error : bpf_map__set_max_entries(p->maps.blocks, a->blocks);
	error = error ? error : bpf_map__set_max_entries(p->maps.receivers, a->receivers);
	error = error ? error : bpf_map__set_max_entries(p->maps.history_small, a->history_small);
	error = error ? error : bpf_map__set_max_entries(p->maps.history_large, a->history_large);
	error = error ? error : fanout_bpf__load(p);
	if (error) {
		fanout_bpf__destroy(p);
		loader->programs = NULL;
	}
	return -error;
}

// X only if some device can have it; if the kernel refuses X, T alone.
static int load_best(struct loader *loader)
{
	for (size_t i = 0; i < loader->device_count; i++)
		loader->has_xdp |= may_have_xdp(loader, &loader->device[i]);
	int error = load(loader, loader->has_xdp);
	if (error == 0 || error == EPERM || error == ENOMEM || !loader->has_xdp)
		return error;
	explain(error, loader->xdp_refusal);
	loader->has_xdp = false;
	return load(loader, false);
}

// ---------------------------------------------------------------- attach

// What is said of a device: reasons, with semicolons.
__attribute__((format(printf, 2, 3))) static void note(struct attached *a, const char *format, ...)
{
	size_t used = strlen(a->text);
	va_list arguments;
	if (used != 0 && used + 2 < sizeof(a->text)) {
		memcpy(a->text + used, "; ", sizeof("; "));
		used += 2;
	}
	va_start(arguments, format);
	vsnprintf(a->text + used, sizeof(a->text) - used, format, arguments);
	va_end(arguments);
}

static void attach_tcx(const struct loader *loader, struct attached *a)
{
	if (a->device->is_for_xdp_only)
		return;
	int link = bpf_link_create(bpf_program__fd(loader->programs->progs.fanout_tcx), (int)a->device->ifindex, BPF_TCX_INGRESS, NULL);
	if (link < 0) {
		note(a, "no tcx program: %s%s", strerror(-link), link == -EINVAL ? " (Linux 6.6 or later is needed)" : "");
		return;
	}
	a->link[a->link_count++] = link;
	a->engines |= 1u << FANOUT_TCX;
}

// A map of n entries, all the same: a broadcast to it makes n copies, each seen by the egress program.
static int make_copies(const struct loader *loader, const struct attached *a, uint32_t n, int *out)
{
	const struct bpf_devmap_val value = { .ifindex = a->device->ifindex,
					      .bpf_prog.fd = bpf_program__fd(loader->programs->progs.fanout_egress) };
	*out = bpf_map_create(BPF_MAP_TYPE_DEVMAP, "copies", sizeof(uint32_t), sizeof(value), n, NULL);
	int error = *out < 0 ? *out : 0;
	for (uint32_t i = 0; i < n && !error; i++)
		error = bpf_map_update_elem(*out, &i, &value, BPF_ANY);
	return error;
}

// In one call: after each the kernel waits until no program uses what was there before.
static int fill_sizes(const struct loader *loader, const struct attached *a)
{
	uint32_t key[FANOUT_XDP_MAX], count = 0;
	int copies[FANOUT_XDP_MAX], error = 0;
	while (count < FANOUT_XDP_MAX && !error) {
		key[count] = a->slot * (FANOUT_XDP_MAX + 1) + count + 1;
		error = make_copies(loader, a, count + 1, &copies[count]);
		count++;
	}
	uint32_t done = count;
	if (!error)
		error = bpf_map_update_batch(bpf_map__fd(loader->programs->maps.sizes), key, copies, &done, NULL);
	while (count > 0) {
		if (copies[--count] >= 0)
			close(copies[count]);
	}
	return error;
}

static const char *why_no_xdp(const struct loader *loader, const struct loader_device *device)
{
	if (loader->arguments.wish == WISH_TCX)
		return NULL; // as it was wanted
	if (!device->has_native_xdp)
		return "the driver has no native XDP";
	if (!may_have_xdp(loader, device))
		return "a virtual device, where it costs more than it saves";
	return loader->has_xdp ? NULL : loader->xdp_refusal;
}

static void attach_xdp(const struct loader *loader, struct attached *a)
{
	LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
	const char *why = why_no_xdp(loader, a->device);
	if (why)
		note(a, "no XDP: %s", why);
	if (why || loader->arguments.wish == WISH_TCX)
		return;
	int link = bpf_link_create(bpf_program__fd(loader->programs->progs.fanout_xdp), (int)a->device->ifindex, BPF_XDP, &native);
	if (link < 0) {
		note(a, "no XDP: %s", link == -EBUSY ? "another XDP program is there" : strerror(-link));
		return;
	}
	loader_device_ask_xdp(a->device); // some drivers make their transmit rings for it only now
	int error = a->device->has_xmit ? fill_sizes(loader, a) : 0;
	if (!a->device->has_xmit || error) {
		close(link);
		note(a, "no XDP: %s", error ? strerror(-error) :
		     strcmp(a->device->driver, "veth") == 0 ? "the other end of the veth pair takes no redirected packets without GRO" :
							      "the driver sends no redirected packets");
		return;
	}
	a->link[a->link_count++] = link;
	a->engines |= 1u << FANOUT_XDP;
}

static bool attach(struct loader *loader, struct loader_device *device)
{
	const uint32_t first = 0;
	struct attached a = { .device = device, .slot = loader->next_slot };
	if (device->ifindex == 0) {
		note(&a, "there is no such device");
	} else if (!device->is_ethernet) {
		note(&a, "%s", not_ethernet);
	} else if (loader->next_slot == FANOUT_DEVICES) {
		note(&a, "more than %d devices", FANOUT_DEVICES - 1);
	} else {
		loader->config.ifindex[a.slot] = device->ifindex;
		loader->config.mtu[a.slot] = (uint16_t)(device->mtu < UINT16_MAX ? device->mtu : UINT16_MAX);
		if (bpf_map_update_elem(bpf_map__fd(loader->programs->maps.config), &first, &loader->config, BPF_ANY) == 0) {
			attach_tcx(loader, &a);
			attach_xdp(loader, &a);
		}
		if (device->merges_for_forwarding)
			note(&a, "rx-gro-list or rx-udp-gro-forwarding is on: this has locked up hosts, switch it off with ethtool -K");
	}
	struct loader_message message = { .item = LOADER_DEVICE, .device = a.engines ? a.slot : 0, .ifindex = device->ifindex,
					  .engines = a.engines, .ring = device->ring };
	snprintf(message.name, sizeof(message.name), "%s", device->name);
	snprintf(message.text, sizeof(message.text), "%s", a.text);
	loader->next_slot += a.engines != 0;
	bool is_told = tell(&message, a.link, a.link_count);
	for (size_t i = 0; i < a.link_count; i++)
		close(a.link[i]);
	return is_told;
}

// Without it nothing is ever shed.
static bool attach_poll(const struct loader *loader)
{
	struct loader_message message = { .item = LOADER_POLL };
	int link = bpf_raw_tracepoint_open("napi_poll", bpf_program__fd(loader->programs->progs.fanout_poll));
	if (link < 0)
		snprintf(message.text, sizeof(message.text), "%s", strerror(-link));
	bool is_told = tell(&message, &link, link >= 0);
	if (link >= 0)
		close(link);
	return is_told;
}

static int hand_over(struct loader *loader)
{
	const struct loader_message done = { .item = LOADER_DONE };
	const uint32_t first = 0;
	loader->config.port_be = __builtin_bswap16((uint16_t)loader->arguments.port);
	loader->config.relay_port_be = __builtin_bswap16((uint16_t)loader->arguments.relay_port);
	loader->next_slot = 1;
	int error = bpf_map_update_elem(bpf_map__fd(loader->programs->maps.config), &first, &loader->config, BPF_ANY);
	if (error)
		return fail(loader, strerror(-error));
	if (!tell_maps(loader))
		return fail(loader, "the maps cannot be handed over");
	if (!attach_poll(loader))
		return EXIT_FAILURE; // the relay has gone
	for (size_t i = 0; i < loader->device_count; i++) {
		if (!attach(loader, &loader->device[i]))
			return EXIT_FAILURE;
	}
	return tell(&done, NULL, 0) ? EXIT_SUCCESS : EXIT_FAILURE;
}

// ---------------------------------------------------------------- check

static int check(const struct loader *loader)
{
	printf("programs   the kernel takes them%s%s%s\n", loader->has_xdp ? ", XDP too" : "",
	       loader->xdp_refusal[0] ? ", but for XDP: " : "", loader->xdp_refusal);
	for (size_t i = 0; i < loader->device_count; i++) {
		const struct loader_device *d = &loader->device[i];
		if (d->ifindex == 0) {
			printf("%-10s there is no such device\n", d->name);
			continue;
		}
		if (!d->is_ethernet) {
			printf("%-10s %s\n", d->name, not_ethernet);
			continue;
		}
		bool has_xdp = may_have_xdp(loader, d) && loader->has_xdp;
		printf("%-10s %s%s%s; driver %s%s, MTU %u, ", d->name, d->is_for_xdp_only ? "" : "tcx",
		       has_xdp && !d->is_for_xdp_only ? ", " : "", has_xdp ? "xdp" : "", d->driver[0] ? d->driver : "unknown",
		       d->is_virtual ? " (virtual)" : "", d->mtu);
		if (d->ring)
			printf("ring %u, ", d->ring);
		printf("native XDP %s, redirected packets %s%s\n", d->has_native_xdp ? "yes" : "no", d->has_xmit ? "yes" : "no",
		       d->merges_for_forwarding ? "; rx-gro-list or rx-udp-gro-forwarding is on: switch it off" : "");
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct loader loader;
	char problem[PROBLEM_MAX];
	int status = parse_arguments(argc, argv, &loader.arguments);
	if (status >= 0)
		return status;
	bpf_log.is_verbose = loader.arguments.is_verbose;
	libbpf_set_print(on_bpf_log);
	enum err err = loader_device_list(loader.arguments.devices, loader.arguments.wish != WISH_TCX, loader.device, &loader.device_count);
	if (err)
		return fail(&loader, err == ERR_LIMIT ? "too many network devices: name those that matter" : "the network devices cannot be listed");
	int error = load_best(&loader);
	if (error) {
		explain(error, problem);
		return fail(&loader, problem);
	}
	status = loader.arguments.is_check ? check(&loader) : hand_over(&loader);
	fanout_bpf__destroy(loader.programs);
	return status;
}
