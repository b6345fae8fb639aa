// SPDX-License-Identifier: Apache-2.0
#include "relay/fast_path.h"

#include "base/log.h"
#include "relay/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOADER_SOCKET = 3, DESCRIPTOR_ABOVE = 16, LINKS_MAX = 2, NUMBER_BYTES = 12, NUMBERS = 8 };

struct item {
	struct loader_message message;
	int descriptor[LINKS_MAX];
	size_t descriptor_count;
};

// ---------------------------------------------------------------- the loader's process

static const char *engine_option(const struct fast_path_options *options)
{
	return options->highest != FANOUT_XDP ? "tcx" : options->is_xdp_forced ? "xdp" : "auto";
}

static int spawn_with(const struct fast_path_options *options, char *const *arguments, int socket, pid_t *child)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	int error = posix_spawn_file_actions_init(&actions);
	if (error)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error) {
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	error = posix_spawn_file_actions_adddup2(&actions, socket, LOADER_SOCKET);
	if (!error)
		error = posix_spawn(child, options->loader, &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

// Returns an errno.
static int spawn(const struct fast_path_options *options, int socket, pid_t *child)
{
	const struct {
		const char *name;
		uint32_t value;
	} row[NUMBERS] = {
		{ "--port", options->port }, { "--relay-port", options->relay_port }, { "--senders", options->sizes.senders },
		{ "--windows", table_windows(&options->sizes) },
		{ "--blocks", options->sizes.blocks }, { "--receivers", options->sizes.receivers },
		{ "--history-small", options->sizes.history_small }, { "--history-large", options->sizes.history_large },
	};
	char number[NUMBERS][NUMBER_BYTES];
	const char *argument[5 + 2 * NUMBERS + 1] = { "huisclos-loader", "--devices", options->devices, "--engine", engine_option(options) };
	for (size_t i = 0; i < NUMBERS; i++) {
		snprintf(number[i], sizeof(number[i]), "%u", row[i].value);
		argument[5 + 2 * i] = row[i].name;
		argument[6 + 2 * i] = number[i];
	}
	return spawn_with(options, (char *const *)(uintptr_t)argument, socket, child);
}

// ---------------------------------------------------------------- what it hands over

static void item_close(struct item *item)
{
	for (size_t i = 0; i < LINKS_MAX && i < item->descriptor_count; i++) {
		if (item->descriptor[i] >= 0)
			close(item->descriptor[i]);
	}
	item->descriptor_count = 0;
}

// Takes a descriptor out of the item.
static int item_take(struct item *item, size_t index)
{
	int descriptor = item->descriptor[index];
	item->descriptor[index] = -1;
	return descriptor;
}

static void read_descriptors(struct msghdr *in, struct item *out)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(in);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return;
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	out->descriptor_count = count < LINKS_MAX ? count : LINKS_MAX; // the buffer takes no more
	memcpy(out->descriptor, CMSG_DATA(header), out->descriptor_count * sizeof(int));
}

// ERR_CLOSED, ERR_TIMEOUT, ERR_PARSE.
static enum err receive(int socket, uint64_t end_ns, struct item *out)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(LINKS_MAX * sizeof(int))];
	} control;
	struct iovec vector = { .iov_base = &out->message, .iov_len = sizeof(out->message) };
	struct msghdr in = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	uint64_t now_ns = loop_clock_ns(CLOCK_MONOTONIC);
	struct pollfd readable = { .fd = socket, .events = POLLIN };
	int ready = now_ns < end_ns ? poll(&readable, 1, (int)((end_ns - now_ns) / 1000000u) + 1) : 0;
	out->descriptor_count = 0;
	if (ready <= 0)
		return ERR_TIMEOUT;
	ssize_t size = recvmsg(socket, &in, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (size <= 0)
		return ERR_CLOSED;
	read_descriptors(&in, out);
	if (size != (ssize_t)sizeof(out->message) || in.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		item_close(out);
		return ERR_PARSE;
	}
	out->message.name[sizeof(out->message.name) - 1] = '\0';
	out->message.text[sizeof(out->message.text) - 1] = '\0';
	return ERR_OK;
}

static uint32_t entries_of(const struct table_sizes *sizes, enum loader_map map)
{
	switch (map) {
	case LOADER_MAP_SENDERS:
		return sizes->senders;
	case LOADER_MAP_WINDOWS:
		return table_windows(sizes);
	case LOADER_MAP_BLOCKS:
		return sizes->blocks;
	case LOADER_MAP_RECEIVERS:
		return sizes->receivers;
	case LOADER_MAP_HISTORY_SMALL:
		return sizes->history_small;
	case LOADER_MAP_HISTORY_LARGE:
		return sizes->history_large;
	case LOADER_MAP_RELAYS:
	case LOADER_MAP_ADDRESSES:
		return 0; // as the programs have it
	default:
		return 1;
	}
}

// The kernel's own word for the shape, so that a loader of another version is found out before memory is shared with it.
static bool has_shape(int descriptor, enum loader_map map, const struct table_sizes *sizes)
{
	static const unsigned value_bytes[LOADER_MAPS] = {
		[LOADER_MAP_CONFIG] = sizeof(struct fanout_config), [LOADER_MAP_SENDERS] = sizeof(struct fanout_sender),
		[LOADER_MAP_WINDOWS] = sizeof(struct fanout_window), [LOADER_MAP_BLOCKS] = sizeof(fanout_block),
		[LOADER_MAP_RECEIVERS] = sizeof(struct fanout_receiver), [LOADER_MAP_HISTORY_SMALL] = FANOUT_SMALL_SLOT,
		[LOADER_MAP_HISTORY_LARGE] = FANOUT_LARGE_SLOT, [LOADER_MAP_RELAYS] = sizeof(struct fanout_relay),
		[LOADER_MAP_ADDRESSES] = sizeof(uint8_t), [LOADER_MAP_COUNTERS] = sizeof(struct fanout_counters),
		[LOADER_MAP_GRACE] = sizeof(uint32_t), [LOADER_MAP_GRACE_INNER] = sizeof(uint32_t),
	};
	char path[48], line[128];
	unsigned value = 0, entries = 0, wanted = entries_of(sizes, map);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", descriptor);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		(void)sscanf(line, "value_size: %u", &value);
		(void)sscanf(line, "max_entries: %u", &entries);
	}
	fclose(file);
	return value == value_bytes[map] && (wanted == 0 || entries == wanted);
}

static enum err take_map(struct fast_path *f, struct item *item)
{
	const struct loader_message *m = &item->message;
	if (m->map >= LOADER_MAPS || item->descriptor_count != 1 || f->memory.map[m->map] >= 0 ||
	    !has_shape(item->descriptor[0], (enum loader_map)m->map, &f->memory.sizes))
		return ERR_VERSION;
	f->memory.map[m->map] = item_take(item, 0);
	return ERR_OK;
}

static enum err take_device(struct fast_path *f, struct item *item)
{
	const struct loader_message *m = &item->message;
	const uint32_t engines = 1u << FANOUT_TCX | 1u << FANOUT_XDP;
	if (m->engines & ~engines || (size_t)__builtin_popcount(m->engines) != item->descriptor_count)
		return ERR_VERSION;
	if (m->engines == 0) {
		log_line(LOG_NOTICE, "fast path: %s: user space (%s)", m->name, m->text);
		return ERR_OK;
	}
	if (m->device == 0 || m->device >= FANOUT_DEVICES || f->device[m->device].engines != 0)
		return ERR_VERSION;
	struct fast_path_device *device = &f->device[m->device];
	memcpy(device->name, m->name, sizeof(device->name));
	device->ifindex = m->ifindex;
	device->engines = m->engines;
	device->ring = m->ring;
	for (size_t i = 0; i < LINKS_MAX; i++)
		device->link[i] = i < item->descriptor_count ? item_take(item, i) : -1;
	f->device_count++;
	log_line(LOG_INFO, "fast path: %s: %s%s%s%s%s", m->name, m->engines >> FANOUT_TCX & 1 ? "tcx" : "",
		 m->engines == engines ? ", " : "", m->engines >> FANOUT_XDP & 1 ? "xdp" : "", *m->text ? "; " : "", m->text);
	return ERR_OK;
}

static enum err take_poll(struct fast_path *f, struct item *item)
{
	if (item->descriptor_count > 1 || f->poll_link >= 0)
		return ERR_VERSION;
	if (item->descriptor_count == 1)
		f->poll_link = item_take(item, 0);
	else
		log_line(LOG_NOTICE, "fast path: pictures are not dropped in the kernel when there is too much to do: %s", item->message.text);
	return ERR_OK;
}

static enum err take_all(struct fast_path *f, int socket, unsigned wait_ms, char *problem)
{
	struct item item;
	uint64_t end_ns = loop_clock_ns(CLOCK_MONOTONIC) + wait_ms * 1000000ull;
	enum err err;
	snprintf(problem, FAST_PATH_PROBLEM_MAX, "the loader is of another version");
	while (!(err = receive(socket, end_ns, &item))) {
		switch (item.message.item) {
		case LOADER_MAP:
			err = take_map(f, &item);
			break;
		case LOADER_DEVICE:
			err = take_device(f, &item);
			break;
		case LOADER_POLL:
			err = take_poll(f, &item);
			break;
		case LOADER_DONE:
			item_close(&item);
			return ERR_OK;
		case LOADER_FAILED:
			snprintf(problem, FAST_PATH_PROBLEM_MAX, "%s", item.message.text);
			err = ERR_DENIED;
			break;
		default:
			err = ERR_VERSION;
			break;
		}
		item_close(&item);
		if (err)
			return err;
	}
	if (err != ERR_PARSE)
		snprintf(problem, FAST_PATH_PROBLEM_MAX, err == ERR_TIMEOUT ? "the loader does not come to an end" : "the loader ended too early");
	return err;
}

// ---------------------------------------------------------------- memory

static bool map_into(struct table_memory *memory, enum loader_map map, void **out)
{
	size_t bytes = table_memory_bytes(&memory->sizes, map);
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory->map[map], 0);
	if (start == MAP_FAILED)
		return false;
	(void)madvise(start, bytes, MADV_DONTDUMP); // keys
	(void)madvise(start, bytes, MADV_DONTFORK); // which the manager's spawner is not to see either
	*out = start;
	return true;
}

static enum err map_all(struct table_memory *memory, char *problem)
{
	for (size_t i = 0; i < LOADER_MAPS; i++) {
		if (memory->map[i] < 0) {
			snprintf(problem, FAST_PATH_PROBLEM_MAX, "the loader is of another version: a map is missing");
			return ERR_VERSION;
		}
	}
	if (map_into(memory, LOADER_MAP_CONFIG, (void **)&memory->config) &&
	    map_into(memory, LOADER_MAP_SENDERS, (void **)&memory->sender) &&
	    map_into(memory, LOADER_MAP_WINDOWS, (void **)&memory->window) &&
	    map_into(memory, LOADER_MAP_BLOCKS, (void **)&memory->block) &&
	    map_into(memory, LOADER_MAP_RECEIVERS, (void **)&memory->receiver) &&
	    map_into(memory, LOADER_MAP_HISTORY_SMALL, (void **)&memory->history_small) &&
	    map_into(memory, LOADER_MAP_HISTORY_LARGE, (void **)&memory->history_large))
		return ERR_OK;
	snprintf(problem, FAST_PATH_PROBLEM_MAX, "the forwarding table cannot be mapped into memory: %s", strerror(errno));
	return ERR_NOMEM;
}

// ---------------------------------------------------------------- open and close

static void clear(struct fast_path *f)
{
	memset(f, 0, sizeof(*f));
	for (size_t i = 0; i < LOADER_MAPS; i++)
		f->memory.map[i] = -1;
	for (size_t i = 0; i < FANOUT_DEVICES; i++)
		f->device[i].link[0] = f->device[i].link[1] = -1;
	f->poll_link = -1;
}

static enum err run_loader(const struct fast_path_options *options, struct fast_path *f, char *problem)
{
	int pair[2];
	pid_t child = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		snprintf(problem, FAST_PATH_PROBLEM_MAX, "no socket for the loader: %s", strerror(errno));
		return ERR_IO;
	}
	int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, DESCRIPTOR_ABOVE); // dup2 to the same number would not clear CLOEXEC
	int error = theirs < 0 ? errno : spawn(options, theirs, &child);
	if (theirs >= 0)
		close(theirs);
	close(pair[1]);
	enum err err = ERR_IO;
	if (error)
		snprintf(problem, FAST_PATH_PROBLEM_MAX, "%.150s cannot be run: %s", options->loader, strerror(error));
	else
		err = take_all(f, pair[0], options->wait_ms ? options->wait_ms : FAST_PATH_WAIT_MS, problem);
	close(pair[0]);
	if (child > 0) {
		if (err)
			(void)kill(child, SIGKILL);
		(void)waitpid(child, NULL, 0);
	}
	return err;
}

enum err fast_path_open(const struct fast_path_options *options, struct fast_path *out, char problem[static FAST_PATH_PROBLEM_MAX])
{
	clear(out);
	out->memory.sizes = options->sizes;
	out->memory.has_programs = true;
	enum err err = run_loader(options, out, problem);
	if (!err)
		err = map_all(&out->memory, problem);
	if (err)
		fast_path_close(out);
	return err;
}

void fast_path_close(struct fast_path *f)
{
	for (size_t i = 0; i < FANOUT_DEVICES; i++) {
		for (size_t k = 0; k < LINKS_MAX; k++) {
			if (f->device[i].link[k] >= 0)
				close(f->device[i].link[k]);
		}
	}
	if (f->poll_link >= 0)
		close(f->poll_link);
	table_memory_free(&f->memory);
	clear(f);
}
