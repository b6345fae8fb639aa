// SPDX-License-Identifier: Apache-2.0
//
// The order in which rights are given up is that of relay/confine.h.
#include "relay/tcs_serve.h"

#include "base/log.h"
#include "relay/confine.h"
#include "relay/control_socket.h"
#include "relay/fast_path.h"
#include "relay/manager_link.h"
#include "relay/manager_spawner.h"
#include "relay/passed.h"
#include "relay/registration.h"
#include "relay/relay.h"
#include "relay/tcs_config.h"
#include "relay/tcs_rights.h"
#include "relay/tcs_sockets.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

struct server {
	const struct tcs_config *config;
	struct tcs_sockets sockets;
	int spawner, signals;
	struct fast_path fast_path;
	bool has_fast_path;
	struct registration registration;
	struct journal *journal;
	struct tls_context *tls;
	struct media_port *port; // the control thread's
	struct loop *loop;
	struct relay *relay;
};

static enum err failed(char *problem, const char *what, const char *why, enum err err)
{
	snprintf(problem, TCS_SERVE_PROBLEM_MAX, "%s: %s", what, why);
	return err;
}

static const char *reason(enum err err) { return err == ERR_IO ? strerror(errno) : err_text(err); }

// ---------------------------------------------------------------- fast path

static void find_loader(const struct tcs_config *config, char path[static PATH_BYTES])
{
	static const char name[] = "huisclos-loader";
	ssize_t size = *config->loader ? 0 : readlink("/proc/self/exe", path, PATH_BYTES - sizeof(name));
	const char *slash = size > 0 ? memrchr(path, '/', (size_t)size) : NULL;
	if (slash)
		memcpy(path + (slash - path) + 1, name, sizeof(name));
	else
		snprintf(path, PATH_BYTES, "%s", *config->loader ? config->loader : name);
}

// Whatever is missing for it, user space does it all.
static void open_fast_path(struct server *server)
{
	const struct tcs_config *config = server->config;
	char path[PATH_BYTES], problem[FAST_PATH_PROBLEM_MAX];
	if (config->fast_path == ENGINE_USER || config->udp_port == 0)
		return;
	if (!tcs_sockets_have_marks(&server->sockets)) {
		log_line(LOG_NOTICE, "fast path: user space forwards everything: no right to see packet marks");
		return;
	}
	find_loader(config, path);
	struct fast_path_options options = {
		.loader = path, .devices = config->fast_path_devices,
		.highest = config->fast_path == ENGINE_TCX ? FANOUT_TCX : FANOUT_XDP,
		.is_xdp_forced = config->fast_path == ENGINE_XDP,
		.port = (uint16_t)config->udp_port, .relay_port = (uint16_t)config->relay_udp_port,
	};
	table_sizes_for(config->participants_max, config->history_memory << 20, &options.sizes);
	server->has_fast_path = fast_path_open(&options, &server->fast_path, problem) == ERR_OK;
	if (!server->has_fast_path)
		log_line(LOG_NOTICE, "fast path: user space forwards everything: %s", problem);
}

// From here on the programs decide.
static void enable_fast_path(struct server *server)
{
	if (!server->has_fast_path)
		return;
	struct fanout_config *shared = server->fast_path.memory.config;
	shared->shed_after = (uint32_t)server->config->shed_after;
	__atomic_store_n(&shared->is_enabled, 1, __ATOMIC_RELEASE);
}

// ---------------------------------------------------------------- start

// With the rights that tcs was started with, and then with those of its account.
static enum err open_outside(struct server *server, char *problem)
{
	const struct tcs_config *config = server->config;
	tcs_rights_begin();
	enum err err = tcs_sockets_open(config, &server->sockets, problem);
	if (!err)
		err = tcs_rights_own_sockets(config, problem);
	if (err)
		return err;
	open_fast_path(server);
	tcs_rights_priority(config->realtime_priority); // the loader had none
	confine_begin();
	return tcs_rights_take_account(config->user, problem);
}

// Before the TLS key is read: the spawner is a copy of this process.
static enum err start_spawner(struct server *server, char *problem)
{
	const struct manager_spawner_options options = { .program = "/proc/self/exe", .state_directory = server->config->state_directory,
							 .log_level = server->config->log_level + LOG_ERROR,
							 .journal = journal_descriptor(server->journal) };
	if (manager_spawner_start(&options, &server->spawner) == ERR_OK)
		return ERR_OK;
	return failed(problem, "cannot start the process of the manager", strerror(errno), ERR_IO);
}

static enum err open_state(struct server *server, char *problem)
{
	const char *directory = server->config->state_directory;
	uint64_t now_s = loop_clock_ns(CLOCK_REALTIME) / 1000000000u;
	enum err err = registration_load(directory, &server->registration, problem);
	if (!err)
		err = journal_open(directory, now_s, &server->journal, problem);
	if (!err)
		err = start_spawner(server, problem);
	if (err)
		return err;
	const struct tls_context_options options = { .is_server = true, .alpn = CONTROL_ALPN,
						     .certificate_pem = server->registration.certificate_path,
						     .key_pem = server->registration.key_path };
	err = tls_context_new(&options, &server->tls);
	return err ? failed(problem, "the TLS certificate and key of the registration cannot be used", err_text(err), err) : ERR_OK;
}

// SIGTERM and SIGINT stop; they come as reads, not in the middle of something.
static int open_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static enum err open_relay(struct server *server)
{
	const struct relay_options options = { .config = server->config, .registration = &server->registration,
					       .journal = server->journal, .tls = server->tls,
					       .fast_path = server->has_fast_path ? &server->fast_path : NULL };
	const struct media_port sockets = { .descriptor = server->sockets.udp_count > 0 ? server->sockets.udp[0] : -1,
					    .leg_descriptor = server->sockets.leg, .wake = -1 };
	enum loop_choice choice = (enum loop_choice)server->config->loop;
	server->signals = open_signals();
	server->relay = server->signals >= 0 ? relay_new(&options) : NULL;
	if (!server->relay)
		return ERR_NOMEM;
	struct loop_handlers handlers = relay_handlers(server->relay);
	enum err err = loop_open(choice, &handlers, &server->loop);
	if (!err && sockets.descriptor >= 0)
		err = media_port_open(LOOP_EPOLL, &sockets, &server->port); // the loop watches its sockets
	return err ? err : relay_start(server->relay, server->loop, server->port);
}

static enum err make_threads(struct server *server)
{
	struct relay *relay = server->relay;
	const struct media_threads_options options = {
		.count = server->sockets.threads, .choice = (enum loop_choice)server->config->loop,
		.descriptor = server->sockets.udp, .leg_descriptor = server->sockets.leg, .legs = &relay->legs,
		.table = relay->table,
	};
	enum err err = handshakes_new(server->config->handshake_threads, &relay->handshakes);
	if (!err && options.count > 0)
		err = media_threads_new(&options, &relay->threads);
	return err;
}

static enum err watch_media(struct server *server)
{
	struct loop *loop = server->loop;
	struct relay *relay = server->relay;
	enum err err = loop->ops->watch_readable(loop, handshakes_descriptor(relay->handshakes));
	for (size_t i = 0; relay->threads && i < media_threads_count(relay->threads) && !err; i++)
		err = loop->ops->watch_readable(loop, media_threads_descriptor(relay->threads, i));
	if (relay->threads || !server->port)
		return err;
	if (!err)
		err = loop->ops->watch_readable(loop, server->port->descriptor);
	if (!err && server->port->leg_descriptor >= 0)
		err = loop->ops->watch_readable(loop, server->port->leg_descriptor);
	return err;
}

static enum err watch(struct server *server)
{
	struct relay *relay = server->relay;
	struct loop *loop = server->loop;
	relay->signals = server->signals;
	enum err err = loop->ops->watch_readable(loop, server->signals);
	if (!err)
		err = watch_media(server);
	if (!err && server->sockets.tcp >= 0)
		err = loop->ops->watch_listener(loop, server->sockets.tcp);
	if (!err && server->sockets.mux >= 0)
		err = passed_open(relay, server->sockets.mux, &relay->passed);
	if (!err && server->sockets.control >= 0)
		err = control_socket_open(relay, server->sockets.control, &relay->control);
	if (!err)
		err = manager_link_open(relay, server->spawner, &relay->manager);
	return err;
}

static enum err confine(const struct server *server, char *problem)
{
	const struct confine_options options = { .socket = { server->config->control_socket, server->config->mux_socket } };
	return confine_apply(&options, problem);
}

static enum err open_inside(struct server *server, char *problem)
{
	enum err err = open_relay(server);
	if (!err)
		err = make_threads(server);
	if (!err)
		err = watch(server);
	if (!err)
		err = engine_start(server->relay);
	if (err)
		return failed(problem, "cannot start", reason(err), err);
	err = confine(server, problem);
	if (err)
		return err;
	err = handshakes_start(server->relay->handshakes);
	if (!err && server->relay->threads)
		err = media_threads_start(server->relay->threads);
	return err ? failed(problem, "cannot start threads", reason(err), err) : ERR_OK;
}

// ---------------------------------------------------------------- run and end

static enum err run(struct server *server, char *problem)
{
	const struct relay *relay = server->relay;
	enable_fast_path(server);
	log_line(LOG_NOTICE, "relay %s is up: port %u/tcp, %u/udp, %s, %zu media threads (%s)", server->registration.name,
		 (unsigned)server->config->listen_port, (unsigned)server->config->udp_port, server->loop->ops->name,
		 server->sockets.threads, relay->threads ? media_threads_name(relay->threads) : "none");
	enum err err = server->loop->ops->run(server->loop);
	if (err)
		return failed(problem, "the event loop failed", reason(err), err);
	log_line(LOG_NOTICE, "stopped");
	return ERR_OK;
}

static void close_relay(struct relay *relay)
{
	if (!relay)
		return;
	manager_link_close(relay->manager);
	relay->manager = NULL;
	control_socket_close(relay->control);
	relay->control = NULL;
	passed_close(relay->passed);
	relay->passed = NULL;
	relay_free(relay);
}

static void close_all(struct server *server)
{
	if (server->has_fast_path) // the programs let go first
		__atomic_store_n(&server->fast_path.memory.config->is_enabled, 0, __ATOMIC_RELEASE);
	close_relay(server->relay);
	if (server->port)
		server->port->ops->close(server->port);
	if (server->loop)
		server->loop->ops->close(server->loop);
	if (server->has_fast_path)
		fast_path_close(&server->fast_path);
	tcs_sockets_remove(server->config, &server->sockets);
	tls_context_free(server->tls);
	journal_close(server->journal);
}

enum err tcs_serve(const struct tcs_config *config, char problem[static TCS_SERVE_PROBLEM_MAX])
{
	struct server *server = calloc(1, sizeof(*server));
	if (!server)
		return failed(problem, "cannot start", err_text(ERR_NOMEM), ERR_NOMEM);
	server->config = config;
	server->spawner = server->signals = -1;
	enum err err = open_outside(server, problem);
	if (!err)
		err = open_state(server, problem);
	if (!err)
		err = open_inside(server, problem);
	if (!err)
		err = run(server, problem);
	close_all(server);
	free(server);
	return err;
}
